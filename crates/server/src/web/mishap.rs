//! What went wrong, in words, as a page.

use axum::http::StatusCode;
use engine::Error;
use maud::html;

use super::layout::Page;
use crate::http::answer::Answer;
use crate::http::errors;
use crate::http::route::Surface;

/// The message as a person reads it.
pub fn words(error: &Error) -> String {
    match error {
        Error::Fault(fault) => sentence(&fault.message),
        Error::Refused(refusal) => sentence(&refusal.to_string()),
        Error::Store(_) => "It could not be done now; nothing was changed.".to_owned(),
    }
}

/// With a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let rest = letters.as_str();
    let end = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{end}")
}

/// The status that the API gives the same error.
pub fn status(error: &Error) -> StatusCode {
    match errors::answer(error, Surface::Billing, domain::id::RequestId::default()) {
        Answer::Whole { status, .. } => status,
        Answer::Raw(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub fn page(error: &Error) -> Page {
    let status = status(error);
    let title = match status.as_u16() {
        403 => "Not yours to do",
        404 => "Not here",
        410 => "Gone",
        429 => "Too fast",
        500.. => "That did not work",
        _ => "That cannot be done",
    };
    let body = html! {
        div.blank {
            p.blank-title { (words(error)) }
            @if status == StatusCode::NOT_FOUND {
                p { "It may be in another environment: look at the switch at the top of the menu." }
            }
            @if status == StatusCode::FORBIDDEN {
                p { "A super admin of your team can change your role." }
            }
            p { a.button href="/" { "Go home" } }
        }
    };
    Page::new(title, body).status(status)
}
