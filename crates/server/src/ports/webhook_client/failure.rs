//! Why an attempt failed: the documented result, and a sentence for the receiver's owner that
//! names no address.

use domain::webhook::schedule::Outcome;
use domain::webhook::target::TargetError;

use super::connection::Unanswered;

#[derive(Debug)]
pub(in crate::ports) struct Failed {
    pub(in crate::ports) outcome: Outcome,
    pub(in crate::ports) error: String,
}

impl Failed {
    pub(in crate::ports) fn new(outcome: Outcome, error: impl Into<String>) -> Failed {
        Failed { outcome, error: error.into() }
    }

    pub(in crate::ports) fn blocked(rule: TargetError) -> Failed {
        Failed::new(Outcome::BlockedAddress, format!("the URL {rule}"))
    }

    /// No socket was opened: what was asked for cannot be written as HTTP.
    pub(in crate::ports) fn unsendable(what: &str) -> Failed {
        Failed::new(Outcome::ConnectFailed, format!("{what} cannot be sent"))
    }

    pub(in crate::ports) fn no_head() -> Failed {
        Failed::new(Outcome::Timeout, "no answer in time")
    }

    pub(in crate::ports) fn no_end() -> Failed {
        Failed::new(Outcome::TimeoutBody, "the answer did not end in time")
    }

    /// While the head was awaited.
    pub(in crate::ports) fn while_waiting(error: &hyper::Error) -> Failed {
        if error.is_parse() || error.is_parse_too_large() {
            return Failed::new(Outcome::BadResponse, format!("not a usable answer: {error}"));
        }
        Failed::new(Outcome::ConnectionLost, format!("the connection ended: {error}"))
    }

    /// While the body was read.
    pub(in crate::ports) fn while_reading(error: &hyper::Error) -> Failed {
        if error.is_parse() || is_invalid(error) {
            return Failed::new(Outcome::BadResponse, format!("not a usable body: {error}"));
        }
        Failed::new(Outcome::ConnectionLost, "the connection ended before the answer did")
    }
}

impl From<Unanswered> for Failed {
    fn from(unanswered: Unanswered) -> Failed {
        match unanswered {
            Unanswered::Failed(failed) => failed,
            Unanswered::Unsent(_) => {
                Failed::new(Outcome::ConnectionLost, "the connection ended before the request")
            }
        }
    }
}

/// Chunks that are not chunks are reported as an I/O error with this kind.
fn is_invalid(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|io| {
        matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
    })
}
