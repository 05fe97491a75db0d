//! Requests of the proxy that are under way or not settled, a row each; and where to find any
//! request's story, of these or of those that ended (`proxy_packs`).

use crate::sql::{Connection, OptionalExtension, Row, params};
use domain::id::{RequestId, Ulid};
use domain::place::EnvNo;
use domain::proxy::story::{Packed, Status, Story};
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::proxy_packs::{self, Ended, Newest, Shelf};
use crate::tx::Write;
use crate::value::{Key, signed, unsigned};

/// What may still happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may be settled.
    Open,
    /// It has ended, and what it costs is still to be taken from its lease.
    Unsettled,
    /// Nothing is to come, and its story never changes again. `known`: it was stored before, as
    /// one of the others.
    Ended { known: bool },
}

/// A request to be stored as it is now.
#[derive(Clone, Debug)]
pub struct Noted {
    paywall: i64,
    wallet: i64,
    standing: Standing,
    id: RequestId,
    story: Packed,
}

/// A request that is under way or not settled.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    pub paywall: i64,
    pub wallet: i64,
    /// `Open` or `Unsettled`.
    pub standing: Standing,
    /// Output tokens that were counted at the last checkpoint.
    pub counted: u64,
    pub story: Story,
}

impl Standing {
    /// Of a request that is stored for the first time.
    pub fn first(status: Status) -> Standing {
        if status == Status::Open { Standing::Open } else { Standing::Ended { known: false } }
    }
}

impl Noted {
    /// `of` are the numbers of paywall and wallet.
    pub fn new((paywall, wallet): (i64, i64), standing: Standing, story: &Story) -> Noted {
        Noted { paywall, wallet, standing, id: story.request_id, story: story.pack() }
    }
}

const COLUMNS: &str = "id, paywall, wallet, unsettled, counted, story";

fn from_row(row: &Row<'_>) -> Result<StoredRequest, Error> {
    let id = RequestId(row.get::<Key>(0)?.0);
    let bytes = row.get_ref(5)?.as_blob().map_err(crate::sql::Error::from)?;
    let (story, wallet) = (proxy_packs::find(bytes, id), row.get(2)?);
    let corrupt = || Error::corrupt("proxy_requests", wallet, format!("{id} is broken"));
    Ok(StoredRequest {
        paywall: row.get(1)?,
        wallet,
        standing: if row.get(3)? { Standing::Unsettled } else { Standing::Open },
        counted: unsigned(row.get(4)?),
        story: story.ok_or_else(corrupt)?,
    })
}

/// Writes requests as they are now, new or known; one that ended is not under way again. What was
/// counted stays.
pub(crate) fn save(
    connection: &Connection,
    node: i64,
    requests: Vec<(EnvNo, Noted)>,
) -> Result<(), Error> {
    let is_ended = |(_, one): &(EnvNo, Noted)| matches!(one.standing, Standing::Ended { .. });
    let (ended, open): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_ended);
    save_open(connection, node, &open)?;
    delete(connection, &ended)?;
    let ended = ended.into_iter().map(|(env, request)| {
        let Noted { paywall, id, story, .. } = request;
        Ended { env, paywall, id, story }
    });
    proxy_packs::append(connection, ended.collect())
}

fn save_open(connection: &Connection, node: i64, requests: &[(EnvNo, Noted)]) -> Result<(), Error> {
    if requests.is_empty() {
        return Ok(());
    }
    let mut upsert = connection.bulk(
        "INSERT INTO proxy_requests (env, paywall, id, wallet, unsettled, counted, story, node)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)
         ON CONFLICT (env, paywall, id) DO UPDATE SET unsettled = excluded.unsettled,
            story = excluded.story",
    )?;
    for (env, request) in requests {
        upsert.push(params![
            env.get(),
            request.paywall,
            Key(request.id.0),
            request.wallet,
            request.standing == Standing::Unsettled,
            proxy_packs::pack([(request.id, &request.story)]),
            node,
        ])?;
    }
    Ok(upsert.finish()?)
}

/// Of those that ended, the rows of what was known.
fn delete(connection: &Connection, ended: &[(EnvNo, Noted)]) -> Result<(), Error> {
    let is_known = |one: &Noted| one.standing == Standing::Ended { known: true };
    let mut known = ended.iter().filter(|(_, one)| is_known(one)).peekable();
    if known.peek().is_none() {
        return Ok(());
    }
    let mut delete = connection
        .bulk("DELETE FROM proxy_requests WHERE env = ?1 AND paywall = ?2 AND id = ?3")?;
    for (env, request) in known {
        delete.push(params![env.get(), request.paywall, Key(request.id.0)])?;
    }
    Ok(delete.finish()?)
}

/// Notes how far an open stream came.
pub fn checkpoint(
    write: Write<'_>,
    scope: &Scope,
    (paywall, id): (i64, RequestId),
    counted: u64,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE proxy_requests SET counted = ?4
             WHERE env = ?1 AND paywall = ?2 AND id = ?3 AND unsettled = 0",
        )?
        .execute(params![scope.env.get(), paywall, Key(id.0), signed(counted)])?;
    Ok(())
}

/// A request of a paywall, if it is under way or not settled.
pub fn find_open(
    read: Read<'_>,
    scope: &Scope,
    (paywall, id): (i64, RequestId),
) -> Result<Option<StoredRequest>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests WHERE env = ?1 AND paywall = ?2 AND id = ?3"
    ))?;
    let values = params![scope.env.get(), paywall, Key(id.0)];
    select.query_row(values, |row| Ok(from_row(row))).optional()?.transpose()
}

/// The story of any request of a paywall.
pub fn find(
    read: Read<'_>,
    scope: &Scope,
    request: (i64, RequestId),
) -> Result<Option<Story>, Error> {
    Shelf::default().find(read, scope, request)
}

/// Requests that nobody ended yet, and those that are not settled; of one node, or of all.
pub fn open(read: Read<'_>, scope: &Scope, node: Option<i64>) -> Result<Vec<StoredRequest>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests WHERE env = ?1 AND (node = ?2 OR ?2 IS NULL)
         ORDER BY paywall, id"
    ))?;
    let rows = select.query_map(params![scope.env.get(), node], |row| Ok(from_row(row)))?;
    rows.map(|row| row?).collect()
}

/// Requests of a wallet that are under way.
pub fn count_open(read: Read<'_>, scope: &Scope, wallet: i64) -> Result<u64, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM proxy_requests WHERE env = ?1 AND wallet = ?2 AND unsettled = 0",
    )?;
    Ok(unsigned(select.query_row([i64::from(scope.env.get()), wallet], |row| row.get(0))?))
}

/// Requests of a paywall, newest first, older than `before`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    paywall: i64,
    (before, limit): (Option<RequestId>, u32),
) -> Result<Vec<Story>, Error> {
    let before = before.unwrap_or(RequestId(Ulid(u128::MAX)));
    let mut newest = Newest::new(before, limit);
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM proxy_requests
         WHERE env = ?1 AND paywall = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"
    ))?;
    let values = params![scope.env.get(), paywall, Key(before.0), limit];
    for row in select.query_map(values, |row| Ok(from_row(row)))? {
        newest.add(row??.story);
    }
    proxy_packs::page(read, scope, paywall, newest)
}
