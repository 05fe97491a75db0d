//! `/v1/customers`: create, read, change, delete, erase, list (billing 3).

use axum::http::Method;
use domain::customer::{CustomerError, CustomerPatch, NewCustomer};
use domain::event::customer::view;
use domain::id::CustomerId;
use domain::role::Entity;
use domain::scope::Scope;
use engine::{Error, customers};
use serde_json::{Value, json};
use store::Tx;
use store::customers::Stored;

use super::answer::{Answer, reply};
use super::call::Call;
use super::fields::Fields;
use super::lists::{Grammar, Visibility};
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Customers";

static GRAMMAR: Grammar = Grammar {
    fields: store::customers::FIELDS,
    expands: &["integrations"],
    visibility: Visibility::Column,
    metadata: true,
};

pub fn routes() -> Routes {
    let (read, write) = (reads(Entity::Customer), writes(Entity::Customer));
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    Routes::default()
        .add(
            (Method::POST, "/v1/customers"),
            write,
            doc("createCustomer", "Create a customer"),
            create,
        )
        .add((Method::GET, "/v1/customers"), read, doc("listCustomers", "List customers"), list)
        .add(
            (Method::PUT, "/v1/customers"),
            write,
            doc("updateCustomer", "Change a customer by id or external id"),
            update_named,
        )
        .add(
            (Method::POST, "/v1/customers/search"),
            read,
            doc("queryCustomer", "Search customers"),
            search,
        )
        .add((Method::GET, "/v1/customers/{id}"), read, doc("getCustomer", "Get a customer"), get)
        .add(
            (Method::PUT, "/v1/customers/{id}"),
            write,
            doc("updateCustomerById", "Change a customer"),
            update,
        )
        .add(
            (Method::DELETE, "/v1/customers/{id}"),
            write,
            doc("deleteCustomer", "Delete a customer"),
            delete,
        )
        .add(
            (Method::POST, "/v1/customers/{id}/erase"),
            write,
            doc("eraseCustomer", "Erase the personal data of a customer"),
            erase,
        )
        .add(
            (Method::GET, "/v1/customers/external/{external_id}"),
            read,
            doc("getCustomerByExternalId", "Get a customer by your own id"),
            get_external,
        )
        .add(
            (Method::GET, "/v1/customers/lookup/{external_id}"),
            read,
            doc("getCustomerByLookupKey", "Get a customer by your own id"),
            get_external,
        )
        .merge(later())
}

/// Routes of later stages: declared with what they will need.
fn later() -> Routes {
    let of = |entity, path, operation| {
        let doc = Doc::new(TAG, operation, "Not built yet");
        Routes::default().add((Method::GET, path), reads(entity), doc, not_built)
    };
    let list = [
        (Entity::Entitlement, "/v1/customers/{id}/entitlements", "getCustomerEntitlements"),
        (
            Entity::Entitlement,
            "/v1/customers/external/{external_id}/entitlements",
            "getCustomerEntitlementsByExternalID",
        ),
        (
            Entity::Subscription,
            "/v1/customers/external/{external_id}/subscriptions",
            "getSubscriptionsForCustomer",
        ),
        (Entity::Customer, "/v1/customers/usage", "getCustomerUsageSummary"),
        (Entity::Customer, "/v1/customers/{id}/usage", "getCustomerUsage"),
        (Entity::CreditGrant, "/v1/customers/{id}/grants/upcoming", "getCustomerUpcomingGrants"),
        (Entity::Invoice, "/v1/customers/{id}/invoices/summary", "getCustomerInvoiceSummary"),
        (Entity::Payment, "/v1/customers/{id}/payment-methods", "listCustomerPaymentMethods"),
    ];
    let add = |all: Routes, (entity, path, operation)| all.merge(of(entity, path, operation));
    list.into_iter().fold(Routes::default(), add)
}

async fn not_built(_: App, _: Call) -> Result<Answer, Error> {
    Err(Error::not_built("this route"))
}

/// A customer as answers show it.
pub fn shown(scope: &Scope, stored: &Stored) -> Value {
    json!(view(scope, &stored.customer))
}

pub(super) fn wrong(error: CustomerError) -> Error {
    Error::invalid(error.field, error.to_string())
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(&call)?;
    refuse_later(&mut fields)?;
    let key = fields.key_use(&call)?;
    let (new, unknown) = fields.typed::<NewCustomer>()?;
    let new = new.validate().map_err(wrong)?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| customers::create(tx, &cause, new.clone());
    let render = move |stored: &Stored| reply(201, &shown(&scope, stored));
    let answered = app.engine.once(scope, key, work, render).await?;
    Ok(Answer::of(answered).ignoring(&unknown))
}

/// Options of later stages. Absent and empty ones ask nothing.
fn refuse_later(fields: &mut Fields) -> Result<(), Error> {
    for name in ["tax_rate_overrides", "integration_entity_mapping"] {
        if !fields.list(name)?.is_empty() {
            return Err(Error::not_built(name));
        }
    }
    if fields.text("onboarding_workflow_name")?.is_some_and(|name| !name.is_empty()) {
        return Err(Error::not_built("onboarding_workflow_name"));
    }
    fields.flag("skip_onboarding_workflow")?;
    Ok(())
}

async fn get(app: App, call: Call) -> Result<Answer, Error> {
    let id: CustomerId = call.path("id", "customer")?;
    let scope = call.scope;
    let found = app.engine.read(move |read| Ok(store::customers::find(read, &scope, id)?)).await?;
    Ok(Answer::ok(&shown(&scope, &customers::present(found)?)))
}

async fn get_external(app: App, call: Call) -> Result<Answer, Error> {
    let name: String = call.path("external_id", "customer")?;
    let scope = call.scope;
    let find = move |read: store::Read<'_>| {
        Ok(store::customers::find_by_external_id(read, &scope, &name)?)
    };
    Ok(Answer::ok(&shown(&scope, &customers::present(app.engine.read(find).await?)?)))
}

async fn list(app: App, call: Call) -> Result<Answer, Error> {
    let fields = Fields::of_query(&call);
    page(&app, call.scope, fields).await
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    let fields = Fields::of_body(&call)?;
    page(&app, call.scope, fields).await
}

async fn page(app: &App, scope: Scope, mut fields: Fields) -> Result<Answer, Error> {
    let list = GRAMMAR.read(&mut fields)?;
    let page = list.page.clone();
    let (found, total) =
        app.engine.read_aside(move |read| Ok(store::customers::page(read, &scope, &page)?)).await?;
    let items: Vec<Value> = found.iter().map(|stored| shown(&scope, stored)).collect();
    Ok(list.answer(&items, total).ignoring(&fields.unknown()))
}

/// Which customer a change is for.
#[derive(Clone)]
enum Named {
    Id(CustomerId),
    External(String),
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let id = call.path("id", "customer")?;
    change(&app, &call, Named::Id(id)).await
}

async fn update_named(app: App, call: Call) -> Result<Answer, Error> {
    let mut query = Fields::of_query(&call);
    let id = query.id("id", "customer")?.map(Named::Id);
    let external = query.text("external_customer_id")?.filter(|text| !text.is_empty());
    let named = id.or(external.map(Named::External)).ok_or_else(|| {
        Error::invalid("id", "name the customer by the parameter id or external_customer_id")
    })?;
    change(&app, &call, named).await
}

async fn change(app: &App, call: &Call, named: Named) -> Result<Answer, Error> {
    let mut fields = Fields::of_body(call)?;
    refuse_later(&mut fields)?;
    let (patch, unknown) = fields.typed::<CustomerPatch>()?;
    let patch = patch.validate().map_err(wrong)?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| {
        let stored = match &named {
            Named::Id(id) => customers::require(tx, *id)?,
            Named::External(name) => customers::require_external(tx, name)?,
        };
        customers::update(tx, &cause, stored, patch.clone())
    };
    let stored = app.engine.change(scope, work).await?;
    Ok(Answer::ok(&shown(&scope, &stored)).ignoring(&unknown))
}

async fn delete(app: App, call: Call) -> Result<Answer, Error> {
    let id: CustomerId = call.path("id", "customer")?;
    let cause = call.cause();
    app.engine.change(call.scope, move |tx| customers::delete(tx, &cause, id)).await?;
    Ok(Answer::nothing())
}

async fn erase(app: App, call: Call) -> Result<Answer, Error> {
    let id: CustomerId = call.path("id", "customer")?;
    let (cause, scope) = (call.cause(), call.scope);
    let work = move |tx: &mut Tx<'_>| customers::erase(tx, &cause, id);
    let render = move |stored: &Stored| reply(200, &shown(&scope, stored));
    Ok(Answer::of(app.engine.once(scope, call.key_use(None)?, work, render).await?))
}
