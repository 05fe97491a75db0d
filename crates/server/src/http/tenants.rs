//! `/v1/tenants`: the tenant that the key belongs to.

use std::collections::BTreeMap;

use axum::http::Method;
use domain::id::TenantId;
use domain::role::Entity;
use engine::Error;
use engine::tenants::{TenantEdit, view};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::call::Call;
use super::keys::name;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Tenants";
const BILLING_FIELDS: [&str; 4] = ["email", "help_email", "phone", "address"];
const ADDRESS_FIELDS: [&str; 6] = [
    "address_line1",
    "address_line2",
    "address_city",
    "address_state",
    "address_postal_code",
    "address_country",
];

pub fn routes() -> Routes {
    Routes::default()
        .add(
            (Method::GET, "/v1/tenants/billing"),
            reads(Entity::Tenant),
            Doc::new(TAG, "getTenantBilling", "What the tenant owes the operator (later)"),
            async |_, _| Err(Error::not_built("the tenant's own bill")),
        )
        .add(
            (Method::GET, "/v1/tenant/billing"),
            reads(Entity::Tenant),
            Doc::new(TAG, "getTenantBillingUsage", "What the tenant owes the operator (later)"),
            async |_, _| Err(Error::not_built("the tenant's own bill")),
        )
        .add(
            (Method::GET, "/v1/tenants/{id}"),
            reads(Entity::Tenant),
            Doc::new(TAG, "getTenantById", "The tenant"),
            find,
        )
        .add(
            (Method::PUT, "/v1/tenants/update"),
            writes(Entity::Tenant),
            Doc::new(TAG, "updateTenant", "Change name, billing details or metadata"),
            update,
        )
}

async fn find(app: App, call: Call) -> Result<Answer, Error> {
    let id: TenantId = call.path("id", "tenant")?;
    if id != call.scope.tenant {
        return Err(Error::not_found("tenant"));
    }
    Ok(Answer::ok(&view(&app.engine.tenant(call.scope).await?)))
}

#[derive(Deserialize)]
struct UpdateBody {
    name: Option<String>,
    billing_details: Option<Map<String, Value>>,
    metadata: Option<BTreeMap<String, String>>,
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let body: UpdateBody = call.body()?;
    let edit = TenantEdit {
        name: body.name.map(name).transpose()?,
        billing_details: body.billing_details.map(billing_details).transpose()?,
        metadata: body.metadata,
    };
    Ok(Answer::ok(&view(&app.engine.update_tenant(call.scope, call.cause(), edit).await?)))
}

/// Texts under known names; what has another name is left out, as in every body.
fn billing_details(mut details: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    details.retain(|field, _| BILLING_FIELDS.contains(&field.as_str()));
    for (field, value) in &mut details {
        let path = format!("billing_details.{field}");
        match value {
            Value::Object(address) if field == "address" => {
                address.retain(|field, _| ADDRESS_FIELDS.contains(&field.as_str()));
                texts(&path, address)?;
            }
            Value::String(_) if field != "address" => {}
            _ => return Err(Error::invalid(&path, format!("{path} is of the wrong type"))),
        }
    }
    Ok(details)
}

fn texts(at: &str, fields: &Map<String, Value>) -> Result<(), Error> {
    match fields.iter().find(|(_, value)| !value.is_string()) {
        None => Ok(()),
        Some((field, _)) => {
            let path = format!("{at}.{field}");
            Err(Error::invalid(&path, format!("{path} must be a text")))
        }
    }
}
