//! A replay: which events of the past are sent again, how fast, and what becomes of one that the
//! walk meets. Pure; the walk itself is a step of the engine.

use serde::{Deserialize, Serialize};

use super::catalogue::EventType;
use super::filter::Filter;
use super::receiver::DeliveryState;
use crate::id::EventId;
use crate::time::{SECOND_MS, Timestamp};

/// Deliveries of one replay that are open and not sent yet.
pub const OPENED_MAX: u64 = 256;
/// Entries of `types`, `subjects` and `event_ids`.
pub const ENTRIES_MAX: usize = 100;
pub const RPS_MAX: u32 = 1_000;

wire_names! {
    /// Which deliveries are sent again.
    Only {
        /// No success yet.
        Undelivered = "undelivered",
        /// The schedule was used up.
        Failed = "failed",
        All = "all",
    }

    ReplayState {
        Running = "running",
        Done = "done",
        Canceled = "canceled",
    }
}

/// What its owner asked for. Half-open in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub from: Timestamp,
    pub to: Timestamp,
    pub types: Option<Vec<String>>,
    pub subjects: Option<Vec<String>>,
    pub event_ids: Option<Vec<EventId>>,
    pub only: Only,
    pub max_rps: Option<u32>,
}

impl Default for Selection {
    fn default() -> Selection {
        let (from, to) = (Timestamp::default(), Timestamp::default());
        let (types, subjects, event_ids) = (None, None, None);
        let only = Only::Undelivered;
        Selection { from, to, types, subjects, event_ids, only, max_rps: None }
    }
}

/// What is known of an event without its body.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub id: EventId,
    pub at: Timestamp,
    pub kind: EventType,
    pub subject: &'a str,
}

/// How the delivery of an event stands, where there is one.
pub type Standing = Option<(DeliveryState, bool)>;

/// What becomes of an event that the walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It does not match.
    Pass,
    /// It matches, and is on its way already.
    Skip,
    Open,
}

impl Selection {
    /// Whether an event is asked for; `types` is the filter of the names.
    pub fn takes(&self, types: Option<&Filter>, event: &Facts<'_>) -> bool {
        let named = |list: &Option<Vec<String>>| {
            list.as_ref().is_none_or(|all| all.iter().any(|one| one == event.subject))
        };
        (self.from..self.to).contains(&event.at)
            && types.is_none_or(|types| types.matches(event.kind))
            && named(&self.subjects)
            && self.event_ids.as_ref().is_none_or(|ids| ids.contains(&event.id))
    }

    /// The second value of a standing says whether the event has reached the receiver before.
    pub fn choose(&self, standing: Standing) -> Choice {
        use DeliveryState::Exhausted;
        match (self.only, standing) {
            (Only::All, Some((state, _))) | (Only::Undelivered, Some((state, false)))
                if state.is_open() =>
            {
                Choice::Skip
            }
            (Only::Failed, Some((Exhausted, _)))
            | (Only::All, _)
            | (Only::Undelivered, None | Some((_, false))) => Choice::Open,
            _ => Choice::Pass,
        }
    }

    /// How many more may be opened now, and from when on the next one may be: `unsent` wait
    /// already, and nothing more was to be opened before `next_at`. Real time.
    pub fn room(&self, unsent: u64, next_at: Timestamp, now: Timestamp) -> (u64, Timestamp) {
        let Some(rps) = self.max_rps.filter(|rps| *rps > 0) else {
            return (OPENED_MAX.saturating_sub(unsent), now);
        };
        let depth = u64::from(rps / 10).max(1);
        // Rounded up: a little slower, never faster.
        let gap_ms = |count: u64| {
            let ms = count.saturating_mul(SECOND_MS.unsigned_abs()).div_ceil(u64::from(rps));
            i64::try_from(ms).unwrap_or(i64::MAX)
        };
        // Time that nobody used gives a tenth of a second's worth at most.
        let from = next_at.max(now.plus_ms(-gap_ms(depth)));
        let earned = (now.millis() - from.millis()).max(0).saturating_mul(i64::from(rps));
        let earned = u64::try_from(earned / SECOND_MS).unwrap_or(0);
        let room = earned.min(depth.saturating_sub(unsent));
        (room, from.plus_ms(gap_ms(room)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::EnvNo;

    fn selection(only: Only, max_rps: Option<u32>) -> Selection {
        let at = Timestamp::from_millis;
        let (types, subjects, event_ids) = (None, None, None);
        Selection { from: at(10), to: at(20), types, subjects, event_ids, only, max_rps }
    }

    #[test]
    fn what_becomes_of_an_event_follows_from_its_delivery() {
        use Choice::{Open, Pass, Skip};
        use DeliveryState::{Discarded, Done, Due, Exhausted, Leased, Parked, Waiting};
        // (delivery, undelivered, failed, all)
        let table = [
            (None, [Open, Pass, Open]),
            (Some((Due, false)), [Skip, Pass, Skip]),
            (Some((Leased, false)), [Skip, Pass, Skip]),
            (Some((Waiting, false)), [Skip, Pass, Skip]),
            (Some((Due, true)), [Pass, Pass, Skip]),
            (Some((Done, true)), [Pass, Pass, Open]),
            (Some((Exhausted, false)), [Open, Open, Open]),
            (Some((Exhausted, true)), [Pass, Open, Open]),
            (Some((Parked, false)), [Open, Pass, Open]),
            (Some((Discarded, false)), [Open, Pass, Open]),
        ];
        for (standing, choices) in table {
            for (only, choice) in [Only::Undelivered, Only::Failed, Only::All].iter().zip(choices) {
                let found = selection(*only, None).choose(standing);
                assert_eq!(found, choice, "{only}: {standing:?}");
            }
        }
    }

    #[test]
    fn an_event_is_taken_by_time_type_subject_and_id() {
        let place = EnvNo::new(1).place(7);
        let event = |at| Facts {
            id: place.event_id(Timestamp::from_millis(15)),
            at: Timestamp::from_millis(at),
            kind: EventType::WALLET_CREATED,
            subject: "wallet:w1",
        };
        let all = selection(Only::All, None);
        for (at, taken) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(all.takes(None, &event(at)), taken, "{at}");
        }
        for (names, taken) in [("wallet.*", true), ("customer.*", false)] {
            let filter = Filter::endpoint(&[names.to_owned()], true).unwrap();
            assert_eq!(all.takes(Some(&filter), &event(15)), taken, "{names}");
        }
        for (subject, taken) in [("wallet:w1", true), ("wallet:w2", false)] {
            let one = Selection { subjects: Some(vec![subject.to_owned()]), ..all.clone() };
            assert_eq!(one.takes(None, &event(15)), taken, "{subject}");
        }
        let ids = |ids| Selection { event_ids: Some(ids), ..all.clone() };
        assert!(ids(vec![event(15).id]).takes(None, &event(15)));
        assert!(!ids(vec![EventId::default()]).takes(None, &event(15)));
    }

    proptest! {
        /// Never more than 256 are open, and with a pace never more than it allows since any time.
        #[test]
        fn a_replay_keeps_its_bounds(
            rps in prop::option::of(1..=RPS_MAX),
            steps in prop::collection::vec((0..500_i64, 0..300_u64), 1..60),
        ) {
            let one = selection(Only::All, rps);
            let (mut now, mut next_at) = (Timestamp::from_millis(1_000_000), Timestamp::default());
            let (start, mut unsent, mut opened) = (now, 0_u64, 0_u64);
            for (wait_ms, sent) in steps {
                now = now.plus_ms(wait_ms);
                unsent = unsent.saturating_sub(sent);
                let (room, next) = one.room(unsent, next_at, now);
                (next_at, unsent, opened) = (next, unsent + room, opened + room);
                prop_assert!(unsent <= OPENED_MAX);
                if let Some(rps) = rps {
                    let elapsed = u64::try_from(now.millis() - start.millis()).unwrap();
                    let most = elapsed * u64::from(rps) / 1_000 + u64::from(rps / 10).max(1) + 1;
                    prop_assert!(opened <= most, "{opened} of {most}");
                }
            }
        }
    }
}
