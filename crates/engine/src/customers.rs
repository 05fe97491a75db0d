//! Commands on customers.

use domain::customer::{Customer, NewCustomer};
use domain::event;
use domain::id::CustomerId;
use domain::scope::Cause;
use domain::webhook::catalogue::EventType;
use store::Tx;
use store::customers::{self, Stored};

use crate::error::Error;

/// Makes a customer and tells `customer.created`. `new` has been validated.
pub fn create(tx: &mut Tx<'_>, cause: &Cause, new: NewCustomer) -> Result<Stored, Error> {
    let id = CustomerId(tx.mint());
    let customer = new.into_customer(id, tx.now(), &cause.actor.id);
    let scope = tx.scope();
    let inserted = customers::insert(tx.write()?, &scope, &customer);
    let no = inserted.map_err(|error| taken(error, &customer))?;
    tx.tell(subject(&customer), EventType::CUSTOMER_CREATED, cause, |telling| {
        event::customer::render(telling, &customer, None)
    })?;
    Ok(Stored { no, version: 1, customer })
}

fn taken(error: store::Error, customer: &Customer) -> Error {
    if error.is_conflict() {
        let message = format!("a customer with external_id {:?} exists", customer.external_id);
        return Error::already_exists(message);
    }
    error.into()
}

/// What the events of a customer are counted by.
pub fn subject(customer: &Customer) -> String {
    format!("customer:{}", customer.id)
}
