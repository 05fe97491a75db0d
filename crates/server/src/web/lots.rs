//! What is left of a wallet's credits, by where it came from, and what holds reserve of it.

use domain::id::WalletId;
use domain::ledger::Account;
use maud::{Markup, html};

use super::parts;

const LOTS_MAX: usize = 50;
const HOLDS_MAX: usize = 20;

pub fn panel(account: &Account) -> Markup {
    html! {
        section.panel #lots data-live {
            header {
                h2 { "Lots" }
                span.mute { "in the order in which they are spent" }
            }
            @if account.lots.is_empty() {
                (parts::blank("Nothing left", &html! {
                    p { "Every credit makes a lot; debits use them up in order." }
                }))
            } @else {
                (lots(account))
            }
            @if !account.holds.is_empty() { (holds(account)) }
        }
    }
}

fn lots(account: &Account) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th { "From" } th.r { "Left" } th.r { "Of" } th { "Ends" } } }
                tbody {
                    @for lot in account.lots.iter().take(LOTS_MAX) {
                        (row(account.wallet.id, lot))
                    }
                }
            }
        }
    }
}

fn row(wallet: WalletId, lot: &domain::ledger::lot::Lot) -> Markup {
    let entry = lot.place.transaction_id(lot.created_at);
    let reason = lot.reason.name().to_lowercase().replace('_', " ");
    html! {
        tr {
            td {
                a href={ "/wallets/" (wallet) "/entries/" (entry) } { (reason) }
                @if let Some(priority) = lot.priority { div.faint { "priority " (priority) } }
            }
            td.r {
                (parts::number(lot.remaining))
                @if !lot.held.is_zero() { div.faint { (parts::number(lot.held)) " held" } }
            }
            td.r { (parts::number(lot.original)) }
            td {
                @match lot.expires_at {
                    Some(at) => (parts::time(at)),
                    None => span.faint { "never" },
                }
            }
        }
    }
}

fn holds(account: &Account) -> Markup {
    html! {
        header { h2 { "Open holds" } }
        div.scroll {
            table {
                thead { tr { th.tight { "Since (UTC)" } th.r { "Amount" } th { "Until (UTC)" } } }
                tbody {
                    @for hold in account.holds.iter().take(HOLDS_MAX) {
                        tr {
                            td { (parts::time(hold.created_at)) }
                            td.r { (parts::number(hold.amount)) }
                            td { (parts::time(hold.deadline)) }
                        }
                    }
                }
            }
        }
    }
}
