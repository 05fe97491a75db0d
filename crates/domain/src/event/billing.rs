//! The envelope of billing events (billing 6.1): flat, `event_type` and the keys of its type.

use serde::Serialize;

use crate::id::{EnvironmentId, EventId, TenantId};
use crate::ledger::log::Telling;
use crate::time::Timestamp;

pub const API_VERSION: &str = "v1";

#[derive(Serialize)]
pub struct Subject<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub id: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a, B> {
    id: EventId,
    event_type: &'static str,
    api_version: &'static str,
    created_at: Timestamp,
    tenant_id: TenantId,
    environment_id: EnvironmentId,
    sequence: u64,
    subject: Subject<'a>,
    #[serde(flatten)]
    body: &'a B,
}

/// The body of a billing event; `keys` serialises to an object of the type's keys.
pub fn render(telling: &Telling, subject: &str, keys: &impl Serialize) -> Vec<u8> {
    let (kind, id) = subject.split_once(':').unwrap_or((subject, ""));
    super::bytes(&Envelope {
        id: telling.place.event_id(telling.at),
        event_type: telling.kind.name(),
        api_version: API_VERSION,
        created_at: telling.at,
        tenant_id: telling.scope.tenant,
        environment_id: telling.scope.environment,
        sequence: telling.sequence,
        subject: Subject { kind, id },
        body: keys,
    })
}
