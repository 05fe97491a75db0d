//! One entry of the ledger: what it moved, which lots paid or what its lot paid for, and which
//! events tell of it.

use domain::amount::Amount;
use domain::id::{TransactionId, WalletId};
use domain::ledger::Entry;
use domain::ledger::entry::Kind;
use domain::place::Placed as _;
use domain::role::{Entity, Needs};
use domain::scope::Scope;
use engine::Error;
use maud::{Markup, html};
use serde_json::json;
use store::Read;
use store::holders::{self, Holder};

use super::layout::Page;
use super::visit::{Pages, Shown, Visit};
use super::wallet::number;
use super::{ledger, parts};
use crate::http::route::Routes;

const SECTION: &str = "Customers";
/// Entries that are looked at to find what a lot paid for.
const LOOKED_AT_MAX: usize = 2_000;

pub fn routes() -> Routes {
    let reads = Some(Needs::read(Entity::Wallet));
    Pages::default().get("/wallets/{id}/entries/{entry}", reads, entry).into_routes()
}

/// An entry, the wallet's holder, and who used the lot that it made: or which lots it used.
struct Explained {
    entry: Entry,
    holder: Holder,
    used_by: Vec<(Entry, Amount)>,
    whole: bool,
}

fn explain(
    read: Read<'_>,
    scope: &Scope,
    (wallet, id): (WalletId, TransactionId),
) -> Result<Explained, Error> {
    let missing = || Error::not_found("transaction");
    let no = number(read, scope, wallet)?;
    let entry = store::entries::find(read, scope, id.place())?;
    let entry = entry.filter(|entry| entry.wallet_no == no && entry.id() == id);
    let entry = entry.ok_or_else(missing)?;
    let holder = holders::of_wallet(read, scope, no)?.ok_or_else(missing)?;
    let (mut used_by, mut looked_at, mut whole) = (Vec::new(), 0, true);
    if entry.kind == Kind::Credit {
        let head = store::accounts::head(read, no)?;
        store::entries::walk(read, head, |later| {
            looked_at += 1;
            whole = looked_at < LOOKED_AT_MAX;
            if later.place <= entry.place {
                return None;
            }
            let taken = later.taken.iter().filter(|taken| taken.lot == entry.place);
            let taken: Amount = taken.map(|taken| taken.credits).sum();
            if !taken.is_zero() && later.kind == Kind::Debit {
                used_by.push((later, taken));
            }
            whole.then_some(())
        })?;
    }
    Ok(Explained { entry, holder, used_by, whole })
}

async fn entry(visit: Visit) -> Result<Shown, Error> {
    let wallet: WalletId = visit.path("id", "wallet")?;
    let id: TransactionId = visit.path("entry", "transaction")?;
    let scope = visit.scope();
    let found =
        visit.app.engine.read_aside(move |read| explain(read, &scope, (wallet, id))).await?;
    let entry = &found.entry;
    let body = html! {
        div.grid {
            section.panel {
                header {
                    h2 { "What happened" }
                }
                div.in { (entry_facts(entry)) }
            }
            div { (taken(wallet, entry)) (used_by(wallet, &found)) (told(entry)) }
        }
        section.panel {
            div.in { (parts::json("Details as they are stored", &json!(entry.details))) }
        }
    };
    let page = Page::new(
        format!("{} of {}", ledger::name(entry), parts::grouped(&entry.credits.to_string())),
        body,
    );
    let page = page.of(SECTION).under("Customers", "/customers");
    let page =
        page.under(found.holder.name.clone(), format!("/customers/{}", found.holder.customer));
    Ok(Shown::Page(page.under("Wallet", format!("/wallets/{wallet}"))))
}

fn entry_facts(entry: &Entry) -> Markup {
    let hash = parts::hex(&entry.hash[..8]);
    let request = entry.request.map(|id| parts::id(&id.to_string()));
    let none = html! { span.faint { "–" } };
    parts::facts(&[
        ("Id", parts::id(&entry.id().to_string())),
        ("Time", html! { (parts::time(entry.at)) " UTC" }),
        ("Status", parts::badge(entry.status.name())),
        ("From", html! { (entry.from.name()) }),
        ("To", html! { (entry.to.name()) }),
        ("Credits", parts::number(entry.credits)),
        ("Worth or price", parts::number(entry.amount)),
        ("Fee in it", parts::number(entry.fee)),
        ("Balance before", parts::number(entry.before)),
        ("Balance after", parts::number(entry.after)),
        ("About", ledger::about(entry)),
        ("Caused by", html! { (entry.actor.id) }),
        ("Request", request.unwrap_or_else(|| none.clone())),
        ("Idempotency key", entry.key.as_ref().map_or(none, |key| html! { code { (key.key) } })),
        ("Hash", html! { code { (hash) "…" } }),
    ])
}

fn taken(wallet: WalletId, entry: &Entry) -> Markup {
    html! {
        @if !entry.taken.is_empty() {
            section.panel {
                header {
                    h2 { "Lots that paid" }
                }
                div.scroll {
                    table {
                        thead {
                            tr {
                                th { "Lot" }
                                th.r { "Credits" }
                            }
                        }
                        tbody {
                            @for one in &entry.taken {
                                tr {
                                    td {
                                        a   href={
                                                "/wallets/"
                                                (wallet)
                                                "/entries/"
                                                (one.lot.transaction_id(one.lot_at))
                                            }
                                        { "Lot of " (parts::time(one.lot_at)) }
                                    }
                                    td.r { (parts::number(one.credits)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn used_by(wallet: WalletId, found: &Explained) -> Markup {
    html! {
        @if found.entry.kind == Kind::Credit {
            section.panel {
                header {
                    h2 { "What this credit paid for" }
                }
                @if found.used_by.is_empty() {
                    ({
                        parts::blank(
                            "Nothing yet",
                            &html! {
                                p { "It is spent in the order of the lots." }
                            },
                        )
                    })
                } @else {
                    div.scroll {
                        table {
                            thead {
                                tr {
                                    th.tight { "Time (UTC)" }
                                    th { "What" }
                                    th { "About" }
                                    th.r { "Credits" }
                                }
                            }
                            tbody {
                                @for (entry, credits) in found.used_by.iter().take(100) {
                                    tr {
                                        td { (parts::time(entry.at)) }
                                        td {
                                            a href=(path(wallet, entry)) {
                                                (ledger::name(entry))
                                            }
                                        }
                                        td { (ledger::about(entry)) }
                                        td.r { (parts::number(*credits)) }
                                    }
                                }
                            }
                        }
                    }
                }
                @if !found.whole {
                    p.help { "Only the newest " (LOOKED_AT_MAX) " entries were looked at." }
                }
            }
        }
    }
}

fn path(wallet: WalletId, entry: &Entry) -> String {
    format!("/wallets/{wallet}/entries/{}", entry.id())
}

/// The events that the entry is the record of.
fn told(entry: &Entry) -> Markup {
    let events = entry.announce.events();
    html! {
        @if !events.is_empty() {
            section.panel {
                header {
                    h2 { "Told by" }
                }
                div.scroll {
                    table {
                        tbody {
                            @for (index, kind) in (0_u64..).zip(events) {
                                tr {
                                    td {
                                        a   href={
                                                "/events/"
                                                (entry.place.offset(index).event_id(entry.at))
                                            }
                                        { (kind.name()) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
