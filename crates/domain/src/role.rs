//! Who may do what: roles, scoped grants, and what a route needs.
//!
//! A route declares one entity and one action; a key holds grants. Which routes exist, and where
//! the grants of a key are kept, is not known here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($variant),* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];

            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// A named set of rights.
    Role {
        SuperAdmin = "super_admin",
        AllReader = "all_reader",
        AllWriter = "all_writer",
        EventIngestor = "event_ingestor",
        EventReader = "event_reader",
    }
}

names! {
    /// What a route reads or writes.
    Entity {
        User = "user", Environment = "environment", Event = "event", Meter = "meter",
        Price = "price", Customer = "customer", Plan = "plan", Addon = "addon", Group = "group",
        AlertSettings = "alert_settings", Subscription = "subscription", Wallet = "wallet",
        Tenant = "tenant", Invoice = "invoice", Feature = "feature",
        Entitlement = "entitlement", CreditGrant = "creditgrant", Payment = "payment",
        Integration = "integration", Task = "task", Tax = "tax", Secret = "secret",
        Connection = "connection", CostSheet = "costsheet", CreditNote = "creditnote",
        Coupon = "coupon", Ai = "ai", Portal = "portal", Webhook = "webhook", Cron = "cron",
        Setting = "setting", Oauth = "oauth", CheckoutSession = "checkoutsession",
        Workflow = "workflow", Paywall = "paywall", Clock = "clock", Ledger = "ledger",
        Audit = "audit", Role = "role",
    }
}

names! {
    Action {
        Read = "read",
        Write = "write",
    }
}

/// What a route asks of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Needs {
    pub entity: Entity,
    pub action: Action,
}

/// What a key holds: a role, or one right such as `wallet:read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    Role(Role),
    Scope(Entity, Action),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error("is neither a role such as \"all_reader\" nor a scope such as \"wallet:read\"")]
    Unknown,
    #[error("cannot be given as a scope: it takes the role super_admin")]
    NeedsSuperAdmin,
}

impl Needs {
    pub const fn read(entity: Entity) -> Needs {
        Needs { entity, action: Action::Read }
    }

    pub const fn write(entity: Entity) -> Needs {
        Needs { entity, action: Action::Write }
    }

    /// Rights by which a key could widen its own rights belong to the super admin alone.
    pub const fn is_guarded(self) -> bool {
        use Entity::{Environment, Role, Secret, Setting, Tenant, User};
        matches!(self.action, Action::Write)
            && matches!(self.entity, Setting | Secret | User | Role | Tenant | Environment)
    }
}

impl Role {
    pub const fn permits(self, needs: Needs) -> bool {
        let read = matches!(needs.action, Action::Read);
        let event = matches!(needs.entity, Entity::Event);
        match self {
            Role::SuperAdmin => true,
            Role::AllWriter => !needs.is_guarded(),
            Role::AllReader => read,
            Role::EventIngestor => event && !read,
            Role::EventReader => event && read,
        }
    }
}

impl Grant {
    pub const fn permits(self, needs: Needs) -> bool {
        match self {
            Grant::Role(role) => role.permits(needs),
            Grant::Scope(entity, action) => {
                let same_entity = entity as u8 == needs.entity as u8;
                same_entity && action as u8 == needs.action as u8 && !needs.is_guarded()
            }
        }
    }
}

/// Whether any of the roles is enough.
pub fn permits(roles: &[Role], needs: Needs) -> bool {
    roles.iter().any(|role| role.permits(needs))
}

/// Whether any of a key's grants is enough.
pub fn grants_permit(grants: &[Grant], needs: Needs) -> bool {
    grants.iter().any(|grant| grant.permits(needs))
}

/// Whether everything that `wanted` permits is permitted by `held` too.
pub fn grants_cover(held: &[Grant], wanted: &[Grant]) -> bool {
    let all = Entity::ALL.iter().flat_map(|&one| [Needs::read(one), Needs::write(one)]);
    let mut asked = all.filter(|&needs| grants_permit(wanted, needs));
    asked.all(|needs| grants_permit(held, needs))
}

/// The grants of a publishable key.
pub fn publishable_grants() -> Vec<Grant> {
    let all = Entity::ALL.iter().map(|&entity| Needs::read(entity));
    all.filter(|&needs| publishable_permits(needs))
        .map(|needs| Grant::Scope(needs.entity, needs.action))
        .collect()
}

/// What a publishable key may do: read what is for sale.
pub const fn publishable_permits(needs: Needs) -> bool {
    let for_sale = matches!(needs.entity, Entity::Plan | Entity::Price | Entity::Feature);
    for_sale && matches!(needs.action, Action::Read)
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entity, self.action)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Role(role) => role.fmt(f),
            Grant::Scope(entity, action) => write!(f, "{entity}:{action}"),
        }
    }
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Grant, GrantError> {
        let Some((entity, action)) = text.split_once(':') else {
            return Role::parse(text).map(Grant::Role).ok_or(GrantError::Unknown);
        };
        let entity = Entity::parse(entity).ok_or(GrantError::Unknown)?;
        let action = Action::parse(action).ok_or(GrantError::Unknown)?;
        if (Needs { entity, action }).is_guarded() {
            return Err(GrantError::NeedsSuperAdmin);
        }
        Ok(Grant::Scope(entity, action))
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Grant, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every right that there is.
    fn all_needs() -> impl Iterator<Item = Needs> {
        Entity::ALL.iter().flat_map(|&entity| [Needs::read(entity), Needs::write(entity)])
    }

    #[test]
    fn each_role_permits_exactly_its_row_of_the_table() {
        let guarded = ["user", "environment", "tenant", "secret", "setting", "role"];
        for needs in all_needs() {
            let (entity, read) = (needs.entity.as_str(), needs.action == Action::Read);
            let event = entity == "event";
            let table = [
                (Role::SuperAdmin, true),
                (Role::AllWriter, read || !guarded.contains(&entity)),
                (Role::AllReader, read),
                (Role::EventIngestor, event && !read),
                (Role::EventReader, event && read),
            ];
            assert_eq!(table.len(), Role::ALL.len());
            for (role, expected) in table {
                assert_eq!(permits(&[role], needs), expected, "{role} {needs}");
            }
            assert!(!permits(&[], needs), "no role, no right: {needs}");
        }
    }

    #[test]
    fn roles_add_up() {
        let roles = [Role::EventIngestor, Role::EventReader];
        assert!(permits(&roles, Needs::read(Entity::Event)));
        assert!(permits(&roles, Needs::write(Entity::Event)));
        assert!(!permits(&roles, Needs::read(Entity::Wallet)));
    }

    #[test]
    fn a_scope_is_one_right_and_no_other() {
        for needs in all_needs() {
            let grant = Grant::Scope(needs.entity, needs.action);
            let permitted: Vec<Needs> =
                all_needs().filter(|&other| grants_permit(&[grant], other)).collect();
            let expected = if needs.is_guarded() { vec![] } else { vec![needs] };
            assert_eq!(permitted, expected, "{grant}");
        }
    }

    #[test]
    fn nobody_gives_more_than_they_hold() {
        let grants = |texts: &[&str]| -> Vec<Grant> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let table: [(&[&str], &[&str], bool); 8] = [
            (&["super_admin"], &["super_admin"], true),
            (&["all_writer"], &["super_admin"], false),
            (&["all_writer"], &["all_reader", "wallet:write"], true),
            (&["all_reader"], &["wallet:read", "event_reader"], true),
            (&["all_reader"], &["wallet:write"], false),
            (&["event:read", "event:write"], &["event_reader", "event_ingestor"], true),
            (&["wallet:read"], &["all_reader"], false),
            (&[], &["event:read"], false),
        ];
        for (held, wanted, expected) in table {
            assert_eq!(grants_cover(&grants(held), &grants(wanted)), expected, "{held:?}");
        }
    }

    #[test]
    fn grants_are_read_back_from_their_text() {
        for needs in all_needs() {
            let grant = Grant::Scope(needs.entity, needs.action);
            let expected =
                if needs.is_guarded() { Err(GrantError::NeedsSuperAdmin) } else { Ok(grant) };
            assert_eq!(grant.to_string().parse(), expected);
        }
        for &role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(Grant::Role(role)));
        }
        for text in ["", "admin", "wallet", "wallet:", "wallet:delete", ":read", "Wallet:read"] {
            assert_eq!(text.parse::<Grant>(), Err(GrantError::Unknown), "{text}");
        }
        let json = serde_json::json!(["all_reader", "wallet:read"]);
        let grants: Vec<Grant> = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(grants).unwrap(), json);
    }

    #[test]
    fn a_publishable_key_reads_what_is_for_sale() {
        let permitted: Vec<String> = all_needs()
            .filter(|&needs| publishable_permits(needs))
            .map(|n| n.to_string())
            .collect();
        assert_eq!(permitted, ["price:read", "plan:read", "feature:read"]);
    }
}
