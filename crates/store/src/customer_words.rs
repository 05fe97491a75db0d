//! Finding customers as a person types: by the start of any word of name, e-mail or own id, and
//! pages of all of them by age. Every question is a range of an index; nothing is scanned.

use std::collections::BTreeSet;

use crate::sql::params;
use domain::customer::Customer;
use domain::scope::Scope;

use crate::customers::{self, Stored};
use crate::database::Read;
use crate::error::Error;
use crate::tx::Write;

/// Words of one customer, and the letters of each, that are kept.
const WORDS_MAX: usize = 12;
const LETTERS_MAX: usize = 40;
/// Customers with a word that are looked at for the other words.
const LOOKED_AT_MAX: usize = 2_000;

/// The words of a text in small letters.
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let parts = lower.split(|letter: char| !letter.is_alphanumeric());
    let kept = parts.filter(|part| !part.is_empty());
    kept.take(WORDS_MAX).map(|part| part.chars().take(LETTERS_MAX).collect()).collect()
}

fn words_of(customer: &Customer) -> BTreeSet<String> {
    let texts = [&customer.name, &customer.email, &customer.external_id];
    texts.into_iter().flat_map(|text| words(text)).take(WORDS_MAX).collect()
}

/// Replaces the words of a customer.
pub(crate) fn set(
    write: Write<'_>,
    scope: &Scope,
    no: i64,
    customer: &Customer,
) -> Result<(), Error> {
    write
        .connection
        .prepare_cached("DELETE FROM customer_words WHERE customer = ?1")?
        .execute([no])?;
    insert(write, scope, no, customer)
}

/// The words of a customer that has none yet.
pub(crate) fn insert(
    write: Write<'_>,
    scope: &Scope,
    no: i64,
    customer: &Customer,
) -> Result<(), Error> {
    let mut insert = write.connection.prepare_cached(
        "INSERT INTO customer_words (env, word, customer) VALUES (?1, ?2, ?3)
         ON CONFLICT (env, word, customer) DO NOTHING",
    )?;
    for word in words_of(customer) {
        insert.execute(params![scope.env.get(), word, no])?;
    }
    Ok(())
}

/// Published customers, newest first, made before the one with the number `below`.
pub fn newest(
    read: Read<'_>,
    scope: &Scope,
    below: Option<i64>,
    limit: usize,
) -> Result<Vec<Stored>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT c.no, c.version, v.body FROM customers c
         JOIN customer_versions v ON v.customer = c.no AND v.version = c.version
         WHERE c.env = ?1 AND c.status = 'published'
            AND (c.created_at, c.no) < (
                COALESCE((SELECT created_at FROM customers WHERE env = ?1 AND no = ?2), ?3), ?2)
         ORDER BY c.created_at DESC, c.no DESC LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let key = params![scope.env.get(), below.unwrap_or(i64::MAX), i64::MAX, limit];
    let rows = select.query_map(key, customers::row)?;
    rows.map(|raw| customers::stored(raw?)).collect()
}

/// Customers with a word that begins so.
fn with_word(read: Read<'_>, scope: &Scope, word: &str) -> Result<BTreeSet<i64>, Error> {
    let mut select = read.connection.prepare_cached(
        "SELECT customer FROM customer_words WHERE env = ?1 AND word >= ?2 AND word < ?3 LIMIT ?4",
    )?;
    let end = format!("{word}\u{10FFFF}");
    let most = i64::try_from(LOOKED_AT_MAX).unwrap_or(i64::MAX);
    let key = params![scope.env.get(), word, end, most];
    Ok(select.query_map(key, |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Published customers that have every word of `asked`, at least its start.
pub fn search(
    read: Read<'_>,
    scope: &Scope,
    asked: &str,
    limit: usize,
) -> Result<Vec<Stored>, Error> {
    let asked = words(asked);
    let mut fewest: Option<BTreeSet<i64>> = None;
    for word in &asked {
        let found = with_word(read, scope, word)?;
        if fewest.as_ref().is_none_or(|fewest| found.len() < fewest.len()) {
            fewest = Some(found);
        }
    }
    let numbers = fewest.unwrap_or_default();
    let mut found = Vec::new();
    for no in numbers.into_iter().rev() {
        if found.len() == limit {
            break;
        }
        let Some(stored) = customers::find_by_no(read, scope, no)? else { continue };
        let has = words_of(&stored.customer);
        let fits = |word: &String| has.iter().any(|own| own.starts_with(word));
        if stored.customer.status.as_str() == "published" && asked.iter().all(fits) {
            found.push(stored);
        }
    }
    Ok(found)
}
