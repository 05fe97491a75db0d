//! Commands on paywalls.

use std::sync::Arc;

use domain::event::paywall::{Data, Told, paywall_subject};
use domain::id::PaywallId;
use domain::key::KeyKind;
use domain::paywall::{Birth, Paywall, PaywallError, Problem};
use domain::scope::{Cause, Scope};
use domain::webhook::catalogue::EventType;
use serde_json::{Value, json};
use store::Tx;
use store::paywalls::Stored;

use crate::error::{Class, Error, Fault};
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

    /// The paywall of a key, from memory where it is there.
    pub fn paywall(&self, scope: &Scope, no: i64) -> Result<Arc<Stored>, Error> {
        if let Some(found) = self.paywalls.get(&no) {
            return Ok(found);
        }
        let stored = self.read_now(|read| Ok(store::paywalls::find_by_no(read, scope, no)?))?;
        let found = Arc::new(stored.ok_or_else(|| Error::not_found("paywall"))?);
        self.paywalls.insert(no, found.clone());
        Ok(found)
    }

    /// Forgets a paywall that changed, before the change is answered.
    pub fn forget_paywall(&self, no: i64) {
        self.paywalls.remove(&no);
    }
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

impl Engine {
    /// Calls that could bring or take money pass only while paywall and user are active
    /// (paywalls 10.3). A refusal is told as `request.blocked`.
    pub async fn gate(
        &self,
        scope: Scope,
        paywall: &Arc<Stored>,
        (user, sight): (&domain::paywall::ExternalUser, &crate::users::Sight),
        cause: &Cause,
    ) -> Result<(), Error> {
        let (code, message) = if paywall.paywall.is_archived() {
            ("paywall_archived", "this paywall is archived: no money moves through it")
        } else if sight.suspended {
            ("user_suspended", "this user is suspended by the owner of the paywall")
        } else {
            return Ok(());
        };
        let (no, id) = (paywall.no, paywall.paywall.id);
        let (user, customer, cause) = (user.clone(), sight.customer, cause.clone());
        self.change(scope, move |tx| {
            let data = Data::new(id, tx.scope().tenant)
                .with("walletUserId", customer.to_string())
                .with("externalUserId", user.as_str())
                .with("reason", code)
                .maybe("requestId", cause.request.map(|id| id.to_string()));
            let request = cause.request.map(|id| id.to_string()).unwrap_or_default();
            let subject = domain::event::paywall::Subject {
                kind: "paywall.request",
                id: request,
                external_id: Some(user.as_str().to_owned()),
            };
            let kind = EventType::PAYWALL_REQUEST_BLOCKED;
            tx.tell_paywall((no, id), Some(customer), kind, &cause, |telling| {
                let actor = &cause.actor;
                let told = Told { paywall: id, data, metadata: None, actor, subject };
                domain::event::paywall::render(telling, &told)
            })?;
            Ok::<_, Error>(())
        })
        .await?;
        Err(Error::forbidden(code, message))
    }
}
