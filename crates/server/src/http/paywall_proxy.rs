//! The routes of providers (paywalls 6.1): known and guarded, and not built in this version.

use axum::http::Method;
use engine::Error;

use super::paywall_calls::both;
use super::route::Routes;
use super::spec::Doc;

pub fn routes() -> Routes {
    let table = [
        (Method::POST, "/v1/responses", "createResponse"),
        (Method::POST, "/v1/messages/count_tokens", "countTokens"),
    ];
    table.into_iter().fold(Routes::default(), |routes, (method, path, operation)| {
        let doc = Doc::new("Proxy", operation, "Not built in this version");
        both(routes, (method, path), doc, async |_, _| Err(Error::not_built("the proxy")))
    })
}
