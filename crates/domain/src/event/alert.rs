//! The four balance events and `wallet.alert_level.changed` (billing 5.6).

use serde::Serialize;

use super::customer::{self, CustomerView};
use super::wallet::{self, WalletView};
use crate::alert::machine::Level;
use crate::alert::settings::{Levels, Settings};
use crate::amount::Amount;
use crate::id::AlertLogId;
use crate::ledger::Account;
use crate::ledger::alerts::AlertType;
use crate::ledger::log::Telling;

/// What made the machines look.
#[derive(Clone, Debug, Serialize)]
pub struct Trigger {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
}

/// One crossing, before it is written.
pub struct AlertBody {
    pub alert_type: AlertType,
    pub previous: Level,
    pub level: Level,
    pub log_id: AlertLogId,
    pub trigger: Trigger,
}

/// The numbers are those that crossed: settled ones, and real-time ones, which in this stage agree.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the names on the wire")]
struct Alert<'a> {
    state: Level,
    previous_state: Level,
    alert_type: &'static str,
    current_balance: Amount,
    credit_balance: Amount,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<Amount>,
    alert_settings: &'a Settings,
    settings_source: &'static str,
    alert_log_id: AlertLogId,
    trigger: &'a Trigger,
    real_time_balance: Amount,
    real_time_credit_balance: Amount,
    settled_balance: Amount,
    settled_credit_balance: Amount,
}

#[derive(Serialize)]
struct Keys<'a> {
    alert: Alert<'a>,
    customer: CustomerView<'a>,
    wallet: WalletView<'a>,
}

pub fn render(
    telling: &Telling,
    account: &Account,
    default: &Settings,
    body: &AlertBody,
) -> Vec<u8> {
    let (settings, settings_source) = account.alert_settings(default);
    let levels = settings.resolve(account.percent_base);
    let (credits, worth) = (account.credits, account.worth(account.credits));
    let alert = Alert {
        state: body.level,
        previous_state: body.previous,
        alert_type: body.alert_type.name(),
        current_balance: worth,
        credit_balance: credits,
        unit: "credits",
        threshold: levels.and_then(|levels| threshold(&levels, body.level)),
        alert_settings: settings,
        settings_source,
        alert_log_id: body.log_id,
        trigger: &body.trigger,
        real_time_balance: worth,
        real_time_credit_balance: credits,
        settled_balance: worth,
        settled_credit_balance: credits,
    };
    let keys = Keys {
        alert,
        customer: customer::view(&telling.scope, &account.customer),
        wallet: wallet::of_account(telling, account),
    };
    wallet::render(telling, account, &keys)
}

/// Threshold of the level entered; for ok the outermost one, which was left.
fn threshold(levels: &Levels, level: Level) -> Option<Amount> {
    match level {
        Level::Ok => Some(levels.outermost().1),
        level => levels.threshold_of(level),
    }
}
