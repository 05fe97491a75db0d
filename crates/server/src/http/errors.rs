//! Refusals in the words of each surface: flat for billing and management, OpenAI's for paywalls.

use axum::http::StatusCode;
use domain::amount::Amount;
use domain::id::RequestId;
use domain::ledger::Refusal;
use engine::{Class, Error, Fault};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::route::Surface;

#[derive(Serialize)]
struct Flat<'a> {
    code: &'a str,
    message: &'a str,
    http_status_code: u16,
    request_id: RequestId,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Value>,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paywall: Option<&'a Value>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'a str,
    request_id: RequestId,
}

/// The answer to a refused request.
pub fn answer(error: &Error, surface: Surface, request: RequestId) -> Answer {
    let fault = fault(error);
    let status = status(fault.class, fault.code);
    let body = match surface {
        Surface::Paywall => openai(&fault, status, request),
        Surface::Messages => anthropic(&fault, status, request),
        Surface::Billing => json!(Flat {
            code: fault.code,
            message: &fault.message,
            http_status_code: status.as_u16(),
            request_id: request,
            param: fault.field.as_deref(),
            details: fault.details.as_ref(),
        }),
    };
    blocked(hints(Answer::json(status, &body), fault.class, status), &fault)
}

/// The answer to a request that its provider failed.
pub fn upstream(
    (status, code): (StatusCode, &'static str),
    message: &str,
    surface: Surface,
    request: RequestId,
) -> Answer {
    let fault = Fault::new(Class::Unavailable, code, message);
    let body = match surface {
        Surface::Messages => anthropic(&fault, status, request),
        Surface::Paywall | Surface::Billing => openai(&fault, status, request),
    };
    Answer::json(status, &body)
}

/// The body of an error inside a list of results, as paywalls speak.
pub fn item(error: &Error, request: RequestId) -> Value {
    let fault = fault(error);
    openai(&fault, status(fault.class, fault.code), request)
}

/// A blocked call says so in headers too (paywalls 7.3).
fn blocked(answer: Answer, fault: &Fault) -> Answer {
    let told = fault.details.as_ref().and_then(|details| details.get("paywall"));
    let text = |name: &str| told.and_then(|told| told.get(name)).and_then(Value::as_str);
    let Some(reason) = text("reason") else { return answer };
    let answer = answer.with("x-paywall-status", "blocked").with("x-paywall-reason", reason);
    match text("actionUrl") {
        Some(url) => answer.with("x-paywall-action-url", url),
        None => answer,
    }
}

fn anthropic(fault: &Fault, status: StatusCode, request: RequestId) -> Value {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let error = json!({ "type": kind, "message": fault.message });
    json!({ "type": "error", "error": error, "request_id": request })
}

/// Says whether sending it again can help (conventions 5).
fn hints(answer: Answer, class: Class, status: StatusCode) -> Answer {
    match class {
        Class::InProgress | Class::Unavailable | Class::TooMany => answer.with("retry-after", "1"),
        _ if status.is_client_error() || class == Class::NotBuilt => {
            answer.with("x-should-retry", "false")
        }
        _ => answer,
    }
}

fn openai(fault: &Fault, status: StatusCode, request: RequestId) -> Value {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    let code = match fault.code {
        "unauthorized" => "invalid_api_key",
        "validation_error" => "invalid_request",
        "service_unavailable" => "ledger_unavailable",
        other => other,
    };
    json!(OpenAi {
        error: OpenAiError {
            message: &fault.message,
            kind,
            param: fault.field.as_deref(),
            code,
            request_id: request,
        },
        paywall: fault.details.as_ref().and_then(|details| details.get("paywall")),
    })
}

fn status(class: Class, code: &str) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::BAD_REQUEST,
        Class::Unauthorized => StatusCode::UNAUTHORIZED,
        Class::Forbidden if code == "insufficient_balance" => StatusCode::PAYMENT_REQUIRED,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::NotFound => StatusCode::NOT_FOUND,
        Class::Conflict | Class::InProgress => StatusCode::CONFLICT,
        Class::Gone => StatusCode::GONE,
        Class::Reused => StatusCode::UNPROCESSABLE_ENTITY,
        Class::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Class::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Class::NotBuilt => StatusCode::NOT_IMPLEMENTED,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Every error as a fault with class, code and words.
fn fault(error: &Error) -> Fault {
    match error {
        Error::Fault(fault) => fault.clone(),
        Error::Refused(refusal) => refused(refusal),
        Error::Store(error) => {
            tracing::error!(%error, "the store failed");
            let message = "the change cannot be recorded now; nothing was written";
            Fault::new(Class::Unavailable, "service_unavailable", message)
        }
    }
}

/// The error's code, for counting.
pub fn code(error: &Error) -> &'static str {
    match error {
        Error::Fault(fault) => fault.code,
        Error::Refused(refusal) => refused(refusal).code,
        Error::Store(_) => "service_unavailable",
    }
}

fn refused(refusal: &Refusal) -> Fault {
    let message = refusal.to_string();
    match refusal {
        Refusal::InsufficientBalance { required, available } => {
            Fault::new(Class::Forbidden, "insufficient_balance", message)
                .with(money_details(*required, *available))
        }
        Refusal::HoldNotFound => Fault::new(Class::NotFound, "not_found", message),
        Refusal::HoldClosed => Fault::new(Class::Conflict, "hold_closed", message),
        Refusal::HoldExpired => Fault::new(Class::Conflict, "hold_expired", message),
        Refusal::CaptureExceedsHold { .. } => {
            Fault::new(Class::Invalid, "capture_exceeds_hold", message).at("amount")
        }
        Refusal::AlreadyRefunded => Fault::new(Class::Conflict, "already_refunded", message),
        Refusal::RefundExceedsCharge { .. } => {
            Fault::new(Class::Invalid, "refund_exceeds_charge", message).at("amount")
        }
        Refusal::ExpiryInPast(_) => Fault::new(Class::Invalid, "validation_error", message),
        Refusal::WalletStopped => Fault::new(Class::Unavailable, "service_unavailable", message),
        _ => Fault::new(Class::Invalid, "invalid_operation", message),
    }
}

fn money_details(required: Amount, available: Amount) -> Value {
    json!({ "required": required, "available": available })
}
