//! Top-up links: one live link a user, handed out again while it has an hour to go (paywalls 24.1).

use domain::event::paywall::{Data, Subject, Told};
use domain::id::CheckoutId;
use domain::scope::Cause;
use domain::time::{DAY_MS, HOUR_MS, Timestamp};
use domain::webhook::catalogue::EventType;
use sha2::{Digest, Sha256};
use store::Tx;
use store::checkout_links::{self, Link};
use store::paywalls::Stored as StoredPaywall;

use crate::error::Error;
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

impl SpareToken {
    /// The token of a link: a keyed hash of its stored seed.
    fn text(&self, seed: &[u8]) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.secret);
        hasher.update(seed);
        let digest: [u8; 32] = hasher.finalize().into();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn link(&self, link: &Link) -> TopupLink {
        let token = self.text(&link.token_sealed);
        let url = format!("{}/v1/checkout/{token}", self.public_url);
        TopupLink { id: link.id, url, expires_at: link.expires_at }
    }
}

pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Links that a paywall can offer at all: not while its rail is `none`… the built-in page then says
/// how to reach the owner, so every paywall has one.
pub fn live_or_new(
    tx: &mut Tx<'_>,
    paywall: &StoredPaywall,
    user: (&str, &Sight),
    spare: &SpareToken,
    cause: &Cause,
) -> Result<TopupLink, Error> {
    let (scope, now) = (tx.scope(), tx.now());
    let until = now.plus_ms(HOUR_MS);
    let live = checkout_links::find_live(tx.read()?, &scope, (paywall.no, user.0), until)?;
    if let Some(link) = live {
        return Ok(spare.link(&link));
    }
    let link = Link {
        id: CheckoutId(tx.mint()),
        env: scope.env.get(),
        paywall: paywall.no,
        external_id: user.0.to_owned(),
        wallet: user.1.wallet,
        token_hash: token_hash(&spare.text(&spare.seed)),
        token_sealed: spare.seed.to_vec(),
        created_at: now,
        expires_at: now.plus_ms(DAY_MS),
    };
    checkout_links::insert(tx.write()?, &scope, &link)?;
    let handed_out = spare.link(&link);
    tell(tx, paywall, user, &handed_out, cause)?;
    Ok(handed_out)
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
        .with("walletUserId", sight.customer.to_string())
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
    tx.tell_paywall((paywall.no, id), Some(sight.customer), kind, cause, |telling| {
        let told = Told { paywall: id, data, metadata: None, actor: &cause.actor, subject };
        domain::event::paywall::render(telling, &told)
    })?;
    Ok(())
}
