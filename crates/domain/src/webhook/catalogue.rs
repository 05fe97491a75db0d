//! The names of all events, of every stage. Only what stands here can be written or filtered.
//!
//! This table says what an event is called and who gets it by default. It says nothing about the
//! body of an event, and nothing may match on names elsewhere: use the constants.

use std::fmt;

/// One type of event: its place in the catalogue. Places may change from build to build, so rows
/// and the wire carry the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(u16);

wire_names! {
    Family {
        Billing = "billing",
        Paywall = "paywall",
        Operational = "operational",
    }
}

/// How much of a type a wildcard takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Wildcards take it.
    Plain,
    /// Farebox added it to the published catalogue: wildcards leave it out unless asked.
    Extension,
    /// Plain, and so frequent that it goes without order.
    Bulk,
}

struct Row {
    name: &'static str,
    family: Family,
    reach: Reach,
    description: &'static str,
}

macro_rules! catalogue {
    ($($family:ident $reach:ident { $($id:ident = $name:literal: $description:literal;)* })*) => {
        #[expect(non_camel_case_types, reason = "these only number the constants below")]
        #[repr(u16)]
        enum Place { $($($id,)*)* Count }

        impl EventType {
            $($(pub const $id: EventType = EventType(Place::$id as u16);)*)*
        }

        const TYPES: u16 = Place::Count as u16;

        static ROWS: &[Row] = &[$($(Row {
            name: $name,
            family: Family::$family,
            reach: Reach::$reach,
            description: $description,
        },)*)*];
    };
}

impl EventType {
    pub fn all() -> impl ExactSizeIterator<Item = EventType> {
        (0..TYPES).map(EventType)
    }

    pub fn parse(name: &str) -> Option<EventType> {
        EventType::all().find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    pub fn family(self) -> Family {
        self.row().family
    }

    /// Marked as added: in the feed always, at a receiver only when it asks for it.
    pub fn is_extension(self) -> bool {
        self.row().reach == Reach::Extension
    }

    /// So frequent that it goes without order, even to receivers that keep order.
    pub fn is_bulk(self) -> bool {
        self.row().reach == Reach::Bulk
    }

    /// When it is written, for people.
    pub fn description(self) -> &'static str {
        self.row().description
    }

    pub const fn place(self) -> usize {
        self.0 as usize
    }

    fn row(self) -> &'static Row {
        &ROWS[self.place()]
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

catalogue! {
    Billing Plain {
        CUSTOMER_CREATED = "customer.created": "A customer was created.";
        CUSTOMER_UPDATED = "customer.updated": "A field of a customer changed.";
        CUSTOMER_DELETED = "customer.deleted": "A customer was deleted.";
        WALLET_CREATED = "wallet.created": "A wallet was opened.";
        WALLET_UPDATED = "wallet.updated": "A wallet was edited, frozen or unfrozen.";
        WALLET_TERMINATED = "wallet.terminated": "A wallet was closed for good.";
        WALLET_TRANSACTION_CREATED = "wallet.transaction.created":
            "Credits were added to or taken from a wallet, or a purchase is pending.";
        WALLET_TRANSACTION_UPDATED = "wallet.transaction.updated":
            "A pending wallet transaction completed or failed.";
        WALLET_CREDIT_BALANCE_DROPPED = "wallet.credit_balance.dropped":
            "The credit balance fell to a worse alert level.";
        WALLET_CREDIT_BALANCE_RECOVERED = "wallet.credit_balance.recovered":
            "The credit balance is back above every alert level.";
        WALLET_ONGOING_BALANCE_DROPPED = "wallet.ongoing_balance.dropped":
            "The balance less unbilled usage fell to a worse alert level.";
        WALLET_ONGOING_BALANCE_RECOVERED = "wallet.ongoing_balance.recovered":
            "The balance less unbilled usage is back above every alert level.";
        WALLET_ONGOING_BALANCE_UPDATED = "wallet.ongoing_balance.updated":
            "The balance less unbilled usage was computed anew.";
        SUBSCRIPTION_CREATED = "subscription.created":
            "A subscription was created, and not as a draft.";
        SUBSCRIPTION_DRAFT_CREATED = "subscription.draft.created":
            "A subscription was created as a draft.";
        SUBSCRIPTION_ACTIVATED = "subscription.activated":
            "A draft, trial or unpaid subscription became active.";
        SUBSCRIPTION_UPDATED = "subscription.updated":
            "Something about a subscription changed; follows the specific event.";
        SUBSCRIPTION_PLAN_CHANGED = "subscription.plan_changed":
            "A subscription moved to another plan.";
        SUBSCRIPTION_PAUSED = "subscription.paused": "A pause took effect.";
        SUBSCRIPTION_RESUMED = "subscription.resumed": "A paused subscription is active again.";
        SUBSCRIPTION_CANCELLED = "subscription.cancelled": "A subscription ended.";
        SUBSCRIPTION_PHASE_CREATED = "subscription.phase.created":
            "A phase was added to a subscription.";
        SUBSCRIPTION_PHASE_UPDATED = "subscription.phase.updated":
            "A phase of a subscription changed.";
        SUBSCRIPTION_PHASE_DELETED = "subscription.phase.deleted":
            "A phase was taken out of a subscription.";
        SUBSCRIPTION_RENEWAL_DUE = "subscription.renewal.due": "A subscription renews in a day.";
        SUBSCRIPTION_SPEND_THRESHOLD_REACHED = "subscription.spend.threshold_reached":
            "Spend of a subscription reached its threshold.";
        SUBSCRIPTION_SPEND_THRESHOLD_RECOVERED = "subscription.spend.threshold_recovered":
            "Spend of a subscription is below its threshold again.";
        SUBSCRIPTION_LINE_ITEM_SPEND_THRESHOLD_REACHED =
            "subscription.line_item_spend.threshold_reached":
            "Spend of a line item reached its threshold.";
        SUBSCRIPTION_LINE_ITEM_SPEND_THRESHOLD_RECOVERED =
            "subscription.line_item_spend.threshold_recovered":
            "Spend of a line item is below its threshold again.";
        SUBSCRIPTION_GROUP_SPEND_THRESHOLD_REACHED = "subscription.group_spend.threshold_reached":
            "Spend of a group reached its threshold.";
        SUBSCRIPTION_GROUP_SPEND_THRESHOLD_RECOVERED =
            "subscription.group_spend.threshold_recovered":
            "Spend of a group is below its threshold again.";
        FEATURE_CREATED = "feature.created": "A feature was created.";
        FEATURE_UPDATED = "feature.updated": "A feature changed.";
        FEATURE_DELETED = "feature.deleted": "A feature was deleted.";
        FEATURE_WALLET_BALANCE_ALERT = "feature.wallet_balance.alert":
            "A wallet crossed the alert level of a feature.";
        ENTITLEMENT_CREATED = "entitlement.created": "An entitlement was created.";
        ENTITLEMENT_UPDATED = "entitlement.updated": "An entitlement changed.";
        ENTITLEMENT_DELETED = "entitlement.deleted": "An entitlement was deleted.";
        ENTITLEMENT_GRANT_EXHAUSTED = "entitlement.grant.exhausted":
            "Usage reached the quota of a grant.";
        PAYMENT_CREATED = "payment.created": "A payment was recorded.";
        PAYMENT_PENDING = "payment.pending":
            "A payment is being processed, or waits for the payer.";
        PAYMENT_SUCCESS = "payment.success": "A payment succeeded.";
        PAYMENT_FAILED = "payment.failed": "A payment failed.";
        PAYMENT_UPDATED = "payment.updated": "A payment changed; precedes the specific event.";
        REFUND_CREATED = "refund.created": "A refund was started.";
        REFUND_SUCCEEDED = "refund.succeeded": "A refund reached the payer.";
        REFUND_FAILED = "refund.failed": "A refund could not be made.";
        INVOICE_CREATE_DRAFTED = "invoice.create.drafted": "A draft invoice was created.";
        INVOICE_UPDATE = "invoice.update": "A draft invoice was computed or edited.";
        INVOICE_UPDATE_FINALIZED = "invoice.update.finalized": "An invoice became final.";
        INVOICE_UPDATE_PAYMENT = "invoice.update.payment":
            "The amount paid or the payment status of an invoice changed.";
        INVOICE_UPDATE_VOIDED = "invoice.update.voided": "An invoice was voided.";
        INVOICE_PAYMENT_OVERDUE = "invoice.payment.overdue":
            "A final invoice is unpaid past its due date.";
        INVOICE_COMMUNICATION_TRIGGERED = "invoice.communication.triggered":
            "Someone asked to send an invoice to its customer.";
        INVOICE_SYNC_SUCCESS = "invoice.sync.success":
            "An invoice was copied to a connected provider.";
        INVOICE_SYNC_FAILED = "invoice.sync.failed":
            "An invoice could not be copied to a connected provider.";
        CREDIT_NOTE_CREATED = "credit_note.created": "A credit note was created.";
        CREDIT_NOTE_UPDATED = "credit_note.updated": "A credit note became final or was voided.";
        CHECKOUT_SESSION_INITIATED = "checkout.session.initiated": "A checkout session was opened.";
        CHECKOUT_SESSION_COMPLETED = "checkout.session.completed": "A checkout session was paid.";
        CHECKOUT_SESSION_FAILED = "checkout.session.failed": "A checkout session failed.";
        CHECKOUT_SESSION_EXPIRED = "checkout.session.expired":
            "A checkout session ran out of time.";
    }
    Billing Bulk {
        USAGE_EVENT_REJECTED = "event.rejected": "An ingested usage event matched no meter.";
    }
    Billing Extension {
        WALLET_ALERT_LEVEL_CHANGED = "wallet.alert_level.changed":
            "The alert level moved without a new drop or a recovery.";
        WALLET_CREDITS_EXPIRED = "wallet.credits.expired": "Unspent credits of a lot expired.";
        WALLET_CREDITS_EXPIRING = "wallet.credits.expiring": "Credits of a lot will expire soon.";
        WALLET_AUTO_TOPUP_SUSPENDED = "wallet.auto_topup.suspended":
            "Automatic top-up was switched off after failures.";
    }
    Paywall Plain {
        PAYWALL_UPDATED = "paywall.updated": "A setting of the paywall changed.";
        PAYWALL_ARCHIVED = "paywall.archived": "The paywall was archived.";
        PAYWALL_SECRET_ROTATED = "paywall.secret.rotated": "A paywall key was replaced.";
        PAYWALL_INTEGRATION_CONNECTED = "paywall.integration.connected":
            "An integration was switched on.";
        PAYWALL_INTEGRATION_DISCONNECTED = "paywall.integration.disconnected":
            "An integration was switched off.";
        PAYWALL_INTEGRATION_STRIPE_WEBHOOK_ROTATED = "paywall.integration.stripe.webhook.rotated":
            "The endpoint at Stripe was made anew.";
        PAYWALL_AUTHORIZATION_REQUESTED = "paywall.authorization.requested":
            "A user was asked to connect a wallet.";
        PAYWALL_AUTHORIZATION_COMPLETED = "paywall.authorization.completed":
            "A user connected a wallet.";
        PAYWALL_AUTHORIZATION_REVOKED = "paywall.authorization.revoked":
            "A connection of a user ended.";
        PAYWALL_AUTHORIZATION_DECLINED = "paywall.authorization.declined":
            "A user refused to connect a wallet.";
        PAYWALL_DEPOSIT_CREATED = "paywall.balance.deposit.created":
            "Credit was added to a user's balance.";
        PAYWALL_TOPUP_LINK_CREATED = "paywall.balance.topup.link.created":
            "A link to add credit was made.";
        PAYWALL_TRIAL_GRANTED = "paywall.balance.trial.granted": "A user received trial credit.";
        PAYWALL_CHARGE_CREATED = "paywall.balance.charge.created":
            "A manual charge or a captured hold was posted.";
        PAYWALL_CHARGE_COMPLETED = "paywall.balance.charge.completed":
            "A charge, or a batch of them, was settled.";
        PAYWALL_CHARGE_FAILED = "paywall.balance.charge.failed":
            "A manual charge was refused or failed.";
        PAYWALL_USAGE_CHARGE_CREATED = "paywall.usage.charge.created":
            "The price of a metered request was posted.";
        PAYWALL_USAGE_CHARGE_DEFERRED = "paywall.usage.charge.deferred":
            "A metered request will be charged later.";
        PAYWALL_USAGE_RATE_LIMITED = "paywall.usage.rate.limited":
            "A user reached a rate or a quota.";
        PAYWALL_BALANCE_DEPLETED = "paywall.balance.depleted":
            "A balance was too small for what was asked of it.";
        PAYWALL_REQUEST_BLOCKED = "paywall.request.blocked":
            "A request was refused before it reached a provider.";
        PAYWALL_STRIPE_CHECKOUT_SESSION_COMPLETED = "paywall.stripe.checkout.session.completed":
            "A payment at Stripe Checkout completed.";
    }
    Paywall Bulk {
        PAYWALL_PROXY_REQUEST_STARTED = "paywall.proxy.request.started":
            "The proxy accepted a request.";
        PAYWALL_PROXY_REQUEST_COMPLETED = "paywall.proxy.request.completed":
            "A proxied request ended well.";
        PAYWALL_PROXY_REQUEST_FAILED = "paywall.proxy.request.failed":
            "A proxied request ended with an error.";
        PAYWALL_PROXY_REQUEST_CANCELED = "paywall.proxy.request.canceled":
            "A proxied request was given up before its end.";
        PAYWALL_PROXY_REQUEST_BLOCKED = "paywall.proxy.request.blocked":
            "The proxy refused a request.";
    }
    Paywall Extension {
        PAYWALL_CREATED = "paywall.created": "The paywall was created.";
        PAYWALL_UNARCHIVED = "paywall.unarchived": "The paywall was taken back from the archive.";
        PAYWALL_SUBSCRIPTION_CREATED = "paywall.webhook.subscription.created":
            "A webhook subscription was added.";
        PAYWALL_SUBSCRIPTION_UPDATED = "paywall.webhook.subscription.updated":
            "A webhook subscription changed.";
        PAYWALL_SUBSCRIPTION_DEACTIVATED = "paywall.webhook.subscription.deactivated":
            "A webhook subscription was switched off.";
        PAYWALL_USER_SUSPENDED = "paywall.user.suspended": "A user was suspended.";
        PAYWALL_USER_RESUMED = "paywall.user.resumed": "A suspended user may go on.";
        PAYWALL_REFUND_CREATED = "paywall.balance.refund.created":
            "A charge was refunded to a user's balance.";
        PAYWALL_ADJUSTMENT_CREATED = "paywall.balance.adjustment.created":
            "A balance was corrected: expiry, refund or dispute at the payer's bank.";
        PAYWALL_HOLD_CREATED = "paywall.balance.hold.created": "Credit was set aside by the API.";
        PAYWALL_HOLD_RELEASED = "paywall.balance.hold.released":
            "Credit that was set aside is free again.";
        PAYWALL_WITHDRAWAL_CREATED = "paywall.balance.withdrawal.created": "Credit was paid out.";
    }
    Operational Plain {
        WEBHOOK_ENDPOINT_CREATED = "webhook.endpoint.created": "An endpoint was added.";
        WEBHOOK_ENDPOINT_UPDATED = "webhook.endpoint.updated": "An endpoint changed.";
        WEBHOOK_ENDPOINT_DELETED = "webhook.endpoint.deleted": "An endpoint was deleted.";
        WEBHOOK_ENDPOINT_PAUSED = "webhook.endpoint.paused":
            "Deliveries to an endpoint were paused.";
        WEBHOOK_ENDPOINT_RESUMED = "webhook.endpoint.resumed":
            "Deliveries to a paused endpoint go on.";
        WEBHOOK_ENDPOINT_ENABLED = "webhook.endpoint.enabled":
            "A disabled endpoint was switched on.";
        WEBHOOK_ENDPOINT_SECRET_ROTATED = "webhook.endpoint.secret_rotated":
            "An endpoint has a new signing secret.";
        WEBHOOK_ENDPOINT_FAILING = "webhook.endpoint.failing":
            "A receiver has failed for some time.";
        WEBHOOK_ENDPOINT_RECOVERED = "webhook.endpoint.recovered":
            "A failing receiver succeeded again.";
        WEBHOOK_ENDPOINT_DISABLED = "webhook.endpoint.disabled": "An endpoint was switched off.";
        WEBHOOK_DELIVERY_EXHAUSTED = "webhook.delivery.exhausted":
            "A delivery used up its attempts.";
        WEBHOOK_REPLAY_COMPLETED = "webhook.replay.completed":
            "A replay sent everything that it matched.";
        WEBHOOK_REPLAY_CANCELED = "webhook.replay.canceled": "A replay was stopped.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn names_are_unique_and_find_their_type() {
        let names: BTreeSet<_> = EventType::all().map(EventType::name).collect();
        assert_eq!(names.len(), ROWS.len());
        for kind in EventType::all() {
            assert_eq!(EventType::parse(kind.name()), Some(kind));
            assert!(kind.description().ends_with('.'), "{kind}");
        }
        for unknown in ["", "wallet", "wallet.alert", "customer.usage.alert", "Wallet.created"] {
            assert_eq!(EventType::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn constants_stand_for_their_names() {
        let table = [
            (EventType::CUSTOMER_CREATED, "customer.created"),
            (EventType::WALLET_AUTO_TOPUP_SUSPENDED, "wallet.auto_topup.suspended"),
            (EventType::PAYWALL_DEPOSIT_CREATED, "paywall.balance.deposit.created"),
            (EventType::PAYWALL_TOPUP_LINK_CREATED, "paywall.balance.topup.link.created"),
            (
                EventType::PAYWALL_SUBSCRIPTION_DEACTIVATED,
                "paywall.webhook.subscription.deactivated",
            ),
            (EventType::WEBHOOK_REPLAY_CANCELED, "webhook.replay.canceled"),
        ];
        for (kind, name) in table {
            assert_eq!(kind.name(), name);
        }
    }

    #[test]
    fn each_family_has_its_number_of_types() {
        let mut counts = BTreeMap::new();
        for kind in EventType::all() {
            *counts.entry((kind.family().name(), kind.is_extension())).or_insert(0) += 1;
        }
        let expected = [
            (("billing", false), 63),
            (("billing", true), 4),
            (("operational", false), 13),
            (("paywall", false), 27),
            (("paywall", true), 12),
        ];
        assert_eq!(counts, BTreeMap::from(expected));
    }

    #[test]
    fn families_follow_from_the_first_word_of_the_name() {
        for kind in EventType::all() {
            let family = match kind.name().split('.').next() {
                Some("paywall") => Family::Paywall,
                Some("webhook") => Family::Operational,
                _ => Family::Billing,
            };
            assert_eq!(kind.family(), family, "{kind}");
        }
    }

    #[test]
    fn bulk_types_are_rejected_events_and_the_proxy() {
        for kind in EventType::all() {
            let bulk = kind.name() == "event.rejected" || kind.name().starts_with("paywall.proxy.");
            assert_eq!(kind.is_bulk(), bulk, "{kind}");
        }
    }
}
