//! The first page: what is there, what of it is used up, what ends when, and what happened last.

use domain::amount::Amount;
use domain::ledger::Account;
use domain::ledger::lot::Lot;
use domain::portal::Item;
use domain::time::Timestamp;
use domain::wallet::WalletStatus;
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::super::parts;
use super::frame::Page;
use super::visit::{Pages, Shown, Visit};
use super::zone::Zone;
use super::{money, topup};
use crate::http::route::Routes;

const TAB: &str = "/portal";
const LATEST: &str = "10";

pub fn routes() -> Routes {
    Pages::default().get("/portal", show).into_routes()
}

async fn show(visit: Visit) -> Result<Shown, Error> {
    let wallets = money::wallets(&visit).await?;
    let now = visit.app.engine.now(&visit.visitor.scope());
    let open: Vec<&Account> = wallets.iter().filter(|one| !is_closed(one)).collect();
    let body = html! {
        @if visit.config.shows(Item::Balance) {
            @if open.is_empty() { (no_wallet(&visit.brand)) }
            div.grid { @for one in &open { (wallet(&visit, one, now)) } }
        }
        @if visit.config.shows(Item::Transactions) { (latest(&visit, &wallets).await?) }
    };
    Ok(Shown::Page(Page::new("Overview", body).under(TAB)))
}

fn is_closed(account: &Account) -> bool {
    account.wallet.status == WalletStatus::Closed
}

fn no_wallet(brand: &str) -> Markup {
    html! {
        section.panel {
            (parts::blank("No balance yet", &html! {
                p { "Your balance stands here as soon as " (brand) " has opened it." }
            }))
        }
    }
}

fn wallet(visit: &Visit, account: &Account, now: Timestamp) -> Markup {
    let wallet = &account.wallet;
    let standing = account.standing();
    let amount = |credits| money::credits(credits, account);
    html! {
        section.panel.purse {
            header {
                h2 { (wallet.name) }
                @if wallet.status == WalletStatus::Frozen { (parts::badge("frozen")) }
                @else if standing.credits <= Amount::ZERO { (parts::badge("empty")) }
            }
            div.in {
                p.sum { (amount(standing.credits)) }
                @if wallet.conversion_rate != domain::amount::Rate::ONE { (worth(account)) }
                @if !standing.held.is_zero() {
                    p.mute {
                        (amount(standing.held)) " of it is reserved for what is under way."
                    }
                }
                @if wallet.status == WalletStatus::Frozen {
                    p.mute { "Nothing can be spent from it at the moment." }
                }
                (used(account))
                @if let Some(lot) = first_to_end(account, now) {
                    (ending(lot, account, &Zone::of(visit)))
                }
                (topup::button(visit, account))
            }
        }
    }
}

fn worth(account: &Account) -> Markup {
    let rounding = domain::amount::Rounding::HalfAwayFromZero;
    let worth = account.credits.times(account.wallet.conversion_rate, rounding);
    html! { p.mute { "Worth " (parts::money(worth, account.wallet.currency)) } }
}

/// How much of the credits that are open was spent.
fn used(account: &Account) -> Markup {
    let sum = |part: fn(&Lot) -> Amount| account.lots.iter().map(part).sum::<Amount>();
    let (all, left) = (sum(|lot| lot.original), sum(|lot| lot.remaining));
    let used = all - left;
    let amount = |credits| money::credits(credits, account);
    html! {
        @if all.is_positive() {
            p.used {
                span { (amount(used)) " used of " (amount(all)) }
                meter min="0" max=(all) value=(used) { (used) " of " (all) }
            }
        }
    }
}

fn first_to_end(account: &Account, now: Timestamp) -> Option<&Lot> {
    let ending = account.lots.iter().filter(|lot| lot.remaining.is_positive());
    let ending = ending.filter(|lot| lot.expires_at.is_some_and(|at| at > now));
    ending.min_by_key(|lot| lot.expires_at)
}

fn ending(lot: &Lot, account: &Account, zone: &Zone) -> Markup {
    let at = lot.expires_at.map(|at| zone.plain(at)).unwrap_or_default();
    html! {
        p.mute {
            (money::credits(lot.remaining, account))
            " of it ends on " (at) " " (zone.name()) ", if it is not used before."
        }
    }
}

async fn latest(visit: &Visit, wallets: &[Account]) -> Result<Markup, Error> {
    let ask = visit.ask("GET /v1/customer/portal/transactions").with("limit", LATEST);
    let list = ask.json().await?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    Ok(html! {
        section.panel {
            header {
                h2 { "Latest" }
                @if has_more(&list) { a href="/portal/transactions" { "All transactions" } }
            }
            @if items.is_empty() {
                (parts::blank("Nothing has happened yet", &html! {
                    p { "What is paid in and what is used stands here, the newest first." }
                }))
            } @else { (money::table(items, wallets, &Zone::of(visit))) }
        }
    })
}

fn has_more(list: &Value) -> bool {
    let shown = list["items"].as_array().map_or(0, Vec::len);
    list["pagination"]["total"].as_u64().is_some_and(|total| total > shown as u64)
}
