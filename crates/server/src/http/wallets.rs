//! `/v1/wallets`: create, read, change, move credits, close (billing 4).

use axum::http::Method;
use domain::id::WalletId;
use domain::role::Entity;
use domain::scope::{Cause, Scope};
use engine::Error;
use engine::wallets::shown::{Row, Shown};
use engine::wallets::{change, close, create as creation, debit as debits, topup};
use serde_json::{Value, json};
use store::Tx;

use super::answer::{Answer, reply};
use super::call::Call;
use super::fields::Fields;
use super::lists::{self, Grammar, Visibility};
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use super::wallet_bodies as bodies;
use super::wallet_views::{self as views, Extras};
use crate::app::App;

const TAG: &str = "Wallets";
const EXPANDS: &[&str] = &["customer", "credits_available_breakdown"];

static GRAMMAR: Grammar = Grammar {
    fields: store::wallets::FIELDS,
    expands: EXPANDS,
    visibility: Visibility::Or("wallet_status"),
    metadata: true,
};

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::Wallet), writes(Entity::Wallet));
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add((Method::POST, "/v1/wallets"), write, doc("createWallet", "Create a wallet"), create)
        .add((Method::GET, "/v1/wallets"), read, doc("listWallets", "List wallets"), list)
        .add(
            (Method::POST, "/v1/wallets/search"),
            read,
            doc("queryWallet", "Search wallets"),
            search,
        )
        .add((Method::GET, "/v1/wallets/{id}"), read, doc("getWallet", "Get a wallet"), get)
        .add(
            (Method::PUT, "/v1/wallets/{id}"),
            write,
            doc("updateWallet", "Change a wallet"),
            update,
        )
        .add(
            (Method::GET, "/v1/wallets/{id}/balance/real-time"),
            read,
            doc("getWalletBalance", "Get the balance as it is now"),
            balance,
        )
        .add(
            (Method::GET, "/v1/wallets/{id}/balance/real-time-cached"),
            read,
            doc("getWalletBalanceCached", "Get the balance as it is now"),
            balance,
        )
        .add(
            (Method::GET, "/v1/customers/{id}/wallets"),
            read,
            doc("getWalletsByCustomerId", "List the wallets of a customer"),
            of_customer,
        )
        .add(
            (Method::GET, "/v1/customers/wallets"),
            read,
            doc("getCustomerWallets", "List the wallets of a customer by your own id"),
            of_named_customer,
        )
        .merge(movements())
}

fn movements() -> Routes {
    let write = writes(Entity::Wallet);
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add(
            (Method::POST, "/v1/wallets/{id}/top-up"),
            write,
            doc("topUpWallet", "Add credits"),
            top_up,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/debit"),
            write,
            doc("debitWallet", "Take credits"),
            debit,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/terminate"),
            write,
            doc("terminateWallet", "Close a wallet for good"),
            terminate,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/modify"),
            write,
            doc("modifyWallet", "Make a PRE_PAID wallet POST_PAID"),
            modify,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/freeze"),
            write,
            doc("freezeWallet", "Stop spending from a wallet"),
            freeze,
        )
        .add(
            (Method::POST, "/v1/wallets/{id}/unfreeze"),
            write,
            doc("unfreezeWallet", "Let a frozen wallet spend again"),
            unfreeze,
        )
}

fn extras(expand: &[String], real_time: bool) -> Extras {
    let has = |name: &str| expand.iter().any(|expand| expand == name);
    Extras { breakdown: has("credits_available_breakdown"), real_time, customer: has("customer") }
}

fn show(scope: Scope) -> impl Fn(&Shown) -> engine::idempotency::Reply + Send + 'static {
    move |shown| reply(200, &views::wallet(&scope, shown, Extras::default()))
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let key = fields.key_use(&call)?;
    let new = bodies::new_wallet(&mut fields)?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| creation::create(tx, &cause, &new);
    let answered = app.engine.once(scope, key, work, show(scope)).await?;
    Ok(Answer::of(answered).ignoring(&fields.unknown()))
}

/// Wallet `id` as it is now.
pub(super) async fn read(app: &App, scope: Scope, id: WalletId) -> Result<Shown, Error> {
    let now = app.engine.now(&scope);
    let find = move |read: store::Read<'_>| {
        let no = store::wallets::find_no(read, &scope, id)?;
        let no = no.ok_or_else(|| Error::not_found("wallet"))?;
        engine::wallets::shown::read(read, &scope, no, now)
    };
    app.engine.read(find).await
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let expand = lists::expand(&mut Fields::of_query(&call), EXPANDS)?;
    let shown = read(&app, call.scope, id).await?;
    Ok(Answer::ok(&views::wallet(&call.scope, &shown, extras(&expand, false))))
}

async fn balance(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let expand = lists::expand(&mut Fields::of_query(&call), EXPANDS)?;
    let shown = read(&app, call.scope, id).await?;
    let extras = Extras { breakdown: true, ..extras(&expand, true) };
    Ok(Answer::ok(&views::wallet(&call.scope, &shown, extras)))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    page(&app, call.scope, Fields::of_query(&call)).await
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    page(&app, call.scope, Fields::of_body(&call)?).await
}

async fn page(app: &App, scope: Scope, mut fields: Fields) -> Result<Answer, Error> {
    let list = GRAMMAR.read(&mut fields)?;
    let (page, now) = (list.page.clone(), app.engine.now(&scope));
    if page.asks("credit_balance") {
        app.engine.bring_balances_up(scope).await?;
    }
    let find = move |read: store::Read<'_>| {
        let (numbers, total) = store::wallets::page(read, &scope, &page)?;
        Ok((all(read, &scope, &numbers, now)?, total))
    };
    let (found, total) = app.engine.read_aside(find).await?;
    let extras = extras(&list.expand, false);
    let items: Vec<Value> =
        found.iter().map(|shown| views::wallet(&scope, shown, extras)).collect();
    Ok(list.answer(&items, total).ignoring(&fields.unknown()))
}

fn all(
    read: store::Read<'_>,
    scope: &Scope,
    numbers: &[i64],
    now: domain::time::Timestamp,
) -> Result<Vec<Shown>, Error> {
    numbers.iter().map(|no| engine::wallets::shown::read(read, scope, *no, now)).collect()
}

async fn of_customer(app: App, call: Call) -> Result<Answer, Error> {
    let id = call.path("id", "customer")?;
    let expand = lists::expand(&mut Fields::of_query(&call), EXPANDS)?;
    let found = wallets_of(&app, call.scope, (Some(id), None), extras(&expand, true)).await?;
    Ok(Answer::ok(&found))
}

async fn of_named_customer(app: App, call: Call) -> Result<Answer, Error> {
    let mut query = Fields::of_query(&call);
    let id = query.id("id", "customer")?;
    let name = query.text("lookup_key")?.filter(|text| !text.is_empty());
    let real_time = query.flag("include_real_time_balance")?.unwrap_or(false);
    let expand = lists::expand(&mut query, EXPANDS)?;
    if id.is_none() && name.is_none() {
        return Err(query.refuse("id", "or lookup_key is required"));
    }
    let found = wallets_of(&app, call.scope, (id, name), extras(&expand, real_time)).await?;
    Ok(Answer::ok(&found))
}

/// The wallets of one customer, the oldest first, closed ones too.
pub(super) async fn wallets_of(
    app: &App,
    scope: Scope,
    (id, name): (Option<domain::id::CustomerId>, Option<String>),
    extras: Extras,
) -> Result<Vec<Value>, Error> {
    let now = app.engine.now(&scope);
    let find = move |read: store::Read<'_>| {
        let found = match (id, &name) {
            (Some(id), _) => store::customers::find(read, &scope, id)?,
            (None, Some(name)) => store::customers::find_by_external_id(read, &scope, name)?,
            (None, None) => None,
        };
        let customer = engine::customers::present(found)?;
        let numbers = store::wallets::numbers_of_customer(read, &scope, customer.no)?;
        all(read, &scope, &numbers, now)
    };
    let found = app.engine.read(find).await?;
    Ok(found.iter().map(|shown| views::wallet(&scope, shown, extras)).collect())
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let mut fields = Fields::of_body(&call)?;
    let patch = bodies::wallet_patch(&mut fields)?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| change::update(tx, &cause, id, &patch);
    let shown = app.engine.change(scope, work).await?;
    let body = views::wallet(&scope, &shown, Extras::default());
    Ok(Answer::ok(&body).ignoring(&fields.unknown()))
}

async fn top_up(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let mut fields = Fields::of_body(&call)?;
    let key = fields.key_use(&call)?;
    let ask = bodies::topup(&mut fields, id, key.clone())?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| topup::top_up(tx, &cause, &ask);
    let render = move |done: &topup::ToppedUp| {
        let body = json!({
            "wallet_transaction": views::row(&scope, &done.row),
            "wallet": views::wallet(&scope, &done.shown, Extras::default()),
        });
        reply(200, &body)
    };
    let answered = app.engine.once(scope, key, work, render).await?;
    Ok(Answer::of(answered).ignoring(&fields.unknown()))
}

async fn debit(app: App, call: Call) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let mut fields = Fields::of_body(&call)?;
    let key = fields.key_use(&call)?;
    let ask = bodies::debit(&mut fields, id, key.clone())?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| debits::debit(tx, &cause, &ask);
    let render = move |row: &Row| reply(200, &views::row(&scope, row));
    let answered = app.engine.once(scope, key, work, render).await?;
    Ok(Answer::of(answered).ignoring(&fields.unknown()))
}

/// A command on one wallet without a body of its own.
async fn act(
    app: App,
    call: Call,
    mut fields: Fields,
    act: fn(&mut Tx<'_>, &Cause, WalletId) -> Result<Shown, Error>,
) -> Result<Answer, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let key = fields.key_use(&call)?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| act(tx, &cause, id);
    let answered = app.engine.once(scope, key, work, show(scope)).await?;
    Ok(Answer::of(answered).ignoring(&fields.unknown()))
}

async fn terminate(app: App, call: Call) -> Result<Answer, Error> {
    let fields = Fields::of_body(&call)?;
    act(app, call, fields, close::terminate).await
}

async fn freeze(app: App, call: Call) -> Result<Answer, Error> {
    let fields = Fields::of_body(&call)?;
    act(app, call, fields, change::freeze).await
}

async fn unfreeze(app: App, call: Call) -> Result<Answer, Error> {
    let fields = Fields::of_body(&call)?;
    act(app, call, fields, change::unfreeze).await
}

/// The new wallet is answered. The kind of change stands under any of the names clients use.
async fn modify(app: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    let name = "modification_type";
    let kind = match fields.text(name)? {
        None => fields.text("type")?,
        kind => kind,
    };
    match kind.as_deref() {
        Some("prepaid_to_postpaid") => act(app, call, fields, close::to_postpaid).await,
        Some(_) => Err(fields.refuse(name, "must be prepaid_to_postpaid")),
        None => Err(fields.refuse(name, "is required")),
    }
}
