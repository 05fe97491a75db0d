//! What a command may do inside the writer's transaction.
//!
//! Money moves through `account`, everything else through the store's functions with `write`. The
//! log is buffered and written before anything is read or written beside it, so a command always
//! sees what came before it.

use crate::sql::Connection;
use domain::event::Event;
use domain::id::{PaywallId, Ulid};
use domain::ledger::log::Telling;
use domain::ledger::{Account, Entry, Log, Record, auto_topup, expiry};
use domain::place::Place;
use domain::proxy::chapter::Line;
use domain::scope::{Cause, Scope};
use domain::time::Timestamp;
use domain::wallet::Payer;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channels;

use crate::account_log::Overlay;
use crate::accounts::{self, State};
use crate::database::Read;
use crate::desk::{Desk, EnvDesk};
use crate::entries;
use crate::error::Error;
use crate::idempotency::{Worked, fingerprint};
use crate::proxy_requests::Noted;

pub struct Tx<'w> {
    pub(crate) connection: &'w Connection,
    pub(crate) desk: &'w mut Desk,
    pub(crate) scope: Scope,
    /// Time of the environment.
    pub(crate) now: Timestamp,
    /// Time of the world.
    pub(crate) recorded_at: Timestamp,
    /// Length of the log when the command began.
    pub(crate) began: usize,
}

/// A connection that may write, with everything buffered written before.
#[derive(Clone, Copy)]
pub struct Write<'t> {
    pub(crate) connection: &'t Connection,
    overlay: &'t Overlay,
    /// This run of this node.
    pub(crate) node: i64,
}

impl<'t> Write<'t> {
    pub fn read(self) -> Read<'t> {
        Read { connection: self.connection, overlay: self.overlay }
    }
}

impl Tx<'_> {
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Time of the environment; never earlier than an earlier command's.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// A fresh id of this environment, higher than every one before it.
    pub fn mint(&mut self) -> Ulid {
        let now = self.now;
        self.desk.forward(self.scope.env).mint.next(now)
    }

    fn env(&mut self) -> Result<&mut EnvDesk, Error> {
        self.desk.env(self.connection, self.scope.env)
    }

    /// Access to the tables. What is buffered is written first.
    pub fn write(&mut self) -> Result<Write<'_>, Error> {
        self.desk.flush(self.connection, self.recorded_at)?;
        self.began = 0;
        let overlay = self.desk.log.overlay();
        Ok(Write { connection: self.connection, overlay, node: self.desk.node })
    }

    pub fn read(&mut self) -> Result<Read<'_>, Error> {
        Ok(self.write()?.read())
    }

    /// Runs a rule on the account of `wallet`. What is due on it is posted first; an automatic
    /// top-up that it triggers is the next operation. `None` where there is no such wallet.
    pub fn account<R>(
        &mut self,
        wallet: i64,
        rule: impl FnOnce(&mut Account, &mut Log<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let now = self.now;
        self.account_at_rest(wallet, |account, log| {
            if expiry::next_due(account).is_some_and(|due| due <= now) {
                expiry::post_due(account, log);
            }
            let done = rule(account, log);
            auto_topup::run(account, log);
            done
        })
    }

    /// Runs a rule that moves nothing and settles nothing: it looks at the account as it is, sets
    /// what was stored beside it, or tells of it.
    pub fn account_at_rest<R>(
        &mut self,
        wallet: i64,
        rule: impl FnOnce(&mut Account, &mut Log<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let env = self.scope.env;
        self.env()?;
        if !self.desk.hold_account(self.connection, env, wallet)? {
            return Ok(None);
        }
        self.desk.touch(env, Some(wallet));
        let Desk { slots, envs, records, .. } = &mut *self.desk;
        let (Some(slot), Some(desk)) = (slots.get_mut(&wallet), envs.get_mut(&env)) else {
            return Ok(None);
        };
        Ok(Some(rule(&mut slot.account, &mut log(desk, records, self.now))))
    }

    /// As `account`, for a rule over two wallets, such as a conversion.
    pub fn two_accounts<R>(
        &mut self,
        (first, second): (i64, i64),
        rule: impl FnOnce(&mut Account, &mut Account, &mut Log<'_>) -> R,
    ) -> Result<Option<R>, Error> {
        let env = self.scope.env;
        self.env()?;
        for wallet in [first, second] {
            if !self.desk.hold_account(self.connection, env, wallet)? {
                return Ok(None);
            }
            self.desk.touch(env, Some(wallet));
        }
        let Desk { slots, envs, records, .. } = &mut *self.desk;
        let [Some(one), Some(two)] = slots.get_disjoint_mut([&first, &second]) else {
            return Ok(None);
        };
        let Some(desk) = envs.get_mut(&env) else { return Ok(None) };
        let mut log = log(desk, records, self.now);
        expiry::post_due(&mut one.account, &mut log);
        Ok(Some(rule(&mut one.account, &mut two.account, &mut log)))
    }

    /// Writes the row of a wallet that was just made.
    pub fn open_account(&mut self, account: &Account) -> Result<(), Error> {
        accounts::write_row(self.connection, account.no, &State::of(account))
    }

    /// Brings wallets' rows up to what happened, for a search that looks at balances in them.
    pub fn write_account_rows(&mut self) -> Result<(), Error> {
        self.write()?;
        self.desk.log.fold_all(self.connection)
    }

    /// Forgets the account of `wallet`, because its settings or its customer changed beside it.
    pub fn reload_account(&mut self, wallet: i64) -> Result<(), Error> {
        self.write()?;
        self.desk.touch(self.scope.env, Some(wallet));
        self.desk.forget_account(wallet);
        Ok(())
    }

    /// Tells an event about a thing that is neither a wallet nor a paywall, as `type:id`, and
    /// what it touches.
    pub fn tell(
        &mut self,
        (subject, channels): (String, Channels),
        kind: EventType,
        cause: &Cause,
        render: impl FnOnce(&Telling) -> Vec<u8>,
    ) -> Result<(), Error> {
        self.desk.load_subject_counter(self.connection, self.scope.env, &subject)?;
        self.with_log(|log| log.tell((subject, channels), kind, cause, render))
    }

    /// Tells an event of a paywall, by its number and id; `payer` is the user whom it is about.
    pub fn tell_paywall(
        &mut self,
        paywall: (i64, PaywallId),
        payer: Option<Payer>,
        kind: EventType,
        cause: &Cause,
        render: impl FnOnce(&Telling) -> Vec<u8>,
    ) -> Result<(), Error> {
        self.desk.load_paywall_counter(self.connection, self.scope.env, paywall.0)?;
        self.with_log(|log| log.tell_paywall(paywall, payer, kind, cause, render))
    }

    /// Tells what happened to proxied requests of one user, in the order of `lines`. `settled_by`
    /// is the entry that paid for all of their charges at once.
    pub fn tell_chapter(
        &mut self,
        paywall: (i64, PaywallId),
        payer: Payer,
        cause: &Cause,
        told: (Vec<Line>, Option<Place>),
    ) -> Result<(), Error> {
        self.desk.load_paywall_counter(self.connection, self.scope.env, paywall.0)?;
        self.with_log(|log| log.tell_chapter(paywall, payer, cause, told))
    }

    /// Stores a proxied request as it is now. A light command may.
    pub fn save_request(&mut self, request: Noted) {
        self.desk.requests.push((self.scope.env, request));
    }

    fn with_log(&mut self, work: impl FnOnce(&mut Log<'_>)) -> Result<(), Error> {
        let (env, now) = (self.scope.env, self.now);
        self.env()?;
        self.desk.touch(env, None);
        let Desk { envs, records, .. } = &mut *self.desk;
        if let Some(desk) = envs.get_mut(&env) {
            work(&mut log(desk, records, now));
        }
        Ok(())
    }

    /// The entry that this transaction posted, or that is in the table, at `place`.
    pub fn entry(&mut self, place: Place) -> Result<Option<Entry>, Error> {
        let buffered = self.desk.records.iter().rev().find_map(|record| match record {
            Record::Entry(entry) if entry.place == place => Some(Entry::clone(entry)),
            _ => None,
        });
        match buffered {
            Some(entry) => Ok(Some(entry)),
            None => entries::find(self.desk.read(self.connection), &self.scope, place),
        }
    }

    /// The events buffered since the command began; for tests and previews.
    pub fn told(&self) -> impl Iterator<Item = &Event> {
        self.desk.records[self.began.min(self.desk.records.len())..].iter().filter_map(|record| {
            match record {
                Record::Event(event) => Some(&**event),
                _ => None,
            }
        })
    }

    /// What did the work of this key before, if anything did. Text decides, not the fingerprint.
    pub fn worked(&mut self, route: &str, key: &str) -> Result<Vec<Worked>, Error> {
        let print = fingerprint(self.scope.env, route, key);
        self.desk.index.candidates(self.connection, print)
    }

    /// Remembers that the row did the work of this key.
    pub fn remember(&mut self, route: &str, key: &str, worked: Worked) {
        let print = fingerprint(self.scope.env, route, key);
        self.desk.index.insert(print, worked);
    }

    /// This command only books work that is under way (a lease, a result): no key, paywall,
    /// setting, receiver or clock changes, so that other nodes may keep what they have in memory
    /// of those. Said first; a later change of receivers or settings takes it back.
    pub fn is_routine(&mut self) {
        self.desk.mark_routine(true);
    }

    /// The set of receivers changed: events from here on go to the new one.
    pub fn receivers_changed(&mut self) -> Result<(), Error> {
        self.write()?;
        self.desk.mark_routine(false);
        self.env()?.routing = None;
        Ok(())
    }

    /// Settings that the writer keeps in memory changed.
    pub fn settings_changed(&mut self) -> Result<(), Error> {
        self.write()?;
        self.desk.mark_routine(false);
        self.desk.envs.remove(&self.scope.env);
        Ok(())
    }

    /// Hands a delivery that is leased to this process to its lane after the commit.
    pub fn hand_over(&mut self, handover: crate::deliveries::Handover) {
        self.desk.handovers.push(crate::deliveries::Handed::Leased(handover));
    }

    /// Leased deliveries of the receiver are written anew: the sender must not go by what it knows.
    pub fn deliveries_changed(&mut self, receiver: domain::place::ReceiverNo) {
        self.desk.handovers.push(crate::deliveries::Handed::Changed(receiver));
    }
}

fn log<'l>(desk: &'l mut EnvDesk, records: &'l mut Vec<Record>, now: Timestamp) -> Log<'l> {
    Log {
        scope: desk.scope,
        now,
        counters: &mut desk.counters,
        records,
        alert_default: &desk.alert_default,
    }
}
