//! Top-up links of paywall users: one live link a user, found by the hash of its token.

use crate::sql::{OptionalExtension, Row, params};
use domain::id::CheckoutId;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub id: CheckoutId,
    pub env: u16,
    pub paywall: i64,
    pub external_id: String,
    pub wallet: i64,
    pub token_hash: [u8; 32],
    /// What the token is derived from, so that the same link can be handed out again.
    pub token_seed: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

const COLUMNS: &str = "id, env, paywall, external_id, wallet, token_hash, token_seed, created_at,
    expires_at";

pub fn insert(write: Write<'_>, scope: &Scope, link: &Link) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO checkout_links (id, env, paywall, external_id, wallet, token_hash,
                token_seed, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            Key(link.id.0),
            scope.env.get(),
            link.paywall,
            link.external_id,
            link.wallet,
            link.token_hash,
            link.token_seed,
            Millis(link.created_at),
            Millis(link.expires_at),
        ])?;
    Ok(())
}

/// The user's link that lives beyond `until`, if there is one.
pub fn find_live(
    read: Read<'_>,
    scope: &Scope,
    (paywall, external_id): (i64, &str),
    until: Timestamp,
) -> Result<Option<Link>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM checkout_links WHERE env = ?1 AND paywall = ?2 AND external_id = ?3
            AND expires_at > ?4 ORDER BY expires_at DESC LIMIT 1"
    ))?;
    let found =
        select.query_row(params![scope.env.get(), paywall, external_id, Millis(until)], row);
    Ok(found.optional()?)
}

/// The link of a token, in any environment: whoever has the token has no key.
pub fn find_by_token(read: Read<'_>, token_hash: &[u8; 32]) -> Result<Option<Link>, Error> {
    let mut select = read
        .connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM checkout_links WHERE token_hash = ?1"))?;
    Ok(select.query_row([token_hash], row).optional()?)
}

fn row(row: &Row<'_>) -> crate::sql::Result<Link> {
    Ok(Link {
        id: CheckoutId(row.get::<Key>(0)?.0),
        env: row.get(1)?,
        paywall: row.get(2)?,
        external_id: row.get(3)?,
        wallet: row.get(4)?,
        token_hash: row.get(5)?,
        token_seed: row.get(6)?,
        created_at: row.get::<Millis>(7)?.0,
        expires_at: row.get::<Millis>(8)?.0,
    })
}
