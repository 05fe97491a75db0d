//! Which receivers get an event, and the deliveries that are written with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::sql::{Connection, Value, params, params_from_iter};
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
use domain::webhook::receiver::{
    Class, DeliveryState, OnExhausted, Ordering, ReceiverKind, State, Trigger,
};
use serde::Deserialize;

use super::{Delivery, Handed, Handover};
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
    /// Deliveries of its past are still coming back: new ones come behind them.
    pub returns: bool,
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
        "SELECT no, kind, paywall, state, body, circuit_until IS NOT NULL, moving = 'return'
         FROM receivers
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
            returns: row.get(6)?,
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
    (node, handovers): (i64, &mut Vec<Handed>),
) -> Result<(), Error> {
    let heads = records.iter().flat_map(|record| heads(env, record, &wallet_of));
    let heads: Vec<Head> = heads.filter(|head| !head.suppressed).collect();
    let pairs = heads.iter().flat_map(|head| routing.iter().map(move |one| (one, head)));
    let wanted: Vec<(&Routing, &Head)> = pairs.filter(|(one, head)| matches(one, head)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut behind = behind(connection, &wanted)?;
    let mut insert = connection.bulk(
        "INSERT INTO deliveries (receiver, place, env, at, kind, subject, order_key, sequence,
            class, state, step, attempts, next_at, created_at, updated_at, node)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'live', ?9, 0, 0, ?4, ?4, ?4, ?10)",
    )?;
    for (receiver, head) in wanted {
        let state = first_state((receiver, head), &mut behind);
        insert.push(params![
            receiver.no.0,
            head.place.raw(),
            env.get(),
            Millis(head.at),
            head.kind.name(),
            head.subject,
            order_key(receiver, head),
            signed(head.sequence),
            state,
            node,
        ])?;
        if state == "leased" {
            handovers.push(leased(receiver, head));
        }
    }
    Ok(insert.finish()?)
}

/// The row that was just written, on its way to the sender.
fn leased(receiver: &Routing, head: &Head) -> Handed {
    let (place, class) = (head.place, Class::Live);
    let delivery = Delivery {
        receiver: receiver.no,
        place,
        at: head.at,
        kind: head.kind,
        subject: head.subject.clone(),
        order_key: order_key(receiver, head).to_owned(),
        sequence: head.sequence,
        class,
        state: DeliveryState::Leased,
        step: 0,
        attempts: 0,
        probes: 0,
        next_at: head.at,
        body: None,
        last_code: None,
        last_result: None,
        last_error: None,
        last_attempt_at: None,
        last_duration_ms: None,
        delivered_at: None,
        created_at: head.at,
        updated_at: head.at,
        trigger: Trigger::Schedule,
        halts: false,
        replay: None,
    };
    let handover = Handover { receiver: receiver.no, place, class, fresh: true, probe: false };
    Handed::Fresh(handover, Box::new(delivery))
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

/// What goes without order under `subject` must not hold back what has one.
pub(crate) fn order_key<'h>(receiver: &Routing, head: &'h Head) -> &'h str {
    let bulk = receiver.ordering == Ordering::Subject && head.kind.is_bulk();
    if bulk { "" } else { &head.order_key }
}

/// Order keys, each of a receiver.
type Keys<'h> = BTreeSet<(ReceiverNo, &'h str)>;

/// The order keys of `wanted` whose next delivery has to wait: one before it is open, or stands
/// exhausted until someone acts. Redeliveries hold nothing back.
fn behind<'h>(connection: &Connection, wanted: &[(&Routing, &'h Head)]) -> Result<Keys<'h>, Error> {
    let orders = wanted.iter().filter(|(receiver, head)| keeps_order(receiver, head));
    let keys = |which: fn(&Routing) -> bool| -> Keys<'h> {
        let of = orders.clone().filter(|(receiver, _)| which(receiver));
        of.map(|(receiver, head)| (receiver.no, head.order_key.as_str())).collect()
    };
    let open = found(
        connection,
        "SELECT receiver FROM deliveries WHERE receiver = ?1 AND order_key = ?2
            AND (state = 'due' OR state = 'leased' OR state = 'waiting')
            AND class <> 'replay' LIMIT 1",
        keys(|_| true),
    )?;
    let halted = found(
        connection,
        "SELECT receiver FROM deliveries WHERE receiver = ?1 AND order_key = ?2 AND halts = 1
         LIMIT 1",
        keys(|receiver| receiver.halts),
    )?;
    Ok(open.into_iter().chain(halted).collect())
}

/// Those of the keys that the statement finds something for.
fn found<'h>(connection: &Connection, sql: &str, keys: Keys<'h>) -> Result<Keys<'h>, Error> {
    let value = |(receiver, key): &(ReceiverNo, &str)| {
        params_from_iter([Value::from(receiver.0), Value::from((*key).to_owned())])
    };
    let rows = connection.prepare_cached(sql)?.first_of_each(keys.iter().map(value), |_| Ok(()))?;
    Ok(keys.into_iter().zip(rows).filter(|(_, row)| row.is_some()).map(|(key, _)| key).collect())
}

fn keeps_order(receiver: &Routing, head: &Head) -> bool {
    !parks(receiver) && holds_back(receiver.ordering, head.kind)
}

fn parks(receiver: &Routing) -> bool {
    receiver.state == State::Paused || receiver.returns
}

/// First rule that fits (webhooks 7.1).
fn first_state<'h>((receiver, head): (&Routing, &'h Head), behind: &mut Keys<'h>) -> &'static str {
    if parks(receiver) {
        return "parked";
    }
    if keeps_order(receiver, head) && !behind.insert((receiver.no, head.order_key.as_str())) {
        return "waiting";
    }
    if receiver.is_shut { "due" } else { "leased" }
}
