//! Sums of the log by hour, by day and of all time, for pages that draw them.
//!
//! They are added up from the log after the fact, so no charge pays for them. A batch and the mark
//! up to which it reached are stored in one transaction: nothing is counted twice or left out.

use std::collections::BTreeMap;

use crate::sql::{OptionalExtension, params};
use domain::amount::Amount;
use domain::ledger::entry::{Details, LedgerAccount, Status};
use domain::place::{EnvNo, Place};
use domain::proxy::story::Story;
use domain::scope::Scope;
use domain::time::Timestamp;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Money, signed};

/// Lengths of what is added up together, in milliseconds; 0 is all time.
pub const HOUR_MS: i64 = 3_600_000;
pub const DAY_MS: i64 = 24 * HOUR_MS;
const SPANS: [i64; 3] = [0, HOUR_MS, DAY_MS];

/// A log that is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The ledger of one environment.
    Entries(EnvNo),
    /// Proxied requests that ended.
    Requests,
    /// Attempts of webhooks.
    Attempts,
}

impl Log {
    fn name(self) -> String {
        match self {
            Log::Entries(env) => format!("entries:{}", env.get()),
            Log::Requests => "requests".to_owned(),
            Log::Attempts => "attempts".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub count: i64,
    pub credits: Amount,
    pub amount: Amount,
}

/// One sum of one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub at: Timestamp,
    pub name: String,
    pub label: String,
    pub sum: Sum,
}

/// What a batch adds, by environment, span, start, name and label.
type Sums = BTreeMap<(u16, i64, i64, &'static str, String), Sum>;

/// A batch that was read and is not stored yet.
pub struct Batch {
    log: Log,
    from: i64,
    upto: i64,
    sums: Sums,
    /// Rows that were read.
    pub rows: usize,
}

impl Batch {
    fn add(&mut self, (env, at): (u16, i64), name: &'static str, label: &str, more: Sum) {
        for span in SPANS {
            let start = if span == 0 { 0 } else { at - at.rem_euclid(span) };
            let sum = self.sums.entry((env, span, start, name, label.to_owned())).or_default();
            sum.count += more.count;
            sum.credits += more.credits;
            sum.amount += more.amount;
        }
    }
}

fn count(count: i64) -> Sum {
    Sum { count, ..Sum::default() }
}

/// Up to where a log was added up; 0 where it never was.
pub fn mark(read: Read<'_>, log: Log) -> Result<i64, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT upto FROM tally_marks WHERE name = ?1")?;
    let upto = select.query_row([log.name()], |row| row.get(0)).optional()?;
    Ok(upto.unwrap_or_else(|| match log {
        Log::Entries(env) => env.range().0 - 1,
        Log::Requests | Log::Attempts => 0,
    }))
}

/// Reads at most `limit` rows after the mark.
pub fn read(read: Read<'_>, log: Log, limit: usize) -> Result<Batch, Error> {
    let from = mark(read, log)?;
    let mut batch = Batch { log, from, upto: from, sums: Sums::new(), rows: 0 };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match log {
        Log::Entries(env) => read_entries(read, env, &mut batch, limit)?,
        Log::Requests => read_requests(read, &mut batch, limit)?,
        Log::Attempts => read_attempts(read, &mut batch, limit)?,
    }
    Ok(batch)
}

fn read_entries(read: Read<'_>, env: EnvNo, batch: &mut Batch, limit: i64) -> Result<(), Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT e.place, e.at, e.from_account, e.to_account, e.status, e.credits, e.amount,
            w.currency, CASE WHEN e.status = ?4 THEN e.details END
         FROM entries e JOIN wallets w ON w.no = e.wallet
         WHERE e.place > ?1 AND e.place <= ?2 ORDER BY e.place LIMIT ?3",
    )?;
    let failed = Status::Failed.code();
    let mut rows = select.query(params![batch.from, env.range().1, limit, failed])?;
    while let Some(row) = rows.next()? {
        batch.upto = row.get(0)?;
        batch.rows += 1;
        let when = (env.get(), row.get(1)?);
        if row.get::<i64>(4)? == failed {
            let details: Option<String> = row.get(8)?;
            let details: Details =
                details.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            let reason = details.error_code.unwrap_or_else(|| "unknown".to_owned());
            batch.add(when, "refused", &reason, count(1));
            continue;
        }
        let account = |column| {
            Ok::<_, Error>(LedgerAccount::from_code(row.get(column)?).map_or("?", |one| one.name()))
        };
        let label = format!("{}>{} {}", account(2)?, account(3)?, row.get::<String>(7)?);
        let credits = row.get::<Money>(5)?.0;
        let amount = row.get::<Option<Money>>(6)?.map_or(credits, |amount| amount.0);
        batch.add(when, "moved", &label, Sum { count: 1, credits, amount });
    }
    Ok(())
}

fn read_requests(read: Read<'_>, batch: &mut Batch, limit: i64) -> Result<(), Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT no, env, stories FROM proxy_packs WHERE no > ?1 ORDER BY no LIMIT ?2",
    )?;
    let mut rows = select.query([batch.from, limit])?;
    while let Some(row) = rows.next()? {
        batch.upto = row.get(0)?;
        let env: u16 = row.get(1)?;
        let pack: Vec<u8> = row.get(2)?;
        for story in crate::proxy_packs::all(&pack) {
            batch.rows += 1;
            add_story(batch, env, &story);
        }
    }
    Ok(())
}

fn add_story(batch: &mut Batch, env: u16, story: &Story) {
    let when = (env, story.ended_at.unwrap_or(story.started_at).millis());
    let status = serde_json::to_value(story.status).ok();
    let status = status.as_ref().and_then(|status| status.as_str()).unwrap_or("unknown");
    batch.add(when, "requests", status, count(1));
    if let Some(reason) = &story.reason {
        batch.add(when, "refused", reason, count(1));
    }
    if let Some(usage) = &story.usage {
        let (prompt, completion) = (usage.prompt_tokens, usage.completion_tokens);
        batch.add(when, "tokens", "prompt", count(signed(prompt)));
        batch.add(when, "tokens", "completion", count(signed(completion)));
    }
    let charged = story.charge.as_ref().map(|charge| charge.amount).unwrap_or_default();
    let model = story.model.as_deref().unwrap_or(&story.requested_model);
    let label = format!("{model} {}", story.currency.as_str());
    batch.add(when, "models", &label, Sum { count: 1, credits: charged, amount: charged });
}

fn read_attempts(read: Read<'_>, batch: &mut Batch, limit: i64) -> Result<(), Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT a.no, r.env, a.started_at, a.result FROM attempts a
         JOIN receivers r ON r.no = a.receiver WHERE a.no > ?1 ORDER BY a.no LIMIT ?2",
    )?;
    let mut rows = select.query([batch.from, limit])?;
    while let Some(row) = rows.next()? {
        batch.upto = row.get(0)?;
        batch.rows += 1;
        let result: String = row.get(3)?;
        batch.add((row.get(1)?, row.get(2)?), "attempts", &result, count(1));
    }
    Ok(())
}

/// Stores a batch, unless another one was faster.
pub fn store(write: Write<'_>, batch: &Batch) -> Result<(), Error> {
    if batch.upto == batch.from || mark(write.read(), batch.log)? != batch.from {
        return Ok(());
    }
    write
        .connection
        .prepare_cached(
            "INSERT INTO tally_marks (name, upto) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET upto = excluded.upto",
        )?
        .execute(params![batch.log.name(), batch.upto])?;
    for ((env, span, at, name, label), more) in &batch.sums {
        add(write, (*env, *span, *at), (name, label), *more)?;
    }
    Ok(())
}

/// Sums of money may be larger than the database can add, so they are added here.
fn add(
    write: Write<'_>,
    (env, span, at): (u16, i64, i64),
    (name, label): (&str, &str),
    more: Sum,
) -> Result<(), Error> {
    let mut select = write.connection.prepare_cached(
        "SELECT count, credits, amount FROM tallies
         WHERE env = ?1 AND span = ?2 AND at = ?3 AND name = ?4 AND label = ?5",
    )?;
    let before = select.query_row(params![env, span, at, name, label], |row| {
        let money = |column| row.get::<Money>(column).map(|money| money.0);
        Ok(Sum { count: row.get(0)?, credits: money(1)?, amount: money(2)? })
    });
    let before = before.optional()?.unwrap_or_default();
    write
        .connection
        .prepare_cached(
            "INSERT INTO tallies (env, span, at, name, label, count, credits, amount)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (env, span, at, name, label) DO UPDATE SET count = excluded.count,
                credits = excluded.credits, amount = excluded.amount",
        )?
        .execute(params![
            env,
            span,
            at,
            name,
            label,
            before.count + more.count,
            Money(before.credits + more.credits),
            Money(before.amount + more.amount),
        ])?;
    Ok(())
}

/// Sums of a span that begin in `[from, before)`, in order of time.
pub fn list(
    read: Read<'_>,
    scope: &Scope,
    span: i64,
    (from, before): (Timestamp, Timestamp),
) -> Result<Vec<Tally>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT at, name, label, count, credits, amount FROM tallies
         WHERE env = ?1 AND span = ?2 AND at >= ?3 AND at < ?4 ORDER BY at, name, label",
    )?;
    let key = params![scope.env.get(), span, from.millis(), before.millis()];
    let rows = select.query_map(key, |row| {
        Ok(Tally {
            at: Timestamp::from_millis(row.get(0)?),
            name: row.get(1)?,
            label: row.get(2)?,
            sum: Sum {
                count: row.get(3)?,
                credits: row.get::<Money>(4)?.0,
                amount: row.get::<Money>(5)?.0,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sums of all time.
pub fn totals(read: Read<'_>, scope: &Scope) -> Result<Vec<Tally>, Error> {
    list(read, scope, 0, (Timestamp::from_millis(0), Timestamp::from_millis(1)))
}

/// Positions of the ledger that are not added up yet.
pub fn behind(read: Read<'_>, scope: &Scope) -> Result<u64, Error> {
    let seen = mark(read, Log::Entries(scope.env))?;
    let head = scope.env.place(crate::events::head(read, scope)?);
    // The head may be the second event of the last entry.
    let mut select = read.connection.prepare_cached(
        "SELECT 1 FROM entries WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT 1",
    )?;
    let more = select.query_row([seen, head.raw()], |_| Ok(())).optional()?;
    let seen = Place::from_raw(seen.max(scope.env.range().0));
    Ok(if more.is_some() { head.position().saturating_sub(seen.position()) } else { 0 })
}
