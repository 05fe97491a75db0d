//! Customers: the row that is searched, and the versions that events name.

use crate::sql::{OptionalExtension, params};
use domain::customer::Customer;
use domain::id::CustomerId;
use domain::scope::Scope;

use crate::database::Read;
use crate::error::Error;
use crate::page::{Field, Kind, Page, Scalar, Source};
use crate::tx::Write;
use crate::value::{Key, Millis};

/// A customer and its number in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub no: i64,
    pub version: u32,
    pub customer: Customer,
}

const SELECT: &str = "SELECT c.no, c.version, v.body FROM customers c
    JOIN customer_versions v ON v.customer = c.no AND v.version = c.version";

/// Inserts the first version. A taken `external_id` is a conflict.
pub fn insert(write: Write<'_>, scope: &Scope, customer: &Customer) -> Result<i64, Error> {
    let no: i64 = write
        .connection
        .prepare_cached(
            "INSERT INTO customers (env, id, external_id, name, email, status, version, created_at,
            updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8) RETURNING no",
        )?
        .query_row(
            params![
                scope.env.get(),
                Key(customer.id.0),
                customer.external_id,
                customer.name,
                customer.email,
                customer.status.as_str(),
                Millis(customer.created_at),
                Millis(customer.updated_at),
            ],
            |row| row.get(0),
        )?;
    insert_version(write, no, 1, customer)?;
    crate::customer_words::insert(write, scope, no, customer)?;
    Ok(no)
}

/// Stores a new version and makes it the current one.
pub fn set(write: Write<'_>, scope: &Scope, no: i64, customer: &Customer) -> Result<u32, Error> {
    let version: u32 = write
        .connection
        .prepare_cached(
            "UPDATE customers SET external_id = ?3, name = ?4, email = ?5, status = ?6,
            version = version + 1, updated_at = ?7 WHERE env = ?1 AND no = ?2 RETURNING version",
        )?
        .query_row(
            params![
                scope.env.get(),
                no,
                customer.external_id,
                customer.name,
                customer.email,
                customer.status.as_str(),
                Millis(customer.updated_at),
            ],
            |row| row.get(0),
        )?;
    insert_version(write, no, version, customer)?;
    crate::customer_words::set(write, scope, no, customer)?;
    Ok(version)
}

fn insert_version(
    write: Write<'_>,
    no: i64,
    version: u32,
    customer: &Customer,
) -> Result<(), Error> {
    let body = serde_json::to_string(customer)
        .map_err(|problem| Error::corrupt("customer_versions", no, problem))?;
    write
        .connection
        .prepare_cached(
            "INSERT INTO customer_versions (customer, version, body) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![no, version, body])?;
    Ok(())
}

/// Remembers an external id that the customer had before a rename.
pub fn insert_alias(
    write: Write<'_>,
    scope: &Scope,
    external_id: &str,
    no: i64,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached(
            "INSERT INTO customer_aliases (env, external_id, customer) VALUES (?1, ?2, ?3)
             ON CONFLICT (env, external_id) DO UPDATE SET customer = excluded.customer",
        )?
        .execute(params![scope.env.get(), external_id, no])?;
    Ok(())
}

pub fn find(read: Read<'_>, scope: &Scope, id: CustomerId) -> Result<Option<Stored>, Error> {
    let mut select =
        read.connection.prepare_cached(&format!("{SELECT} WHERE c.env = ?1 AND c.id = ?2"))?;
    one(select.query_row(params![scope.env.get(), Key(id.0)], row).optional()?)
}

pub fn find_by_no(read: Read<'_>, scope: &Scope, no: i64) -> Result<Option<Stored>, Error> {
    let mut select =
        read.connection.prepare_cached(&format!("{SELECT} WHERE c.env = ?1 AND c.no = ?2"))?;
    one(select.query_row(params![scope.env.get(), no], row).optional()?)
}

/// The published customer with this external id.
pub fn find_by_external_id(
    read: Read<'_>,
    scope: &Scope,
    external_id: &str,
) -> Result<Option<Stored>, Error> {
    let mut select = read.connection.prepare_cached(&format!(
        // The status stands in the text, as in the index that holds the published ones only.
        "{SELECT} WHERE c.env = ?1 AND c.external_id = ?2 AND c.status = 'published'"
    ))?;
    one(select.query_row(params![scope.env.get(), external_id], row).optional()?)
}

type Raw = (i64, u32, String);

pub(crate) fn row(row: &crate::sql::Row<'_>) -> crate::sql::Result<Raw> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn one(raw: Option<Raw>) -> Result<Option<Stored>, Error> {
    raw.map(stored).transpose()
}

pub(crate) fn stored((no, version, body): Raw) -> Result<Stored, Error> {
    let customer = serde_json::from_str(&body)
        .map_err(|problem| Error::corrupt("customer_versions", no, problem))?;
    Ok(Stored { no, version, customer })
}

const STATUSES: &[&str] = &["published", "archived", "deleted"];

fn id_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: CustomerId| Scalar::Id(id.0))
}

const fn text(name: &'static str, column: &'static str) -> Field {
    Field { name, many: "", kind: Kind::Text, column }
}

/// What a list of customers may be asked by.
pub static FIELDS: &[Field] = &[
    Field { name: "id", many: "customer_ids", kind: Kind::Id(id_scalar), column: "c.id" },
    Field { name: "external_id", many: "external_ids", kind: Kind::Text, column: "c.external_id" },
    text("name", "c.name"),
    text("email", "c.email"),
    text("contact", "json_extract(v.body, '$.contact')"),
    text("timezone", "json_extract(v.body, '$.timezone')"),
    text("address_line1", "json_extract(v.body, '$.address_line1')"),
    text("address_line2", "json_extract(v.body, '$.address_line2')"),
    text("address_city", "json_extract(v.body, '$.address_city')"),
    text("address_state", "json_extract(v.body, '$.address_state')"),
    text("address_postal_code", "json_extract(v.body, '$.address_postal_code')"),
    text("address_country", "json_extract(v.body, '$.address_country')"),
    text("created_by", "json_extract(v.body, '$.created_by')"),
    text("updated_by", "json_extract(v.body, '$.updated_by')"),
    Field { name: "status", many: "", kind: Kind::Choice(STATUSES), column: "c.status" },
    Field { name: "created_at", many: "", kind: Kind::Time, column: "c.created_at" },
    Field { name: "updated_at", many: "", kind: Kind::Time, column: "c.updated_at" },
];

/// A page of the environment's customers, and how many there are in all.
pub fn page(read: Read<'_>, scope: &Scope, page: &Page) -> Result<(Vec<Stored>, u64), Error> {
    let source = Source {
        select: "SELECT c.no, c.version, v.body",
        from: "FROM customers c JOIN customer_versions v
            ON v.customer = c.no AND v.version = c.version WHERE c.env = ?1",
        number: "c.no",
    };
    let (rows, total) = crate::page::rows(read, scope, &source, page, row)?;
    Ok((rows.into_iter().map(stored).collect::<Result<_, _>>()?, total))
}
