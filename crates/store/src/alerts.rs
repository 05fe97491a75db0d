//! The alert log: which wallet changed its level when, and why. Append only.

use domain::ledger::Record;
use domain::place::Place;
use rusqlite::{Connection, params};

use crate::error::Error;
use crate::value::{Millis, Money};
use domain::place::Placed;

pub(crate) fn append(connection: &Connection, records: &[Record]) -> Result<(), Error> {
    let rows = records.iter().filter_map(|record| match record {
        Record::Alert(row) => Some(row),
        _ => None,
    });
    for row in rows {
        let mut insert = connection.prepare_cached(
            "INSERT INTO alert_logs (place, at, wallet, alert_type, previous, level, value,
                settings, cause, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        insert.execute(params![
            row.id.place().raw(),
            Millis(row.at),
            row.wallet_no,
            row.alert_type.name(),
            row.previous.as_str(),
            row.level.as_str(),
            Money(row.value),
            serde_json::to_string(&row.settings).unwrap_or_default(),
            row.cause,
            row.event.map(Place::raw),
        ])?;
    }
    Ok(())
}
