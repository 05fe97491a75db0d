//! Commands on paywalls.

use std::sync::Arc;

use domain::event::paywall::{Data, Told, paywall_subject};
use domain::id::PaywallId;
use domain::key::KeyKind;
use domain::ledger::entry::KeyUse;
use domain::paywall::{Birth, Fees, Paywall, PaywallError, Problem};
use domain::scope::{Cause, Scope};
use domain::webhook::catalogue::EventType;
use serde_json::{Value, json};
use store::paywalls::Stored;
use store::{Read, Tx};

use crate::error::{Class, Error, Fault};
use crate::idempotency::{Answered, Shown};
use crate::keys::{self, KeyPlan};
use crate::run::Engine;

/// A paywall that was just made, with its key's text.
#[derive(Clone, Debug)]
pub struct Created {
    pub paywall: Paywall,
    pub api_key: String,
}

impl Engine {
    /// Makes a paywall and its key. `body` is the request's JSON.
    pub async fn create_paywall(
        &self,
        scope: Scope,
        cause: Cause,
        body: Value,
    ) -> Result<Created, Error> {
        let plan = paywall_key_plan(scope, body.get("apiKey"))?;
        let text = self.key_text(&plan);
        self.change(scope, move |tx| create(tx, &cause, &body, (&plan, &text))).await
    }

    /// As `create_paywall`, once for a key; only a super admin may set the operator's fees.
    pub async fn create_paywall_once(
        &self,
        scope: Scope,
        cause: Cause,
        (body, may_set_fees, key): (Value, bool, Option<KeyUse>),
        render: impl Fn(&Created) -> Shown + Send + 'static,
    ) -> Result<Answered, Error> {
        let plan = paywall_key_plan(scope, body.get("apiKey"))?;
        let text = self.key_text(&plan);
        let work = move |tx: &mut Tx<'_>| {
            let created = create(tx, &cause, &body, (&plan, &text))?;
            if created.paywall.fees != Fees::default() && !may_set_fees {
                let message = "only a key with the role super_admin may set fees";
                return Err(Error::forbidden("permission_denied", message));
            }
            Ok(created)
        };
        self.once_shown(scope, key, work, render).await
    }

    /// Newest first, below number `before`.
    pub async fn paywalls_page(
        &self,
        scope: Scope,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Stored>, Error> {
        self.read(move |read| Ok(store::paywalls::page(read, &scope, before, limit)?)).await
    }

    /// The paywall with this id.
    pub fn find_paywall(&self, scope: &Scope, id: PaywallId) -> Result<Arc<Stored>, Error> {
        self.read_now(|read| find(read, scope, id)).map(Arc::new)
    }

    /// The paywall of a key, from memory where it is there.
    pub fn paywall(&self, scope: &Scope, no: i64) -> Result<Arc<Stored>, Error> {
        if let Some(found) = self.paywalls.get(&no) {
            return Ok(found);
        }
        let seen = self.forgets();
        let stored = self.read_now(|read| Ok(store::paywalls::find_by_no(read, scope, no)?))?;
        let found = Arc::new(stored.ok_or_else(|| Error::not_found("paywall"))?);
        self.remember(&self.paywalls, seen, (no, found.clone()));
        Ok(found)
    }

    /// Forgets a paywall that changed, before the change is answered.
    pub fn forget_paywall(&self, no: i64) {
        self.forget();
        self.paywalls.remove(&no);
        self.offers.remove(&no);
    }
}

pub(crate) fn find(read: Read<'_>, scope: &Scope, id: PaywallId) -> Result<Stored, Error> {
    store::paywalls::find(read, scope, id)?.ok_or_else(|| Error::not_found("paywall"))
}

/// A supplied key must be of system B's form.
pub fn paywall_key_plan(scope: Scope, supplied: Option<&Value>) -> Result<KeyPlan, Error> {
    let supplied = match supplied {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if domain::key::is_supplied_paywall_key(text) => {
            Some(text.clone())
        }
        Some(_) => {
            let message = "must be sk-paywalls-v1- and at least 40 letters and digits";
            return Err(Fault::new(Class::Invalid, "invalid_request", message).at("apiKey").into());
        }
    };
    Ok(KeyPlan {
        scope,
        kind: KeyKind::Pw,
        paywall: None,
        name: "paywall key".to_owned(),
        grants: Vec::new(),
        expires_at: None,
        supplied,
    })
}

pub fn create(
    tx: &mut Tx<'_>,
    cause: &Cause,
    body: &Value,
    (plan, text): (&KeyPlan, &str),
) -> Result<Created, Error> {
    let scope = tx.scope();
    let birth = Birth {
        id: PaywallId(tx.mint()),
        at: tx.now(),
        secret_last_four: domain::key::last_four(text),
        livemode: scope.live,
    };
    let paywall = Paywall::create(body, birth).map_err(refusal)?;
    let no = store::paywalls::insert(tx.write()?, &scope, &paywall, &cause.actor.id)?;
    let plan = KeyPlan { paywall: Some(no), ..plan.clone() };
    keys::insert(tx, cause, &plan, text)?;
    tell(tx, (no, paywall.id), EventType::PAYWALL_CREATED, cause, |data| {
        data.with("name", paywall.name.clone()).with("actorId", cause.actor.id.clone())
    })?;
    let after = json!(paywall);
    let entity = ("paywall", paywall.id.to_string());
    crate::audit::record(tx, cause, "paywall.created", entity, (None, Some(after)))?;
    Ok(Created { paywall, api_key: text.to_owned() })
}

/// Tells an event about the paywall itself.
pub fn tell(
    tx: &mut Tx<'_>,
    paywall: (i64, PaywallId),
    kind: EventType,
    cause: &Cause,
    fill: impl FnOnce(Data) -> Data,
) -> Result<(), Error> {
    let data = fill(Data::new(paywall.1, tx.scope().tenant));
    tx.tell_paywall(paywall, None, kind, cause, |telling| {
        let told = Told {
            paywall: paywall.1,
            data,
            metadata: None,
            actor: &cause.actor,
            subject: paywall_subject(paywall.1),
        };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}

/// A refused configuration in the words of the surfaces.
pub fn refusal(error: PaywallError) -> Error {
    let (class, code) = match error.problem {
        Problem::NotBuilt => (Class::NotBuilt, "not_implemented"),
        Problem::ModeImmutable => (Class::Conflict, "mode_immutable"),
        Problem::Immutable => (Class::Conflict, "immutable_field"),
        _ => (Class::Invalid, "validation_error"),
    };
    Fault::new(class, code, error.to_string()).at(error.param).into()
}
