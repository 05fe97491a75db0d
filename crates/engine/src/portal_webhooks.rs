//! Webhooks as a customer sees them: the endpoints that hear of this customer alone, and of their
//! deliveries those whose event touches the customer. An endpoint may have heard of others before
//! its channels were narrowed; that is not shown.

use domain::id::{DeliveryId, ReceiverId};
use domain::scope::{Cause, Scope};
use domain::webhook::channel::Channel;
use domain::webhook::receiver::ReceiverKind;
use store::deliveries::Delivery;
use store::receivers::{self, Stored};
use store::{Read, Tx};

use crate::deliveries;
use crate::error::Error;
use crate::portal_sessions::Visitor;

/// There are never more endpoints of an environment.
const ENDPOINTS_MAX: u32 = 100;

/// What is a customer's: itself and its wallets.
pub struct Own(Vec<Channel>);

impl Own {
    pub fn of(read: Read<'_>, visitor: &Visitor) -> Result<Own, Error> {
        let (scope, customer) = (visitor.scope(), &visitor.customer);
        let wallets = store::wallets::ids_of_customer(read, &scope, customer.no)?;
        let mut all: Vec<Channel> = wallets.into_iter().map(Channel::Wallet).collect();
        all.push(Channel::Customer(customer.customer.id));
        Ok(Own(all))
    }

    /// An endpoint that lists nothing hears of everyone.
    fn has_endpoint(&self, stored: &Stored) -> bool {
        let channels = &stored.config.channels;
        let is_endpoint = stored.kind == ReceiverKind::Endpoint;
        is_endpoint && !channels.is_empty() && channels.iter().all(|one| self.0.contains(one))
    }

    /// Whether the event of a delivery is about the customer. Tests carry nobody's data.
    pub fn has_delivery(
        &self,
        read: Read<'_>,
        scope: &Scope,
        delivery: &Delivery,
    ) -> Result<bool, Error> {
        if delivery.is_test() {
            return Ok(true);
        }
        let found = store::events::find(read, scope, delivery.place)?;
        let touched = found.map(|recorded| recorded.event.channels);
        Ok(touched.is_some_and(|touched| self.0.iter().any(|&one| touched.has(one))))
    }
}

/// The customer's endpoints, the newest first.
pub fn endpoints(read: Read<'_>, visitor: &Visitor) -> Result<Vec<Stored>, Error> {
    let (scope, own) = (visitor.scope(), Own::of(read, visitor)?);
    let of = (ReceiverKind::Endpoint, None);
    let mut all = receivers::page(read, &scope, of, None, ENDPOINTS_MAX)?;
    all.retain(|one| own.has_endpoint(one));
    Ok(all)
}

/// An endpoint of the customer's; another one is not there.
pub fn endpoint(read: Read<'_>, visitor: &Visitor, id: ReceiverId) -> Result<Stored, Error> {
    let found = endpoints(read, visitor)?.into_iter().find(|one| one.id == id);
    found.ok_or_else(|| Error::not_found("webhook endpoint"))
}

/// A delivery of the customer's; another one is not there.
pub fn delivery(read: Read<'_>, visitor: &Visitor, id: DeliveryId) -> Result<Delivery, Error> {
    let missing = || Error::not_found("delivery");
    let (scope, own) = (visitor.scope(), Own::of(read, visitor)?);
    let no = id.receiver_no();
    if !endpoints(read, visitor)?.iter().any(|endpoint| endpoint.no == no) {
        return Err(missing());
    }
    let (delivery, _) = deliveries::find(read, &scope, None, id)?;
    if own.has_delivery(read, &scope, &delivery)? { Ok(delivery) } else { Err(missing()) }
}

/// Sends the event of a delivery again, at once.
pub fn redeliver(
    tx: &mut Tx<'_>,
    cause: &Cause,
    visitor: &Visitor,
    id: DeliveryId,
) -> Result<Delivery, Error> {
    delivery(tx.read()?, visitor, id)?;
    deliveries::redeliver(tx, cause, None, id)
}
