//! Wallets and their transactions as answers show them (billing 14.6).

use domain::amount::Amount;
use domain::customer::Customer;
use domain::event::customer;
use domain::event::entry::{Facts, transaction_view};
use domain::event::wallet::view;
use domain::ledger::Entry;
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::wallet::{Wallet, WalletStatus};
use engine::wallets::shown::{Row, Shown};
use serde_json::{Map, Value, json};

/// What is shown besides a wallet's own fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    pub breakdown: bool,
    pub real_time: bool,
    pub customer: bool,
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub fn wallet(scope: &Scope, shown: &Shown, extras: Extras) -> Value {
    let mut fields = object(json!(view(scope, &shown.wallet, &shown.figures)));
    if !extras.breakdown {
        fields.remove("credits_available_breakdown");
    }
    if extras.real_time {
        fields.extend(real_time(shown));
    }
    if extras.customer {
        fields.insert("customer".to_owned(), json!(customer::view(scope, &shown.customer)));
    }
    Value::Object(fields)
}

/// Nothing is pending in this stage, so the real-time figures are the settled ones.
fn real_time(shown: &Shown) -> Map<String, Value> {
    let open = shown.wallet.status != WalletStatus::Closed;
    let credits = if open { shown.figures.standing.credits } else { Amount::ZERO };
    let rounding = domain::amount::Rounding::HalfAwayFromZero;
    let worth = credits.times(shown.wallet.conversion_rate, rounding);
    object(json!({
        "real_time_balance": worth,
        "real_time_credit_balance": credits,
        "balance_updated_at": shown.figures.as_of,
        "current_period_usage": Amount::ZERO,
        "unpaid_invoices_amount": Amount::ZERO,
        "is_cached_fallback": false,
    }))
}

/// A transaction with the columns of every stored object.
pub fn transaction(
    scope: &Scope,
    entry: &Entry,
    (wallet, customer): (&Wallet, &Customer),
    available: Option<Amount>,
) -> Value {
    let facts = Facts { scope: *scope, entry, wallet, customer };
    let mut fields = object(json!(transaction_view(&facts, available)));
    fields.extend(columns(scope, entry.at, &entry.actor.id));
    Value::Object(fields)
}

pub fn row(scope: &Scope, row: &Row) -> Value {
    transaction(scope, &row.entry, (&row.wallet, &row.customer), row.available)
}

/// The columns of a row that never changes.
pub fn columns(scope: &Scope, at: Timestamp, by: &str) -> Map<String, Value> {
    object(json!({
        "tenant_id": scope.tenant,
        "environment_id": scope.environment,
        "status": "published",
        "created_at": at,
        "updated_at": at,
        "created_by": by,
        "updated_by": by,
    }))
}
