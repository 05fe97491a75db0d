//! Wallet transactions: the entries of the ledger that lists show, judged in memory.
//!
//! One wallet's are found along its chain, an environment's by their place. Nothing indexes them,
//! because an index would cost every charge.

use std::cmp::Ordering;
use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};

use domain::amount::Amount;
use domain::id::TransactionId;
use domain::ledger::Entry;
use domain::ledger::entry::{Kind as EntryKind, Reason};
use domain::place::{Place, Placed};
use domain::scope::Scope;

use crate::accounts::lot_rests;
use crate::database::Read;
use crate::entries;
use crate::error::Error;
use crate::page::{Column, Field, Kind, Page, Scalar};

/// A transaction and the unspent rest of its credit.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub entry: Entry,
    /// `None` on debits.
    pub available: Option<Amount>,
}

fn id_scalar(text: &str) -> Option<Scalar> {
    text.parse().ok().map(|id: TransactionId| Scalar::Whole(id.place().raw()))
}

const KINDS: &[&str] = &["credit", "debit"];
const STATES: &[&str] = &["pending", "completed", "failed"];
const REFERENCES: &[&str] = &["PAYMENT", "EXTERNAL", "REQUEST", "INVOICE"];
const REASONS: &[&str] = &[
    "FREE_CREDIT_GRANT",
    "SUBSCRIPTION_CREDIT_GRANT",
    "PURCHASED_CREDIT_INVOICED",
    "PURCHASED_CREDIT_DIRECT",
    "PURCHASED_CREDIT_BONUS",
    "CREDIT_NOTE",
    "INVOICE_VOID_REFUND",
    "CREDIT_ADJUSTMENT",
    "INVOICE_PAYMENT",
    "MANUAL_BALANCE_DEBIT",
    "CREDIT_EXPIRED",
    "WALLET_TERMINATION",
];

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, many: "", kind, column: "" }
}

/// What a list of transactions may be asked by, besides its wallet and its customer.
pub static FIELDS: &[Field] = &[
    Field { name: "id", many: "transaction_ids", kind: Kind::Id(id_scalar), column: "" },
    Field { name: "parent_transaction_id", many: "", kind: Kind::Id(id_scalar), column: "" },
    field("type", Kind::Choice(KINDS)),
    field("transaction_status", Kind::Choice(STATES)),
    field("transaction_reason", Kind::Choice(REASONS)),
    field("reference_type", Kind::Choice(REFERENCES)),
    field("reference_id", Kind::Text),
    field("idempotency_key", Kind::Text),
    field("description", Kind::Text),
    field("created_by", Kind::Text),
    field("priority", Kind::Whole),
    field("amount", Kind::Number),
    field("credit_amount", Kind::Number),
    field("credits_available", Kind::Number),
    field("expiry_date", Kind::Time),
    field("created_at", Kind::Time),
    field("updated_at", Kind::Time),
];

/// Rests of lots, read once a wallet.
#[derive(Default)]
struct Rests {
    of: HashMap<i64, BTreeMap<Place, Amount>>,
}

impl Rests {
    fn available(&mut self, read: Read<'_>, entry: &Entry) -> Result<Option<Amount>, Error> {
        if entry.kind != EntryKind::Credit {
            return Ok(None);
        }
        let rests = match self.of.entry(entry.wallet_no) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(lot_rests(read, entry.wallet_no)?),
        };
        Ok(Some(rests.get(&entry.place).copied().unwrap_or_default()))
    }
}

/// A page of the transactions of `wallets`, or of the whole environment, and how many there are.
pub fn page(
    read: Read<'_>,
    scope: &Scope,
    wallets: Option<&[i64]>,
    page: &Page,
) -> Result<(Vec<Listed>, u64), Error> {
    let mut rests = Rests::default();
    let mut found: Vec<(Vec<Scalar>, i64, Place)> = Vec::new();
    each(read, scope, wallets, |entry| {
        if !entry.is_transaction() {
            return Ok(());
        }
        let available = rests.available(read, &entry)?;
        let listed = Listed { entry, available };
        let value = |column: &Column| listed.value(column);
        if page.conditions.iter().all(|one| one.test.holds(&value(&one.column))) {
            let keys = page.sort.iter().map(|sort| value(&sort.column)).collect();
            found.push((keys, listed.entry.at.millis(), listed.entry.place));
        }
        Ok(())
    })?;
    found.sort_by(|one, other| order(page, one, other));
    let total = found.len() as u64;
    let mut listed = Vec::new();
    for (_, _, place) in found.into_iter().skip(page.offset).take(page.limit) {
        if let Some(entry) = entries::find(read, scope, place)? {
            let available = rests.available(read, &entry)?;
            listed.push(Listed { entry, available });
        }
    }
    Ok((listed, total))
}

/// As asked, then by time and place in the direction of the first.
fn order(
    page: &Page,
    one: &(Vec<Scalar>, i64, Place),
    other: &(Vec<Scalar>, i64, Place),
) -> Ordering {
    let turned = |ordering: Ordering, descending| {
        if descending { ordering.reverse() } else { ordering }
    };
    for ((sort, key), against) in page.sort.iter().zip(&one.0).zip(&other.0) {
        let ordering = turned(key.cmp(against), sort.descending);
        if ordering.is_ne() {
            return ordering;
        }
    }
    let last = page.sort.first().is_none_or(|sort| sort.descending);
    turned((one.1, one.2).cmp(&(other.1, other.2)), last)
}

fn each(
    read: Read<'_>,
    scope: &Scope,
    wallets: Option<&[i64]>,
    mut work: impl FnMut(Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut failed = None;
    let mut keep = |entry: Entry| match work(entry) {
        Ok(()) => Some(()),
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    match wallets {
        None => entries::scan(read, scope.env.range(), true, &mut keep)?,
        Some(wallets) => {
            for &wallet in wallets {
                let head = crate::accounts::head(read, wallet)?;
                entries::walk(read, head, &mut keep)?;
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

impl Listed {
    fn value(&self, column: &Column) -> Scalar {
        let entry = &self.entry;
        let text =
            |text: Option<&str>| text.map_or(Scalar::Null, |text| Scalar::Text(text.to_owned()));
        let name = match column {
            Column::Field(field) => field.name,
            Column::Metadata(key) => return text(entry.details.metadata.get(key).map(|v| &**v)),
        };
        match name {
            "id" => Scalar::Whole(entry.place.raw()),
            "parent_transaction_id" => {
                entry.details.parent.map_or(Scalar::Null, |id| Scalar::Whole(id.place().raw()))
            }
            "type" => text(Some(entry.kind.name())),
            "transaction_status" => text(Some(entry.status.name())),
            "transaction_reason" => text(entry.reason.map(Reason::name)),
            "reference_type" => text(entry.details.reference_type.as_deref()),
            "reference_id" => text(entry.details.reference_id.as_deref()),
            "idempotency_key" => text(entry.key.as_ref().map(|key| key.key.as_str())),
            "description" => text(Some(entry.details.description.as_deref().unwrap_or_default())),
            "created_by" => text(Some(&entry.actor.id)),
            "priority" => entry.details.priority.map_or(Scalar::Null, Scalar::Whole),
            "amount" => Scalar::Number(entry.amount),
            "credit_amount" => Scalar::Number(entry.credits),
            "credits_available" => self.available.map_or(Scalar::Null, Scalar::Number),
            "expiry_date" => entry.details.expires_at.map_or(Scalar::Null, Scalar::Time),
            "created_at" | "updated_at" => Scalar::Time(entry.at),
            _ => Scalar::Null,
        }
    }
}
