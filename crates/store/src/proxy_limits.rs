//! Counters of the proxy's limits: paces and quotas by user and model, money by calendar window.
//!
//! Rows are written only for limits that a paywall has; a counter of another day counts as zero.

use crate::sql::{OptionalExtension, params};
use domain::amount::Amount;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;
use crate::value::{Money, signed, unsigned};

/// What is kept of a user and a model; the empty model stands for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    pub second_due_us: i64,
    pub minute_due_us: i64,
    pub today: u64,
}

pub fn pace(
    read: Read<'_>,
    scope: &Scope,
    (wallet, model): (i64, &str),
    day: &str,
) -> Result<Pace, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT second_due, minute_due, CASE WHEN day = ?4 THEN today ELSE 0 END
         FROM proxy_paces WHERE env = ?1 AND wallet = ?2 AND model = ?3",
    )?;
    let found = select.query_row(params![scope.env.get(), wallet, model, day], |row| {
        Ok(Pace {
            second_due_us: row.get(0)?,
            minute_due_us: row.get(1)?,
            today: unsigned(row.get(2)?),
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

pub fn set_pace(
    write: Write<'_>,
    scope: &Scope,
    (wallet, model): (i64, &str),
    (day, pace): (&str, Pace),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO proxy_paces (env, wallet, model, day, second_due, minute_due, today)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (env, wallet, model) DO UPDATE SET day = excluded.day,
                second_due = excluded.second_due, minute_due = excluded.minute_due,
                today = excluded.today",
        )?
        .execute(params![
            scope.env.get(),
            wallet,
            model,
            day,
            pace.second_due_us,
            pace.minute_due_us,
            signed(pace.today),
        ])?;
    Ok(())
}

/// Gives a request's count back that failed before any output.
pub fn give_back(
    write: Write<'_>,
    scope: &Scope,
    (wallet, model): (i64, &str),
    day: &str,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "UPDATE proxy_paces SET today = today - 1
             WHERE env = ?1 AND wallet = ?2 AND model IN ('', ?3) AND day = ?4 AND today > 0",
        )?
        .execute(params![scope.env.get(), wallet, model, day])?;
    Ok(())
}

/// Whether this limit was told for the user and day before; notes that it is now.
pub fn told(
    write: Write<'_>,
    scope: &Scope,
    (wallet, limit): (i64, &str),
    day: &str,
) -> Result<bool, Error> {
    let noted = write
        .connection
        .prepare_cached(
            "INSERT INTO proxy_limits_told (env, wallet, limit_key, day) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (env, wallet, limit_key) DO UPDATE SET day = excluded.day
             WHERE proxy_limits_told.day <> excluded.day",
        )?
        .execute(params![scope.env.get(), wallet, limit, day])?;
    Ok(noted == 0)
}

/// Charged and held in a calendar window: of one wallet, or with wallet 0 of the whole paywall.
pub fn spent(
    read: Read<'_>,
    scope: &Scope,
    (paywall, wallet): (i64, i64),
    window: &str,
) -> Result<Amount, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT amount FROM proxy_spends
         WHERE env = ?1 AND paywall = ?2 AND wallet = ?3 AND span = ?4",
    )?;
    let values = params![scope.env.get(), paywall, wallet, window];
    let found: Option<Money> = select.query_row(values, |row| row.get(0)).optional()?;
    Ok(found.map_or(Amount::ZERO, |money| money.0))
}

pub fn set_spent(
    write: Write<'_>,
    scope: &Scope,
    (paywall, wallet): (i64, i64),
    (window, amount): (&str, Amount),
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO proxy_spends (env, paywall, wallet, span, amount)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (env, paywall, wallet, span) DO UPDATE SET amount = excluded.amount",
        )?
        .execute(params![scope.env.get(), paywall, wallet, window, Money(amount)])?;
    Ok(())
}
