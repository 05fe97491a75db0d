//! What a client sends to make or change a customer, and the rules that it keeps.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::country::country_code;
use super::{Customer, CustomerStatus};
use crate::id::CustomerId;
use crate::time::{TimeError, Timestamp, zone_name};

/// The body that makes a customer: a change of nothing, in which two fields must be given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NewCustomer {
    pub fields: CustomerPatch,
}

/// The body that changes a customer: what is absent or null stays. Metadata is replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CustomerPatch {
    pub external_id: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub contact: Option<String>,
    pub address_line1: Option<String>,
    pub address_line2: Option<String>,
    pub address_city: Option<String>,
    pub address_state: Option<String>,
    pub address_postal_code: Option<String>,
    pub address_country: Option<String>,
    pub timezone: Option<String>,
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Why a customer was refused, and at which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct CustomerError {
    pub field: &'static str,
    pub problem: CustomerProblem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CustomerProblem {
    #[error("is required")]
    Missing,
    #[error("is longer than {0} characters")]
    TooLong(usize),
    #[error("contains a control character")]
    ControlCharacter,
    #[error("is not an e-mail address such as \"ann@example.com\"")]
    NotAnEmail,
    #[error("is not a country code of two letters such as \"DE\"")]
    NotACountry,
    #[error("{0}")]
    Zone(#[from] TimeError),
    #[error("is larger than {0} bytes")]
    TooLarge(usize),
}

pub const EXTERNAL_ID_CHARS_MAX: usize = 255;
const TEXT_CHARS_MAX: usize = 255;
const PLACE_CHARS_MAX: usize = 100;
const POSTAL_CODE_CHARS_MAX: usize = 20;
const EMAIL_CHARS_MAX: usize = 254;
const METADATA_BYTES_MAX: usize = 16 * 1024;
const DEFAULT_ZONE: &str = "UTC";

type Checked = Result<(), CustomerError>;

impl NewCustomer {
    /// A customer of whom nothing is known but what the client calls it.
    pub fn named(external_id: &str) -> NewCustomer {
        let name = Some(external_id.to_owned());
        let fields = CustomerPatch { external_id: name.clone(), name, ..CustomerPatch::default() };
        NewCustomer { fields }
    }

    /// Checks every field and gives the body back in its stored spelling.
    pub fn validate(self) -> Result<NewCustomer, CustomerError> {
        let required = [("external_id", &self.fields.external_id), ("name", &self.fields.name)];
        for (field, text) in required {
            if text.is_none() {
                return Err(CustomerError { field, problem: CustomerProblem::Missing });
            }
        }
        Ok(NewCustomer { fields: self.fields.validate()? })
    }

    /// The customer that a validated body makes.
    pub fn into_customer(self, id: CustomerId, at: Timestamp, by: &str) -> Customer {
        let fields = self.fields;
        Customer {
            id,
            external_id: fields.external_id.unwrap_or_default(),
            name: fields.name.unwrap_or_default(),
            email: fields.email.unwrap_or_default(),
            contact: fields.contact.unwrap_or_default(),
            address_line1: fields.address_line1.unwrap_or_default(),
            address_line2: fields.address_line2.unwrap_or_default(),
            address_city: fields.address_city.unwrap_or_default(),
            address_state: fields.address_state.unwrap_or_default(),
            address_postal_code: fields.address_postal_code.unwrap_or_default(),
            address_country: fields.address_country.unwrap_or_default(),
            timezone: fields.timezone.unwrap_or_else(|| DEFAULT_ZONE.to_owned()),
            metadata: fields.metadata.unwrap_or_default(),
            status: CustomerStatus::Published,
            created_at: at,
            created_by: by.to_owned(),
            updated_at: at,
            updated_by: by.to_owned(),
        }
    }
}

impl CustomerPatch {
    /// Checks every field that is given and gives the body back in its stored spelling.
    pub fn validate(mut self) -> Result<CustomerPatch, CustomerError> {
        check_given("external_id", self.external_id.as_ref(), EXTERNAL_ID_CHARS_MAX)?;
        check_given("name", self.name.as_ref(), TEXT_CHARS_MAX)?;
        check_email(self.email.as_ref())?;
        check_text("contact", self.contact.as_ref(), TEXT_CHARS_MAX)?;
        check_text("address_line1", self.address_line1.as_ref(), TEXT_CHARS_MAX)?;
        check_text("address_line2", self.address_line2.as_ref(), TEXT_CHARS_MAX)?;
        check_text("address_city", self.address_city.as_ref(), PLACE_CHARS_MAX)?;
        check_text("address_state", self.address_state.as_ref(), PLACE_CHARS_MAX)?;
        let postal_code = self.address_postal_code.as_ref();
        check_text("address_postal_code", postal_code, POSTAL_CODE_CHARS_MAX)?;
        check_metadata(self.metadata.as_ref())?;
        self.address_country = self.address_country.map(read_country).transpose()?;
        self.timezone = self.timezone.map(read_zone).transpose()?;
        Ok(self)
    }
}

/// A text that may not be empty when it is given.
fn check_given(field: &'static str, text: Option<&String>, chars_max: usize) -> Checked {
    if text.is_some_and(|text| text.trim().is_empty()) {
        return Err(CustomerError { field, problem: CustomerProblem::Missing });
    }
    check_text(field, text, chars_max)
}

fn check_text(field: &'static str, text: Option<&String>, chars_max: usize) -> Checked {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > chars_max {
        return Err(CustomerError { field, problem: CustomerProblem::TooLong(chars_max) });
    }
    if text.chars().any(char::is_control) {
        return Err(CustomerError { field, problem: CustomerProblem::ControlCharacter });
    }
    Ok(())
}

/// The shape only: whether mail arrives is found out by sending it. Empty takes an address away.
fn check_email(email: Option<&String>) -> Checked {
    check_text("email", email, EMAIL_CHARS_MAX)?;
    match email {
        Some(email) if !email.is_empty() && !is_email(email) => {
            Err(CustomerError { field: "email", problem: CustomerProblem::NotAnEmail })
        }
        _ => Ok(()),
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    let plain = |part: &str| !part.chars().any(|c| c.is_whitespace() || "@<>(),;".contains(c));
    let dotted = |part: &str| part.split('.').all(|label| !label.is_empty());
    plain(local) && dotted(local) && plain(host) && dotted(host) && host.contains('.')
}

fn check_metadata(metadata: Option<&BTreeMap<String, String>>) -> Checked {
    let size = |metadata: &BTreeMap<String, String>| -> usize {
        metadata.iter().map(|(key, text)| key.len() + text.len()).sum()
    };
    if metadata.map_or(0, size) > METADATA_BYTES_MAX {
        let problem = CustomerProblem::TooLarge(METADATA_BYTES_MAX);
        return Err(CustomerError { field: "metadata", problem });
    }
    Ok(())
}

fn read_country(text: String) -> Result<String, CustomerError> {
    if text.is_empty() {
        return Ok(text);
    }
    let problem = CustomerProblem::NotACountry;
    country_code(&text).ok_or(CustomerError { field: "address_country", problem })
}

/// Empty means the default, as clients send it.
fn read_zone(text: String) -> Result<String, CustomerError> {
    let text = if text.is_empty() { DEFAULT_ZONE.to_owned() } else { text };
    zone_name(&text).map_err(|error| CustomerError { field: "timezone", problem: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn new_customer(extra: &Value) -> Result<NewCustomer, CustomerError> {
        let mut body = json!({"external_id": "acme", "name": "Acme"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value::<NewCustomer>(body).unwrap().validate()
    }

    #[test]
    fn refuses_and_names_the_field() {
        use CustomerProblem as P;
        let long = "x".repeat(256);
        let table = [
            (json!({"external_id": ""}), "external_id", P::Missing),
            (json!({"external_id": null}), "external_id", P::Missing),
            (json!({"external_id": long}), "external_id", P::TooLong(255)),
            (json!({"external_id": "a\u{7}"}), "external_id", P::ControlCharacter),
            (json!({"name": " "}), "name", P::Missing),
            (json!({"name": null}), "name", P::Missing),
            (json!({"name": long}), "name", P::TooLong(255)),
            (json!({"email": "nobody"}), "email", P::NotAnEmail),
            (json!({"email": "a b@example.com"}), "email", P::NotAnEmail),
            (json!({"email": "a@localhost"}), "email", P::NotAnEmail),
            (json!({"email": "a@b..com"}), "email", P::NotAnEmail),
            (json!({"address_line1": long}), "address_line1", P::TooLong(255)),
            (json!({"address_line2": long}), "address_line2", P::TooLong(255)),
            (json!({"address_city": &long[..101]}), "address_city", P::TooLong(100)),
            (json!({"address_state": &long[..101]}), "address_state", P::TooLong(100)),
            (json!({"address_postal_code": &long[..21]}), "address_postal_code", P::TooLong(20)),
            (json!({"address_country": "Germany"}), "address_country", P::NotACountry),
            (json!({"timezone": "+02:00"}), "timezone", P::Zone(TimeError::UnknownZone)),
            (json!({"metadata": {"k": "x".repeat(16 * 1024)}}), "metadata", P::TooLarge(16_384)),
        ];
        for (extra, field, problem) in table {
            assert_eq!(new_customer(&extra), Err(CustomerError { field, problem }));
        }
    }

    #[test]
    fn accepts_edges_and_normalises() {
        let accepted = new_customer(&json!({
            "external_id": "ü".repeat(255), "email": "ann.lee+x@mail.example.co.uk",
            "address_country": "in", "timezone": "IST", "address_postal_code": "x".repeat(20),
        }));
        let fields = accepted.unwrap().fields;
        assert_eq!(fields.address_country.as_deref(), Some("IN"));
        assert_eq!(fields.timezone.as_deref(), Some("Asia/Kolkata"));
        let empty = json!({"email": "", "timezone": "", "address_country": ""});
        assert_eq!(new_customer(&empty).unwrap().fields.timezone.as_deref(), Some("UTC"));
        assert!(NewCustomer::named("user:1").validate().is_ok());
    }

    #[test]
    fn a_patch_needs_nothing_but_takes_no_empty_name() {
        assert!(CustomerPatch::default().validate().is_ok());
        let patch = CustomerPatch { name: Some(String::new()), ..CustomerPatch::default() };
        let error = patch.validate().unwrap_err();
        assert_eq!((error.field, error.problem), ("name", CustomerProblem::Missing));
    }
}
