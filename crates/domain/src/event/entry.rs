//! The events that an entry of the ledger is the record of, rendered from what never changes.
//!
//! Golden files pin the bytes: a release that would change them for entries that exist must not
//! pass its tests.

use std::collections::BTreeMap;

use serde::Serialize;

use super::customer::{self, CustomerView};
use super::paywall::{Data, Subject, Told};
use super::wallet::{self, Figures, WalletView};
use super::{Event, billing, paywall};
use crate::amount::{Amount, Rate};
use crate::currency::Currency;
use crate::customer::Customer;
use crate::id::{CustomerId, TransactionId, WalletId};
use crate::ledger::Entry;
use crate::ledger::entry::{Kind, Reason};
use crate::ledger::log::{Telling, paywall_names};
use crate::place::Place;
use crate::scope::Scope;
use crate::time::Timestamp;
use crate::wallet::{PaywallLink, Wallet};
use crate::webhook::catalogue::{EventType, Family};

/// An entry with the versions of wallet and customer that it names.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub scope: Scope,
    pub entry: &'a Entry,
    pub wallet: &'a Wallet,
    pub customer: &'a Customer,
}

/// Every event of the entry, in order.
pub fn events(facts: &Facts<'_>) -> Vec<Event> {
    tellings(facts).map(|telling| event(facts, &telling)).collect()
}

/// The event of the entry that has this place.
pub fn event_at(facts: &Facts<'_>, place: Place) -> Option<Event> {
    let telling = tellings(facts).find(|telling| telling.place == place);
    telling.map(|telling| event(facts, &telling))
}

fn tellings(facts: &Facts<'_>) -> impl Iterator<Item = Telling> {
    let (entry, scope) = (facts.entry, facts.scope);
    let mut paywall_sequence = entry.paywall_sequence;
    (0_u64..).zip(entry.announce.events()).map(move |(offset, &kind)| {
        let of_paywall = kind.family() == Family::Paywall;
        let sequence = if of_paywall { paywall_sequence } else { entry.sequence };
        paywall_sequence += u64::from(of_paywall);
        Telling { place: entry.place.offset(offset), at: entry.at, sequence, scope, kind }
    })
}

/// One event of the entry, under the number and type that `telling` gives.
pub fn event(facts: &Facts<'_>, telling: &Telling) -> Event {
    let link = facts.wallet.paywall.as_ref();
    let ((subject, order_key), paywall, body) = match link {
        Some(link) if telling.kind.family() == Family::Paywall => (
            paywall_names(link.id, Some(facts.wallet.customer_id)),
            Some(link.no),
            paywall_body(facts, telling, link),
        ),
        _ => {
            let subject = format!("wallet:{}", facts.wallet.id);
            let body = transaction_body(facts, telling, &subject);
            ((subject.clone(), subject), None, body)
        }
    };
    Event {
        place: telling.place,
        at: telling.at,
        kind: telling.kind,
        subject,
        order_key,
        sequence: telling.sequence,
        paywall,
        channels: facts.wallet.channels(),
        body,
        request: facts.entry.request,
        idempotency_key: facts.entry.key.as_ref().map(|key| key.key.clone()),
        suppressed: false,
    }
}

#[derive(Serialize)]
pub struct Consumed {
    pub credit_transaction_id: TransactionId,
    pub credits: Amount,
}

/// A wallet transaction, as events and answers show it (billing 4.2).
#[derive(Serialize)]
pub struct TransactionView<'a> {
    pub id: TransactionId,
    pub wallet_id: WalletId,
    pub customer_id: CustomerId,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub amount: Amount,
    pub credit_amount: Amount,
    pub credit_balance_before: Amount,
    pub credit_balance_after: Amount,
    pub transaction_status: &'static str,
    pub reference_type: Option<&'a str>,
    pub reference_id: Option<&'a str>,
    pub description: &'a str,
    pub expiry_date: Option<Timestamp>,
    /// The unspent rest of a credit row; `None` on debits.
    pub credits_available: Option<Amount>,
    pub transaction_reason: Option<&'static str>,
    pub priority: Option<i64>,
    pub parent_transaction_id: Option<TransactionId>,
    pub currency: Currency,
    pub conversion_rate: Option<Rate>,
    pub topup_conversion_rate: Option<Rate>,
    pub consumption_breakdown: Vec<Consumed>,
    pub source_type: Option<&'static str>,
    pub source_id: Option<&'static str>,
    pub metadata: BTreeMap<String, String>,
    pub idempotency_key: Option<&'a str>,
    pub created_at: Timestamp,
}

/// `available` is what is left of the credit's lot. The times of the lots that a debit took are not
/// known here, so their ids carry the time of `lot_times`, or of the debit.
pub fn transaction_view<'a>(facts: &Facts<'a>, available: Option<Amount>) -> TransactionView<'a> {
    let (entry, wallet) = (facts.entry, facts.wallet);
    let credit = entry.kind == Kind::Credit;
    TransactionView {
        id: entry.id(),
        wallet_id: wallet.id,
        customer_id: wallet.customer_id,
        kind: entry.kind.name(),
        amount: entry.amount,
        credit_amount: entry.credits,
        credit_balance_before: entry.before,
        credit_balance_after: entry.after,
        transaction_status: entry.status.name(),
        reference_type: entry.details.reference_type.as_deref(),
        reference_id: entry.details.reference_id.as_deref(),
        description: entry.details.description.as_deref().unwrap_or_default(),
        expiry_date: entry.details.expires_at,
        credits_available: if credit { available } else { None },
        transaction_reason: entry.reason.map(Reason::name),
        priority: entry.details.priority,
        parent_transaction_id: entry.details.parent,
        currency: wallet.currency,
        conversion_rate: (!credit).then_some(wallet.conversion_rate),
        topup_conversion_rate: credit.then_some(wallet.topup_conversion_rate),
        consumption_breakdown: consumed(entry),
        source_type: None,
        source_id: None,
        metadata: metadata(entry),
        idempotency_key: entry.key.as_ref().map(|key| key.key.as_str()),
        created_at: entry.at,
    }
}

fn consumed(entry: &Entry) -> Vec<Consumed> {
    if entry.kind != Kind::Debit {
        return Vec::new();
    }
    shares(entry)
}

fn shares(entry: &Entry) -> Vec<Consumed> {
    let part = |taken: &crate::ledger::entry::Taken| Consumed {
        credit_transaction_id: taken.lot.transaction_id(taken.lot_at),
        credits: taken.credits,
    };
    entry.taken.iter().map(part).collect()
}

/// Own metadata, and the names of the credits that a debit consumed or that a refund gave back to.
fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let mut metadata = entry.details.metadata.clone();
    let name = match entry.kind {
        Kind::Debit => "consumed_credit_tx_ids",
        _ => "returned_credit_tx_ids",
    };
    let ids = shares(entry).into_iter().map(|part| part.credit_transaction_id.to_string());
    let ids: Vec<String> = ids.collect();
    if !ids.is_empty() {
        metadata.insert(name.to_owned(), ids.join(","));
    }
    metadata
}

#[derive(Serialize)]
struct TransactionKeys<'a> {
    transaction: TransactionView<'a>,
    wallet: WalletView<'a>,
    customer: CustomerView<'a>,
}

fn transaction_body(facts: &Facts<'_>, telling: &Telling, subject: &str) -> Vec<u8> {
    let entry = facts.entry;
    let figures = Figures {
        standing: entry.standing,
        sequence: telling.sequence,
        moved_at: entry.at,
        as_of: entry.at,
    };
    let own = entry.own_lot();
    let filled = own - (-entry.before).or_zero().min(own);
    let keys = TransactionKeys {
        transaction: transaction_view(facts, Some(filled)),
        wallet: wallet::view(&facts.scope, facts.wallet, &figures),
        customer: customer::view(&facts.scope, facts.customer),
    };
    billing::render(telling, subject, &keys)
}

fn paywall_body(facts: &Facts<'_>, telling: &Telling, link: &PaywallLink) -> Vec<u8> {
    let entry = facts.entry;
    let subject_id = match telling.kind {
        EventType::PAYWALL_HOLD_CREATED => entry.place.hold_id(entry.at).to_string(),
        _ => entry.id().to_string(),
    };
    let told = Told {
        paywall: link.id,
        data: data(facts, telling.kind, link),
        metadata: entry.details.call_metadata.as_deref(),
        actor: &entry.actor,
        subject: Subject {
            kind: "paywall.balance",
            id: subject_id,
            external_id: Some(link.external_user.clone()),
        },
    };
    paywall::render(telling, &told)
}

fn data(facts: &Facts<'_>, kind: EventType, link: &PaywallLink) -> Data {
    let (entry, wallet) = (facts.entry, facts.wallet);
    let activity = entry.id().to_string();
    let currency = wallet.currency.upper();
    let base = Data::new(link.id, facts.scope.tenant)
        .with("walletUserId", wallet.customer_id.to_string())
        .with("externalUserId", link.external_user.clone());
    match kind {
        EventType::PAYWALL_DEPOSIT_CREATED => base
            .with("activityId", activity)
            .money("amount", entry.credits)
            .with("currency", currency)
            .with("source", entry.details.source.clone().unwrap_or_else(|| "api".to_owned()))
            .money("balanceAfter", entry.after)
            .maybe("idempotencyKey", entry.key.as_ref().map(|key| key.key.clone())),
        EventType::PAYWALL_TRIAL_GRANTED => base
            .with("activityId", activity)
            .money("credits", entry.credits)
            .with("currency", currency)
            .maybe("expiresAt", entry.details.expires_at.map(|at| at.to_string())),
        EventType::PAYWALL_CHARGE_CREATED => base
            .with("activityId", activity)
            .money("amount", entry.credits)
            .money("processingFeeAmount", entry.fee)
            .with("currency", currency)
            .with("status", "completed")
            .maybe("holdId", entry.details.hold_id.map(|id| id.to_string())),
        EventType::PAYWALL_CHARGE_COMPLETED => base
            .with("activityId", activity)
            .with("settlementReference", entry.place.settlement_id(entry.at).to_string())
            .money("amount", entry.credits)
            .with("currency", currency)
            .with("settledAt", entry.at.to_string()),
        EventType::PAYWALL_CHARGE_FAILED => base
            .with("activityId", activity)
            .money("amount", entry.credits)
            .with("currency", currency)
            .with("errorCode", entry.details.error_code.clone().unwrap_or_default())
            .with("retryable", true),
        EventType::PAYWALL_HOLD_CREATED => base
            .with("holdId", entry.place.hold_id(entry.at).to_string())
            .money("amount", entry.credits)
            .with("currency", currency)
            .maybe("expiresAt", entry.details.expires_at.map(|at| at.to_string())),
        EventType::PAYWALL_HOLD_RELEASED => base
            .maybe("holdId", entry.details.hold_id.map(|id| id.to_string()))
            .money("amount", entry.credits)
            .with("currency", currency)
            .maybe("cause", entry.details.release_cause.clone()),
        EventType::PAYWALL_REFUND_CREATED => base
            .with("activityId", activity)
            .maybe("chargeActivityId", entry.details.parent.map(|id| id.to_string()))
            .maybe("chargeRequestId", entry.details.request_reference().map(str::to_owned))
            .money("amount", entry.credits)
            .with("currency", currency)
            .maybe("reason", entry.details.description.clone())
            .money("balanceAfter", entry.after),
        _ => base
            .with("activityId", activity)
            .money("amount", entry.credits)
            .with("currency", currency)
            .with("direction", entry.kind.name())
            .maybe("reason", entry.reason.map(Reason::name))
            .money("balanceAfter", entry.after),
    }
}
