//! Wallets: the row that is searched, and the versions that entries name. Balances are in
//! `accounts`.

use crate::sql::{OptionalExtension, params};
use domain::id::{CustomerId, PaywallId, WalletId};
use domain::scope::Scope;
use domain::wallet::{Wallet, WalletStatus};

use crate::database::Read;
use crate::error::Error;
use crate::page::{Field, Kind, Page, Scalar, Source};
use crate::tx::Write;
use crate::value::{Key, Millis};

/// Inserts the first version. A second open wallet of the same kind is a conflict.
pub fn insert(
    write: Write<'_>,
    scope: &Scope,
    customer: i64,
    wallet: &Wallet,
) -> Result<i64, Error> {
    let no: i64 = write
        .connection
        .prepare_cached(
            "INSERT INTO wallets (env, id, customer, currency, wallet_type, status, paywall_scope,
            alert_enabled, version, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10) RETURNING no",
        )?
        .query_row(
            params![
                scope.env.get(),
                Key(wallet.id.0),
                customer,
                wallet.currency.as_str(),
                wallet.wallet_type.name(),
                wallet.status.name(),
                wallet.paywall_scope().unwrap_or_default(),
                wallet.alert_settings.as_ref().is_some_and(|settings| settings.enabled),
                Millis(wallet.created_at),
                Millis(wallet.updated_at),
            ],
            |row| row.get(0),
        )?;
    insert_version(write, no, 1, wallet)?;
    Ok(no)
}

/// Stores a new version and makes it the current one.
pub fn set(write: Write<'_>, scope: &Scope, no: i64, wallet: &Wallet) -> Result<u32, Error> {
    let version: u32 = write
        .connection
        .prepare_cached(
            "UPDATE wallets SET status = ?3, alert_enabled = ?4, version = version + 1,
            updated_at = ?5 WHERE env = ?1 AND no = ?2 RETURNING version",
        )?
        .query_row(
            params![
                scope.env.get(),
                no,
                wallet.status.name(),
                wallet.alert_settings.as_ref().is_some_and(|settings| settings.enabled),
                Millis(wallet.updated_at),
            ],
            |row| row.get(0),
        )?;
    insert_version(write, no, version, wallet)?;
    Ok(version)
}

fn insert_version(write: Write<'_>, no: i64, version: u32, wallet: &Wallet) -> Result<(), Error> {
    let body = serde_json::to_string(wallet)
        .map_err(|problem| Error::corrupt("wallet_versions", no, problem))?;
    write
        .connection
        .prepare_cached("INSERT INTO wallet_versions (wallet, version, body) VALUES (?1, ?2, ?3)")?
        .execute(params![no, version, body])?;
    Ok(())
}

/// Number of the wallet with this id, whatever its status.
pub fn find_no(read: Read<'_>, scope: &Scope, id: WalletId) -> Result<Option<i64>, Error> {
    let mut select =
        read.connection.prepare_cached("SELECT no FROM wallets WHERE env = ?1 AND id = ?2")?;
    let no = select.query_row(params![scope.env.get(), Key(id.0)], |row| row.get(0));
    Ok(no.optional()?)
}

/// Numbers of the wallets of a customer, oldest first.
pub fn numbers_of_customer(
    read: Read<'_>,
    scope: &Scope,
    customer: i64,
) -> Result<Vec<i64>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no FROM wallets WHERE env = ?1 AND customer = ?2 ORDER BY no")?;
    let rows = select.query_map(params![scope.env.get(), customer], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Ids of the customer's wallets, the oldest first, closed ones too.
pub fn ids_of_customer(
    read: Read<'_>,
    scope: &Scope,
    customer: i64,
) -> Result<Vec<WalletId>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT id FROM wallets WHERE env = ?1 AND customer = ?2 ORDER BY no")?;
    let rows = select
        .query_map(params![scope.env.get(), customer], |row| Ok(WalletId(row.get::<Key>(0)?.0)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Numbers of the open wallets of a paywall's users.
pub fn open_numbers_of_paywall(
    read: Read<'_>,
    scope: &Scope,
    paywall: PaywallId,
) -> Result<Vec<i64>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT no FROM wallets WHERE env = ?1 AND paywall_scope = ?2 AND paywall_scope <> ''
            AND status <> ?3 ORDER BY no",
    )?;
    let closed = WalletStatus::Closed.name();
    let values = params![scope.env.get(), paywall.to_string(), closed];
    let rows = select.query_map(values, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The environment's wallets that are not closed, for work over all of them.
pub fn open_numbers(read: Read<'_>, scope: &Scope) -> Result<Vec<i64>, Error> {
    let mut select = read
        .connection
        .prepare_cached("SELECT no FROM wallets WHERE env = ?1 AND status <> ?2 ORDER BY no")?;
    let closed = WalletStatus::Closed.name();
    let rows = select.query_map(params![scope.env.get(), closed], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Id and number of the customer's first wallet that is not closed.
pub fn first_open(read: Read<'_>, scope: &Scope, customer: i64) -> Result<Option<WalletId>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT id FROM wallets WHERE env = ?1 AND customer = ?2 AND status <> ?3
         ORDER BY no LIMIT 1",
    )?;
    let closed = WalletStatus::Closed.name();
    let id = select.query_row(params![scope.env.get(), customer, closed], |row| {
        row.get::<Key>(0).map(|key| WalletId(key.0))
    });
    Ok(id.optional()?)
}

fn wallet_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: WalletId| Scalar::Id(id.0))
}

fn customer_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: CustomerId| Scalar::Id(id.0))
}

const TYPES: &[&str] = &["PRE_PAID", "POST_PAID"];
const STATUSES: &[&str] = &["active", "frozen", "closed"];

const fn field(name: &'static str, kind: Kind, column: &'static str) -> Field {
    Field { name, many: "", kind, column }
}

/// What a list of wallets may be asked by.
pub static FIELDS: &[Field] = &[
    Field { name: "id", many: "wallet_ids", kind: Kind::Id(wallet_scalar), column: "w.id" },
    Field {
        name: "customer_id",
        many: "customer_ids",
        kind: Kind::Id(customer_scalar),
        column: "c.id",
    },
    Field {
        name: "external_customer_id",
        many: "external_customer_ids",
        kind: Kind::Text,
        column: "c.external_id",
    },
    field("name", Kind::Text, "json_extract(v.body, '$.name')"),
    field("description", Kind::Text, "json_extract(v.body, '$.description')"),
    field("currency", Kind::Text, "w.currency"),
    field("wallet_type", Kind::Choice(TYPES), "w.wallet_type"),
    field("wallet_status", Kind::Choice(STATUSES), "w.status"),
    field("alert_enabled", Kind::Flag, "w.alert_enabled"),
    field("credit_balance", Kind::Number, "b.credits"),
    field("paywall_scope", Kind::Text, "w.paywall_scope"),
    field("created_by", Kind::Text, "json_extract(v.body, '$.created_by')"),
    field("created_at", Kind::Time, "w.created_at"),
    field("updated_at", Kind::Time, "w.updated_at"),
];

/// Numbers of a page of the environment's wallets, and how many there are in all.
pub fn page(read: Read<'_>, scope: &Scope, page: &Page) -> Result<(Vec<i64>, u64), Error> {
    let source = Source {
        select: "SELECT w.no",
        from: "FROM wallets w JOIN customers c ON c.no = w.customer
            JOIN balances b ON b.wallet = w.no
            JOIN wallet_versions v ON v.wallet = w.no AND v.version = w.version
            WHERE w.env = ?1",
        number: "w.no",
    };
    crate::page::rows(read, scope, &source, page, |row| row.get(0))
}
