//! Receivers: endpoints of an environment and subscriptions of a paywall, one row each.
//!
//! What may be read by anyone who reads the row is in `body`; bearer token and custom headers are
//! in `sealed`, and only the engine opens them.

use std::collections::{BTreeMap, BTreeSet};

use crate::sql::{Row, params};
use domain::id::{ReceiverId, Ulid};
use domain::place::{EnvNo, Place, ReceiverNo};
use domain::scope::Scope;
use domain::time::Timestamp;
use domain::webhook::channel::Channel;
use domain::webhook::circuit::Circuit;
pub use domain::webhook::health::Health;
use domain::webhook::receiver::{
    EventNaming, OnExhausted, Ordering, PayloadFormat, PayloadMode, ReceiverKind, SecretKind,
    State, StateReason,
};
use domain::webhook::schedule::{Outcome, Schedule};
use serde::{Deserialize, Serialize};

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Key, Millis, signed, unsigned};

/// What the owner chose, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub url: String,
    pub types: Vec<String>,
    pub extensions: bool,
    /// Only events that touch one of them; none narrow nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    pub description: String,
    pub metadata: BTreeMap<String, String>,
    pub state_reason: Option<StateReason>,
    pub state_changed_at: Timestamp,
    pub ordering: Ordering,
    pub on_exhausted: OnExhausted,
    pub schedule: Schedule,
    pub timeout_ms: u32,
    pub payload_mode: PayloadMode,
    pub payload_format: PayloadFormat,
    pub event_naming: EventNaming,
    pub api_version: String,
    pub send_traceparent: bool,
    /// Which of its secrets sign.
    pub signatures: Vec<SecretKind>,
    pub max_in_flight: u32,
    /// Requests that may start a second; as many as can be, where it is absent.
    pub max_rps: Option<u32>,
}

/// What deliveries of a receiver still have to become after its state changed. Until then the
/// receiver gets new ones behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moving {
    /// The open ones are parked.
    Park,
    /// The parked ones come back.
    Return,
    /// Those up to this place are discarded.
    Discard { upto: Place },
}

impl Moving {
    fn name(self) -> &'static str {
        match self {
            Moving::Park => "park",
            Moving::Return => "return",
            Moving::Discard { .. } => "discard",
        }
    }

    fn parse(name: &str, upto: Option<i64>) -> Option<Moving> {
        match name {
            "park" => Some(Moving::Park),
            "return" => Some(Moving::Return),
            "discard" => Some(Moving::Discard { upto: Place::from_raw(upto?) }),
            _ => None,
        }
    }

    /// Whether what is due is not to be sent any more, by the stored name.
    pub(crate) fn takes_away(name: &str) -> bool {
        matches!(name, "park" | "discard")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub no: ReceiverNo,
    pub id: ReceiverId,
    pub kind: ReceiverKind,
    /// Number of the paywall, of a subscription.
    pub paywall: Option<i64>,
    pub state: State,
    pub moving: Option<Moving>,
    pub config: Config,
    pub sealed: Vec<u8>,
    pub health: Health,
    pub version: u64,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A receiver before it has its number.
#[derive(Clone, Debug)]
pub struct NewReceiver {
    pub fresh: Ulid,
    pub kind: ReceiverKind,
    pub paywall: Option<i64>,
    pub config: Config,
    pub created_by: String,
    pub at: Timestamp,
}

const COLUMNS: &str = "no, id, kind, paywall, state, body, sealed, failures_in_a_row,
    first_failure_at, last_attempt_at, last_success_at, version, created_by, created_at,
    updated_at, last_result, failed_of, troubled_since, failing_since, circuit_until, probe_step,
    moving, moving_upto";

/// Inserts an enabled receiver, whose id carries its number. Nothing is sealed yet.
pub fn insert(write: Write<'_>, scope: &Scope, new: &NewReceiver) -> Result<Stored, Error> {
    let connection = write.connection;
    let no: u32 = connection
        .prepare_cached(
            "INSERT INTO receivers (id, env, kind, paywall, state, body, version, created_by,
                created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'enabled', ?5, 1, ?6, ?7, ?7) RETURNING no",
        )?
        .query_row(
            params![
                Key(new.fresh),
                scope.env.get(),
                new.kind.name(),
                new.paywall,
                text(&new.config)?,
                new.created_by,
                Millis(new.at),
            ],
            |row| row.get(0),
        )?;
    let id = ReceiverId::numbered(new.fresh, ReceiverNo(no));
    connection
        .prepare_cached("UPDATE receivers SET id = ?3 WHERE env = ?1 AND no = ?2")?
        .execute(params![scope.env.get(), no, Key(id.0)])?;
    let missing = || Error::corrupt("receivers", i64::from(no), "is missing");
    find(write.read(), scope, ReceiverNo(no))?.ok_or_else(missing)
}

/// Writes state, configuration and sealed values.
pub fn set(write: Write<'_>, scope: &Scope, stored: &Stored) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE receivers SET state = ?3, body = ?4, sealed = ?5, version = ?6, updated_at = ?7,
                moving = ?8, moving_upto = ?9
             WHERE env = ?1 AND no = ?2",
        )?
        .execute(params![
            scope.env.get(),
            stored.no.0,
            stored.state.name(),
            text(&stored.config)?,
            stored.sealed,
            signed(stored.version),
            Millis(stored.updated_at),
            stored.moving.map_or("", Moving::name),
            match stored.moving {
                Some(Moving::Discard { upto }) => Some(upto.raw()),
                _ => None,
            },
        ])?;
    Ok(())
}

/// Receivers of every environment with deliveries that still have to move.
pub fn moving(read: Read<'_>) -> Result<Vec<(EnvNo, ReceiverNo)>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT env, no FROM receivers WHERE moving <> '' ORDER BY env, no")?;
    let rows =
        select.query_map([], |row| Ok((EnvNo::new(row.get(0)?), ReceiverNo(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub fn set_health(
    write: Write<'_>,
    scope: &Scope,
    no: ReceiverNo,
    health: &Health,
) -> Result<(), Error> {
    let written = write.connection.execute_later(
        "UPDATE receivers SET failures_in_a_row = ?3, first_failure_at = ?4, last_attempt_at = ?5,
            last_success_at = ?6, last_result = ?7, failed_of = ?8, troubled_since = ?9,
            failing_since = ?10, circuit_until = ?11, probe_step = ?12
         WHERE env = ?1 AND no = ?2",
        params![
            scope.env.get(),
            no.0,
            health.failures_in_a_row,
            health.first_failure_at.map(Millis),
            health.last_attempt_at.map(Millis),
            health.last_success_at.map(Millis),
            health.last_result.map(Outcome::name),
            failed_of(health),
            health.troubled_since.map(Millis),
            health.failing_since.map(Millis),
            health.circuit.until().map(Millis),
            health.circuit.probes(),
        ],
    );
    Ok(written?)
}

fn failed_of(health: &Health) -> String {
    let places = health.failed_of.iter().map(|place| place.raw().to_string());
    places.collect::<Vec<_>>().join(",")
}

/// A probe goes out: the circuit waits for its result, or for the time of the next one.
pub fn set_circuit(
    write: Write<'_>,
    scope: &Scope,
    no: ReceiverNo,
    circuit: Circuit,
) -> Result<(), Error> {
    let mut update = write.connection.prepare_cached(
        "UPDATE receivers SET circuit_until = ?3, probe_step = ?4 WHERE env = ?1 AND no = ?2",
    )?;
    let until = circuit.until().map(Millis);
    update.execute(params![scope.env.get(), no.0, until, circuit.probes()])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, no: ReceiverNo) -> Result<Option<Stored>, Error> {
    Ok(find_all(read, scope, &BTreeSet::from([no]))?.pop())
}

/// Those of the receivers that belong to the scope.
pub fn find_all(
    read: Read<'_>,
    scope: &Scope,
    nos: &BTreeSet<ReceiverNo>,
) -> Result<Vec<Stored>, Error> {
    let mut select = read
        .connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM receivers WHERE env = ?1 AND no = ?2"))?;
    let keys = nos.iter().map(|no| [u32::from(scope.env.get()), no.0]);
    let found = select.first_of_each(keys, raw)?;
    found.into_iter().flatten().map(stored).collect()
}

/// Receivers of one kind, newest first, below number `before`; of one paywall where it is given.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    (kind, paywall): (ReceiverKind, Option<i64>),
    before: Option<ReceiverNo>,
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM receivers WHERE env = ?1 AND kind = ?2 AND no < ?3
            AND (paywall = ?4 OR ?4 IS NULL) AND state <> 'deleted' ORDER BY no DESC LIMIT ?5"
    ))?;
    let before = before.map_or(u32::MAX, |no| no.0);
    let rows =
        select.query_map(params![scope.env.get(), kind.name(), before, paywall, limit], raw)?;
    rows.map(|row| stored(row?)).collect()
}

/// Endpoints that are not deleted, or active subscriptions of the paywall.
pub fn count(
    read: Read<'_>,
    scope: &Scope,
    kind: ReceiverKind,
    paywall: Option<i64>,
) -> Result<usize, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT COUNT(*) FROM receivers WHERE env = ?1 AND kind = ?2
            AND (paywall = ?3 AND state = 'enabled' OR ?3 IS NULL AND state <> 'deleted')",
    )?;
    let count: u32 =
        select.query_row(params![scope.env.get(), kind.name(), paywall], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

type Raw = (Stored, String, String, String);

fn raw(row: &Row<'_>) -> crate::sql::Result<Raw> {
    let stored = Stored {
        no: ReceiverNo(row.get(0)?),
        id: ReceiverId(row.get::<Key>(1)?.0),
        kind: ReceiverKind::Endpoint,
        paywall: row.get(3)?,
        state: State::Deleted,
        moving: Moving::parse(row.get_ref(21)?.as_str()?, row.get(22)?),
        config: blank(),
        sealed: row.get::<Option<Vec<u8>>>(6)?.unwrap_or_default(),
        health: health(row)?,
        version: unsigned(row.get(11)?),
        created_by: row.get(12)?,
        created_at: row.get::<Millis>(13)?.0,
        updated_at: row.get::<Millis>(14)?.0,
    };
    Ok((stored, row.get(2)?, row.get(4)?, row.get(5)?))
}

fn health(row: &Row<'_>) -> crate::sql::Result<Health> {
    let time = |index| -> crate::sql::Result<Option<Timestamp>> {
        Ok(row.get::<Option<Millis>>(index)?.map(|at| at.0))
    };
    let (last_result, failed_of): (Option<String>, String) = (row.get(15)?, row.get(16)?);
    let probes = row.get(20)?;
    Ok(Health {
        failures_in_a_row: row.get(7)?,
        first_failure_at: time(8)?,
        last_attempt_at: time(9)?,
        last_success_at: time(10)?,
        last_result: last_result.as_deref().and_then(Outcome::parse),
        failed_of: failed_of
            .split(',')
            .filter_map(|text| text.parse().ok())
            .map(Place::from_raw)
            .collect(),
        troubled_since: time(17)?,
        failing_since: time(18)?,
        circuit: time(19)?.map_or(Circuit::Closed, |until| Circuit::Open { until, probes }),
    })
}

/// Names and JSON are read outside the driver, so that their faults say which row it is.
fn stored((mut stored, kind, state, body): Raw) -> Result<Stored, Error> {
    let no = i64::from(stored.no.0);
    let bad = |what: &str| Error::corrupt("receivers", no, what);
    stored.kind = ReceiverKind::parse(&kind).ok_or_else(|| bad("kind"))?;
    stored.state = State::parse(&state).ok_or_else(|| bad("state"))?;
    stored.config = serde_json::from_str(&body).map_err(|problem| bad(&problem.to_string()))?;
    Ok(stored)
}

fn blank() -> Config {
    Config {
        url: String::new(),
        types: Vec::new(),
        extensions: false,
        channels: Vec::new(),
        description: String::new(),
        metadata: BTreeMap::new(),
        state_reason: None,
        state_changed_at: Timestamp::default(),
        ordering: Ordering::None,
        on_exhausted: OnExhausted::Skip,
        schedule: Schedule::Standard,
        timeout_ms: 0,
        payload_mode: PayloadMode::Full,
        payload_format: PayloadFormat::Flat,
        event_naming: EventNaming::Full,
        api_version: String::new(),
        send_traceparent: false,
        signatures: Vec::new(),
        max_in_flight: 0,
        max_rps: None,
    }
}

fn text(config: &Config) -> Result<String, Error> {
    serde_json::to_string(config).map_err(|problem| Error::corrupt("receivers", 0, problem))
}
