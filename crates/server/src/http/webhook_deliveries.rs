//! `/v1/webhooks/deliveries` and, for paywalls, their logs (webhooks 16, paywalls 22.6).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::id::{DeliveryId, EventId, PaywallId, ReceiverId, ReplayId};
use domain::place::{Place, Placed, ReceiverNo};
use domain::role::{Entity, Needs};
use domain::time::Timestamp;
use domain::webhook::body::FIRST_ATTEMPT;
use domain::webhook::catalogue::EventType;
use domain::webhook::filter::Filter;
use domain::webhook::receiver::{Class, DeliveryState, ReceiverKind, Trigger, WaitingFor};
use engine::Error;
use engine::deliveries::Owner;
use engine::steps::deliver::Figures;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::Read;
use store::attempts::AttemptRow;
use store::deliveries::{self, Delivery, Filters, Mark};
use store::receivers::Stored;

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::route::{Access, Routes, reads, writes};
use super::spec::Doc;
use super::webhook_subscriptions::paywall;
use crate::app::App;

const TAG: &str = "Webhooks";

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::Webhook), writes(Entity::Webhook));
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    let either = Access::Either(Needs::write(Entity::Webhook));
    Routes::default()
        .add(
            (Method::GET, "/v1/webhooks/deliveries"),
            read,
            doc("listWebhookDeliveries", "Deliveries, newest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/webhooks/deliveries/{delivery_id}"),
            read,
            doc("getWebhookDelivery", "One delivery"),
            get,
        )
        .add(
            (Method::GET, "/v1/webhooks/deliveries/{delivery_id}/attempts"),
            read,
            doc("listWebhookAttempts", "Attempts of a delivery, newest first"),
            attempts,
        )
        .add(
            (Method::POST, "/v1/webhooks/deliveries/{delivery_id}/redeliver"),
            either,
            doc("redeliverWebhook", "Send an event again, at once"),
            redeliver,
        )
        .add(
            (Method::POST, "/v1/webhooks/deliveries/{delivery_id}/cancel"),
            write,
            doc("cancelWebhookDelivery", "Give a delivery up; its order key goes on"),
            cancel,
        )
        .add(
            (Method::POST, "/v1/webhooks/retry"),
            write,
            doc("retryWebhookEvents", "Send events again to every endpoint that takes them"),
            retry,
        )
        .add(
            (Method::GET, "/v1/webhooks/dashboard"),
            read,
            doc("getWebhookDashboard", "Where the pages about webhooks are"),
            async |app, _| {
                let url = format!("{}/dashboard/webhooks", app.engine.public_url);
                Ok(Answer::ok(&json!({ "url": url })))
            },
        )
        .merge(of_paywalls())
}

fn of_paywalls() -> Routes {
    let doc = |operation, summary| Doc::new("Paywall webhooks", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/webhooks/logs"),
            Access::Paywall,
            doc("listWebhookLogs", "Deliveries of the paywall, newest first"),
            logs,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/webhooks/logs"),
            reads(Entity::Paywall),
            doc("listWebhookLogs", "Deliveries of the paywall, newest first"),
            logs,
        )
        .add(
            (Method::POST, "/v1/paywalls/{id}/webhooks/deliveries/{delivery_id}/redeliver"),
            writes(Entity::Paywall),
            doc("redeliverWebhook", "Send an event again, at once"),
            redeliver,
        )
}

/// Whose deliveries the caller asks for.
fn owner(app: &App, call: &Call) -> Result<Owner, Error> {
    let of_paywall = matches!(call.caller, Caller::Paywall(..)) || call.has_path("id");
    if of_paywall { Ok(Some(paywall(app, call)?.no)) } else { Ok(None) }
}

fn id(call: &Call) -> Result<DeliveryId, Error> {
    call.path("delivery_id", "delivery")
}

/// States behind a word of the management surface.
fn states(status: &str) -> Option<Vec<&'static str>> {
    let of: Vec<_> = DeliveryState::ALL
        .iter()
        .filter(|state| state.shown() == status)
        .map(|state| state.name())
        .collect();
    (!of.is_empty()).then_some(of)
}

pub(super) fn filters(call: &Call) -> Result<Filters, Error> {
    let bad = |name: &'static str| Error::invalid(name, format!("{name} is unknown"));
    let subject = call.query_value("subject");
    let of_paywall: Option<PaywallId> = call.parsed("paywall_id")?;
    let (from, before) = call.time_range("created")?;
    let status = call.query_value("status");
    Ok(Filters {
        receiver: call.parsed::<ReceiverId>("endpoint_id")?.map(ReceiverId::no),
        place: call.parsed::<EventId>("event_id")?.map(EventId::place),
        states: status
            .map(|status| states(&status).ok_or_else(|| bad("status")))
            .transpose()?
            .unwrap_or_default(),
        kind: call.query_value("type"),
        subject: subject.or(of_paywall.map(|id| format!("paywall:{id}"))),
        subscriptions_of: None,
        created_from: from,
        created_before: before,
    })
}

/// A cursor carries the place and the filters that it was made with.
pub(super) fn encode(mark: &Mark, call: &Call) -> String {
    let (at, place) = (mark.created_at.millis(), mark.place.raw());
    let filters = call.query_without("cursor");
    URL_SAFE_NO_PAD.encode(format!("{at}.{place}.{}.{filters}", mark.receiver.0))
}

/// Where the list goes on, and the call with the filters of its first page.
pub(super) fn resumed(call: &mut Call) -> Result<Option<Mark>, Error> {
    let Some(text) = call.query_value("cursor") else { return Ok(None) };
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(4, '.');
        let mark = Mark {
            created_at: Timestamp::from_millis(parts.next()?.parse().ok()?),
            place: Place::from_raw(parts.next()?.parse().ok()?),
            receiver: ReceiverNo(parts.next()?.parse().ok()?),
        };
        Some((mark, parts.next()?.to_owned()))
    };
    let bad = || Error::invalid("cursor", "cursor is not one of this list");
    let (mark, filters) = read().ok_or_else(bad)?;
    call.take_query(filters);
    Ok(Some(mark))
}

async fn list(app: App, mut call: Call) -> Result<Answer, Error> {
    let limit = call.limit(20, 100)?;
    let below = resumed(&mut call)?;
    let filters = filters(&call)?;
    let (found, has_more) = page(&app, &call, &filters, (below, limit))?;
    let cursor = found.last().filter(|_| has_more).map(|last| encode(&Mark::of(&last.0), &call));
    let lanes = lanes(&app, &found).await;
    let data: Vec<Value> = found.iter().map(|one| view((&app, &call), one, &lanes)).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": has_more, "next_cursor": cursor })))
}

/// How this process sends to their receivers.
pub(super) type Lanes = BTreeMap<ReceiverNo, Figures>;

pub(super) async fn lanes(app: &App, found: &[Shown]) -> Lanes {
    let open = found.iter().filter(|(delivery, ..)| delivery.state.is_open());
    let receivers: BTreeSet<_> = open.map(|(delivery, ..)| delivery.receiver).collect();
    app.engine.lane_figures(receivers.into_iter().collect()).await
}

/// A delivery with what is shown beside it.
pub(super) type Shown = (Delivery, Stored, Option<Delivery>, Option<ReplayId>);

pub(super) fn page(
    app: &App,
    call: &Call,
    filters: &Filters,
    (below, limit): (Option<Mark>, usize),
) -> Result<(Vec<Shown>, bool), Error> {
    let scope = call.scope;
    app.engine.read_now(|read| {
        let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
        let mut found = deliveries::page(read, &scope, filters, (below, asked))?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let shown = found.into_iter().map(|delivery| shown(read, call, delivery));
        Ok((shown.collect::<Result<Vec<_>, Error>>()?, has_more))
    })
}

/// With its receiver, the delivery that it waits for, and the replay that opened it.
pub(super) fn shown(read: Read<'_>, call: &Call, delivery: Delivery) -> Result<Shown, Error> {
    let receiver = store::receivers::find(read, &call.scope, delivery.receiver)?;
    let receiver = receiver.ok_or_else(|| Error::not_found("webhook endpoint"))?;
    let key = (delivery.receiver, delivery.order_key.as_str());
    let blocking = match delivery.state {
        DeliveryState::Waiting => match delivery.replay.filter(|_| delivery.class == Class::Replay)
        {
            Some(no) => store::replays::first_open(read, &call.scope, key, no)?,
            None => deliveries::first_open(read, &call.scope, key)?,
        },
        _ => None,
    };
    let replay = match delivery.replay {
        Some(no) => store::replays::find(read, &call.scope, no)?.map(|replay| replay.id),
        None => None,
    };
    Ok((delivery, receiver, blocking, replay))
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let id = id(&call)?;
    let expand = call.query_value("expand").unwrap_or_default();
    let (one, attempts, event) = app.engine.read_now(|read| {
        let (delivery, _) = engine::deliveries::find(read, &call.scope, None, id)?;
        let key = (delivery.receiver, delivery.place);
        let attempts = store::attempts::of_delivery(read, &call.scope, key)?;
        let event = body(read, &call, &delivery)?;
        Ok((shown(read, &call, delivery)?, attempts, event))
    })?;
    let lanes = lanes(&app, std::slice::from_ref(&one)).await;
    let expanded = Expanded {
        delivery: view((&app, &call), &one, &lanes),
        event: expand.split(',').any(|name| name == "event").then_some(event).flatten(),
        attempt_log: expand
            .split(',')
            .any(|name| name == "attempts")
            .then(|| attempts.iter().map(attempt_view).collect()),
    };
    Ok(Answer::ok(&expanded))
}

#[derive(Serialize)]
struct Expanded {
    #[serde(flatten)]
    delivery: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Value>,
    /// Beside `attempts`, which counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_log: Option<Vec<Value>>,
}

/// The stored body, of a test its own.
fn body(read: Read<'_>, call: &Call, delivery: &Delivery) -> Result<Option<Value>, Error> {
    let bytes = match &delivery.body {
        Some(body) => Some(body.clone()),
        None => store::events::find(read, &call.scope, delivery.place)?
            .map(|recorded| recorded.event.body),
    };
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

async fn attempts(app: App, call: Call) -> Result<Answer, Error> {
    let id = id(&call)?;
    let found = app.engine.read_now(|read| {
        let (delivery, _) = engine::deliveries::find(read, &call.scope, None, id)?;
        let key = (delivery.receiver, delivery.place);
        Ok(store::attempts::of_delivery(read, &call.scope, key)?)
    })?;
    let data: Vec<Value> = found.iter().map(attempt_view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": false, "next_cursor": null })))
}

async fn redeliver(app: App, call: Call) -> Result<Answer, Error> {
    let (owner, id) = (owner(&app, &call)?, id(&call)?);
    let once = call.key_use(None)?;
    let name = if owner.is_some() { "deliveryId" } else { "delivery_id" };
    let cause = call.cause();
    let work = move |tx: &mut store::Tx<'_>| engine::deliveries::redeliver(tx, &cause, owner, id);
    let render = move |sent: &Delivery| reply(202, &json!({ name: sent.id() }));
    Ok(Answer::of(app.engine.once(call.scope, once, work, render).await?))
}

async fn cancel(app: App, call: Call) -> Result<Answer, Error> {
    let id = id(&call)?;
    let cause = call.cause();
    let work = move |tx: &mut store::Tx<'_>| engine::deliveries::cancel(tx, &cause, None, id);
    let delivery = app.engine.change(call.scope, work).await?;
    let one = app.engine.read_now(|read| shown(read, &call, delivery))?;
    Ok(Answer::ok(&view((&app, &call), &one, &Lanes::new())))
}

async fn retry(app: App, call: Call) -> Result<Answer, Error> {
    #[derive(serde::Deserialize)]
    struct Body {
        ids: Vec<EventId>,
    }
    let (body, key): (Body, _) = (call.body()?, call.key_use(None)?);
    if body.ids.is_empty() || body.ids.len() > engine::deliveries::RETRIED_MAX {
        return Err(Error::invalid("ids", "ids must name 1 to 1,000 events"));
    }
    let cause = call.cause();
    let work = move |tx: &mut store::Tx<'_>| engine::deliveries::retry(tx, &cause, &body.ids);
    let render = |(queued, skipped): &(usize, usize)| {
        reply(200, &json!({ "queued": queued, "skipped": skipped }))
    };
    Ok(Answer::of(app.engine.once(call.scope, key, work, render).await?))
}

/// A delivery as the management surface shows it.
pub(super) fn view((app, call): (&App, &Call), one: &Shown, lanes: &Lanes) -> Value {
    let now = app.engine.now(&call.scope);
    let waiting_for = waiting_for(one, now, lanes);
    let (delivery, receiver, blocking, replay) = one;
    let next_at = match delivery.state {
        _ if waiting_for == Some(WaitingFor::Circuit) => receiver.health.circuit.until(),
        DeliveryState::Due | DeliveryState::Leased => Some(delivery.next_at),
        _ => None,
    };
    let (kind, id) = delivery.subject.split_once(':').unwrap_or_default();
    json!({
        "id": delivery.id(),
        "event_id": delivery.event_id(),
        "event_type": delivery.kind.name(),
        "endpoint_id": receiver.id,
        "receiver": receiver.kind,
        "paywall_id": (kind == "paywall").then_some(id),
        "subject": { "type": kind, "id": id },
        "sequence": delivery.sequence,
        "status": delivery.state.shown(),
        "attempts": delivery.attempts,
        "last_attempt_at": delivery.last_attempt_at,
        "last_status_code": delivery.last_code,
        "last_result": delivery.last_result.map(domain::webhook::schedule::Outcome::name),
        "next_attempt_at": next_at,
        "waiting_for": waiting_for,
        "blocked_by": blocking.as_ref().map(Delivery::id),
        "replay_id": replay,
        "delivered_at": delivery.delivered_at,
        "created_at": delivery.created_at,
    })
}

fn waiting_for(
    (delivery, receiver, blocking, _): &Shown,
    now: Timestamp,
    lanes: &Lanes,
) -> Option<WaitingFor> {
    let is_shut = receiver.health.circuit.is_open()
        && !matches!(delivery.trigger, Trigger::Manual | Trigger::Test);
    let rate = || lanes.get(&delivery.receiver).is_some_and(|lane| lane.waits_for_rate);
    let is_halting = blocking.as_ref().is_some_and(|one| one.halts);
    match delivery.state {
        DeliveryState::Due | DeliveryState::Leased if is_shut => Some(WaitingFor::Circuit),
        DeliveryState::Due if delivery.next_at > now => Some(WaitingFor::Schedule),
        DeliveryState::Due | DeliveryState::Leased if rate() => Some(WaitingFor::Rate),
        DeliveryState::Due | DeliveryState::Leased => Some(WaitingFor::Slot),
        DeliveryState::Waiting if is_halting => Some(WaitingFor::Halted),
        DeliveryState::Waiting => Some(WaitingFor::Order),
        DeliveryState::Parked => Some(WaitingFor::Receiver),
        DeliveryState::Exhausted if delivery.halts => Some(WaitingFor::Halted),
        _ => None,
    }
}

pub(super) fn attempt_view(row: &AttemptRow) -> Value {
    let text = String::from_utf8(row.snippet.clone());
    let (body, encoding) = match text {
        Ok(text) => (text, "utf8"),
        Err(error) => (STANDARD.encode(error.into_bytes()), "base64"),
    };
    json!({
        "number": row.number,
        "trigger": row.trigger,
        "started_at": row.started_at,
        "sent_at": row.sent_at,
        "duration_ms": row.duration_ms,
        "status_code": row.code,
        "result": row.result,
        "error": row.error,
        "retry_after_seconds": row.retry_after_s,
        "address": row.address,
        "reconnected": row.reconnected,
        "timing": row.timing,
        "response_body": body,
        "response_body_encoding": encoding,
    })
}

/// A delivery in a paywall's logs, with the whole event as it is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    id: DeliveryId,
    subscription_id: ReceiverId,
    status: &'static str,
    attempts: u32,
    created_at: Timestamp,
    updated_at: Timestamp,
    last_attempt_at: Option<Timestamp>,
    next_retry_at: Option<Timestamp>,
    response_code: Option<u16>,
    response_latency_ms: Option<i64>,
    error: Option<String>,
    event: Option<Box<RawValue>>,
}

async fn logs(app: App, mut call: Call) -> Result<Answer, Error> {
    let paywall = paywall(&app, &call)?;
    let limit = call.limit(20, 100)?;
    let below = resumed(&mut call)?;
    let filters = Filters { subscriptions_of: Some(paywall.no), ..log_filters(&call)? };
    let (found, has_more) = page(&app, &call, &filters, (below, limit))?;
    let cursor = found.last().filter(|_| has_more).map(|last| encode(&Mark::of(&last.0), &call));
    let logs = app.engine.read_now(|read| {
        found.iter().map(|one| log(read, &call, one)).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Answer::ok(&LogPage { logs, next_cursor: cursor }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogPage {
    logs: Vec<Log>,
    next_cursor: Option<String>,
}

fn log_filters(call: &Call) -> Result<Filters, Error> {
    let states = match call.query_value("status") {
        None => Vec::new(),
        Some(status) => {
            let all = DeliveryState::ALL.iter();
            all.filter(|state| state.shown_in_logs() == status).map(|state| state.name()).collect()
        }
    };
    if states.is_empty() && call.query_value("status").is_some() {
        return Err(Error::invalid("status", "status must be pending, success or error"));
    }
    let kind = call.query_value("eventType").map(|name| event_type(&name)).transpose()?;
    let receiver: Option<ReceiverId> = call.parsed("subscriptionId")?;
    let kind = kind.map(|kind| kind.name().to_owned());
    Ok(Filters { receiver: receiver.map(ReceiverId::no), states, kind, ..Filters::default() })
}

/// A type by its name, in full or without the family's word.
fn event_type(name: &str) -> Result<EventType, Error> {
    let of = Filter::subscription(&[name.to_owned()], true).ok();
    let mut kinds = of.iter().flat_map(|(filter, _)| filter.types());
    match (kinds.next(), kinds.next()) {
        (Some(kind), None) => Ok(kind),
        _ => Err(Error::invalid("eventType", "eventType is unknown")),
    }
}

fn log(read: Read<'_>, call: &Call, (delivery, receiver, ..): &Shown) -> Result<Log, Error> {
    debug_assert_eq!(receiver.kind, ReceiverKind::Subscription);
    let status = delivery.state.shown_in_logs();
    let stored = match &delivery.body {
        Some(body) => Some(body.clone()),
        None => store::events::find(read, &call.scope, delivery.place)?
            .map(|recorded| recorded.event.body),
    };
    let event = stored.and_then(|body| String::from_utf8(body).ok()).map(|text| {
        let mut now = String::new();
        // Writing to a text cannot fail.
        let _ = write!(now, r#""status":"{status}","attempts":{}"#, delivery.attempts.max(1));
        text.replacen(FIRST_ATTEMPT, &now, 1)
    });
    let next = delivery.state == DeliveryState::Due;
    let inactive = delivery.state == DeliveryState::Parked;
    Ok(Log {
        id: delivery.id(),
        subscription_id: receiver.id,
        status,
        attempts: delivery.attempts,
        created_at: delivery.created_at,
        updated_at: delivery.updated_at,
        last_attempt_at: delivery.last_attempt_at,
        next_retry_at: next.then_some(delivery.next_at),
        response_code: delivery.last_code,
        response_latency_ms: delivery.last_duration_ms,
        error: match delivery.last_result {
            _ if inactive => Some("subscription_inactive".to_owned()),
            Some(domain::webhook::schedule::Outcome::Delivered) | None => None,
            Some(result) => Some(delivery.last_error.clone().unwrap_or_else(|| result.to_string())),
        },
        event: event.and_then(|text| RawValue::from_string(text).ok()),
    })
}
