//! `/v1/customer/portal`: what a customer sees and does with the token of a portal session. All of
//! it is of that customer alone, and of what `customer_portal_config` lets be seen.

use axum::http::Method;
use domain::customer::CustomerPatch;
use domain::id::WalletId;
use domain::paywall::ExternalUser;
use domain::portal::{Allowance, Item, PortalConfig};
use domain::wallet::WalletStatus;
use engine::blocks::Caller;
use engine::{Error, customers, settings};
use serde_json::{Map, Value, json};
use store::Tx;
use store::customers::Stored;

use super::answer::Answer;
use super::call::Call;
use super::fields::Fields;
use super::route::{Access, Routes};
use super::spec::Doc;
use super::wallet_views::{self as views, Extras};
use super::{customers as customer_views, wallet_transactions, wallets};
use crate::app::App;

const TAG: &str = "Customer portal";
const EXTRAS: Extras = Extras { breakdown: true, real_time: true, customer: false };

/// What a customer may change of itself.
pub const OWN_FIELDS: [&str; 7] = [
    "name",
    "address_line1",
    "address_line2",
    "address_city",
    "address_state",
    "address_postal_code",
    "address_country",
];
/// Fields of a customer that are the operator's.
const FOREIGN_FIELDS: [&str; 5] = ["external_id", "email", "contact", "timezone", "metadata"];

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/customer/portal/info"),
            Access::Customer,
            doc("getPortalInfo", "Who the customer is"),
            info,
        )
        .add(
            (Method::PUT, "/v1/customer/portal/info"),
            Access::Customer,
            doc("updatePortalInfo", "Change name and address"),
            change,
        )
        .add(
            (Method::GET, "/v1/customer/portal/config"),
            Access::Customer,
            doc("getPortalConfig", "What the portal shows and allows"),
            async |app, call| Ok(Answer::ok(config(&app, &call)?.as_json())),
        )
        .add(
            (Method::POST, "/v1/customer/portal/wallets"),
            Access::Customer,
            doc("listPortalWallets", "The customer's wallets, the oldest first"),
            list,
        )
        .add(
            (Method::GET, "/v1/customer/portal/wallets/{id}"),
            Access::Customer,
            doc("getPortalWallet", "One wallet of the customer"),
            wallet,
        )
        .add(
            (Method::GET, "/v1/customer/portal/wallets/{id}/transactions"),
            Access::Customer,
            doc("listPortalTransactions", "The transactions of a wallet of the customer"),
            async |app, call| {
                let of = own_wallet(&app, &call)?;
                transactions(app, call, Some(of)).await
            },
        )
        .add(
            (Method::GET, "/v1/customer/portal/transactions"),
            Access::Customer,
            doc("listPortalTransactionsOfAll", "The transactions of all wallets of the customer"),
            async |app, call| transactions(app, call, None).await,
        )
        .add(
            (Method::POST, "/v1/customer/portal/wallets/{id}/top-up-link"),
            Access::Customer,
            doc("makePortalTopUpLink", "A link to top up a wallet that a paywall charges"),
            top_up_link,
        )
        .merge(later())
}

/// Routes of later stages.
fn later() -> Routes {
    let (get, post) = (Method::GET, Method::POST);
    let list = [
        (&get, "/v1/customer/portal/usage", "getPortalUsage"),
        (&post, "/v1/customer/portal/subscriptions", "listPortalSubscriptions"),
        (&get, "/v1/customer/portal/subscriptions/{id}", "getPortalSubscription"),
        (&post, "/v1/customer/portal/invoices", "listPortalInvoices"),
        (&get, "/v1/customer/portal/invoices/{id}", "getPortalInvoice"),
        (&get, "/v1/customer/portal/invoices/{id}/pdf", "getPortalInvoicePdf"),
        (&post, "/v1/customer/portal/analytics/revenue", "getPortalRevenue"),
        (&post, "/v1/customer/portal/analytics/cost", "getPortalCost"),
    ];
    list.into_iter().fold(Routes::default(), |all, (method, path, operation)| {
        let doc = Doc::new(TAG, operation, "Not built yet");
        all.add((method.clone(), path), Access::Customer, doc, async |_, _| {
            Err(Error::not_built("this route"))
        })
    })
}

pub fn config(app: &App, call: &Call) -> Result<PortalConfig, Error> {
    app.engine.read_now(|read| settings::portal_config(read, &call.scope))
}

/// What the operator switched off is refused, whatever way it is asked for.
pub fn must(is_on: bool, what: &str) -> Result<(), Error> {
    if is_on {
        return Ok(());
    }
    Err(Error::forbidden("permission_denied", format!("{what} is not part of this portal")))
}

/// Without what the operator keeps beside a thing, and who of the operator's people made it.
fn own(mut value: Value) -> Value {
    let blanks = [
        ("metadata", json!({})),
        ("created_by", json!("")),
        ("updated_by", json!("")),
        ("idempotency_key", Value::Null),
    ];
    for (name, blank) in blanks {
        if let Some(field) = value.get_mut(name) {
            *field = blank;
        }
    }
    value
}

fn shown(call: &Call, stored: &Stored) -> Value {
    own(customer_views::shown(&call.scope, stored))
}

async fn info(_: App, call: Call) -> Result<Answer, Error> {
    Ok(Answer::ok(&shown(&call, &call.visitor()?.customer)))
}

async fn change(app: App, call: Call) -> Result<Answer, Error> {
    let allowed = config(&app, &call)?.allows(Allowance::EditDetails);
    must(allowed, "changing the details")?;
    let (patch, unknown) = patch(Fields::of_body(&call)?)?;
    let (cause, scope) = (call.cause(), call.scope);
    let id = call.visitor()?.customer.customer.id;
    let work = move |tx: &mut Tx<'_>| {
        let stored = customers::require(tx, id)?;
        customers::update(tx, &cause, stored, patch.clone())
    };
    let stored = app.engine.change(scope, work).await?;
    Ok(Answer::ok(&shown(&call, &stored)).ignoring(&unknown))
}

fn patch(mut fields: Fields) -> Result<(CustomerPatch, Vec<String>), Error> {
    for name in FOREIGN_FIELDS {
        if fields.take(name).is_some() {
            return Err(fields.refuse(name, "is not changed here; ask the people who run this"));
        }
    }
    let mut own = Map::new();
    for name in OWN_FIELDS {
        if let Some(value) = fields.take(name) {
            own.insert(name.to_owned(), value);
        }
    }
    let (patch, _) = Fields::of_value(Value::Object(own))?.typed::<CustomerPatch>()?;
    let patch = patch.validate().map_err(customer_views::wrong)?;
    Ok((patch, fields.unknown()))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    must(config(&app, &call)?.shows_balances(), "the balance")?;
    let fields = Fields::of_body(&call)?;
    let customer = call.visitor()?.customer.customer.id;
    let found = wallets::wallets_of(&app, call.scope, (Some(customer), None), EXTRAS).await?;
    let found: Vec<Value> = found.into_iter().map(own).collect();
    Ok(Answer::ok(&found).ignoring(&fields.unknown()))
}

async fn wallet(app: App, call: Call) -> Result<Answer, Error> {
    must(config(&app, &call)?.shows_balances(), "the balance")?;
    let shown = wallets::read(&app, call.scope, own_wallet(&app, &call)?).await?;
    Ok(Answer::ok(&own(views::wallet(&call.scope, &shown, EXTRAS))))
}

/// The wallet that the path names; another customer's is not there.
fn own_wallet(app: &App, call: &Call) -> Result<WalletId, Error> {
    let id: WalletId = call.path("id", "wallet")?;
    let (scope, customer) = (call.scope, call.visitor()?.customer.no);
    let is_own = app.engine.read_now(|read| {
        let no = store::wallets::find_no(read, &scope, id)?;
        let own = store::wallets::numbers_of_customer(read, &scope, customer)?;
        Ok::<_, Error>(no.is_some_and(|no| own.contains(&no)))
    })?;
    if is_own { Ok(id) } else { Err(Error::not_found("wallet")) }
}

async fn transactions(app: App, call: Call, wallet: Option<WalletId>) -> Result<Answer, Error> {
    must(config(&app, &call)?.shows(Item::Transactions), "the list of transactions")?;
    let of = (call.visitor()?.customer.customer.id, wallet);
    let fields = Fields::of_query(&call);
    let found = wallet_transactions::of_customer(&app, call.scope, of, fields).await?;
    let items: Vec<Value> = found.items.into_iter().map(own).collect();
    Ok(found.list.answer(&items, found.total).ignoring(&found.unknown))
}

/// The paywall's own link: money comes in where the paywall takes it.
async fn top_up_link(app: App, call: Call) -> Result<Answer, Error> {
    must(config(&app, &call)?.allows(Allowance::TopUp), "topping up")?;
    let shown = wallets::read(&app, call.scope, own_wallet(&app, &call)?).await?;
    let link =
        shown.wallet.paywall.as_ref().filter(|_| shown.wallet.status != WalletStatus::Closed);
    let link = link.ok_or_else(|| Error::operation("there is no link to top this wallet up"))?;
    let (paywall, cause) = (app.engine.paywall(&call.scope, link.no)?, call.cause());
    let user = ExternalUser::parse(&link.external_user).map_err(|_| Error::not_found("wallet"))?;
    let sight = app.engine.sight(call.scope, &paywall, &user, &cause).await?;
    let caller = Caller { user: &user, sight: &sight, cause: &cause };
    let link = app.engine.topup_link(call.scope, &paywall, caller).await?;
    let body = json!({ "url": link.url, "expires_at": link.expires_at });
    Ok(Answer::ok(&body).with("cache-control", "no-store"))
}
