//! What a paywall asks its developer for instead of a template (paywalls 19.6): the secret that
//! signs the question, and the facts in it. It is sent by the server's guarded client.

use std::sync::Arc;

use domain::amount::Amount;
use domain::id::{CustomerId, PaywallId};
use domain::paywall::ExternalUser;
use domain::scope::{Cause, Scope};
use domain::webhook::signature::{SigningKey, secret_from_bytes, sign, sign_body_hex};
use store::paywall_secrets::{self, CUSTOM_RESPONSE};
use store::paywalls::Stored;

use crate::error::Error;
use crate::ports::Request;
use crate::run::Engine;

const SECRET_BYTES: usize = 24;

/// The user as the developer is told of one.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub user: CustomerId,
    /// What is left after holds.
    pub available: Amount,
}

impl Engine {
    /// The secret of this paywall, made when it is first needed.
    pub async fn custom_response_secret(
        &self,
        scope: Scope,
        paywall: &Stored,
    ) -> Result<String, Error> {
        let (no, id) = (paywall.no, paywall.paywall.id);
        let of = (no, CUSTOM_RESPONSE);
        if let Some(sealed) = self.read_now(|read| Ok(paywall_secrets::find(read, &scope, of)?))? {
            return self.opened_secret(&scope, id, &sealed);
        }
        let secret = secret_from_bytes(&self.random.bytes::<SECRET_BYTES>());
        let sealed = self.seal.seal(&self.random, scope.tenant, &place(id), secret.as_bytes())?;
        let kept = self
            .change(scope, move |tx| {
                let now = tx.now();
                paywall_secrets::insert(tx.write()?, &scope, of, (&sealed, now))?;
                Ok(paywall_secrets::find(tx.read()?, &scope, of)?)
            })
            .await?;
        self.opened_secret(&scope, id, &kept.unwrap_or_default())
    }

    fn opened_secret(&self, scope: &Scope, id: PaywallId, sealed: &[u8]) -> Result<String, Error> {
        let secret = self.seal.open(scope.tenant, &place(id), sealed)?;
        String::from_utf8(secret).map_err(|_| Error::operation("a stored secret is broken"))
    }

    /// How a user of the paywall stands now.
    pub async fn standing(
        &self,
        scope: Scope,
        (paywall, user): (&Arc<Stored>, &ExternalUser),
    ) -> Result<Standing, Error> {
        let cause = Cause::schedule();
        let (account, sight) = self.account_now(scope, paywall, user, &cause).await?;
        Ok(Standing { user: sight.payer.customer, available: account.credits - account.held })
    }

    /// The signed question, in the headers of a webhook; `id` names it.
    pub fn custom_question(
        &self,
        (url, timeout_ms): (&str, u64),
        secret: &str,
        (id, body): (&str, Vec<u8>),
    ) -> Request {
        let at = self.real_now();
        let keys = [SigningKey::parse(secret)];
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", at.seconds().to_string()),
            ("webhook-signature", sign(&keys, id, at.seconds(), &body)),
            ("x-paywalls-signature", sign_body_hex(secret, &body)),
            ("x-paywalls-timestamp", at.to_string()),
        ];
        Request {
            url: url.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: body.into(),
            timeout_ms,
        }
    }
}

/// What is sealed is bound to its paywall.
fn place(paywall: PaywallId) -> String {
    format!("paywall_secrets.custom_response:{paywall}")
}
