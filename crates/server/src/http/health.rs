//! `/livez`, `/readyz`, `/health`, `/metrics`: no key, and no tenant's data.

use std::path::Path;

use axum::http::{Method, StatusCode};
use engine::Error;
use engine::steps::deliver::Deliverer;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Routes};
use super::spec::Doc;
use crate::app::App;
use crate::metrics::Sample;

const TAG: &str = "Health";

pub fn routes() -> Routes {
    let public = Access::Public;
    Routes::default()
        .add(
            (Method::GET, "/livez"),
            public,
            Doc::new(TAG, "livez", "Whether the process answers"),
            async |_, _| Ok(Answer::ok(&json!({ "status": "ok" }))),
        )
        .add(
            (Method::GET, "/readyz"),
            public,
            Doc::new(TAG, "readyz", "Whether the process can take work"),
            readyz,
        )
        .add(
            (Method::GET, "/health"),
            public,
            Doc::new(TAG, "health", "Whether every invariant holds"),
            health,
        )
        .add(
            (Method::POST, "/health"),
            public,
            Doc::new(TAG, "healthPost", "Whether every invariant holds"),
            health,
        )
        .add(
            (Method::GET, "/metrics"),
            public,
            Doc::new(TAG, "metrics", "What the process counts, as Prometheus text"),
            metrics,
        )
}

/// A migration cannot be pending here: `unready` answers for as long as one is.
async fn readyz(app: App, _: Call) -> Result<Answer, Error> {
    let mut failed = Vec::new();
    if app.is_leaving() {
        failed.push("stopping");
    } else if let Err(error) = app.engine.check_writable().await {
        // A disk without room shows as either, depending on which file had to grow.
        let text = error.to_string();
        let disk = ["disk is full", "disk I/O error"].iter().any(|words| text.contains(words));
        failed.push(if disk { "disk" } else { "database" });
    }
    if failed.is_empty() {
        return Ok(Answer::ok(&json!({ "status": "ok" })));
    }
    let body = json!({ "status": "unavailable", "failed": failed });
    Ok(Answer::json(StatusCode::SERVICE_UNAVAILABLE, &body))
}

async fn health(app: App, _: Call) -> Result<Answer, Error> {
    let rules = app.engine.broken_rules().await?;
    Ok(Answer::ok(&if rules.is_empty() {
        json!({ "status": "ok" })
    } else {
        json!({ "status": "degraded", "rules": rules })
    }))
}

fn size_of(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

async fn metrics(app: App, _: Call) -> Result<Answer, Error> {
    let load =
        |read: store::Read<'_>| Ok((store::gauges::load(read)?, store::gauges::webhooks(read)?));
    let (found, webhooks) = app.engine.read(load).await?;
    let now = app.engine.real_now();
    let pending = found.oldest_pending.map_or(0, |at| (now.millis() - at.millis()).max(0) / 1_000);
    let size = app.engine.database().path().map_or(0, size_of);
    let mut counted: Vec<Sample> = Vec::new();
    let violations = "farebox_invariant_violations_total";
    let broken = app.engine.broken_counts().into_iter();
    counted.extend(broken.map(|(rule, count)| (violations, "rule", rule, count)));
    app.count_ledger().await?;
    let mut text = app.metrics.render(
        &counted,
        &[
            ("farebox_holds_open", found.holds_open.to_string()),
            ("farebox_webhook_oldest_pending_seconds", pending.to_string()),
            ("farebox_wallets_stopped", found.wallets_stopped.to_string()),
            ("farebox_writer_waiting", app.engine.writer_waiting().to_string()),
            ("farebox_db_size_bytes", size.to_string()),
        ],
    );
    let deliverer = app.deliverer();
    let counts = deliverer.as_ref().map(Deliverer::counts);
    let apart = (app.streams.open(), app.engine.leases_expired());
    text.push_str(&crate::webhook_metrics::render(counts, &webhooks, apart));
    Ok(Answer::text("text/plain; version=0.0.4", text))
}
