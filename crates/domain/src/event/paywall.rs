//! The envelope of paywall events (paywalls 20.1) and the bodies of those that are no entry.
//!
//! Everything before `data` is written by us alone, so `"status":"pending","attempts":1` stands
//! exactly once before any text of a user; delivery fills the number of the attempt in there.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::id::{EventId, PaywallId, TenantId};
use crate::ledger::log::Telling;
use crate::proxy::Price;
use crate::scope::{Actor, ActorKind, Source};
use crate::time::Timestamp;

pub const EVENT_VERSION: &str = "2024-05-01";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    id: EventId,
    paywall_id: PaywallId,
    owner_user_id: TenantId,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    created_at: Timestamp,
    status: &'static str,
    attempts: u32,
    data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    trigger: Trigger<'a>,
    subject: &'a Subject,
    sequence: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trigger<'a> {
    source: Source,
    actor_type: ActorKind,
    actor_id: &'a str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Fields of `data`, in the order in which they are added.
#[derive(Clone, Debug, Default)]
pub struct Data {
    fields: Vec<(String, Field)>,
}

#[derive(Clone, Debug)]
enum Field {
    Json(Value),
    /// A JSON number written from the exact digits.
    Number(String),
}

impl Data {
    pub fn new(paywall: PaywallId, owner: TenantId) -> Data {
        let data = Data::default();
        data.with("paywallId", paywall.to_string()).with("ownerUserId", owner.to_string())
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Data {
        self.fields.push((name.to_owned(), Field::Json(value.into())));
        self
    }

    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Data {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Money: a JSON number, and the exact text beside it (paywalls 20.2).
    #[must_use]
    pub fn money(self, name: &str, amount: Amount) -> Data {
        self.number(name, amount.to_string())
    }

    /// A provider's cost, at up to 12 places, in the same two forms.
    #[must_use]
    pub fn cost(self, name: &str, cost: Price) -> Data {
        self.number(name, cost.to_string())
    }

    fn number(mut self, name: &str, digits: String) -> Data {
        self.fields.push((name.to_owned(), Field::Number(digits.clone())));
        self.with(&format!("{name}Decimal"), digits)
    }
}

impl Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, field)| (name, field)))
    }
}

impl Serialize for Field {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Json(value) => value.serialize(serializer),
            Field::Number(digits) => match RawValue::from_string(digits.clone()) {
                Ok(number) => number.serialize(serializer),
                Err(_) => serializer.serialize_none(),
            },
        }
    }
}

/// What a paywall event tells beside its number.
pub struct Told<'a> {
    pub paywall: PaywallId,
    pub data: Data,
    /// The text of a JSON object.
    pub metadata: Option<&'a str>,
    pub actor: &'a Actor,
    pub subject: Subject,
}

pub fn render(telling: &Telling, told: &Told<'_>) -> Vec<u8> {
    let metadata: Option<&RawValue> =
        told.metadata.and_then(|text| serde_json::from_str(text).ok());
    super::bytes(&Envelope {
        id: telling.place.event_id(telling.at),
        paywall_id: told.paywall,
        owner_user_id: telling.scope.tenant,
        kind: telling.kind.name(),
        version: EVENT_VERSION,
        created_at: telling.at,
        status: "pending",
        attempts: 1,
        data: &told.data,
        metadata,
        trigger: Trigger {
            source: told.actor.source,
            actor_type: told.actor.kind,
            actor_id: &told.actor.id,
        },
        subject: &told.subject,
        sequence: telling.sequence,
    })
}

/// The subject of events about the paywall itself.
pub fn paywall_subject(id: PaywallId) -> Subject {
    Subject { kind: "paywall", id: id.to_string(), external_id: None }
}

/// `paywall.updated`.
pub struct Updated<'a> {
    pub changed_fields: &'a [String],
    pub summary_sections: &'a [String],
    pub version: u64,
    pub previous: Map<String, Value>,
    pub next: Map<String, Value>,
}

impl Updated<'_> {
    pub fn data(self, data: Data, actor: &str) -> Data {
        data.with("changedFields", self.changed_fields.to_vec())
            .with("summarySections", self.summary_sections.to_vec())
            .with("version", self.version)
            .with("previous", self.previous)
            .with("next", self.next)
            .with("actorId", actor)
    }
}
