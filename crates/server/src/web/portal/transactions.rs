//! What was paid in and what was used: all of it, or of one wallet, page by page.

use domain::percent;
use engine::Error;
use maud::{Markup, html};
use serde_json::Value;

use super::super::parts;
use super::frame::Page;
use super::money;
use super::visit::{Pages, Shown, Visit};
use super::zone::Zone;
use crate::http::route::Routes;

const TAB: &str = "/portal/transactions";
const ROWS: u64 = 50;

pub fn routes() -> Routes {
    Pages::default().get(TAB, list).into_routes()
}

async fn list(visit: Visit) -> Result<Shown, Error> {
    let wallet = visit.query("wallet");
    let offset = visit.query("offset").unwrap_or_default().parse::<u64>().unwrap_or_default();
    let limit = ROWS.to_string();
    let ask = match wallet.as_deref() {
        None => visit.ask("GET /v1/customer/portal/transactions"),
        Some(id) => visit.ask("GET /v1/customer/portal/wallets/{id}/transactions").of("id", id),
    };
    let ask = ask.with("limit", &limit).with("offset", &offset.to_string());
    let list = ask.json().await?;
    let wallets = money::wallets(&visit).await?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let tabs: Vec<(String, String, bool)> = wallets
        .iter()
        .map(|one| {
            let id = one.wallet.id.to_string();
            let here = wallet.as_deref() == Some(id.as_str());
            (one.wallet.name.clone(), format!("{TAB}?wallet={id}"), here)
        })
        .collect();
    let body = html! {
        @if tabs.len() > 1 { (choice(&tabs, wallet.is_none())) }
        section.panel {
            @if items.is_empty() {
                (parts::blank("Nothing here", &html! {
                    p { "What is paid in and what is used stands here, the newest first." }
                }))
            } @else { (money::table(items, &wallets, &Zone::of(&visit))) }
            (pages(&list, wallet.as_deref(), offset))
        }
    };
    Ok(Shown::Page(Page::new("Transactions", body).under(TAB)))
}

fn choice(wallets: &[(String, String, bool)], is_all: bool) -> Markup {
    html! {
        nav.picks aria-label="Wallet" {
            a.button href=(TAB) aria-current=[is_all.then_some("page")] { "All" }
            @for (name, path, here) in wallets {
                a.button href=(path) aria-current=[here.then_some("page")] { (name) }
            }
        }
    }
}

fn pages(list: &Value, wallet: Option<&str>, offset: u64) -> Markup {
    let total = list["pagination"]["total"].as_u64().unwrap_or_default();
    let path = |offset: u64| {
        let wallet = wallet.map(|id| format!("&wallet={}", percent::encoded(id)));
        format!("{TAB}?offset={offset}{}", wallet.unwrap_or_default())
    };
    let end = offset.saturating_add(ROWS);
    html! {
        @if total > ROWS {
            nav.pager aria-label="More of this list" {
                span.mute {
                    (offset + 1) "–" (end.min(total)) " of " (parts::grouped(&total.to_string()))
                }
                @if offset > 0 {
                    a.button href=(path(offset.saturating_sub(ROWS))) rel="prev" { "Newer" }
                }
                @if end < total { a.button href=(path(end)) rel="next" { "Older" } }
            }
        }
    }
}
