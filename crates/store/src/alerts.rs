//! The alert log: which wallet changed its level when, and why. Append only.

use crate::sql::{Connection, Row, params};
use domain::amount::Amount;
use domain::id::{AlertLogId, CustomerId, WalletId};
use domain::ledger::Record;
use domain::place::{Place, Placed};
use domain::scope::Scope;
use domain::time::Timestamp;
use serde_json::Value;

use crate::database::Read;
use crate::error::Error;
use crate::page::{Field, Kind, Page, Scalar, Source};
use crate::value::{Key, Millis, Money};

pub(crate) fn append(connection: &Connection, records: &[Record]) -> Result<(), Error> {
    let rows = records.iter().filter_map(|record| match record {
        Record::Alert(row) => Some(row),
        _ => None,
    });
    let mut insert = connection.bulk(
        "INSERT INTO alert_logs (place, at, wallet, alert_type, previous, level, value,
            settings, cause, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for row in rows {
        insert.push(params![
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
    Ok(insert.finish()?)
}

/// A row of the log with the ids of what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    pub place: Place,
    pub at: Timestamp,
    /// Number of the wallet.
    pub wallet_no: i64,
    pub wallet: WalletId,
    pub customer: CustomerId,
    pub alert_type: String,
    pub previous: String,
    pub level: String,
    pub value: Amount,
    pub settings: Value,
    pub cause: String,
    /// Place of the event that was sent.
    pub event: Option<Place>,
}

fn log_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: AlertLogId| Scalar::Whole(id.place().raw()))
}

fn wallet_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: WalletId| Scalar::Id(id.0))
}

fn customer_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: CustomerId| Scalar::Id(id.0))
}

const ENTITIES: &[&str] =
    &["wallet", "feature", "subscription", "subscription_line_item", "group", "entitlement_grant"];
const TYPES: &[&str] = &[
    "low_ongoing_balance",
    "low_credit_balance",
    "feature_wallet_balance",
    "subscription_spend",
    "subscription_line_item_spend",
    "subscription_group_spend",
    "entitlement_grant_threshold",
    "entitlement_grant_exhausted",
];
const LEVELS: &[&str] = &["ok", "info", "warning", "in_alarm"];

const fn field(name: &'static str, kind: Kind, column: &'static str) -> Field {
    Field { name, many: "", kind, column }
}

/// What the alert log may be asked by.
pub static FIELDS: &[Field] = &[
    Field { name: "id", many: "alert_ids", kind: Kind::Id(log_scalar), column: "a.place" },
    Field { name: "entity_id", many: "entity_ids", kind: Kind::Id(wallet_scalar), column: "w.id" },
    Field {
        name: "customer_id",
        many: "customer_ids",
        kind: Kind::Id(customer_scalar),
        column: "c.id",
    },
    field("entity_type", Kind::Choice(ENTITIES), "'wallet'"),
    field("alert_type", Kind::Choice(TYPES), "a.alert_type"),
    field("alert_status", Kind::Choice(LEVELS), "a.level"),
    field("previous_status", Kind::Choice(LEVELS), "a.previous"),
    field("cause", Kind::Text, "a.cause"),
    field("created_at", Kind::Time, "a.at"),
    field("updated_at", Kind::Time, "a.at"),
];

/// What the settings of spend alerts may be asked by; there are none yet.
pub static SETTING_FIELDS: &[Field] = &[
    field("enabled", Kind::Flag, ""),
    field("entity_type", Kind::Choice(ENTITIES), ""),
    Field { name: "entity_id", many: "entity_ids", kind: Kind::Text, column: "" },
    field("parent_entity_type", Kind::Choice(ENTITIES), ""),
    Field { name: "parent_entity_id", many: "parent_entity_ids", kind: Kind::Text, column: "" },
    field("created_at", Kind::Time, ""),
    field("updated_at", Kind::Time, ""),
];

/// A page of the environment's alert log, and how many rows there are in all.
pub fn page(read: Read<'_>, scope: &Scope, page: &Page) -> Result<(Vec<Logged>, u64), Error> {
    let source = Source {
        select: "SELECT a.place, a.at, a.wallet, w.id, c.id, a.alert_type, a.previous, a.level,
            a.value, a.settings, a.cause, a.event",
        from: "FROM alert_logs a JOIN wallets w ON w.no = a.wallet
            JOIN customers c ON c.no = w.customer WHERE w.env = ?1",
        number: "a.place",
    };
    crate::page::rows(read, scope, &source, page, logged)
}

fn logged(row: &Row<'_>) -> crate::sql::Result<Logged> {
    let settings: String = row.get(9)?;
    Ok(Logged {
        place: Place::from_raw(row.get(0)?),
        at: row.get::<Millis>(1)?.0,
        wallet_no: row.get(2)?,
        wallet: WalletId(row.get::<Key>(3)?.0),
        customer: CustomerId(row.get::<Key>(4)?.0),
        alert_type: row.get(5)?,
        previous: row.get(6)?,
        level: row.get(7)?,
        value: row.get::<Money>(8)?.0,
        settings: serde_json::from_str(&settings).unwrap_or(Value::Null),
        cause: row.get(10)?,
        event: row.get::<Option<i64>>(11)?.map(Place::from_raw),
    })
}
