//! The `wallet` object of events and answers, and the `wallet.*` events without a crossing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::customer::{self, CustomerView};
use crate::alert::machine::Level;
use crate::alert::settings::Settings;
use crate::amount::{Amount, Rate, Rounding};
use crate::currency::Currency;
use crate::id::{CustomerId, EnvironmentId, TenantId, TransactionId, WalletId};
use crate::ledger::Account;
use crate::ledger::entry::Standing;
use crate::ledger::log::Telling;
use crate::scope::Scope;
use crate::time::Timestamp;
use crate::wallet::{AutoTopup, PriceType, Wallet, WalletStatus, WalletType};

#[derive(Serialize)]
pub struct WalletConfig<'a> {
    pub allowed_price_types: &'a [PriceType],
}

#[derive(Serialize)]
pub struct Breakdown {
    pub free: Amount,
    pub purchased: Amount,
}

/// A wallet with its figures, as every surface shows it.
#[derive(Serialize)]
pub struct WalletView<'a> {
    pub id: WalletId,
    pub customer_id: CustomerId,
    pub name: &'a str,
    pub description: &'a str,
    pub currency: Currency,
    pub wallet_type: WalletType,
    pub wallet_status: WalletStatus,
    pub balance: Amount,
    pub credit_balance: Amount,
    pub conversion_rate: Rate,
    pub topup_conversion_rate: Rate,
    pub alert_settings: Option<&'a Settings>,
    pub alert_state: Level,
    pub credit_alert_state: Level,
    pub auto_topup: Option<&'a AutoTopup>,
    pub config: WalletConfig<'a>,
    pub credits_available_breakdown: Breakdown,
    pub held_credit_balance: Amount,
    pub available_credit_balance: Amount,
    pub overdraft_limit: Amount,
    pub paywall_scope: Option<String>,
    pub metadata: &'a BTreeMap<String, String>,
    pub sequence: u64,
    pub as_of: Timestamp,
    pub environment_id: EnvironmentId,
    pub tenant_id: TenantId,
    pub status: &'static str,
    pub created_at: Timestamp,
    pub created_by: &'a str,
    pub updated_at: Timestamp,
    pub updated_by: &'a str,
}

/// Figures of a wallet at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub standing: Standing,
    pub sequence: u64,
    /// Instant of the wallet's last entry.
    pub moved_at: Timestamp,
    pub as_of: Timestamp,
}

impl Figures {
    pub fn of(account: &Account, as_of: Timestamp) -> Figures {
        Figures {
            standing: account.standing(),
            sequence: account.sequence,
            moved_at: account.last_at,
            as_of,
        }
    }
}

pub fn view<'a>(scope: &Scope, wallet: &'a Wallet, figures: &Figures) -> WalletView<'a> {
    let standing = figures.standing;
    let open = wallet.status != WalletStatus::Closed;
    let available = standing.credits - standing.held + wallet.overdraft_limit;
    WalletView {
        id: wallet.id,
        customer_id: wallet.customer_id,
        name: &wallet.name,
        description: &wallet.description,
        currency: wallet.currency,
        wallet_type: wallet.wallet_type,
        wallet_status: wallet.status,
        balance: standing.credits.times(wallet.conversion_rate, Rounding::HalfAwayFromZero),
        credit_balance: standing.credits,
        conversion_rate: wallet.conversion_rate,
        topup_conversion_rate: wallet.topup_conversion_rate,
        alert_settings: wallet.alert_settings.as_ref(),
        alert_state: standing.ongoing_level,
        credit_alert_state: standing.credit_level,
        auto_topup: wallet.auto_topup.as_ref(),
        config: WalletConfig { allowed_price_types: &wallet.allowed_price_types },
        credits_available_breakdown: Breakdown {
            free: standing.free,
            purchased: standing.purchased,
        },
        held_credit_balance: standing.held,
        available_credit_balance: if open { available.or_zero() } else { Amount::ZERO },
        overdraft_limit: wallet.overdraft_limit,
        paywall_scope: wallet.paywall_scope(),
        metadata: &wallet.metadata,
        sequence: figures.sequence,
        as_of: figures.as_of,
        environment_id: scope.environment,
        tenant_id: scope.tenant,
        status: "published",
        created_at: wallet.created_at,
        created_by: &wallet.created_by,
        updated_at: wallet.updated_at.max(figures.moved_at),
        updated_by: &wallet.updated_by,
    }
}

/// `alert` of events that tell no crossing.
#[derive(Serialize)]
struct AlertState<'a> {
    state: Level,
    alert_settings: &'a Settings,
    settings_source: &'static str,
}

#[derive(Serialize)]
struct LifeKeys<'a> {
    wallet: WalletView<'a>,
    customer: CustomerView<'a>,
    alert: AlertState<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_attributes: Option<&'a Map<String, Value>>,
}

/// `wallet.created`, `.updated` (with the old values), `.terminated`.
pub fn render_life(
    telling: &Telling,
    account: &Account,
    default: &Settings,
    previous: Option<&Map<String, Value>>,
) -> Vec<u8> {
    let (settings, source) = account.alert_settings(default);
    let keys = LifeKeys {
        wallet: of_account(telling, account),
        customer: customer::view(&telling.scope, &account.customer),
        alert: AlertState {
            state: account.ongoing_machine.level,
            alert_settings: settings,
            settings_source: source,
        },
        previous_attributes: previous,
    };
    render(telling, account, &keys)
}

#[derive(Serialize)]
struct CreditsKeys<'a> {
    transaction: BTreeMap<&'static str, String>,
    credits: Amount,
    expires_at: Timestamp,
    wallet: WalletView<'a>,
    customer: CustomerView<'a>,
}

/// `wallet.credits.expired` and `.expiring`: `source` is the credit row.
pub fn render_credits_notice(
    telling: &Telling,
    account: &Account,
    source: TransactionId,
    credits: Amount,
    expires_at: Timestamp,
) -> Vec<u8> {
    let keys = CreditsKeys {
        transaction: BTreeMap::from([
            ("id", source.to_string()),
            ("wallet_id", account.wallet.id.to_string()),
            ("expiry_date", expires_at.to_string()),
        ]),
        credits,
        expires_at,
        wallet: of_account(telling, account),
        customer: customer::view(&telling.scope, &account.customer),
    };
    render(telling, account, &keys)
}

#[derive(Serialize)]
struct SuspendedKeys<'a> {
    wallet: WalletView<'a>,
    customer: CustomerView<'a>,
    reason: &'a str,
}

pub fn render_topup_suspended(telling: &Telling, account: &Account, reason: &str) -> Vec<u8> {
    let keys = SuspendedKeys {
        wallet: of_account(telling, account),
        customer: customer::view(&telling.scope, &account.customer),
        reason,
    };
    render(telling, account, &keys)
}

pub(super) fn of_account<'a>(telling: &Telling, account: &'a Account) -> WalletView<'a> {
    view(&telling.scope, &account.wallet, &Figures::of(account, telling.at))
}

pub(super) fn render(telling: &Telling, account: &Account, keys: &impl Serialize) -> Vec<u8> {
    super::billing::render(telling, &format!("wallet:{}", account.wallet.id), keys)
}
