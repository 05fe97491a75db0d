//! `/v1/checkout/{token}`: where a top-up link leads a browser (paywalls 24.1).

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use domain::paywall::Paywall;
use engine::topup_links::Target;
use engine::{Class, Error};
use maud::{Markup, html};

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Routes};
use super::spec::Doc;
use crate::app::App;

/// Pages load one style of ours and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub fn routes() -> Routes {
    Routes::default().add(
        (Method::GET, "/v1/checkout/{token}"),
        Access::Public,
        Doc::new("User", "openCheckout", "Follow a top-up link"),
        open,
    )
}

async fn open(app: App, call: Call) -> Result<Answer, Error> {
    let token: String = call.path("token", "link")?;
    match app.engine.checkout_target(&token) {
        Ok(Target::Address(address)) => Ok(redirect(&address)),
        Ok(Target::Page { paywall, user }) => Ok(page(StatusCode::OK, &contact(&paywall, &user))),
        Ok(Target::Expired) => Ok(page(StatusCode::GONE, &sorry("This link has expired."))),
        Err(Error::Fault(fault)) if fault.class == Class::NotFound => {
            Ok(page(StatusCode::NOT_FOUND, &sorry("There is no such link.")))
        }
        Err(error) => Err(error),
    }
}

fn redirect(address: &str) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(value) = HeaderValue::from_str(address) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    guarded(response)
}

fn page(status: StatusCode, content: &Markup) -> Answer {
    let page = crate::web::hosted_page("Top up", content);
    let mut response = Response::new(Body::from(page.into_string()));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    guarded(response)
}

/// The token in the address is a secret: it is neither kept nor passed on.
fn guarded(mut response: Response<Body>) -> Answer {
    let headers = response.headers_mut();
    let pairs = [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
    ];
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Answer::Raw(Box::new(response))
}

fn contact(paywall: &Paywall, user: &str) -> Markup {
    html! {
        h1 { "Top up your balance" }
        p { "Your balance at " strong { (paywall.name) } " has run low." }
        p {
            "Online payment is not set up here yet. Ask the people who run " (paywall.name)
            " to add credit for the account " code { (user) } " in " (paywall.currency.upper()) "."
        }
    }
}

fn sorry(text: &str) -> Markup {
    html! {
        h1 { (text) }
        p { "Go back to the app and ask for a new one." }
    }
}
