//! Top-up links: one live link a user, handed out again while it has an hour to go (paywalls 24.1).

use std::fmt::Write;
use std::sync::Arc;

use domain::event::paywall::{Data, Subject, Told};
use domain::id::CheckoutId;
use domain::paywall::{Paywall, Rail, fill_topup_url};
use domain::place::EnvNo;
use domain::scope::{Cause, Scope};
use domain::time::{DAY_MS, HOUR_MS, Timestamp};
use domain::webhook::catalogue::EventType;
use sha2::{Digest, Sha256};
use store::Tx;
use store::checkout_links::{self, Link};
use store::paywalls::Stored as StoredPaywall;

use crate::blocks::Caller;
use crate::error::{Class, Error, Fault};
use crate::run::Engine;
use crate::users::Sight;

/// Random bytes of a token: twice the 128 bits that are asked for.
const TOKEN_BYTES: usize = 32;

/// A link as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopupLink {
    pub id: CheckoutId,
    pub url: String,
    pub expires_at: Timestamp,
}

/// A token that was made before the transaction, in case a new link is needed. The token is derived
/// from what is stored, so that the same link can be handed out again without storing its text.
#[derive(Clone, Debug)]
pub struct SpareToken {
    seed: [u8; TOKEN_BYTES],
    secret: [u8; 32],
    public_url: String,
}

impl Engine {
    pub fn spare_token(&self) -> SpareToken {
        SpareToken {
            seed: self.random.bytes(),
            secret: self.seal.token_key(),
            public_url: self.public_url.clone(),
        }
    }
}

impl TopupLink {
    /// Whether it was made at this moment, and not handed out again.
    pub(crate) fn is_new_at(&self, now: Timestamp) -> bool {
        self.expires_at == now.plus_ms(DAY_MS)
    }
}

impl SpareToken {
    /// The token of a link: a keyed hash of its stored seed.
    fn text(&self, seed: &[u8]) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(seed);
        let digest: [u8; 32] = hasher.finalize().into();
        digest.iter().fold(String::with_capacity(2 * TOKEN_BYTES), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Links of production environments are https.
    fn may_hand_out(&self, scope: &Scope) -> bool {
        !scope.live || self.public_url.starts_with("https://")
    }

    fn link(&self, link: &Link) -> TopupLink {
        let token = self.text(&link.token_seed);
        let url = format!("{}/v1/checkout/{token}", self.public_url);
        TopupLink { id: link.id, url, expires_at: link.expires_at }
    }
}

pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The user's live link, or a new one. `None` in a production environment whose links would not
/// be https: such a link is not handed out, and the operator is warned.
pub fn live_or_new(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    user: (&str, &Sight),
    spare: &SpareToken,
    cause: &Cause,
) -> Result<Option<TopupLink>, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    if !spare.may_hand_out(&scope) {
        tracing::warn!("top-up links need FAREBOX_PUBLIC_URL to be https; none was handed out");
        return Ok(None);
    }
    let until = now.plus_ms(HOUR_MS);
    let live = checkout_links::find_live(tx.read()?, &scope, (paywall.no, user.0), until)?;
    if let Some(link) = live {
        return Ok(Some(spare.link(&link)));
    }
    let link = Link {
        id: CheckoutId(tx.mint()),
        env: scope.env.get(),
        paywall: paywall.no,
        external_id: user.0.to_owned(),
        wallet: user.1.wallet,
        token_hash: token_hash(&spare.text(&spare.seed)),
        token_seed: spare.seed.to_vec(),
        created_at: now,
        expires_at: now.plus_ms(DAY_MS),
    };
    checkout_links::insert(tx.write()?, &scope, &link)?;
    let handed_out = spare.link(&link);
    tell(tx, paywall, user, &handed_out, cause)?;
    Ok(Some(handed_out))
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The developer's own page.
    Address(String),
    /// The built-in page.
    Page {
        paywall: Box<Paywall>,
        user: String,
    },
    Expired,
}

impl Engine {
    /// The link of a user, handed out again or made.
    pub async fn topup_link(
        &self,
        scope: Scope,
        paywall: &Arc<StoredPaywall>,
        caller: Caller<'_>,
    ) -> Result<TopupLink, Error> {
        self.gate_archived(scope, paywall, caller).await?;
        if let Some(link) = self.live_topup_link(&scope, paywall.no, caller.user.as_str())? {
            return Ok(link);
        }
        let (paywall, spare) = (paywall.clone(), self.spare_token());
        let (user, sight) = (caller.user.clone(), caller.sight.clone());
        let cause = caller.cause.clone();
        let made = self.change(scope, move |tx| {
            live_or_new(tx, &paywall, (user.as_str(), &sight), &spare, &cause)
        });
        made.await?.ok_or_else(|| {
            let message = "top-up links need an https FAREBOX_PUBLIC_URL; tell the operator";
            Fault::new(Class::Unavailable, "provider_not_configured", message).into()
        })
    }

    /// The link that would be handed out again, if there is one.
    pub fn live_topup_link(
        &self,
        scope: &Scope,
        paywall: i64,
        user: &str,
    ) -> Result<Option<TopupLink>, Error> {
        let spare = self.spare_token();
        if !spare.may_hand_out(scope) {
            return Ok(None);
        }
        let until = self.now(scope).plus_ms(HOUR_MS);
        let live = self.read_now(|read| {
            let live = checkout_links::find_live(read, scope, (paywall, user), until)?;
            Ok::<_, Error>(live)
        })?;
        Ok(live.map(|link| spare.link(&link)))
    }

    /// Where the link of a token leads. Whoever has the token needs no key.
    pub fn checkout_target(&self, token: &str) -> Result<Target, Error> {
        let unknown = || Error::not_found("link");
        let hash = token_hash(token);
        let (link, environment, stored) = self.read_now(|read| {
            let link = checkout_links::find_by_token(read, &hash)?.ok_or_else(unknown)?;
            let environment = store::tenants::find_environment(read, EnvNo::new(link.env))?;
            let environment = environment.ok_or_else(unknown)?;
            let paywall = store::paywalls::find_by_no(read, &environment.scope, link.paywall)?;
            Ok::<_, Error>((link, environment, paywall.ok_or_else(unknown)?))
        })?;
        if link.expires_at <= self.now(&environment.scope) {
            return Ok(Target::Expired);
        }
        let payment = &stored.paywall.payment;
        Ok(match (&payment.topup_url, payment.rail) {
            (Some(address), Rail::Custom) => {
                Target::Address(fill_topup_url(address, &link.external_id, token))
            }
            _ => Target::Page { paywall: Box::new(stored.paywall), user: link.external_id },
        })
    }
}

fn tell(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    (external_id, sight): (&str, &Sight),
    link: &TopupLink,
    cause: &Cause,
) -> Result<(), Error> {
    let id = paywall.paywall.id;
    let data = Data::new(id, tx.scope().tenant)
        .with("walletUserId", sight.payer.customer.to_string())
        .with("externalUserId", external_id)
        .with("redirectUrl", link.url.clone())
        .with("checkoutSessionId", link.id.to_string())
        .with("linkId", link.id.to_string())
        .with("expiresAt", link.expires_at.to_string());
    let subject = Subject {
        kind: "paywall.balance",
        id: link.id.to_string(),
        external_id: Some(external_id.to_owned()),
    };
    let kind = EventType::PAYWALL_TOPUP_LINK_CREATED;
    tx.tell_paywall((paywall.no, id), Some(sight.payer), kind, cause, |telling| {
        let told = Told { paywall: id, data, metadata: None, actor: &cause.actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
