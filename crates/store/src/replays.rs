//! Replays: what was asked for, how far each came, and the deliveries that it opened.
//!
//! `scan` finds what matches, on a reader; `opened` moves deliveries in and out of a replay. A
//! replay has no memory but its row, so any node goes on with it.

mod opened;
mod scan;

use crate::sql::{OptionalExtension, Row, params};
use domain::id::{ReplayId, Ulid};
use domain::place::{EnvNo, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::replay::{ReplayState, Selection};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis, signed, unsigned};

pub(crate) use opened::line_up;
pub use opened::{first_open, give_up, note_sent, open, promote, unsent};
pub use scan::{Scan, first_position, scan};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    pub no: i64,
    pub id: ReplayId,
    pub receiver: ReceiverNo,
    pub selection: Selection,
    pub state: ReplayState,
    /// The last position that it looks at.
    pub head: u64,
    /// Up to here events were opened, skipped or passed over.
    pub walked: u64,
    /// Up to here `matched` counts.
    pub counted: u64,
    pub matched: u64,
    pub sent: u64,
    pub delivered: u64,
    pub failed: u64,
    pub skipped: u64,
    /// Nothing is opened before: real time.
    pub next_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl Replay {
    /// Known once the count has reached the end.
    pub fn matched(&self) -> Option<u64> {
        (self.counted >= self.head).then_some(self.matched)
    }
}

const COLUMNS: &str = "no, id, receiver, body, state, head, walked, counted, matched, sent,
    delivered, failed, skipped, next_at, created_at, updated_at, finished_at";

/// Inserts a running replay. Its number is given here.
pub fn insert(write: Write<'_>, scope: &Scope, fresh: Ulid, new: &Replay) -> Result<i64, Error> {
    let body = serde_json::to_string(&new.selection);
    let body = body.map_err(|problem| Error::corrupt("replays", 0, problem))?;
    let no = write
        .connection
        .prepare_cached(
            "INSERT INTO replays (id, env, receiver, body, state, head, walked, counted, matched,
                next_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'running', ?5, ?6, ?7, ?8, ?9, ?10, ?10) RETURNING no",
        )?
        .query_row(
            params![
                Key(fresh),
                scope.env.get(),
                new.receiver.0,
                body,
                signed(new.head),
                signed(new.walked),
                signed(new.counted),
                signed(new.matched),
                Millis(new.next_at),
                Millis(new.created_at),
            ],
            |row| row.get(0),
        )?;
    Ok(no)
}

/// Writes how far it came and how it stands. What was sent is counted by `note_sent` alone.
pub fn set(write: Write<'_>, scope: &Scope, replay: &Replay) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE replays SET state = ?3, walked = ?4, counted = ?5, matched = ?6, skipped = ?7,
            next_at = ?8, updated_at = ?9, finished_at = ?10 WHERE env = ?1 AND no = ?2",
    )?;
    update.execute(params![
        scope.env.get(),
        replay.no,
        replay.state.name(),
        signed(replay.walked),
        signed(replay.counted),
        signed(replay.matched),
        signed(replay.skipped),
        Millis(replay.next_at),
        Millis(replay.updated_at),
        replay.finished_at.map(Millis),
    ])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, no: i64) -> Result<Option<Replay>, Error> {
    let text = format!("SELECT {COLUMNS} FROM replays WHERE env = ?1 AND no = ?2");
    let mut select = read.connection.prepare_cached(&text)?;
    let row = select.query_row(params![scope.env.get(), no], raw).optional()?;
    row.map(parsed).transpose()
}

pub fn find_id(read: Read<'_>, scope: &Scope, id: ReplayId) -> Result<Option<Replay>, Error> {
    let text = format!("SELECT {COLUMNS} FROM replays WHERE env = ?1 AND id = ?2");
    let mut select = read.connection.prepare_cached(&text)?;
    let row = select.query_row(params![scope.env.get(), Key(id.0)], raw).optional()?;
    row.map(parsed).transpose()
}

/// The running replay of a receiver.
pub fn running_of(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
) -> Result<Option<Replay>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM replays WHERE env = ?1 AND receiver = ?2 AND state = 'running'"
    );
    let mut select = read.connection.prepare_cached(&text)?;
    let row = select.query_row(params![scope.env.get(), receiver.0], raw).optional()?;
    row.map(parsed).transpose()
}

/// Replays of a receiver, newest first, below number `before`.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    receiver: ReceiverNo,
    (before, limit): (Option<i64>, u32),
) -> Result<Vec<Replay>, Error> {
    let text = format!(
        "SELECT {COLUMNS} FROM replays WHERE env = ?1 AND receiver = ?2 AND no < ?3
         ORDER BY no DESC LIMIT ?4"
    );
    let mut select = read.connection.prepare_cached(&text)?;
    let before = before.unwrap_or(i64::MAX);
    let rows = select.query_map(params![scope.env.get(), receiver.0, before, limit], raw)?;
    rows.map(|row| parsed(row?)).collect()
}

/// Every running replay, of all environments.
pub fn running(read: Read<'_>) -> Result<Vec<(EnvNo, i64)>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT env, no FROM replays WHERE state = 'running' ORDER BY no")?;
    let rows = select.query_map([], |row| Ok((EnvNo::new(row.get(0)?), row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

type Raw = (Replay, String, String);

fn raw(row: &Row<'_>) -> crate::sql::Result<Raw> {
    let number = |index| -> crate::sql::Result<u64> { Ok(unsigned(row.get(index)?)) };
    let replay = Replay {
        no: row.get(0)?,
        id: ReplayId(row.get::<Key>(1)?.0),
        receiver: ReceiverNo(row.get(2)?),
        selection: Selection::default(),
        state: ReplayState::Running,
        head: number(5)?,
        walked: number(6)?,
        counted: number(7)?,
        matched: number(8)?,
        sent: number(9)?,
        delivered: number(10)?,
        failed: number(11)?,
        skipped: number(12)?,
        next_at: row.get::<Millis>(13)?.0,
        created_at: row.get::<Millis>(14)?.0,
        updated_at: row.get::<Millis>(15)?.0,
        finished_at: row.get::<Option<Millis>>(16)?.map(|at| at.0),
    };
    Ok((replay, row.get(3)?, row.get(4)?))
}

fn parsed((mut replay, body, state): Raw) -> Result<Replay, Error> {
    let bad = |what: String| Error::corrupt("replays", replay.no, what);
    let state = ReplayState::parse(&state).ok_or_else(|| bad("state".to_owned()))?;
    replay.selection = serde_json::from_str(&body).map_err(|problem| bad(problem.to_string()))?;
    Ok(Replay { state, ..replay })
}
