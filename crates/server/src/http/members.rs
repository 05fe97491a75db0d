//! `/v1/users` and `/v1/rbac`: people and machines of the tenant, and the roles that there are.

use std::collections::BTreeMap;

use axum::http::Method;
use domain::id::UserId;
use domain::role::{Action, Entity, Needs, Role};
use engine::members::{self, MACHINE, MemberEdit, PERSON};
use engine::{Class, Error, Fault};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::members::{Member, Profile, Wanted};
use store::tenants::Tenant;

use super::answer::{Answer, reply};
use super::call::{Call, Caller};
use super::keys::name;
use super::page::Page;
use super::route::{Routes, reads, writes};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Users";

pub fn routes() -> Routes {
    people().merge(roles())
}

fn people() -> Routes {
    Routes::default()
        .add(
            (Method::GET, "/v1/users/me"),
            reads(Entity::User),
            Doc::new(TAG, "getUserInfo", "The owner of the key"),
            me,
        )
        .add(
            (Method::PUT, "/v1/users/me"),
            writes(Entity::User),
            Doc::new(TAG, "updateUser", "Change the owner of the key"),
            update_me,
        )
        .add(
            (Method::POST, "/v1/users"),
            writes(Entity::User),
            Doc::new(TAG, "createUser", "Make an account for a program"),
            create,
        )
        .add(
            (Method::PUT, "/v1/users/{id}"),
            writes(Entity::User),
            Doc::new(TAG, "updateServiceAccount", "Give a program's account another name"),
            update,
        )
        .add(
            (Method::PUT, "/v1/users/{id}/roles"),
            writes(Entity::User),
            Doc::new(TAG, "updateUserRoles", "Change roles; keys made before keep theirs"),
            update_roles,
        )
        .add(
            (Method::DELETE, "/v1/users/{id}"),
            writes(Entity::User),
            Doc::new(TAG, "deleteServiceAccount", "Delete a program's account and its keys"),
            delete,
        )
        .add(
            (Method::POST, "/v1/users/search"),
            reads(Entity::User),
            Doc::new(TAG, "queryUser", "Search users"),
            search,
        )
}

fn roles() -> Routes {
    Routes::default()
        .add(
            (Method::GET, "/v1/rbac/roles"),
            reads(Entity::Role),
            Doc::new(TAG, "listRbacRoles", "The roles that there are"),
            async |_, _| {
                let roles: Vec<Value> = Role::ALL.iter().map(|&role| role_view(role)).collect();
                Ok(Answer::ok(&json!({ "roles": roles })))
            },
        )
        .add(
            (Method::GET, "/v1/rbac/roles/{id}"),
            reads(Entity::Role),
            Doc::new(TAG, "getRbacRole", "One role"),
            async |_, call| {
                let role = Role::parse(&call.path::<String>("id", "role")?);
                role.map(|role| Answer::ok(&role_view(role)))
                    .ok_or_else(|| Error::not_found("role"))
            },
        )
}

fn role_view(role: Role) -> Value {
    let mut permissions = Map::new();
    for &entity in Entity::ALL {
        let may = |action: &&Action| role.permits(Needs { entity, action: **action });
        let actions: Vec<&str> = Action::ALL.iter().filter(may).map(|it| it.as_str()).collect();
        if !actions.is_empty() {
            permissions.insert(entity.as_str().to_owned(), json!(actions));
        }
    }
    json!({ "id": role.as_str(), "name": role.as_str(), "permissions": permissions })
}

/// A member as answers show it: with the tenant.
fn shown(member: &Member, tenant: &Tenant) -> Value {
    let mut view = members::view(member);
    view["tenant"] = engine::tenants::view(tenant);
    view
}

fn owner(call: &Call) -> Result<UserId, Error> {
    match &call.caller {
        Caller::Key(key) => key.user.ok_or_else(|| Error::not_found("user")),
        _ => Err(Fault::new(Class::Unauthorized, "unauthorized", "an API key is needed").into()),
    }
}

async fn me(app: App, call: Call) -> Result<Answer, Error> {
    let (member, tenant) = app.engine.member(call.scope, owner(&call)?).await?;
    Ok(Answer::ok(&shown(&member, &tenant)))
}

#[derive(Deserialize)]
struct UpdateBody {
    name: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    roles: Option<Vec<String>>,
}

async fn update_me(app: App, call: Call) -> Result<Answer, Error> {
    let body: UpdateBody = call.body()?;
    let id = owner(&call)?;
    let name = body.name.map(name).transpose()?;
    edit(app, call, id, MemberEdit { name, metadata: body.metadata, roles: None }).await
}

async fn update(app: App, call: Call) -> Result<Answer, Error> {
    let body: UpdateBody = call.body()?;
    let id = call.path("id", "user")?;
    let given = body.name.ok_or_else(|| Error::invalid("name", "name is required"))?;
    edit(app, call, id, MemberEdit { name: Some(name(given)?), ..MemberEdit::default() }).await
}

async fn update_roles(app: App, call: Call) -> Result<Answer, Error> {
    let body: UpdateBody = call.body()?;
    let id = call.path("id", "user")?;
    let roles = body.roles.ok_or_else(|| Error::invalid("roles", "roles is required"))?;
    edit(app, call, id, MemberEdit { roles: Some(roles), ..MemberEdit::default() }).await
}

async fn edit(app: App, call: Call, id: UserId, edit: MemberEdit) -> Result<Answer, Error> {
    let change = (id, edit, call.grants());
    let member = app.engine.update_member(call.scope, call.cause(), change).await?;
    let tenant = app.engine.tenant(call.scope).await?;
    Ok(Answer::ok(&shown(&member, &tenant)))
}

#[derive(Deserialize)]
struct CreateBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

async fn create(app: App, call: Call) -> Result<Answer, Error> {
    let body: CreateBody = call.body()?;
    match body.kind.as_str() {
        MACHINE => {}
        PERSON => return Err(Error::not_built("inviting people")),
        _ => return Err(Error::invalid("type", "type must be user or service_account")),
    }
    if body.roles.is_empty() {
        return Err(Error::invalid("roles", "roles must name at least one role"));
    }
    let profile = Profile {
        name: name(body.name)?,
        email: String::new(),
        roles: body.roles,
        metadata: body.metadata,
    };
    let (held, cause, key) = (call.grants(), call.cause(), call.key_use(None)?);
    let tenant = app.engine.tenant(call.scope).await?;
    let work = move |tx: &mut store::Tx<'_>| members::create(tx, &cause, &held, profile.clone());
    let render = move |made: &Member| reply(201, &shown(made, &tenant));
    Ok(Answer::of(app.engine.once(call.scope, key, work, render).await?))
}

async fn delete(app: App, call: Call) -> Result<Answer, Error> {
    app.engine.delete_member(call.scope, call.cause(), call.path("id", "user")?).await?;
    Ok(Answer::nothing())
}

#[derive(Deserialize)]
struct SearchBody {
    limit: Option<u32>,
    offset: Option<u32>,
    status: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    user_ids: Vec<String>,
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    let body: SearchBody = call.body()?;
    let page = Page::checked(body.limit, body.offset)?;
    let ids: Vec<UserId> = body.user_ids.iter().filter_map(|id| id.parse().ok()).collect();
    let nobody = ids.is_empty() && !body.user_ids.is_empty();
    let wanted = Wanted {
        kind: body.kind,
        status: body.status.unwrap_or_else(|| "published".to_owned()),
        ids,
        roles: body.roles,
    };
    let (mut found, tenant) = app.engine.members(call.scope, wanted).await?;
    if nobody {
        found.clear();
    }
    let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let items: Vec<Value> = page.cut(found).iter().map(|one| shown(one, &tenant)).collect();
    Ok(Answer::ok(&page.envelope(&items, total)))
}
