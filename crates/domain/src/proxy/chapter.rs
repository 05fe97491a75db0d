//! Chapters: events of proxied requests that are kept as what happened to whom, a few bytes each.
//! Their bodies are rendered from the requests' stories (`event::story`) when somebody reads them.

use crate::id::{PaywallId, RequestId};
use crate::place::Place;
use crate::scope::Actor;
use crate::time::Timestamp;
use crate::wallet::Payer;
use crate::webhook::catalogue::EventType;
use crate::webhook::channel::Channels;

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Started,
    Deferred,
    Charged,
    Completed,
    Failed,
    Canceled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub scene: Scene,
    pub request: RequestId,
}

/// Consecutive events of one wallet user of one paywall, written at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Of the first line; each line takes one position.
    pub place: Place,
    pub at: Timestamp,
    /// Number and id.
    pub paywall: (i64, PaywallId),
    pub payer: Payer,
    /// Of the first line, in the paywall's count.
    pub sequence: u64,
    pub actor: Actor,
    pub idempotency_key: Option<String>,
    /// The entry that paid for all of its charges, where they were settled together.
    pub settled_by: Option<Place>,
    pub lines: Vec<Line>,
}

impl Scene {
    const ALL: [Scene; 6] = [
        Scene::Started,
        Scene::Deferred,
        Scene::Charged,
        Scene::Completed,
        Scene::Failed,
        Scene::Canceled,
    ];

    /// As stored; never changes.
    pub const fn code(self) -> u8 {
        match self {
            Scene::Started => 1,
            Scene::Deferred => 2,
            Scene::Charged => 3,
            Scene::Completed => 4,
            Scene::Failed => 5,
            Scene::Canceled => 6,
        }
    }

    pub fn from_code(code: u8) -> Option<Scene> {
        Scene::ALL.into_iter().find(|scene| scene.code() == code)
    }

    /// The scene that an event tells.
    pub fn of(kind: EventType) -> Option<Scene> {
        Scene::ALL.into_iter().find(|scene| scene.event() == kind)
    }

    pub const fn event(self) -> EventType {
        match self {
            Scene::Started => EventType::PAYWALL_PROXY_REQUEST_STARTED,
            Scene::Deferred => EventType::PAYWALL_USAGE_CHARGE_DEFERRED,
            Scene::Charged => EventType::PAYWALL_USAGE_CHARGE_CREATED,
            Scene::Completed => EventType::PAYWALL_PROXY_REQUEST_COMPLETED,
            Scene::Failed => EventType::PAYWALL_PROXY_REQUEST_FAILED,
            Scene::Canceled => EventType::PAYWALL_PROXY_REQUEST_CANCELED,
        }
    }
}

impl Chapter {
    /// Number of positions and of the paywall's events.
    pub fn len(&self) -> u64 {
        self.lines.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What each of its events touches.
    pub fn channels(&self) -> Channels {
        Channels::of_paywall(self.paywall.1, Some(self.payer))
    }

    /// Place and number of each line.
    pub fn numbered(&self) -> impl Iterator<Item = (Place, u64, Line)> {
        let offsets = 0_u64..;
        offsets
            .zip(&self.lines)
            .map(|(offset, line)| (self.place.offset(offset), self.sequence + offset, *line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_is_found_again_by_its_code() {
        for scene in Scene::ALL {
            assert_eq!(Scene::from_code(scene.code()), Some(scene));
        }
        assert_eq!(Scene::from_code(0), None);
    }
}
