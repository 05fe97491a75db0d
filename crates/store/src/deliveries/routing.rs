//! Which receivers get an event, and the deliveries that are written with it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sql::{Bulk, Connection, params};
use domain::ledger::Record;
use domain::ledger::log::paywall_names;
use domain::place::{EnvNo, Place, ReceiverNo};
use domain::proxy::chapter::Chapter;
use domain::time::Timestamp;
use domain::wallet::Wallet;
use domain::webhook::catalogue::{EventType, Family};
use domain::webhook::channel::{self, Channel, Channels};
use domain::webhook::filter::Filter;
use domain::webhook::order::{holds_back, told_of};
use domain::webhook::receiver::{Class, OnExhausted, Ordering, ReceiverKind, State};
use serde::Deserialize;

use super::Handover;
use crate::error::Error;
use crate::value::{Millis, signed};

/// What decides whether a receiver gets an event.
#[derive(Clone, Debug)]
pub struct Routing {
    pub no: ReceiverNo,
    pub kind: ReceiverKind,
    pub paywall: Option<i64>,
    pub state: State,
    pub ordering: Ordering,
    /// An exhausted delivery stops its order key.
    pub halts: bool,
    pub filter: Filter,
    /// Only events that touch one of them; none narrow nothing.
    pub channels: Vec<Channel>,
    /// Its circuit is open: new deliveries wait in the database.
    pub is_shut: bool,
}

/// The part of a receiver's stored body that routing needs.
#[derive(Deserialize)]
struct RoutingBody {
    types: Vec<String>,
    extensions: bool,
    #[serde(default)]
    channels: Vec<Channel>,
    ordering: String,
    #[serde(default)]
    on_exhausted: Option<OnExhausted>,
}

/// The receivers of the environment that collect events now.
pub(crate) fn routing(connection: &Connection, env: EnvNo) -> Result<Vec<Routing>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT no, kind, paywall, state, body, circuit_until IS NOT NULL FROM receivers
         WHERE env = ?1 AND state IN ('enabled', 'paused') ORDER BY no",
    )?;
    let mut rows = select.query([env.get()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let no: u32 = row.get(0)?;
        let bad = |problem: &str| Error::corrupt("receivers", i64::from(no), problem);
        let kind: String = row.get(1)?;
        let state: String = row.get(3)?;
        let body: RoutingBody = serde_json::from_str(row.get_ref(4)?.as_str()?)
            .map_err(|problem| bad(&problem.to_string()))?;
        let kind = ReceiverKind::parse(&kind).ok_or_else(|| bad("kind"))?;
        let filter = match kind {
            ReceiverKind::Endpoint => Filter::endpoint(&body.types, body.extensions),
            ReceiverKind::Subscription => {
                Filter::subscription(&body.types, body.extensions).map(|(filter, _)| filter)
            }
        };
        found.push(Routing {
            no: ReceiverNo(no),
            kind,
            paywall: row.get(2)?,
            state: State::parse(&state).ok_or_else(|| bad("state"))?,
            ordering: Ordering::parse(&body.ordering).ok_or_else(|| bad("ordering"))?,
            halts: body.on_exhausted == Some(OnExhausted::Halt),
            filter: filter.map_err(|problem| bad(&problem.to_string()))?,
            channels: body.channels,
            is_shut: row.get(5)?,
        });
    }
    Ok(found)
}

/// What a delivery needs to know of its event.
#[derive(Clone, Debug)]
pub struct Head {
    pub place: Place,
    pub at: Timestamp,
    pub kind: EventType,
    pub subject: String,
    pub order_key: String,
    pub sequence: u64,
    paywall: Option<i64>,
    channels: Channels,
    pub(crate) suppressed: bool,
}

/// Inserts the deliveries of `records` and adds those that may be sent at once to `handovers`.
pub(crate) fn append(
    connection: &Connection,
    routing: &[Routing],
    (env, records): (EnvNo, &[Record]),
    wallet_of: impl Fn(i64) -> Option<Arc<Wallet>>,
    (node, handovers): (i64, &mut Vec<Handover>),
) -> Result<(), Error> {
    if routing.is_empty() {
        return Ok(());
    }
    let mut open = Open { connection, asked: HashSet::new() };
    let mut rows = connection.bulk(INSERT)?;
    let heads: Vec<Head> =
        records.iter().flat_map(|record| heads(env, record, &wallet_of)).collect();
    for head in heads.iter().filter(|head| !head.suppressed) {
        for receiver in routing.iter().filter(|receiver| matches(receiver, head)) {
            let state = open.first_state(receiver, head)?;
            push(&mut rows, (receiver, head), (env, state, node))?;
            if state == "leased" {
                handovers.push(Handover {
                    receiver: receiver.no,
                    place: head.place,
                    class: Class::Live,
                    fresh: true,
                    probe: false,
                });
            }
        }
    }
    Ok(rows.finish()?)
}

pub(crate) fn matches(receiver: &Routing, head: &Head) -> bool {
    let own = match receiver.kind {
        ReceiverKind::Endpoint => true,
        ReceiverKind::Subscription => receiver.paywall == head.paywall && head.paywall.is_some(),
    };
    own && receiver.filter.matches(head.kind)
        && channel::takes(&receiver.channels, &head.channels)
        && told_of(&head.subject) != Some(receiver.no)
}

pub(crate) fn heads(
    env: EnvNo,
    record: &Record,
    wallet_of: &impl Fn(i64) -> Option<Arc<Wallet>>,
) -> Vec<Head> {
    match record {
        Record::Event(event) if event.place.env() == env => vec![Head {
            place: event.place,
            at: event.at,
            kind: event.kind,
            subject: event.subject.clone(),
            order_key: event.order_key.clone(),
            sequence: event.sequence,
            paywall: event.paywall,
            channels: event.channels,
            suppressed: event.suppressed,
        }],
        Record::Entry(entry) if entry.place.env() == env => {
            wallet_of(entry.wallet_no).map_or_else(Vec::new, |wallet| entry_heads(entry, &wallet))
        }
        Record::Chapter(chapter) if chapter.place.env() == env => chapter_heads(chapter),
        _ => Vec::new(),
    }
}

fn chapter_heads(chapter: &Chapter) -> Vec<Head> {
    let (subject, order_key) = paywall_names(chapter.paywall.1, Some(chapter.payer.customer));
    let heads = chapter.numbered().map(|(place, sequence, line)| Head {
        place,
        at: chapter.at,
        kind: line.scene.event(),
        subject: subject.clone(),
        order_key: order_key.clone(),
        sequence,
        paywall: Some(chapter.paywall.0),
        channels: chapter.channels(),
        suppressed: false,
    });
    heads.collect()
}

fn entry_heads(entry: &domain::ledger::Entry, wallet: &Wallet) -> Vec<Head> {
    let (mut paywall_sequence, channels) = (entry.paywall_sequence, wallet.channels());
    let kinds = (0_u64..).zip(entry.announce.events());
    kinds
        .map(|(offset, &kind)| {
            let of_paywall = kind.family() == Family::Paywall;
            let link = wallet.paywall.as_ref().filter(|_| of_paywall);
            let sequence = if of_paywall { paywall_sequence } else { entry.sequence };
            paywall_sequence += u64::from(of_paywall);
            let (subject, order_key) = if let Some(link) = link {
                paywall_names(link.id, Some(wallet.customer_id))
            } else {
                let name = format!("wallet:{}", wallet.id);
                (name.clone(), name)
            };
            Head {
                place: entry.place.offset(offset),
                at: entry.at,
                kind,
                subject,
                order_key,
                sequence,
                paywall: link.map(|link| link.no),
                channels,
                suppressed: false,
            }
        })
        .collect()
}

const INSERT: &str = "INSERT INTO deliveries (receiver, place, env, at, kind, subject, order_key,
        sequence, class, state, step, attempts, next_at, created_at, updated_at, node)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'live', ?9, 0, 0, ?10, ?11, ?12, ?13)";

fn push(
    rows: &mut Bulk<'_>,
    (receiver, head): (&Routing, &Head),
    (env, state, node): (EnvNo, &str, i64),
) -> Result<(), Error> {
    rows.push(params![
        receiver.no.0,
        head.place.raw(),
        env.get(),
        Millis(head.at),
        head.kind.name(),
        head.subject,
        order_key(receiver, head),
        signed(head.sequence),
        state,
        Millis(head.at),
        Millis(head.at),
        Millis(head.at),
        node,
    ])?;
    Ok(())
}

/// What goes without order under `subject` must not hold back what has one.
pub(crate) fn order_key<'h>(receiver: &Routing, head: &'h Head) -> &'h str {
    let bulk = receiver.ordering == Ordering::Subject && head.kind.is_bulk();
    if bulk { "" } else { &head.order_key }
}

/// What holds back later deliveries. Each order key is asked for once in a commit: on a server a
/// question costs a way there and back.
struct Open<'c> {
    connection: &'c Connection,
    asked: HashSet<(ReceiverNo, &'c str)>,
}

impl<'c> Open<'c> {
    /// First rule that fits (webhooks 7.1).
    fn first_state(&mut self, receiver: &Routing, head: &'c Head) -> Result<&'static str, Error> {
        if receiver.state == State::Paused {
            return Ok("parked");
        }
        if holds_back(receiver.ordering, head.kind) {
            // The first of this commit holds back the others.
            let is_first = self.asked.insert((receiver.no, &head.order_key));
            if !is_first || self.is_held(receiver, &head.order_key)? {
                return Ok("waiting");
            }
        }
        Ok(if receiver.is_shut { "due" } else { "leased" })
    }

    fn is_held(&self, receiver: &Routing, order_key: &str) -> Result<bool, Error> {
        Ok(super::queue::is_held(self.connection, receiver.no, order_key)?
            || receiver.halts && super::queue::is_halted(self.connection, receiver.no, order_key)?)
    }
}
