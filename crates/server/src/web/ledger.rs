//! Lines of the ledger as people read them: what moved, for whom, why, and the balance after it.

use domain::amount::Amount;
use domain::ledger::Entry;
use domain::ledger::entry::{Kind, LedgerAccount, Status};
use domain::scope::Scope;
use engine::Error;
use maud::{Markup, html};
use store::Read;
use store::holders::{self, Holder};

use super::parts;

/// An entry and whose it is.
pub struct Line {
    pub entry: Entry,
    pub holder: Holder,
}

/// The newest entries of the environment.
pub fn newest(read: Read<'_>, scope: &Scope, limit: usize) -> Result<Vec<Line>, Error> {
    let mut entries = Vec::new();
    store::entries::scan(read, scope.env.range(), true, |entry| {
        entries.push(entry);
        (entries.len() < limit).then_some(())
    })?;
    let mut lines = Vec::new();
    for entry in entries {
        if let Some(holder) = holders::of_wallet(read, scope, entry.wallet_no)? {
            lines.push(Line { entry, holder });
        }
    }
    Ok(lines)
}

/// What an entry is called.
pub fn name(entry: &Entry) -> &'static str {
    use LedgerAccount as A;
    match (entry.kind, entry.from, entry.to) {
        (Kind::Hold, ..) => "Hold",
        (Kind::Release, ..) => "Release",
        (_, A::Funding, _) => "Paid in",
        (_, A::Promotion, _) => "Granted",
        (_, A::Returned, _) => "Returned",
        (_, A::Revenue, _) => "Refund",
        (_, _, A::Breakage) => "Expired",
        (_, _, A::Adjustment) => "Debit by hand",
        (_, A::Adjustment, _) => "Adjusted",
        (_, A::Held, A::Revenue) => "Charge of a hold",
        (_, _, A::Revenue) => "Charge",
        (Kind::Credit, ..) => "Credit",
        (Kind::Debit, ..) => "Debit",
    }
}

/// What it did to the balance: with its sign; nothing for holds and failures.
pub fn change(entry: &Entry) -> Markup {
    let shown = |sign: &str, class: &str| {
        html! {
            span class={ "num " (class) } { (sign) (parts::grouped(&entry.credits.to_string())) }
        }
    };
    match (entry.status, entry.kind) {
        (Status::Failed, _) => html! {
            (shown("", "faint"))
            " "
            (parts::badge("failed"))
        },
        (_, Kind::Credit) => shown("+", "good-text"),
        (_, Kind::Debit) => shown("−", ""),
        (_, Kind::Hold | Kind::Release) => shown("", "faint"),
    }
}

/// What it is about, in a few words of whoever caused it.
pub fn about(entry: &Entry) -> Markup {
    let details = &entry.details;
    let reason = entry.reason.map(|reason| reason.name().to_lowercase().replace('_', " "));
    html! {
        @if let Some(code) = &details.error_code { span.bad-text { (code.replace('_', " ")) } " " }
        @if let Some(text) = &details.description { span.wrap { (text) } }
        @else if let Some(request) = details.request_reference() { code.faint { (request) } }
        @else if let Some(reason) = reason { span.mute { (reason) } }
        @else if let Some(cause) = &details.release_cause { span.mute { (cause) } }
    }
}

pub fn table(lines: &[Line], with_holder: bool) -> Markup {
    html! {
        @if lines.is_empty() {
            (parts::blank("No entries", &html! { p { "Nothing has moved yet." } }))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Ledger" {
                table {
                    thead {
                        tr {
                            th.tight { "Time (UTC)" } th { "What" }
                            @if with_holder { th { "Customer" } }
                            th { "About" } th.r { "Credits" } th.r { "Balance" }
                        }
                    }
                    tbody { @for line in lines { (row(line, with_holder)) } }
                }
            }
        }
    }
}

fn row(line: &Line, with_holder: bool) -> Markup {
    let Line { entry, holder } = line;
    html! {
        tr data-row=(entry.place.raw()) {
            td { (parts::time(entry.at)) }
            td {
                a href={ "/wallets/" (holder.wallet) "/entries/" (entry.id()) } { (name(entry)) }
            }
            @if with_holder {
                td {
                    a.wrap href={ "/customers/" (holder.customer) } { (holder.name) }
                }
            }
            td { (about(entry)) }
            td.r { (change(entry)) }
            td.r { (balance(entry.after)) }
        }
    }
}

fn balance(after: Amount) -> Markup {
    html! { span.num .bad-text[after.is_negative()] { (parts::grouped(&after.to_string())) } }
}
