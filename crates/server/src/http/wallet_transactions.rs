//! Lists of wallet transactions: of one wallet, and searched over all (billing 4.2, 4.9).

use std::collections::HashMap;

use axum::http::Method;
use domain::id::{CustomerId, WalletId};
use domain::role::Entity;
use domain::scope::Scope;
use engine::Error;
use engine::wallets::shown;
use serde_json::{Value, json};
use store::events::Versions;
use store::page::{Column, Condition, Scalar, Test};
use store::transactions::{FIELDS, Listed};
use store::{Read, transactions};

use super::answer::Answer;
use super::call::Call;
use super::fields::Fields;
use super::lists::{Grammar, List, Visibility};
use super::route::{Routes, reads};
use super::spec::Doc;
use super::wallet_views::{self as views, Extras};
use crate::app::App;

static GRAMMAR: Grammar = Grammar {
    fields: FIELDS,
    expands: &["customer", "wallet", "created_by_user"],
    visibility: Visibility::Always,
    metadata: true,
};

pub fn routes() -> Routes {
    let read = reads(Entity::Wallet);
    let doc = |operation, summary| Doc::new("Wallets", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/wallets/{id}/transactions"),
            read,
            doc("getWalletTransactions", "List the transactions of a wallet"),
            of_wallet,
        )
        .add(
            (Method::POST, "/v1/wallets/transactions/search"),
            read,
            doc("queryWalletTransaction", "Search wallet transactions"),
            search,
        )
}

/// What a customer may ask: nothing of what the operator keeps beside a row.
static GRAMMAR_OF_CUSTOMERS: Grammar =
    Grammar { fields: FIELDS, expands: &[], visibility: Visibility::Always, metadata: false };

/// Which wallets are looked through; `None` is all of the environment.
#[derive(Clone, Default)]
struct Within {
    wallets: Option<Vec<WalletId>>,
    customers: Option<Vec<CustomerId>>,
}

async fn of_wallet(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let scope = call.scope;
    let known = app.engine.read_now(|read| Ok(store::wallets::find_no(read, &scope, id)?))?;
    known.ok_or_else(|| Error::not_found("wallet"))?;
    let within = Within { wallets: Some(vec![id]), customers: None };
    answer(&app, scope, Fields::of_query(&call), within).await
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let wallets = ids(&mut fields, "wallet_id", "wallet_ids")?;
    let customers = ids(&mut fields, "customer_id", "customer_ids")?;
    answer(&app, call.scope, fields, Within { wallets, customers }).await
}

async fn answer(app: &App, scope: Scope, fields: Fields, within: Within) -> Result<Answer, Error> {
    let found = page(app, scope, (&GRAMMAR, fields), within).await?;
    Ok(found.list.answer(&found.items, found.total).ignoring(&found.unknown))
}

/// The transactions of a customer, or of one of its wallets, for the customer.
pub(super) async fn of_customer(
    app: &App,
    scope: Scope,
    (customer, wallet): (CustomerId, Option<WalletId>),
    fields: Fields,
) -> Result<Found, Error> {
    let wallets = wallet.map(|wallet| vec![wallet]);
    let within = Within { wallets, customers: Some(vec![customer]) };
    page(app, scope, (&GRAMMAR_OF_CUSTOMERS, fields), within).await
}

/// A page of transactions.
pub(super) struct Found {
    pub list: List,
    pub items: Vec<Value>,
    pub total: u64,
    /// What was asked and is not known.
    pub unknown: Vec<String>,
}

/// The ids under both names; those of another kind name nothing.
fn ids<T: std::str::FromStr>(
    fields: &mut Fields,
    one: &str,
    many: &str,
) -> Result<Option<Vec<T>>, Error> {
    let mut texts = fields.texts(many)?.unwrap_or_default();
    texts.extend(fields.text(one)?.filter(|text| !text.is_empty()));
    if texts.is_empty() {
        return Ok(None);
    }
    Ok(Some(texts.iter().filter_map(|text| text.parse().ok()).collect()))
}

async fn page(
    app: &App,
    scope: Scope,
    (grammar, mut fields): (&'static Grammar, Fields),
    within: Within,
) -> Result<Found, Error> {
    let extra = windows(&mut fields)?;
    let mut list = grammar.read(&mut fields)?;
    list.page.conditions.extend(extra);
    let now = app.engine.now(&scope);
    let asked = (list.page.clone(), list.expand.clone());
    let find = move |read: Read<'_>| {
        let (page, expand) = asked.clone();
        let wallets = numbers(read, &scope, &within)?;
        let (found, total) = transactions::page(read, &scope, wallets.as_deref(), &page)?;
        let list = List { page, expand };
        let mut shows =
            Shows { read, scope, now, versions: Versions::default(), wallets: HashMap::new() };
        let items: Result<Vec<Value>, Error> =
            found.iter().map(|listed| shows.item(&list, listed)).collect();
        Ok((items?, total))
    };
    let (items, total) = app.engine.read_aside(find).await?;
    Ok(Found { list, items, total, unknown: fields.unknown() })
}

/// Bounds that have names of their own.
fn windows(fields: &mut Fields) -> Result<Vec<Condition>, Error> {
    let before = fields.time("expiry_date_before")?.map(Scalar::Time).map(Test::Below);
    let after = fields.time("expiry_date_after")?.map(Scalar::Time).map(Test::Above);
    let more = fields.amount("credits_available_gt")?.map(Scalar::Number).map(Test::Above);
    let named = [("expiry_date", before), ("expiry_date", after), ("credits_available", more)];
    let condition = |(name, test): (&str, Option<Test>)| {
        let field = FIELDS.iter().find(|field| field.name == name)?;
        Some(Condition { column: Column::Field(field), test: test? })
    };
    Ok(named.into_iter().filter_map(condition).collect())
}

fn numbers(read: Read<'_>, scope: &Scope, within: &Within) -> Result<Option<Vec<i64>>, Error> {
    let mut of_customers: Option<Vec<i64>> = None;
    for id in within.customers.iter().flatten() {
        let found = of_customers.get_or_insert_default();
        if let Some(stored) = store::customers::find(read, scope, *id)? {
            found.extend(store::wallets::numbers_of_customer(read, scope, stored.no)?);
        }
    }
    if within.customers.is_some() && of_customers.is_none() {
        return Ok(Some(Vec::new()));
    }
    let Some(ids) = &within.wallets else { return Ok(of_customers) };
    let mut numbers = Vec::new();
    for id in ids {
        numbers.extend(store::wallets::find_no(read, scope, *id)?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    if let Some(of_customers) = of_customers {
        numbers.retain(|no| of_customers.contains(no));
    }
    Ok(Some(numbers))
}

/// What rows are shown with, read once each.
struct Shows<'r> {
    read: Read<'r>,
    scope: Scope,
    now: domain::time::Timestamp,
    versions: Versions,
    wallets: HashMap<i64, shown::Shown>,
}

impl Shows<'_> {
    fn item(&mut self, list: &List, listed: &Listed) -> Result<Value, Error> {
        let entry = &listed.entry;
        let (wallet, customer) = self.versions.of_entry(self.read, entry)?;
        let facts = (&*wallet, &*customer);
        let mut item = views::transaction(&self.scope, entry, facts, listed.available);
        if list.expands("created_by_user") {
            item["created_by_user"] = json!({ "id": entry.actor.id });
        }
        if !list.expands("wallet") && !list.expands("customer") {
            return Ok(item);
        }
        if !self.wallets.contains_key(&entry.wallet_no) {
            let shown = shown::read(self.read, &self.scope, entry.wallet_no, self.now)?;
            self.wallets.insert(entry.wallet_no, shown);
        }
        if let Some(shown) = self.wallets.get(&entry.wallet_no) {
            if list.expands("wallet") {
                item["wallet"] = views::wallet(&self.scope, shown, Extras::default());
            }
            if list.expands("customer") {
                item["customer"] =
                    json!(domain::event::customer::view(&self.scope, &shown.customer));
            }
        }
        Ok(item)
    }
}
