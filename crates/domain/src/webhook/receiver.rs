//! A receiver: an endpoint of an environment or a subscription of a paywall, as its sender sees it,
//! and the words for its states and those of its deliveries. It decides nothing about one attempt.

use super::filter::Filter;
use super::schedule::Schedule;
use crate::id::{PaywallId, ReceiverId};
use crate::time::Timestamp;

pub const TIMEOUT_MS_DEFAULT: u32 = 15_000;
pub const IN_FLIGHT_DEFAULT: u32 = 8;
pub const IN_FLIGHT_MAX: u32 = 64;
pub const RPS_MAX: u32 = 1_000;
/// Endpoints of an environment; active subscriptions of a paywall.
pub const RECEIVERS_MAX: usize = 50;
pub const DESCRIPTION_CHARS_MAX: usize = 512;

wire_names! {
    ReceiverKind {
        Endpoint = "endpoint",
        Subscription = "subscription",
    }

    State {
        Enabled = "enabled",
        /// New events queue up behind it.
        Paused = "paused",
        /// New events pass it by.
        Disabled = "disabled",
        Deleted = "deleted",
    }

    StateReason {
        Owner = "owner",
        /// It answered 410.
        Gone = "gone",
        /// It failed for too long.
        Auto = "auto",
    }

    Ordering {
        /// The next of an order key starts when the one before has ended.
        Subject = "subject",
        /// First attempts start in order; a failure holds nothing back.
        Start = "start",
        None = "none",
    }

    OnExhausted {
        Skip = "skip",
        Halt = "halt",
    }

    PayloadMode {
        Full = "full",
        Thin = "thin",
    }

    PayloadFormat {
        Flat = "flat",
        Envelope = "envelope",
    }

    EventNaming {
        Full = "full",
        Short = "short",
    }

    /// How a secret signs, by the mark of its signatures.
    SecretKind {
        /// A shared secret, HMAC-SHA256.
        V1 = "v1",
        /// A key pair, ed25519.
        V1a = "v1a",
    }

    Class {
        Live = "live",
        Retry = "retry",
        Replay = "replay",
    }

    /// What caused an attempt.
    Trigger {
        Schedule = "schedule",
        Probe = "probe",
        Manual = "manual",
        Replay = "replay",
        Test = "test",
    }

    WaitingFor {
        Slot = "slot",
        Rate = "rate",
        Schedule = "schedule",
        Order = "order",
        Circuit = "circuit",
        Halted = "halted",
        Receiver = "receiver",
    }

    DeliveryState {
        /// May be sent from its time on.
        Due = "due",
        /// Handed to a sender for a while.
        Leased = "leased",
        /// An earlier one of the same order key is not done.
        Waiting = "waiting",
        Done = "done",
        Exhausted = "exhausted",
        Parked = "parked",
        Discarded = "discarded",
    }
}

/// Where the time of an attempt went, as far as it is known. A reused connection has only the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Timing {
    pub dns_ms: Option<u32>,
    pub connect_ms: Option<u32>,
    pub tls_ms: Option<u32>,
    /// From the begin of the attempt to the head of the answer.
    pub first_byte_ms: Option<u32>,
}

/// What the sender needs of one receiver. Sealed values (secrets, bearer, headers) are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub id: ReceiverId,
    pub kind: ReceiverKind,
    /// Of a subscription.
    pub paywall: Option<PaywallId>,
    pub url: String,
    pub state: State,
    pub state_reason: Option<StateReason>,
    pub filter: Filter,
    pub ordering: Ordering,
    pub on_exhausted: OnExhausted,
    pub schedule: Schedule,
    pub timeout_ms: u32,
    pub max_in_flight: u32,
    pub payload_mode: PayloadMode,
    pub payload_format: PayloadFormat,
    pub event_naming: EventNaming,
    pub send_traceparent: bool,
    pub failures_in_a_row: u32,
    pub first_failure_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    pub version: u64,
}

impl ReceiverKind {
    pub const fn ordering_default(self) -> Ordering {
        match self {
            ReceiverKind::Endpoint => Ordering::Subject,
            ReceiverKind::Subscription => Ordering::Start,
        }
    }

    pub const fn schedule_default(self) -> Schedule {
        match self {
            ReceiverKind::Endpoint => Schedule::Standard,
            ReceiverKind::Subscription => Schedule::Default,
        }
    }

    /// Random bytes in a secret that we make.
    pub const fn secret_bytes(self) -> usize {
        match self {
            ReceiverKind::Endpoint => 32,
            ReceiverKind::Subscription => 24,
        }
    }
}

impl Receiver {
    /// Whether attempts of the schedule may start.
    pub fn sends(&self) -> bool {
        self.state == State::Enabled
    }

    /// Whether new events make deliveries: a paused one still queues.
    pub fn collects(&self) -> bool {
        matches!(self.state, State::Enabled | State::Paused)
    }
}

impl DeliveryState {
    /// The word of the management surface.
    pub const fn shown(self) -> &'static str {
        match self {
            DeliveryState::Due | DeliveryState::Leased | DeliveryState::Waiting => "pending",
            DeliveryState::Done => "delivered",
            DeliveryState::Exhausted => "exhausted",
            DeliveryState::Parked => "parked",
            DeliveryState::Discarded => "discarded",
        }
    }

    /// The word of a paywall's logs.
    pub const fn shown_in_logs(self) -> &'static str {
        match self {
            DeliveryState::Due | DeliveryState::Leased | DeliveryState::Waiting => "pending",
            DeliveryState::Done => "success",
            DeliveryState::Exhausted | DeliveryState::Parked | DeliveryState::Discarded => "error",
        }
    }

    /// Open ones hold back later ones of the same order key.
    pub const fn is_open(self) -> bool {
        matches!(self, DeliveryState::Due | DeliveryState::Leased | DeliveryState::Waiting)
    }
}

/// Longer descriptions are cut, never refused.
pub fn cut_description(text: &str) -> String {
    text.trim().chars().take(DESCRIPTION_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_members_are_the_same_thing() {
        for &state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.name()), Some(state));
        }
        for &ordering in Ordering::ALL {
            assert_eq!(Ordering::parse(&ordering.to_string()), Some(ordering));
        }
        assert_eq!(ReceiverKind::parse("Endpoint"), None);
    }

    #[test]
    fn states_are_shown_as_each_surface_names_them() {
        let table = [
            (DeliveryState::Due, "pending", "pending", true),
            (DeliveryState::Leased, "pending", "pending", true),
            (DeliveryState::Waiting, "pending", "pending", true),
            (DeliveryState::Done, "delivered", "success", false),
            (DeliveryState::Exhausted, "exhausted", "error", false),
            (DeliveryState::Parked, "parked", "error", false),
            (DeliveryState::Discarded, "discarded", "error", false),
        ];
        assert_eq!(table.len(), DeliveryState::ALL.len());
        for (state, shown, in_logs, open) in table {
            let seen = (state.shown(), state.shown_in_logs(), state.is_open());
            assert_eq!(seen, (shown, in_logs, open), "{state}");
        }
    }

    #[test]
    fn descriptions_are_cut_by_characters() {
        assert_eq!(cut_description("  a b "), "a b");
        assert_eq!(cut_description(&"é".repeat(600)).chars().count(), 512);
    }
}
