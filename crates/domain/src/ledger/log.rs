//! The log that rules write to: it numbers, chains and collects what one batch adds.
//!
//! It holds counters and a list in memory and nothing else; the store loads the one and writes the
//! other. A rule posts only after its last check, so a refusal leaves no gap in any number.

use std::collections::HashMap;

use super::account::Account;
use super::alerts::AlertRow;
use super::chain;
use super::entry::{
    Activity, Announce, Details, Entry, KeyUse, Kind, LedgerAccount, Reason, Standing, Status,
    Taken,
};
use crate::alert::settings::Settings;
use crate::amount::Amount;
use crate::event::Event;
use crate::id::{CustomerId, PaywallId};
use crate::place::Place;
use crate::proxy::chapter::{Chapter, Line};
use crate::scope::{Cause, Scope};
use crate::time::Timestamp;
use crate::wallet::Payer;
use crate::webhook::catalogue::EventType;
use crate::webhook::channel::Channels;

/// The numbers that events of one environment count with.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Last position of the environment's log.
    pub position: u64,
    /// Last sequence of each paywall, by its number in the database.
    pub paywalls: HashMap<i64, u64>,
    /// Last number of a row of the alert log.
    pub alerts: u64,
    /// Last sequence of every other subject but wallets, by `type:id`.
    pub subjects: HashMap<String, u64>,
}

/// What one batch adds to the log, in order.
#[derive(Clone, Debug)]
pub enum Record {
    Entry(Box<Entry>),
    Event(Box<Event>),
    Alert(Box<AlertRow>),
    Chapter(Box<Chapter>),
}

/// Where an operation began, so that its end can complete its entries.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    first: usize,
}

pub struct Log<'a> {
    pub scope: Scope,
    pub now: Timestamp,
    pub counters: &'a mut Counters,
    pub records: &'a mut Vec<Record>,
    /// Alert settings of the environment, for wallets without their own.
    pub alert_default: &'a Settings,
}

/// An entry before it has its number.
#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: Kind,
    pub reason: Option<Reason>,
    pub activity: Activity,
    pub status: Status,
    pub announce: Announce,
    pub from: LedgerAccount,
    pub to: LedgerAccount,
    pub credits: Amount,
    pub amount: Amount,
    pub fee: Amount,
    pub taken: Vec<Taken>,
    pub details: Details,
    pub key: Option<KeyUse>,
}

impl Log<'_> {
    pub fn begin(&self) -> Begun {
        Begun { first: self.records.len() }
    }

    /// Numbers `count` events of the environment and returns the first place.
    fn number(&mut self, count: u64) -> Place {
        let first = self.counters.position + 1;
        self.counters.position += count;
        self.scope.env.place(first)
    }

    fn paywall_sequence(&mut self, account: &Account, count: u64) -> u64 {
        let Some(link) = account.wallet.paywall.as_ref().filter(|_| count > 0) else {
            return 0;
        };
        let last = self.counters.paywalls.entry(link.no).or_default();
        *last += count;
        *last + 1 - count
    }

    /// The place that the next posted entry will get.
    pub fn next_place(&self) -> Place {
        self.scope.env.place(self.counters.position + 1)
    }

    /// Appends an entry and applies its effect on the balance. Lots and holds are the caller's.
    pub fn post(
        &mut self,
        account: &mut Account,
        draft: Draft,
        cause: &Cause,
        at: Timestamp,
    ) -> Place {
        let place = self.number(draft.announce.positions());
        let sequence = if draft.announce.tells_wallet() { account.next_sequence() } else { 0 };
        let paywall_sequence = self.paywall_sequence(account, draft.announce.paywall_events());
        let before = account.credits;
        let mut entry = Entry {
            place,
            at,
            wallet_no: account.no,
            wallet_version: account.wallet_version,
            customer_version: account.customer_version,
            kind: draft.kind,
            reason: draft.reason,
            activity: draft.activity,
            status: draft.status,
            announce: draft.announce,
            from: draft.from,
            to: draft.to,
            credits: draft.credits,
            amount: draft.amount,
            fee: draft.fee,
            before,
            after: before,
            standing: account.standing(),
            taken: draft.taken,
            sequence,
            paywall_sequence,
            actor: cause.actor.clone(),
            request: cause.request,
            key: draft.key,
            details: draft.details,
            previous: account.last,
            hash: [0; 32],
        };
        entry.after = before + entry.effect();
        account.credits = entry.after;
        account.last = Some(place);
        account.last_at = at;
        account.entries += 1;
        account.changes.balance = true;
        self.records.push(Record::Entry(Box::new(entry)));
        place
    }

    /// Appends an event about a wallet that is not the record of an entry.
    pub fn tell_wallet(
        &mut self,
        account: &mut Account,
        kind: EventType,
        cause: &Cause,
        render: impl FnOnce(&Telling, &Account) -> Vec<u8>,
    ) {
        let sequence = account.next_sequence();
        let telling = self.telling(kind, sequence);
        let subject = format!("wallet:{}", account.wallet.id);
        let about = About {
            order_key: subject.clone(),
            subject,
            paywall: None,
            channels: account.wallet.channels(),
        };
        let body = render(&telling, account);
        self.push(&telling, about, cause, body);
    }

    /// Appends an event of a paywall. Events of one wallet user keep their order among themselves.
    pub fn tell_paywall(
        &mut self,
        paywall: (i64, PaywallId),
        payer: Option<Payer>,
        kind: EventType,
        cause: &Cause,
        render: impl FnOnce(&Telling) -> Vec<u8>,
    ) {
        let last = self.counters.paywalls.entry(paywall.0).or_default();
        *last += 1;
        let sequence = *last;
        let telling = self.telling(kind, sequence);
        let (subject, order_key) = paywall_names(paywall.1, payer.map(|payer| payer.customer));
        let channels = Channels::of_paywall(paywall.1, payer);
        let about = About { subject, order_key, paywall: Some(paywall.0), channels };
        let body = render(&telling);
        self.push(&telling, about, cause, body);
    }

    /// Appends events of proxied requests of one user, in the order of `lines`.
    pub fn tell_chapter(
        &mut self,
        paywall: (i64, PaywallId),
        payer: Payer,
        cause: &Cause,
        (lines, settled_by): (Vec<Line>, Option<Place>),
    ) {
        let count = lines.len() as u64;
        let last = self.counters.paywalls.entry(paywall.0).or_default();
        *last += count;
        let sequence = *last + 1 - count;
        let place = self.number(count);
        self.records.push(Record::Chapter(Box::new(Chapter {
            place,
            at: self.now,
            paywall,
            payer,
            sequence,
            actor: cause.actor.clone(),
            idempotency_key: cause.idempotency_key.clone(),
            settled_by,
            lines,
        })));
    }

    /// Appends an event about anything else; the subject is `type:id`.
    pub fn tell(
        &mut self,
        (subject, channels): (String, Channels),
        kind: EventType,
        cause: &Cause,
        render: impl FnOnce(&Telling) -> Vec<u8>,
    ) {
        let last = self.counters.subjects.entry(subject.clone()).or_default();
        *last += 1;
        let sequence = *last;
        let telling = self.telling(kind, sequence);
        let about = About { order_key: subject.clone(), subject, paywall: None, channels };
        let body = render(&telling);
        self.push(&telling, about, cause, body);
    }

    fn telling(&mut self, kind: EventType, sequence: u64) -> Telling {
        Telling { place: self.number(1), at: self.now, sequence, scope: self.scope, kind }
    }

    fn push(&mut self, telling: &Telling, about: About, cause: &Cause, body: Vec<u8>) {
        self.records.push(Record::Event(Box::new(Event {
            place: telling.place,
            at: telling.at,
            kind: telling.kind,
            subject: about.subject,
            order_key: about.order_key,
            sequence: telling.sequence,
            paywall: about.paywall,
            channels: about.channels,
            body,
            request: cause.request,
            idempotency_key: cause.idempotency_key.clone(),
            suppressed: false,
        })));
    }

    /// Ends an operation: its entries get the wallet's standing and their hash.
    pub(super) fn seal(&mut self, account: &mut Account, begun: Begun) {
        let standing: Standing = account.standing();
        for record in &mut self.records[begun.first..] {
            let Record::Entry(entry) = record else { continue };
            if entry.wallet_no == account.no {
                entry.standing = standing;
                entry.hash = chain::hash(entry, &account.head);
                account.head = entry.hash;
            }
        }
    }
}

/// What an event is about, as it is kept beside its body.
struct About {
    subject: String,
    order_key: String,
    paywall: Option<i64>,
    channels: Channels,
}

/// (subject, order key) of a paywall's event: order is kept per wallet user.
pub fn paywall_names(id: PaywallId, user: Option<CustomerId>) -> (String, String) {
    let name = format!("paywall:{id}");
    let order = user.map_or_else(|| name.clone(), |user| format!("{name}:{user}"));
    (name, order)
}

/// What an event's body needs to know of its number.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    pub place: Place,
    pub at: Timestamp,
    pub sequence: u64,
    pub scope: Scope,
    pub kind: EventType,
}

impl Account {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.changes.balance = true;
        self.sequence
    }

    pub fn standing(&self) -> Standing {
        let (purchased, free) = self.breakdown();
        Standing {
            credits: self.credits,
            held: self.held,
            purchased,
            free,
            credit_level: self.credit_machine.level,
            ongoing_level: self.ongoing_machine.level,
        }
    }
}
