//! What a command refuses, in words that every surface can translate.
//!
//! Raise a `Fault` where a caller can do something about it; let `Store` pass through untouched.

use domain::ledger::Refusal;
use serde_json::Value;

/// The kind of a fault; the surfaces turn it into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request is wrong.
    Invalid,
    Unauthorized,
    /// The caller may not, or the state of the thing forbids it for everyone.
    Forbidden,
    NotFound,
    /// The state of the thing forbids it now.
    Conflict,
    /// The same idempotency key is still at work.
    InProgress,
    /// It was there once.
    Gone,
    /// An idempotency key came with another body.
    Reused,
    TooLarge,
    TooMany,
    /// A later stage brings it.
    NotBuilt,
    /// The change cannot be recorded now.
    Unavailable,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub class: Class,
    /// Stable, listed in the docs.
    pub code: &'static str,
    pub message: String,
    /// Path of the first bad field.
    pub field: Option<String>,
    pub details: Option<Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Fault {
    pub fn new(class: Class, code: &'static str, message: impl Into<String>) -> Fault {
        Fault { class, code, message: message.into(), field: None, details: None }
    }

    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Fault {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn with(mut self, details: Value) -> Fault {
        self.details = Some(details);
        self
    }
}

impl Error {
    /// Whether the other nodes of the database took over what this one had.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Error::Store(store::Error::Ended))
    }

    /// A field of the request is wrong.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Error {
        Fault::new(Class::Invalid, "validation_error", message).at(field).into()
    }

    /// The state of the thing does not allow it.
    pub fn operation(message: impl Into<String>) -> Error {
        Fault::new(Class::Invalid, "invalid_operation", message).into()
    }

    /// No such thing here; the same answer where it belongs to someone else.
    pub fn not_found(what: &str) -> Error {
        Fault::new(Class::NotFound, "not_found", format!("there is no such {what}")).into()
    }

    pub fn already_exists(message: impl Into<String>) -> Error {
        Fault::new(Class::Conflict, "already_exists", message).into()
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Error {
        Fault::new(Class::Forbidden, code, message).into()
    }

    pub fn conflict(code: &'static str, message: impl Into<String>) -> Error {
        Fault::new(Class::Conflict, code, message).into()
    }

    pub fn not_built(what: &str) -> Error {
        let message = format!("{what} is not built yet; nothing was changed");
        Fault::new(Class::NotBuilt, "not_implemented", message).into()
    }

    pub fn key_reused() -> Error {
        let message = "this idempotency key was used before with another body";
        Fault::new(Class::Reused, "idempotency_key_reused", message).into()
    }
}
