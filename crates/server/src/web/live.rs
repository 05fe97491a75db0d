//! What pages ask for while they are open: word of each commit that changed something of the
//! environment, and customers by what a person types.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use domain::role::{Entity, Needs};
use engine::Error;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_stream::wrappers::ReceiverStream;

use super::visit::{Pages, Shown, Visit};
use crate::http::answer::Answer;
use crate::http::route::Routes;

/// Between two words at least, so that a busy server is not asked for pages all the time.
const APART: Duration = Duration::from_millis(700);
const PING: Duration = Duration::from_secs(15);
/// Browsers come again by themselves.
const OPEN_MAX: Duration = Duration::from_mins(10);
const FOUND_MAX: usize = 8;

pub fn routes() -> Routes {
    let customers = Some(Needs::read(Entity::Customer));
    Pages::default().get("/live", None, live).get("/find", customers, find).into_routes()
}

async fn live(visit: Visit) -> Result<Shown, Error> {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(2);
    tokio::spawn(async move { drop(tell(visit, sender).await) });
    let mut response = Response::new(Body::from_stream(ReceiverStream::new(receiver)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Shown::Raw(Answer::Raw(Box::new(response))))
}

/// The page was closed.
struct Gone;

async fn tell(visit: Visit, sender: mpsc::Sender<Result<Bytes, Infallible>>) -> Result<(), Gone> {
    let send = async |text: String| sender.send(Ok(Bytes::from(text))).await.map_err(|_| Gone);
    let engine = visit.app.engine.clone();
    let scope = visit.scope();
    let head = || engine.read_now(|read| Ok(store::events::head(read, &scope)?)).unwrap_or(0);
    let mut commits = engine.commits();
    let mut stopping = visit.app.stopping();
    let mut seen = head();
    send("retry: 2000\n\n".to_owned()).await?;
    let end = Instant::now() + OPEN_MAX;
    while Instant::now() < end {
        let ping_at = Instant::now() + PING;
        tokio::select! {
            waited = timeout_at(ping_at, commits.changed()) => if waited.is_err() {
                // Whoever was signed out meanwhile hears nothing more.
                if !matches!(engine.person(&visit.token).await, Ok(Some(_))) {
                    return Ok(());
                }
                send(": ping\n\n".to_owned()).await?;
                continue;
            },
            () = async { drop(stopping.wait_for(|stopping| *stopping).await) } => return Ok(()),
        }
        commits.mark_unchanged();
        let now = head();
        if now != seen {
            seen = now;
            send(format!("event: commit\ndata: {now}\n\n")).await?;
            sleep(APART).await;
        }
    }
    Ok(())
}

/// Customers for the palette, and what an id names.
async fn find(visit: Visit) -> Result<Shown, Error> {
    let text = visit.query("q").unwrap_or_default();
    let scope = visit.scope();
    let asked = text.clone();
    let found = visit
        .app
        .engine
        .read_aside(move |read| Ok(store::customer_words::search(read, &scope, &asked, FOUND_MAX)?))
        .await?;
    let mut rows: Vec<Value> = found
        .iter()
        .map(|stored| {
            let customer = &stored.customer;
            let name =
                if customer.name.is_empty() { &customer.external_id } else { &customer.name };
            json!({ "name": name, "hint": "customer", "to": format!("/customers/{}", customer.id) })
        })
        .collect();
    if let Some(to) = place_of(&text) {
        rows.insert(0, json!({ "name": text, "hint": "open", "to": to }));
    }
    Ok(Shown::Raw(Answer::ok(&json!({ "found": rows })).with("cache-control", "no-store")))
}

/// The page of a thing by its id.
pub fn place_of(id: &str) -> Option<String> {
    let (prefix, rest) = id.split_once('_')?;
    let plain = rest.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    let folder = match prefix {
        "cust" => "customers",
        "wallet" => "wallets",
        "pw" => "paywalls",
        "we" => "webhooks",
        "dlv" => "webhooks/deliveries",
        "evt" => "events",
        "req" => "developers/requests",
        _ => return None,
    };
    (plain && rest.len() > 20).then(|| format!("/{folder}/{id}"))
}
