//! The two alert machines of a wallet, run at the end of each operation (billing 5.3, 5.4).
//!
//! Stepping and telling are apart: the levels are part of what the operation's own events show,
//! and those events come first in the wallet's sequence.

use super::account::Account;
use super::log::{Begun, Log};
use crate::alert::machine::{self, Level, Send};
use crate::alert::settings::{Levels, Settings};
use crate::amount::Amount;
use crate::event::alert::{AlertBody, Trigger};
use crate::id::AlertLogId;
use crate::scope::Cause;
use crate::time::Timestamp;
use crate::webhook::catalogue::EventType;

/// Which number a machine watches; its wire name is the `alert_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertType {
    LowCreditBalance,
    LowOngoingBalance,
}

impl AlertType {
    pub const fn name(self) -> &'static str {
        match self {
            AlertType::LowCreditBalance => "low_credit_balance",
            AlertType::LowOngoingBalance => "low_ongoing_balance",
        }
    }

    fn event(self, send: Send) -> Option<EventType> {
        match (self, send) {
            (_, Send::Nothing) => None,
            (_, Send::LevelChanged) => Some(EventType::WALLET_ALERT_LEVEL_CHANGED),
            (AlertType::LowCreditBalance, Send::Dropped) => {
                Some(EventType::WALLET_CREDIT_BALANCE_DROPPED)
            }
            (AlertType::LowCreditBalance, Send::Recovered) => {
                Some(EventType::WALLET_CREDIT_BALANCE_RECOVERED)
            }
            (AlertType::LowOngoingBalance, Send::Dropped) => {
                Some(EventType::WALLET_ONGOING_BALANCE_DROPPED)
            }
            (AlertType::LowOngoingBalance, Send::Recovered) => {
                Some(EventType::WALLET_ONGOING_BALANCE_RECOVERED)
            }
        }
    }
}

/// One row of the alert log (billing 5.8). Append only.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    pub id: AlertLogId,
    pub wallet_no: i64,
    pub alert_type: AlertType,
    pub previous: Level,
    pub level: Level,
    pub value: Amount,
    pub settings: Settings,
    pub at: Timestamp,
    /// `wallet_transaction`, `settings`, `disabled`, `wallet_closed`.
    pub cause: &'static str,
    /// Place of the event that was sent, if one was.
    pub event: Option<crate::place::Place>,
}

/// Why the machines are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    pub cause: machine::Cause,
    /// Id of the transaction or wallet that caused it.
    pub id: String,
}

/// A step that was made and still has to be told.
pub(super) struct Stepped {
    alert_type: AlertType,
    previous: Level,
    level: Level,
    send: Send,
    logged: bool,
}

impl Account {
    /// The settings in force, and whether they are the wallet's own (billing 5.2).
    pub fn alert_settings<'s>(&'s self, default: &'s Settings) -> (&'s Settings, &'static str) {
        match &self.wallet.alert_settings {
            Some(own) => (own, "wallet"),
            None => (default, "tenant"),
        }
    }

    fn levels(&self, default: &Settings) -> Option<Levels> {
        let (settings, _) = self.alert_settings(default);
        if settings.enabled { settings.resolve(self.percent_base) } else { None }
    }

    /// Moves both machines to the level of the balance as it is now.
    pub(super) fn step_machines(
        &mut self,
        default: &Settings,
        cause: machine::Cause,
    ) -> Vec<Stepped> {
        let Some(levels) = self.levels(default) else {
            self.credit_machine = self.credit_machine.woken();
            self.ongoing_machine = self.ongoing_machine.woken();
            return Vec::new();
        };
        let value = self.credits;
        // Nothing is pending in this stage: the ongoing machine watches the same number.
        let machines = [
            (AlertType::LowCreditBalance, &mut self.credit_machine),
            (AlertType::LowOngoingBalance, &mut self.ongoing_machine),
        ];
        let mut stepped = Vec::new();
        for (alert_type, machine) in machines {
            let new = machine::level_of(&levels, machine.level, value);
            let step = machine::step(*machine, new, cause);
            if step.machine != *machine {
                self.changes.balance = true;
            }
            let previous = machine.level;
            *machine = step.machine;
            if step.log.is_some() || step.send != Send::Nothing {
                let logged = step.log.is_some();
                stepped.push(Stepped { alert_type, previous, level: new, send: step.send, logged });
            }
        }
        stepped
    }
}

/// Ends an operation that moved money: machines, seal, alert events, in this order.
pub(super) fn finish(account: &mut Account, log: &mut Log<'_>, begun: Begun, cause: &Cause) {
    debug_assert_eq!(account.broken_invariant(), None);
    let stepped = account.step_machines(log.alert_default, machine::Cause::Movement);
    log.seal(account, begun);
    if stepped.is_empty() {
        return;
    }
    let id = account.last.map(|place| place.transaction_id(account.last_at).to_string());
    let occasion = Occasion { cause: machine::Cause::Movement, id: id.unwrap_or_default() };
    tell(account, log, cause, &stepped, &occasion);
}

/// The settings in force were edited while alerts stay on (billing 5.5, edit).
pub fn edited(account: &mut Account, log: &mut Log<'_>, cause: &Cause) {
    let occasion = Occasion { cause: machine::Cause::Edit, id: account.wallet.id.to_string() };
    if account.levels(log.alert_default).is_none() {
        silence(account, log, "disabled");
        return;
    }
    let stepped = account.step_machines(log.alert_default, machine::Cause::Edit);
    tell(account, log, cause, &stepped, &occasion);
}

/// Both machines go to ok and nothing is sent: alerts were switched off, or the wallet closed.
pub fn silence(account: &mut Account, log: &mut Log<'_>, cause: &'static str) {
    let before = [
        (AlertType::LowCreditBalance, account.credit_machine),
        (AlertType::LowOngoingBalance, account.ongoing_machine),
    ];
    account.credit_machine = machine::disable(account.credit_machine).machine;
    account.ongoing_machine = machine::disable(account.ongoing_machine).machine;
    account.changes.balance = true;
    for (alert_type, machine) in before {
        if machine.level != Level::Ok {
            let row = row(account, log, alert_type, (machine.level, Level::Ok), cause);
            log.records.push(super::Record::Alert(Box::new(row)));
        }
    }
}

fn row(
    account: &Account,
    log: &mut Log<'_>,
    alert_type: AlertType,
    levels: (Level, Level),
    cause: &'static str,
) -> AlertRow {
    log.counters.alerts += 1;
    AlertRow {
        id: log.scope.env.place(log.counters.alerts).alert_id(log.now),
        wallet_no: account.no,
        alert_type,
        previous: levels.0,
        level: levels.1,
        value: account.credits,
        settings: account.alert_settings(log.alert_default).0.clone(),
        at: log.now,
        cause,
        event: None,
    }
}

fn tell(
    account: &mut Account,
    log: &mut Log<'_>,
    cause: &Cause,
    stepped: &[Stepped],
    occasion: &Occasion,
) {
    let name = match occasion.cause {
        machine::Cause::Edit => "settings",
        _ => "wallet_transaction",
    };
    for step in stepped {
        let mut row = row(account, log, step.alert_type, (step.previous, step.level), name);
        if let Some(kind) = step.alert_type.event(step.send) {
            row.event = Some(log.next_place());
            let body = AlertBody {
                alert_type: step.alert_type,
                previous: step.previous,
                level: step.level,
                log_id: row.id,
                trigger: Trigger { kind: name, id: occasion.id.clone() },
            };
            let default = log.alert_default.clone();
            log.tell_wallet(account, kind, cause, |telling, account| {
                crate::event::alert::render(telling, account, &default, &body)
            });
        }
        if step.logged {
            log.records.push(super::Record::Alert(Box::new(row)));
        }
    }
}
