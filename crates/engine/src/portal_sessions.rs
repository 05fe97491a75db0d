//! Sessions of customers in the portal: one customer of one environment, for an hour of the
//! environment's clock.

use domain::key::{self, KeyError, KeyKind, ParsedKey};
use domain::scope::{Actor, ActorKind, Cause, Scope, Source};
use domain::time::{DAY_MS, HOUR_MS, Timestamp};
use serde_json::json;
use store::Tx;
use store::customers::Stored;
use store::portal_sessions::{self as sessions, Session};

use crate::error::{Class, Error, Fault};
use crate::run::Engine;
use crate::{audit, customers};

/// Nodes may differ by so much about what time it is.
const SKEW_MS: i64 = 60_000;
/// Sessions that ended are known for so long, to say that they did.
const KEPT_MS: i64 = DAY_MS;
pub const SESSION_MS: i64 = HOUR_MS;

/// A session that was just made; the only moment at which its token is told.
#[derive(Clone, Debug)]
pub struct Opened {
    pub url: String,
    pub token: String,
    pub expires_at: Timestamp,
}

/// A customer who calls with a token that is good now.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub session: Session,
    pub customer: Stored,
}

impl Visitor {
    pub fn scope(&self) -> Scope {
        self.session.scope
    }

    pub fn actor(&self) -> Actor {
        let id = self.customer.customer.id.to_string();
        Actor { source: Source::Portal, kind: ActorKind::WalletUser, id }
    }
}

impl Engine {
    /// Opens the portal for the customer whom the caller calls so.
    pub async fn open_portal(
        &self,
        scope: Scope,
        cause: Cause,
        external_id: String,
    ) -> Result<Opened, Error> {
        if scope.live && !self.public_url.starts_with("https://") {
            let message =
                "the portal of a production environment needs an https FAREBOX_PUBLIC_URL";
            return Err(Error::operation(message));
        }
        let token = key::make_key(scope.live, KeyKind::Ps, &self.random.bytes());
        let url = format!("{}/portal/open/{token}", self.public_url);
        let text = token.clone();
        let work = move |tx: &mut Tx<'_>| begin(tx, &cause, &external_id, &text);
        let expires_at = self.change(scope, work).await?;
        Ok(Opened { url, token, expires_at })
    }

    /// Who a token stands for.
    pub fn portal_visitor(&self, token: &str) -> Result<Visitor, Error> {
        match key::check_key(token) {
            Ok(ParsedKey { kind: KeyKind::Ps, .. }) => {}
            Err(KeyError::WrongChecksum) => return Err(unknown()),
            _ => return Err(unauthorized("this is not the token of a portal session")),
        }
        let hash = key::fingerprint(token);
        let (session, customer) = self.read_now(|read| {
            let session = sessions::find(read, &hash)?.ok_or_else(unknown)?;
            let customer = store::customers::find_by_no(read, &session.scope, session.customer)?;
            Ok::<_, Error>((session, customer))
        })?;
        let now = self.now(&session.scope);
        // A test clock that was taken away leaves none that lasts for years.
        let is_of_now = session.created_at <= now.plus_ms(SKEW_MS);
        if session.expires_at <= now || !is_of_now {
            return Err(unauthorized("this portal session has ended; ask for a new link"));
        }
        if session.tenant_suspended {
            return Err(Error::forbidden("permission_denied", "this tenant is suspended"));
        }
        let customer = customers::present(customer).map_err(|_| unknown())?;
        Ok(Visitor { session, customer })
    }

    /// Ends all sessions of a customer.
    pub async fn close_portal(
        &self,
        scope: Scope,
        cause: Cause,
        external_id: String,
    ) -> Result<(), Error> {
        self.change(scope, move |tx| {
            let customer = customers::require_external(tx, &external_id)?;
            let ended = sessions::end_of_customer(tx.write()?, &scope, customer.no)?;
            if ended == 0 {
                return Ok(());
            }
            let entity = ("customer", customer.customer.id.to_string());
            let before = Some(json!({ "sessions": ended }));
            audit::record(tx, &cause, "portal_session.ended", entity, (before, None))
        })
        .await
    }

    /// The customer leaves.
    pub async fn leave_portal(&self, visitor: &Visitor) -> Result<(), Error> {
        let (scope, hash) = (visitor.scope(), visitor.session.hash);
        self.change(scope, move |tx| Ok(sessions::end(tx.write()?, &scope, hash)?)).await
    }
}

fn begin(
    tx: &mut Tx<'_>,
    cause: &Cause,
    external_id: &str,
    token: &str,
) -> Result<Timestamp, Error> {
    let customer = customers::require_external(tx, external_id)?;
    let (scope, now) = (tx.scope(), tx.now());
    let session = Session {
        hash: key::fingerprint(token),
        scope,
        customer: customer.no,
        display: key::mask(token),
        created_at: now,
        expires_at: now.plus_ms(SESSION_MS),
        tenant_suspended: false,
    };
    sessions::sweep(tx.write()?, &scope, now.plus_ms(-KEPT_MS))?;
    sessions::insert(tx.write()?, &session)?;
    let entity = ("customer", customer.customer.id.to_string());
    let after = json!({ "token": session.display, "expires_at": session.expires_at });
    audit::record(tx, cause, "portal_session.created", entity, (None, Some(after)))?;
    Ok(session.expires_at)
}

fn unknown() -> Error {
    unauthorized("this portal session is not known here; ask for a new link")
}

fn unauthorized(message: &str) -> Error {
    Fault::new(Class::Unauthorized, "unauthorized", message).into()
}
