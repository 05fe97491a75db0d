//! What is kept in order at a receiver. It names order keys only; lanes are the engine's.

use super::catalogue::EventType;
use super::receiver::Ordering;
use crate::id::{PaywallId, ReceiverId};
use crate::place::ReceiverNo;

/// The kind of subject that operational events are about.
const RECEIVER: &str = "webhook_endpoint";

/// Billing events: the subject, as `<type>:<id>`.
pub fn of_subject(kind: &str, id: &str) -> String {
    format!("{kind}:{id}")
}

/// Paywall events: the paywall and its wallet user, so that one user never waits for another.
pub fn of_paywall(paywall: PaywallId, wallet_user: Option<&str>) -> String {
    match wallet_user {
        Some(user) => format!("paywall:{paywall}:{user}"),
        None => format!("paywall:{paywall}"),
    }
}

/// Operational events: the receiver that they tell about.
pub fn of_receiver(receiver: ReceiverId) -> String {
    format!("{RECEIVER}:{receiver}")
}

/// The receiver that an event with this subject tells about: it never gets the event itself.
pub fn told_of(subject: &str) -> Option<ReceiverNo> {
    let id: ReceiverId = subject.strip_prefix(RECEIVER)?.strip_prefix(':')?.parse().ok()?;
    Some(id.no())
}

/// Whether a later event of the same key must wait until this one is done.
pub fn holds_back(ordering: Ordering, kind: EventType) -> bool {
    ordering == Ordering::Subject && !kind.is_bulk()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_a_paywall_have_keys_of_their_own() {
        let paywall = PaywallId::default();
        let keys = [Some("cust_1"), Some("cust_2"), None].map(|user| of_paywall(paywall, user));
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert_eq!(of_subject("wallet", "wallet_1"), "wallet:wallet_1");
        assert!(of_receiver(ReceiverId::default()).starts_with("webhook_endpoint:we_"));
    }

    #[test]
    fn an_operational_event_leads_to_the_receiver_that_it_tells_about() {
        let id = ReceiverId::numbered(crate::id::Ulid(1 << 90), ReceiverNo(7));
        assert_eq!(told_of(&of_receiver(id)), Some(ReceiverNo(7)));
        for other in ["wallet:wallet_1", "webhook_endpoint:x", "webhook_endpoint", ""] {
            assert_eq!(told_of(other), None, "{other}");
        }
    }

    #[test]
    fn bulk_types_never_hold_back() {
        assert!(holds_back(Ordering::Subject, EventType::WALLET_CREATED));
        assert!(!holds_back(Ordering::Subject, EventType::PAYWALL_PROXY_REQUEST_STARTED));
        assert!(!holds_back(Ordering::Start, EventType::WALLET_CREATED));
        assert!(!holds_back(Ordering::None, EventType::WALLET_CREATED));
    }
}
