//! Customers: who holds wallets and is sent invoices.
//!
//! The customer as stored and told, how a new one and a change are judged, and what erasure leaves.
//! Uniqueness of an external id, and what stands in the way of a deletion, are the store's to know.

mod country;
mod input;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use input::{CustomerError, CustomerPatch, CustomerProblem, NewCustomer};

use crate::id::CustomerId;
use crate::time::Timestamp;

/// A customer, in the fields of the wire. Texts that are not known are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub id: CustomerId,
    pub external_id: String,
    pub name: String,
    pub email: String,
    pub contact: String,
    pub address_line1: String,
    pub address_line2: String,
    pub address_city: String,
    pub address_state: String,
    pub address_postal_code: String,
    /// ISO 3166-1 alpha-2, upper case, or empty.
    pub address_country: String,
    /// IANA name.
    pub timezone: String,
    pub metadata: BTreeMap<String, String>,
    pub status: CustomerStatus,
    pub created_at: Timestamp,
    pub created_by: String,
    pub updated_at: Timestamp,
    pub updated_by: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerStatus {
    #[default]
    Published,
    Archived,
    Deleted,
}

/// Stands in place of the name of an erased customer.
pub const ERASED_NAME: &str = "[erased]";

impl CustomerStatus {
    pub const ALL: [CustomerStatus; 3] =
        [CustomerStatus::Published, CustomerStatus::Archived, CustomerStatus::Deleted];

    pub const fn as_str(self) -> &'static str {
        match self {
            CustomerStatus::Published => "published",
            CustomerStatus::Archived => "archived",
            CustomerStatus::Deleted => "deleted",
        }
    }

    pub fn parse(text: &str) -> Option<CustomerStatus> {
        CustomerStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl Customer {
    /// The customer after a patch that was validated, and the values that it replaced, by field.
    /// An empty map means that nothing changed. Who changed it and when is for the caller to set.
    #[must_use]
    pub fn apply(&self, patch: CustomerPatch) -> (Customer, Map<String, Value>) {
        let mut next = self.clone();
        let mut previous = Map::new();
        let mut set = |name: &str, field: &mut String, new: Option<String>| {
            if let Some(new) = new.filter(|new| new != field) {
                previous.insert(name.to_owned(), Value::String(std::mem::replace(field, new)));
            }
        };
        set("external_id", &mut next.external_id, patch.external_id);
        set("name", &mut next.name, patch.name);
        set("email", &mut next.email, patch.email);
        set("contact", &mut next.contact, patch.contact);
        set("address_line1", &mut next.address_line1, patch.address_line1);
        set("address_line2", &mut next.address_line2, patch.address_line2);
        set("address_city", &mut next.address_city, patch.address_city);
        set("address_state", &mut next.address_state, patch.address_state);
        set("address_postal_code", &mut next.address_postal_code, patch.address_postal_code);
        set("address_country", &mut next.address_country, patch.address_country);
        set("timezone", &mut next.timezone, patch.timezone);
        if let Some(metadata) = patch.metadata.filter(|metadata| *metadata != next.metadata) {
            let old = std::mem::replace(&mut next.metadata, metadata);
            previous.insert("metadata".to_owned(), text_map(old));
        }
        (next, previous)
    }

    /// The customer without anything personal: ids, zone, status and times stay. The values that
    /// went are not given back, so that no event can tell them.
    #[must_use]
    pub fn erase(&self) -> Customer {
        Customer {
            name: ERASED_NAME.to_owned(),
            email: String::new(),
            contact: String::new(),
            address_line1: String::new(),
            address_line2: String::new(),
            address_city: String::new(),
            address_state: String::new(),
            address_postal_code: String::new(),
            address_country: String::new(),
            metadata: BTreeMap::new(),
            ..self.clone()
        }
    }
}

fn text_map(texts: BTreeMap<String, String>) -> Value {
    texts.into_iter().map(|(key, text)| (key, Value::String(text))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn acme() -> Customer {
        let new: NewCustomer = serde_json::from_value(json!({
            "external_id": "acme", "name": "Acme", "email": "pay@acme.example",
            "address_country": "fr", "metadata": {"gstin": "1"},
        }))
        .unwrap();
        let at = Timestamp::from_millis(1_770_000_000_000);
        new.validate().unwrap().into_customer(CustomerId::default(), at, "user_1")
    }

    #[test]
    fn wire_shape_has_every_field_and_reads_back() {
        let customer = acme();
        let wire = serde_json::to_value(&customer).unwrap();
        assert_eq!(wire["address_country"], "FR");
        assert_eq!(wire["timezone"], "UTC");
        assert_eq!(wire["status"], "published");
        assert_eq!(wire["created_by"], "user_1");
        assert_eq!(wire["address_line2"], "");
        assert_eq!(serde_json::from_value::<Customer>(wire).unwrap(), customer);
        for status in CustomerStatus::ALL {
            assert_eq!(CustomerStatus::parse(status.as_str()), Some(status));
            assert_eq!(json!(status), status.as_str());
        }
    }

    #[test]
    fn a_patch_tells_exactly_the_values_that_it_replaced() {
        let customer = acme();
        let patch: CustomerPatch = serde_json::from_value(json!({
            "name": "Acme SA", "email": "pay@acme.example", "timezone": "IST",
            "metadata": {"pan": "2"},
        }))
        .unwrap();
        let (next, previous) = customer.apply(patch.validate().unwrap());
        assert_eq!((next.name.as_str(), next.timezone.as_str()), ("Acme SA", "Asia/Kolkata"));
        let expected = json!({"name": "Acme", "timezone": "UTC", "metadata": {"gstin": "1"}});
        assert_eq!(Value::Object(previous), expected);

        let (same, nothing) = next.apply(CustomerPatch::default());
        assert_eq!(same, next);
        assert!(nothing.is_empty());
    }

    #[test]
    fn erasure_leaves_ids_and_nothing_personal() {
        let customer = acme();
        let erased = customer.erase();
        assert_eq!((erased.id, &erased.external_id), (customer.id, &customer.external_id));
        assert_eq!(erased.name, ERASED_NAME);
        let text = serde_json::to_string(&erased).unwrap();
        for personal in ["Acme", "pay@", "FR", "gstin"] {
            assert!(!text.contains(personal), "{personal}");
        }
    }
}
