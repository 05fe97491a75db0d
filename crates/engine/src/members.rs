//! People and machines of a tenant: who owns keys, and with which roles.

use domain::id::UserId;
use domain::role::{Grant, Role, grants_cover};
use domain::scope::{Cause, Scope};
use serde_json::{Value, json};
use store::members::{Member, Profile, Wanted};
use store::tenants::Tenant;
use store::{Read, Tx};

use crate::error::{Class, Error, Fault};
use crate::run::Engine;
use crate::settings::tenant_limits;

/// The kind of a member that is a program.
pub const MACHINE: &str = "service_account";
/// The kind of a member that is a person.
pub const PERSON: &str = "user";

/// A change of a member; what it leaves out stays.
#[derive(Clone, Debug, Default)]
pub struct MemberEdit {
    pub name: Option<String>,
    pub roles: Option<Vec<String>>,
    pub metadata: Option<std::collections::BTreeMap<String, String>>,
}

/// The roles of these names; the first that is none is refused.
pub fn roles(names: &[String]) -> Result<Vec<Grant>, Error> {
    let role = |(index, name): (usize, &String)| {
        let known = || {
            format!(
                "must be one of {}",
                Role::ALL.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
            )
        };
        Role::parse(name)
            .map(Grant::Role)
            .ok_or_else(|| Error::invalid(format!("roles[{index}]"), known()))
    };
    names.iter().enumerate().map(role).collect()
}

/// A member of the tenant that was not deleted.
pub fn find(read: Read<'_>, scope: &Scope, id: UserId) -> Result<Member, Error> {
    let found = store::members::find(read, scope, id)?;
    found.filter(|member| member.status == "published").ok_or_else(|| Error::not_found("user"))
}

/// Makes a program's account. `held` are the grants of who asks: nobody gives more than they have.
pub fn create(
    tx: &mut Tx<'_>,
    cause: &Cause,
    held: &[Grant],
    profile: Profile,
) -> Result<Member, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    check_cover(held, &roles(&profile.roles)?)?;
    let max = tenant_limits(tx.read()?, &scope)?.max_users;
    if store::members::count(tx.read()?, &scope)? >= max {
        let message =
            format!("the tenant may have {max} users; the setting tenant_config holds the limit");
        return Err(Error::operation(message));
    }
    let member = Member {
        id: UserId(tx.mint()),
        kind: MACHINE.to_owned(),
        status: "published".to_owned(),
        profile,
        created_at: now,
        updated_at: now,
    };
    store::members::insert(tx.write()?, scope.tenant, &member)?;
    record(tx, cause, "user.created", (None, Some(&member)))?;
    Ok(member)
}

pub(crate) fn check_cover(held: &[Grant], wanted: &[Grant]) -> Result<(), Error> {
    if grants_cover(held, wanted) {
        return Ok(());
    }
    let message = "the key that asks has fewer rights than it would give";
    Err(Fault::new(Class::Forbidden, "permission_denied", message).at("roles").into())
}

fn record(
    tx: &mut Tx<'_>,
    cause: &Cause,
    action: &str,
    (before, after): (Option<&Member>, Option<&Member>),
) -> Result<(), Error> {
    let id = before.or(after).map(|member| member.id.to_string()).unwrap_or_default();
    let states = (before.map(view), after.map(view));
    crate::audit::record(tx, cause, action, ("user", id), states)
}

impl Engine {
    pub async fn member(&self, scope: Scope, id: UserId) -> Result<(Member, Tenant), Error> {
        self.read(move |read| Ok((find(read, &scope, id)?, crate::tenants::find(read, &scope)?)))
            .await
    }

    /// Members that are wanted, newest first, and their tenant.
    pub async fn members(
        &self,
        scope: Scope,
        wanted: Wanted,
    ) -> Result<(Vec<Member>, Tenant), Error> {
        self.read(move |read| {
            let tenant = crate::tenants::find(read, &scope)?;
            Ok((store::members::list(read, &scope, &wanted)?, tenant))
        })
        .await
    }

    /// Changes a member. Keys that were made keep the rights that they were made with.
    pub async fn update_member(
        &self,
        scope: Scope,
        cause: Cause,
        (id, edit, held): (UserId, MemberEdit, Vec<Grant>),
    ) -> Result<Member, Error> {
        self.change(scope, move |tx| update(tx, &cause, id, &edit, &held)).await
    }

    /// Deletes a program's account; its keys end with it, at once and everywhere.
    pub async fn delete_member(&self, scope: Scope, cause: Cause, id: UserId) -> Result<(), Error> {
        let ended = self.change(scope, move |tx| delete(tx, &cause, id)).await?;
        for hash in ended {
            self.forget_key(&hash);
        }
        Ok(())
    }
}

fn update(
    tx: &mut Tx<'_>,
    cause: &Cause,
    id: UserId,
    edit: &MemberEdit,
    held: &[Grant],
) -> Result<Member, Error> {
    let scope = tx.scope();
    let before = find(tx.read()?, &scope, id)?;
    let mut after = before.clone();
    if let Some(names) = &edit.roles {
        check_cover(held, &roles(names)?)?;
        after.profile.roles.clone_from(names);
    }
    if let Some(name) = &edit.name {
        after.profile.name.clone_from(name);
    }
    if let Some(metadata) = &edit.metadata {
        after.profile.metadata.clone_from(metadata);
    }
    after.updated_at = tx.now();
    store::members::set(tx.write()?, &scope, &after)?;
    record(tx, cause, "user.updated", (Some(&before), Some(&after)))?;
    Ok(after)
}

fn delete(tx: &mut Tx<'_>, cause: &Cause, id: UserId) -> Result<Vec<[u8; 32]>, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let before = find(tx.read()?, &scope, id)?;
    if before.kind != MACHINE {
        return Err(Error::operation("a person is removed by POST /v1/users/{id}/remove"));
    }
    let mut ended = Vec::new();
    for key in store::keys::of_user(tx.read()?, &scope, id)? {
        store::keys::end(tx.write()?, &key.scope, key.no, ("deleted", None), now)?;
        ended.push(key.hash);
    }
    let gone = Member { status: "deleted".to_owned(), updated_at: now, ..before.clone() };
    store::members::set(tx.write()?, &scope, &gone)?;
    record(tx, cause, "user.deleted", (Some(&before), None))?;
    Ok(ended)
}

/// A member as the audit log and answers show it; an answer adds the tenant.
pub fn view(member: &Member) -> Value {
    json!({
        "id": member.id,
        "type": member.kind,
        "name": member.profile.name,
        "email": member.profile.email,
        "roles": member.profile.roles,
        "metadata": member.profile.metadata,
        "created_at": member.created_at,
        "updated_at": member.updated_at,
    })
}
