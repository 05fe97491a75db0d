//! Commands on customers.

use domain::customer::{Customer, CustomerPatch, CustomerStatus, NewCustomer};
use domain::event;
use domain::id::CustomerId;
use domain::scope::Cause;
use domain::webhook::catalogue::EventType;
use domain::webhook::channel::Channels;
use serde_json::{Map, Value};
use store::Tx;
use store::customers::{self, Stored};

use crate::audit;
use crate::error::Error;

/// Makes a customer and tells `customer.created`. `new` has been validated.
pub fn create(tx: &mut Tx<'_>, cause: &Cause, new: NewCustomer) -> Result<Stored, Error> {
    let id = CustomerId(tx.mint());
    let customer = new.into_customer(id, tx.now(), &cause.actor.id);
    let scope = tx.scope();
    let inserted = customers::insert(tx.write()?, &scope, &customer);
    let no = inserted.map_err(|error| taken(error, &customer))?;
    tx.tell(about(&customer), EventType::CUSTOMER_CREATED, cause, |telling| {
        event::customer::render(telling, &customer, None)
    })?;
    Ok(Stored { no, version: 1, customer })
}

/// The customer with this id, if it was not deleted.
pub fn require(tx: &mut Tx<'_>, id: CustomerId) -> Result<Stored, Error> {
    let scope = tx.scope();
    present(customers::find(tx.read()?, &scope, id)?)
}

/// The customer that has this name of the caller's now.
pub fn require_external(tx: &mut Tx<'_>, external_id: &str) -> Result<Stored, Error> {
    let scope = tx.scope();
    present(customers::find_by_external_id(tx.read()?, &scope, external_id)?)
}

/// A deleted customer is not there.
pub fn present(found: Option<Stored>) -> Result<Stored, Error> {
    found
        .filter(|stored| stored.customer.status != CustomerStatus::Deleted)
        .ok_or_else(|| Error::not_found("customer"))
}

/// Changes what the patch names and tells `customer.updated`; nothing where nothing changed. The
/// name that it had stays an alias. `patch` has been validated.
pub fn update(
    tx: &mut Tx<'_>,
    cause: &Cause,
    stored: Stored,
    patch: CustomerPatch,
) -> Result<Stored, Error> {
    let (next, previous) = stored.customer.apply(patch);
    if previous.is_empty() {
        return Ok(stored);
    }
    if let Some(Value::String(old)) = previous.get("external_id") {
        let scope = tx.scope();
        customers::insert_alias(tx.write()?, &scope, old, stored.no)?;
    }
    set(tx, cause, stored.no, next, (EventType::CUSTOMER_UPDATED, Some(&previous)))
}

/// Takes everything personal away; what it was is told nowhere. Nobody looks on in the portal.
pub fn erase(tx: &mut Tx<'_>, cause: &Cause, id: CustomerId) -> Result<Stored, Error> {
    let stored = require(tx, id)?;
    let scope = tx.scope();
    store::portal_sessions::end_of_customer(tx.write()?, &scope, stored.no)?;
    let next = stored.customer.erase();
    set(tx, cause, stored.no, next, (EventType::CUSTOMER_UPDATED, None))
}

/// Deletes softly, and frees the customer's name. Refused while a wallet is open.
pub fn delete(tx: &mut Tx<'_>, cause: &Cause, id: CustomerId) -> Result<Stored, Error> {
    let stored = require(tx, id)?;
    let scope = tx.scope();
    if let Some(wallet) = store::wallets::first_open(tx.read()?, &scope, stored.no)? {
        let message = format!("the customer still has the wallet {wallet}, which is not closed");
        return Err(Error::operation(message));
    }
    let next = Customer { status: CustomerStatus::Deleted, ..stored.customer };
    set(tx, cause, stored.no, next, (EventType::CUSTOMER_DELETED, None))
}

/// Stores a new version, tells it, and lets the customer's wallets name it from now on.
fn set(
    tx: &mut Tx<'_>,
    cause: &Cause,
    no: i64,
    mut next: Customer,
    (kind, previous): (EventType, Option<&Map<String, Value>>),
) -> Result<Stored, Error> {
    next.updated_at = tx.now();
    next.updated_by.clone_from(&cause.actor.id);
    let scope = tx.scope();
    let version = customers::set(tx.write()?, &scope, no, &next);
    let version = version.map_err(|error| taken(error, &next))?;
    for wallet in store::wallets::numbers_of_customer(tx.read()?, &scope, no)? {
        tx.reload_account(wallet)?;
    }
    let before = previous.cloned().map(Value::Object);
    tx.tell(about(&next), kind, cause, |telling| {
        event::customer::render(telling, &next, previous)
    })?;
    audit::record(tx, cause, kind.name(), ("customer", next.id.to_string()), (before, None))?;
    Ok(Stored { no, version, customer: next })
}

fn taken(error: store::Error, customer: &Customer) -> Error {
    if error.is_conflict() {
        let message = format!("a customer with external_id {:?} exists", customer.external_id);
        return Error::already_exists(message);
    }
    error.into()
}

/// What the events of a customer are counted by, and what they touch.
fn about(customer: &Customer) -> (String, Channels) {
    (format!("customer:{}", customer.id), Channels::of_customer(customer.id))
}
