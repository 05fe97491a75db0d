//! Refunds: a charge, or one request of it, is given back to its user (paywalls 12.2).
//!
//! They work on archived paywalls and for suspended users. What was refunded before is read in the
//! transaction that refunds, so two refunds at once cannot both have the rest.

use std::sync::Arc;

use domain::amount::Amount;
use domain::id::{RequestId, TransactionId};
use domain::ledger::entry::{Activity, Details, KeyUse, Kind, REQUEST_REFERENCE, Status};
use domain::ledger::lot::Lot;
use domain::ledger::refund::{self, Left};
use domain::ledger::{Entry, Refusal};
use domain::paywall::ExternalUser;
use domain::place::{Place, Placed};
use domain::scope::{Cause, Scope};
use domain::wallet::Wallet;
use store::paywalls::Stored as StoredPaywall;
use store::{Read, Tx};

use crate::charges::{Moved, posted_entry};
use crate::error::Error;
use crate::idempotency::{Answered, Reply};
use crate::run::Engine;
use domain::proxy::story::Status as RequestStatus;

/// What a refund names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Activity(TransactionId),
    Request(RequestId),
}

#[derive(Clone, Debug)]
pub struct RefundAsk {
    pub paywall: Arc<StoredPaywall>,
    pub named: Named,
    /// A user that is named too must have paid.
    pub user: Option<ExternalUser>,
    /// Absent: all that is left.
    pub amount: Option<Amount>,
    pub reason: Option<String>,
    /// The text of a JSON object.
    pub metadata: Option<String>,
    pub key: Option<KeyUse>,
    pub cause: Cause,
}

/// A charge, or a part of it, that may be refunded up to an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Place of the charge's entry.
    pub charge: Place,
    /// The most that all refunds of this part may come to.
    pub most: Amount,
    /// The name of the part: one request of the charge. Absent: all of the charge.
    pub request: Option<RequestId>,
}

#[derive(Clone, Debug)]
pub struct Refunded {
    /// The row that says it; the first where there are several.
    pub entry: Entry,
    pub wallet: Arc<Wallet>,
    pub credits: Amount,
    /// What may still be refunded of the same part.
    pub left: Amount,
    /// The balance after it.
    pub after: Amount,
}

impl Engine {
    pub async fn refund(
        &self,
        scope: Scope,
        ask: RefundAsk,
        render: impl Fn(&Refunded) -> Reply + Send + 'static,
    ) -> Result<Answered, Error> {
        let key = ask.key.clone();
        let work = move |tx: &mut Tx<'_>| {
            let scope = tx.scope();
            let part = find(tx.read()?, &scope, &ask)?;
            refund(tx, part, &ask)
        };
        self.once(scope, key, work, render).await
    }
}

/// The part that the ask names. What belongs to another paywall or user is not there.
fn find(read: Read<'_>, scope: &Scope, ask: &RefundAsk) -> Result<Part, Error> {
    match ask.named {
        Named::Activity(id) => find_activity(read, scope, (id, ask)),
        Named::Request(id) => find_request(read, scope, (id, ask)),
    }
}

fn find_activity(
    read: Read<'_>,
    scope: &Scope,
    (id, ask): (TransactionId, &RefundAsk),
) -> Result<Part, Error> {
    let missing = || Error::not_found("charge");
    let entry = store::entries::find(read, scope, id.place())?.ok_or_else(missing)?;
    let (wallet, _) = store::events::Versions::default().of_entry(read, &entry)?;
    let is_there = wallet.paywall.as_ref().is_some_and(|link| {
        link.no == ask.paywall.no && is_payer(ask, &link.external_user) && entry.id() == id
    });
    if !is_there {
        return Err(missing());
    }
    if entry.activity != Activity::Charge || entry.status != Status::Completed {
        let what = (entry.status.name(), entry.activity.name());
        let message = format!("this is a {} {}: only a paid charge is refunded", what.0, what.1);
        return Err(Error::invalid("activityId", message));
    }
    Ok(Part { charge: entry.place, most: entry.credits, request: None })
}

/// A proxied request: its story names the charge that it is all of, or a part of.
fn find_request(
    read: Read<'_>,
    scope: &Scope,
    (id, ask): (RequestId, &RefundAsk),
) -> Result<Part, Error> {
    let missing = || Error::not_found("request");
    let story = store::proxy_requests::find(read, scope, (ask.paywall.no, id))?;
    let story = story.filter(|story| is_payer(ask, &story.external_user_id)).ok_or_else(missing)?;
    match story.charge {
        Some(charge) => Ok(Part {
            charge: charge.activity_id.place(),
            most: charge.amount - charge.uncollected,
            request: Some(id),
        }),
        // A charge that was announced follows, at the latest with its batch.
        None if story.status == RequestStatus::Open || story.deferred => {
            let message = "the request is not charged yet: refund it when it is";
            Err(Error::conflict("request_open", message))
        }
        None => Err(Refusal::AlreadyRefunded.into()),
    }
}

fn is_payer(ask: &RefundAsk, user: &str) -> bool {
    ask.user.as_ref().is_none_or(|named| named.as_str() == user)
}

/// Gives back what is asked of the part, or all that is left of it.
pub(crate) fn refund(tx: &mut Tx<'_>, part: Part, ask: &RefundAsk) -> Result<Refunded, Error> {
    let scope = tx.scope();
    let missing = || Error::not_found("charge");
    let charge = tx.entry(part.charge)?.ok_or_else(missing)?;
    let (refunded, of_part) =
        store::refunds::totals(tx.read()?, &scope, part.charge, part.request)?;
    let of_charge = charge.credits - refunded;
    let of_part = if part.request.is_some() { part.most - of_part } else { of_charge };
    let left = Left { of_charge, of_part };
    let credits = left.grant(ask.amount)?;
    let lots = origins(tx.read()?, &scope, &charge)?;
    let details = details(part, ask, &charge);
    let (charge, cause) = (&charge, &ask.cause);
    let asked = refund::Refund { charge, lots: &lots, refunded, credits, details, key: None };
    let places = tx
        .account(charge.wallet_no, |account, log| refund::post(account, log, cause, asked))?
        .ok_or_else(missing)??;
    let (first, after) = note(tx, part, &places)?;
    Ok(Refunded {
        wallet: first.wallet,
        entry: first.entry,
        credits,
        left: left.amount() - credits,
        after,
    })
}

/// The lots that an entry names, as the credits of its own wallet made them.
pub(crate) fn origins(read: Read<'_>, scope: &Scope, entry: &Entry) -> Result<Vec<Lot>, Error> {
    let mut lots = Vec::with_capacity(entry.taken.len());
    for taken in &entry.taken {
        let credit = store::entries::find(read, scope, taken.lot)?;
        let is_own =
            |credit: &Entry| credit.wallet_no == entry.wallet_no && credit.kind == Kind::Credit;
        lots.extend(credit.filter(is_own).map(|credit| Lot::of(&credit)));
    }
    Ok(lots)
}

fn details(part: Part, ask: &RefundAsk, charge: &Entry) -> Details {
    let own = charge.details.request_reference().map(str::to_owned);
    let request = part.request.map(|id| id.to_string()).or(own);
    Details {
        description: ask.reason.clone(),
        call_metadata: ask.metadata.clone(),
        reference_type: request.as_ref().map(|_| REQUEST_REFERENCE.to_owned()),
        reference_id: request,
        ..Details::default()
    }
}

/// Writes down what went back. Returns the first row, and the balance after the last.
fn note(tx: &mut Tx<'_>, part: Part, places: &[Place]) -> Result<(Moved, Amount), Error> {
    let scope = tx.scope();
    let (mut first, mut after) = (None, Amount::ZERO);
    for &place in places {
        let row = posted_entry(tx, place)?;
        after = row.entry.after;
        let refund = store::refunds::Refund {
            charge: part.charge,
            entry: place,
            request: part.request,
            credits: row.entry.credits,
        };
        store::refunds::insert(tx.write()?, &scope, &refund)?;
        first = first.or(Some(row));
    }
    Ok((first.ok_or_else(|| Error::not_found("refund"))?, after))
}

#[cfg(test)]
mod tests {
    use domain::id::Ulid;
    use domain::scope::Cause;
    use serde_json::json;

    use super::*;
    use crate::charges::{ChargeAsk, Charged};
    use crate::deposits::{DepositAsk, Origin};
    use crate::random::Random;
    use crate::run::Settings;
    use crate::seal::Seal;

    /// A user who paid 10 with one charge.
    struct Payer {
        engine: Arc<Engine>,
        scope: Scope,
        ask: RefundAsk,
        charge: Place,
        _folder: tempfile::TempDir,
    }

    async fn payer() -> Payer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("farebox.db");
        let database = store::Database::open(&store::Location::file(path), true).unwrap();
        let (seal, random) = (Seal::none(), Random::seeded(1));
        let settings = Settings { seal, random, public_url: "http://127.0.0.1".into() };
        let engine = Engine::start(database, settings).unwrap();
        let scope = engine.ensure_tenant("Test").await.unwrap();
        let cause = Cause::schedule();
        let body = json!({ "name": "Demo", "currency": "USD" });
        let id = engine.create_paywall(scope, cause.clone(), body).await.unwrap().paywall.id;
        let paywall = engine.find_paywall(&scope, id).unwrap();
        let (user, amount) = (ExternalUser::parse("ann").unwrap(), Amount::units(10));
        let (metadata, key) = (None, None);
        let deposit = DepositAsk {
            paywall: paywall.clone(),
            user: user.clone(),
            amount,
            origin: Origin::Deposit,
            expires_at: None,
            metadata: None,
            key: None,
            cause: cause.clone(),
        };
        engine.deposit(scope, deposit).await.unwrap();
        let charge = ChargeAsk {
            paywall: paywall.clone(),
            user,
            amount,
            metadata,
            key,
            cause: cause.clone(),
        };
        let Charged::Paid(paid) = engine.charge(scope, charge).await.unwrap() else {
            unreachable!("there was enough")
        };
        let ask = RefundAsk {
            paywall,
            named: Named::Activity(paid.entry.id()),
            user: None,
            amount: None,
            reason: None,
            metadata: None,
            key: None,
            cause,
        };
        Payer { engine, scope, ask, charge: paid.entry.place, _folder: folder }
    }

    impl Payer {
        /// (refunded, left) in whole units, or the refusal in words.
        async fn refund(&self, part: (Option<u128>, i64), asked: Option<i64>) -> String {
            let request = part.0.map(|no| RequestId(Ulid(no)));
            let part = Part { charge: self.charge, most: Amount::units(part.1), request };
            let ask = RefundAsk { amount: asked.map(Amount::units), ..self.ask.clone() };
            let work = move |tx: &mut Tx<'_>| refund(tx, part, &ask);
            match self.engine.change(self.scope, work).await {
                Ok(refunded) => format!("{} left {}", refunded.credits, refunded.left),
                Err(error) => error.to_string(),
            }
        }
    }

    #[tokio::test]
    async fn parts_of_a_charge_are_bounded_by_themselves_and_by_the_charge() {
        let payer = payer().await;
        let (one, two, whole) = ((Some(1), 3), (Some(2), 7), (None, 10));
        let nothing = "nothing of it is left to refund";
        let table = [
            (one, Some(2), "2 left 1"),
            (one, Some(2), "the refund of 2 exceeds the 1 that are left of the charge"),
            (two, Some(1), "1 left 6"),
            (one, None, "1 left 0"),
            (one, None, nothing),
            (whole, Some(4), "4 left 2"),
            (two, None, "2 left 0"),
            (whole, None, nothing),
        ];
        for (part, asked, expected) in table {
            assert_eq!(payer.refund(part, asked).await, expected, "{part:?} {asked:?}");
        }
        let proof = payer.engine.verify(payer.scope).await.unwrap();
        assert!(proof.balanced, "{:?}", proof.findings);
        assert_eq!(proof.totals["USD"]["available"], Amount::units(10));
    }
}
