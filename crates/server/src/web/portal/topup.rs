//! To the place where money is paid in: the link of the paywall that charges the wallet. Nothing on
//! these pages takes money itself.

use domain::ledger::Account;
use domain::portal::Allowance;
use engine::Error;
use maud::{Markup, html};

use super::super::parts;
use super::frame::Page;
use super::visit::{Pages, Shown, Visit};
use super::zone::Zone;
use crate::http::route::Routes;

const PATH: &str = "/portal/top-up";

pub fn routes() -> Routes {
    Pages::default().post(PATH, link).into_routes()
}

/// Where there is a link to be had.
pub fn button(visit: &Visit, account: &Account) -> Markup {
    let wallet = &account.wallet;
    html! {
        @if visit.config.allows(Allowance::TopUp) && wallet.paywall.is_some() {
            form method="post" action=(PATH) {
                (visit.proof())
                input type="hidden" name="wallet" value=(wallet.id);
                button.main type="submit" { "Top up" }
            }
        }
    }
}

/// A link, not a redirect: a form of this page may lead to pages of this site alone.
async fn link(visit: Visit) -> Result<Shown, Error> {
    let wallet = visit.form().get("wallet");
    let ask = visit.ask("POST /v1/customer/portal/wallets/{id}/top-up-link");
    let link = ask.of("id", wallet.as_str()).json().await?;
    let zone = Zone::of(&visit);
    let body = html! {
        section.panel.narrow {
            div.in {
                p {
                    "You go on to the page where you pay. "
                    "Your balance here rises when the money is in."
                }
                p.actions {
                    a.button.main href=(parts::text(&link["url"])) { "Go on" }
                    a.button.quiet href="/portal" { "Back" }
                }
                p.help {
                    "The link is good until " (zone.json(&link["expires_at"])) " " (zone.name()) "."
                }
            }
        }
    };
    Ok(Shown::Page(Page::new("Top up", body).under("/portal")))
}
