//! Figures of webhooks: of one endpoint and of all together (webhooks 24). It adds and renders;
//! counting is done where attempts are recorded.

use std::collections::BTreeMap;

use axum::http::Method;
use domain::place::ReceiverNo;
use domain::role::Entity;
use domain::webhook::schedule::Outcome;
use domain::webhook::stats::{Buckets, percentile_ms};
use engine::Error;
use engine::steps::deliver::Figures;
use engine::webhook_stats::{Blocked, Counted, Standing, Stats, WINDOWS, Window};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::route::{Routes, reads};
use super::spec::Doc;
use crate::app::App;

const WORST_MAX: usize = 5;
const BLOCKED_MAX: usize = 20;
/// A share is shown with four places.
const WHOLE: u64 = 10_000;

type Lanes = BTreeMap<ReceiverNo, Figures>;

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Webhooks", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/webhooks/endpoints/{id}/stats"),
            reads(Entity::Webhook),
            doc("getWebhookEndpointStats", "Figures of an endpoint over `window`: 1h, 24h or 7d"),
            one,
        )
        .add(
            (Method::GET, "/v1/webhooks/stats"),
            reads(Entity::Webhook),
            doc("getWebhookStats", "Figures of all endpoints together, and the five worst"),
            all,
        )
}

fn window(call: &Call) -> Result<Window, Error> {
    let asked = call.query_value("window").unwrap_or_else(|| "24h".to_owned());
    let found = WINDOWS.into_iter().find(|window| window.name == asked);
    found.ok_or_else(|| Error::invalid("window", "window must be 1h, 24h or 7d"))
}

async fn one(app: App, call: Call) -> Result<Answer, Error> {
    let (window, id) = (window(&call)?, super::webhook_endpoints::id(&call)?);
    let stats = app.engine.endpoint_stats(&call.scope, id, window)?;
    let lanes = app.engine.lane_figures(vec![stats.receiver.no]).await;
    let lane = lanes.get(&stats.receiver.no);
    let mut view = figures(window, &stats.counted, &stats.standing);
    view["endpoint_id"] = json!(id);
    view["in_flight"] = json!(lane.map_or(0, |lane| lane.in_flight));
    let most = stats.receiver.config.max_in_flight;
    view["in_flight_limit"] = json!(lane.map_or(most, |lane| lane.limit));
    view["in_flight_limit_reason"] = json!(lane.map_or("max_in_flight", |lane| lane.reason));
    view["circuit"] = json!(circuit(&stats));
    view["next_probe_at"] = json!(stats.receiver.health.circuit.until());
    Ok(Answer::ok(&view))
}

async fn all(app: App, call: Call) -> Result<Answer, Error> {
    let window = window(&call)?;
    let all = app.engine.all_endpoint_stats(&call.scope, window)?;
    let lanes = app.engine.lane_figures(all.iter().map(|one| one.receiver.no).collect()).await;
    let (mut counted, mut standing) = (Counted::default(), Standing::default());
    for one in &all {
        counted.add(&one.counted);
        join(&mut standing, &one.standing);
    }
    standing.blocked.sort_by_key(|one| std::cmp::Reverse(one.waiting));
    standing.blocked.truncate(BLOCKED_MAX);
    let mut view = figures(window, &counted, &standing);
    let limit = |one: &Stats| {
        let most = one.receiver.config.max_in_flight;
        lanes.get(&one.receiver.no).map_or(most, |lane| lane.limit)
    };
    view["endpoints"] = json!(all.len());
    view["in_flight"] = json!(lanes.values().map(|lane| lane.in_flight).sum::<u32>());
    view["in_flight_limit"] = json!(all.iter().map(limit).sum::<u32>());
    let open = all.iter().filter(|one| one.receiver.health.circuit.is_open()).count();
    view["circuit"] = json!({ "closed": all.len() - open, "open": open });
    let probes = all.iter().filter_map(|one| one.receiver.health.circuit.until());
    view["next_probe_at"] = json!(probes.min());
    view["worst"] = worst(&all, &lanes);
    Ok(Answer::ok(&view))
}

fn join(sum: &mut Standing, one: &Standing) {
    sum.pending += one.pending;
    sum.parked += one.parked;
    let oldest = [sum.oldest_pending_at, one.oldest_pending_at];
    sum.oldest_pending_at = oldest.into_iter().flatten().min();
    sum.blocked.extend(one.blocked.iter().cloned());
}

/// Those with most failures, then most that waits.
fn worst(all: &[Stats], lanes: &Lanes) -> Value {
    let mut bad: Vec<&Stats> = all
        .iter()
        .filter(|one| one.counted.failed() > 0 || one.standing.pending + one.standing.parked > 0)
        .collect();
    bad.sort_by_key(|one| std::cmp::Reverse((one.counted.failed(), one.standing.pending)));
    let view = |one: &Stats| {
        json!({
            "endpoint_id": one.receiver.id,
            "description": one.receiver.config.description,
            "state": one.receiver.state,
            "attempts": one.counted.attempts(),
            "failed": one.counted.failed(),
            "success_rate": success_rate(&one.counted),
            "pending": one.standing.pending,
            "parked": one.standing.parked,
            "circuit": circuit(one),
            "in_flight": lanes.get(&one.receiver.no).map_or(0, |lane| lane.in_flight),
        })
    };
    bad.into_iter().take(WORST_MAX).map(view).collect()
}

fn circuit(stats: &Stats) -> &'static str {
    if stats.receiver.health.circuit.is_open() { "open" } else { "closed" }
}

fn figures(window: Window, counted: &Counted, standing: &Standing) -> Value {
    let delivered = Outcome::Delivered.name();
    let failed: BTreeMap<_, _> =
        counted.results.iter().filter(|(name, _)| **name != delivered).collect();
    json!({
        "window": window.name,
        "attempts": counted.attempts(),
        "delivered": counted.delivered(),
        "failed": failed,
        "exhausted": counted.exhausted,
        "success_rate": success_rate(counted),
        "duration_ms": percentiles(&counted.took_ms),
        "commit_to_delivered_ms": percentiles(&counted.told_ms),
        "pending": standing.pending,
        "oldest_pending_at": standing.oldest_pending_at,
        "parked": standing.parked,
        "blocked_order_keys": standing.blocked.iter().map(blocked).collect::<Vec<_>>(),
    })
}

fn blocked(one: &Blocked) -> Value {
    json!({
        "order_key": one.order_key,
        "waiting": one.waiting,
        "blocked_by": one.blocked_by,
        "waiting_for": if one.is_halted { "halted" } else { "order" },
    })
}

fn percentiles(buckets: &Buckets) -> Value {
    let at = |percent| percentile_ms(buckets, percent);
    json!({ "p50": at(50), "p95": at(95), "p99": at(99) })
}

/// Of all attempts, as a number from 0 to 1; none where there were none.
fn success_rate(counted: &Counted) -> Option<f64> {
    let share = (counted.delivered() * WHOLE).checked_div(counted.attempts())?;
    format!("{}.{:04}", share / WHOLE, share % WHOLE).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_with_four_places() {
        let table = [(0, 0, None), (1, 0, Some(0.0)), (3, 1, Some(0.3333)), (7, 7, Some(1.0))];
        for (attempts, delivered, expected) in table {
            let results = [("delivered", delivered), ("timeout", attempts - delivered)];
            let counted = Counted { results: results.into(), ..Counted::default() };
            assert_eq!(success_rate(&counted), expected);
        }
    }
}
