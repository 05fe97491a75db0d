//! The server itself: version, database, queues, and the proof of the books.

use domain::role::{Entity, Needs};
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::{door, mishap, parts};
use crate::http::route::Routes;

const SECTION: &str = "System";

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Ledger));
    Pages::default().get("/system", reads, show).post("/system/verify", reads, verify).into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    Ok(Shown::Page(page(&visit, &html! {}).await?))
}

async fn page(visit: &Visit, proof: &Markup) -> Result<Page, Error> {
    let body = html! {
        (proof)
        div.grid {
            (database(visit).await?)
            (queues(visit))
            (version(visit))
            (books(visit))
            (backup())
        }
    };
    Ok(Page::new("System", body).of(SECTION).live())
}

/// A number of things in memory.
fn many(count: usize) -> Markup {
    parts::count(i128::try_from(count).unwrap_or(0))
}

async fn database(visit: &Visit) -> Result<Markup, Error> {
    let scope = visit.scope();
    let engine = &visit.app.engine;
    let (head, stopped) = engine
        .read(move |read| {
            let stopped = store::attention::stopped_wallets(read, &scope, 20)?;
            Ok((store::events::head(read, &scope)?, stopped.len()))
        })
        .await?;
    let file = engine.database().path().and_then(|path| std::fs::metadata(path).ok());
    let size = file.map_or(0, |file| file.len());
    let ready = match engine.check_writable().await {
        Ok(()) => parts::badge("ok"),
        Err(error) => html! { (parts::badge("error")) " " (mishap::words(&error)) },
    };
    Ok(html! {
        section.panel #database data-live {
            header { h2 { "Database" } }
            div.in {
                (parts::facts(&[
                    ("Takes writes", ready),
                    ("Size", html! { (parts::count(size / 1_024)) " KiB" }),
                    ("This environment's log", html! { "position " (parts::count(head)) }),
                    ("Wallets that are stopped", many(stopped)),
                ]))
            }
        }
    })
}

fn queues(visit: &Visit) -> Markup {
    let engine = &visit.app.engine;
    html! {
        section.panel #queues data-live {
            header { h2 { "Queues" } }
            div.in {
                (parts::facts(&[
                    ("Jobs that wait for the writer", many(engine.writer_waiting())),
                    ("Open provider streams", many(visit.app.under_way.delivered().len())),
                ]))
                p {
                    a href="/metrics" { "Metrics" } " · " a href="/readyz" { "Readiness" } " · "
                    a href="/health" { "Health" }
                }
            }
        }
    }
}

fn version(visit: &Visit) -> Markup {
    html! {
        section.panel {
            header { h2 { "Version" } }
            div.in {
                (parts::facts(&[
                    ("Farebox", html! { (env!("CARGO_PKG_VERSION")) }),
                    ("Commit", html! { code { (crate::COMMIT) } }),
                    ("Address", html! { (visit.app.engine.public_url) }),
                ]))
            }
        }
    }
}

fn books(visit: &Visit) -> Markup {
    html! {
        section.panel {
            header { h2 { "The books" } }
            div.in {
                p {
                    "The proof replays every wallet of this environment: balances, journals, and "
                    "the chain of hashes. Large books take a while."
                }
                (parts::button(visit, "/system/verify", "Prove the books now", "main"))
                (parts::as_curl(visit, "GET", "/v1/verify", None))
            }
        }
    }
}

fn backup() -> Markup {
    html! {
        section.panel {
            header { h2 { "Backup" } }
            div.in {
                p { "On the server, while it runs:" }
                (parts::snippet("A whole copy", "farebox backup farebox-backup.db"))
                p.help {
                    "Restore with " code { "farebox restore" } " while the server is stopped."
                }
            }
        }
    }
}

async fn verify(visit: Visit) -> Result<Shown, Error> {
    let proof = match door::ask(&visit, "GET /v1/verify").json().await {
        Ok(proof) => proof_panel(&proof),
        Err(error) => html! { p.note.bad { (mishap::words(&error)) } },
    };
    Ok(Shown::Page(page(&visit, &proof).await?))
}

fn proof_panel(proof: &Value) -> Markup {
    let balanced = proof.to_string().contains("\"balanced\":true");
    html! {
        section.panel {
            header { h2 { "The proof" } @if balanced { (parts::badge("ok")) } }
            div.in { (parts::json("What was found", proof)) }
        }
    }
}
