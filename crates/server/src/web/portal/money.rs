//! Money as a customer reads it: wallets, what moved in words and with its currency, lists of it.

use domain::amount::{Amount, Rate};
use domain::ledger::Account;
use domain::time::Timestamp;
use engine::Error;
use engine::wallets::shown;
use maud::{Markup, html};
use serde_json::Value;

use super::super::parts;
use super::visit::Visit;
use super::zone::Zone;

/// The customer's wallets as they stand now, the oldest first.
pub async fn wallets(visit: &Visit) -> Result<Vec<Account>, Error> {
    let scope = visit.visitor.scope();
    let (customer, now) = (visit.visitor.customer.no, visit.app.engine.now(&scope));
    let find = move |read: store::Read<'_>| {
        let numbers = store::wallets::numbers_of_customer(read, &scope, customer)?;
        numbers.iter().map(|no| shown::account(read, &scope, *no, now)).collect()
    };
    visit.app.engine.read(find).await
}

/// Credits of a wallet: money where one is worth one, else credits.
pub fn credits(amount: Amount, wallet: &Account) -> Markup {
    if wallet.wallet.conversion_rate == Rate::ONE {
        return parts::money(amount, wallet.wallet.currency);
    }
    html! {
        span.num { (parts::grouped(&amount.to_string())) " " span.unit { "credits" } }
    }
}

/// What a row of the API is called.
fn name(row: &Value) -> &'static str {
    match row["transaction_reason"].as_str().unwrap_or_default() {
        "FREE_CREDIT_GRANT" => "Free credit",
        "SUBSCRIPTION_CREDIT_GRANT" => "Credit of your plan",
        "PURCHASED_CREDIT_INVOICED" | "PURCHASED_CREDIT_DIRECT" => "Paid in",
        "PURCHASED_CREDIT_BONUS" => "Bonus",
        "CREDIT_NOTE" | "INVOICE_VOID_REFUND" => "Given back",
        "CREDIT_ADJUSTMENT" => "Adjustment",
        "INVOICE_PAYMENT" => "Invoice paid",
        "CREDIT_EXPIRED" => "Expired",
        "WALLET_TERMINATION" => "Wallet closed",
        _ => match row["type"].as_str() {
            Some("hold") => "Reserved",
            Some("release") => "Reservation ended",
            Some("credit") => "Credit",
            _ => "Used",
        },
    }
}

/// Rows of transactions of the API; the wallet is named where there are several.
pub fn table(items: &[Value], wallets: &[Account], zone: &Zone) -> Markup {
    let time = zone.head("Time");
    let is_many = wallets.len() > 1;
    let mut heads = vec![
        ("What", ""),
        ("Amount", "r"),
        ("Balance after", "r wide"),
        (time.as_str(), "tight wide"),
    ];
    if is_many {
        heads.push(("Wallet", ""));
    }
    let rows: Vec<Vec<Markup>> = items
        .iter()
        .filter_map(|row| {
            let id = row["wallet_id"].as_str().unwrap_or_default();
            let wallet = wallets.iter().find(|one| one.wallet.id.to_string() == id)?;
            let mut cells = cells(row, wallet, zone);
            if is_many {
                cells.push(parts::words(&wallet.wallet.name));
            }
            Some(cells)
        })
        .collect();
    parts::table("Transactions", &heads, &rows)
}

fn cells(row: &Value, wallet: &Account, zone: &Zone) -> Vec<Markup> {
    let (sign, class) = match row["type"].as_str() {
        Some("credit") => ("+", "good-text"),
        Some("debit") => ("−", ""),
        _ => ("", "faint"),
    };
    let amount = credits(parts::amount(&row["credit_amount"]), wallet);
    vec![
        what(row, zone),
        html! { span class={ "num " (class) } { (sign) (amount) } },
        credits(parts::amount(&row["credit_balance_after"]), wallet),
        zone.json(&row["created_at"]),
    ]
}

fn what(row: &Value, zone: &Zone) -> Markup {
    let about = row["description"].as_str().unwrap_or_default();
    let ends = row["expiry_date"].as_str().and_then(|text| Timestamp::parse(text).ok());
    let ends = ends.map(|at| zone.day(at));
    html! {
        span.wrap {
            (name(row))
            @if row["transaction_status"] == "failed" { " " (parts::badge("failed")) }
            @if !about.is_empty() { div.faint { (about) } }
            @if let Some(day) = ends { div.faint { "to be used before " span.num { (day) } } }
            div.small-only.faint { (zone.json(&row["created_at"])) }
        }
    }
}
