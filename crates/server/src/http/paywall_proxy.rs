//! The route of providers (paywalls 6.1) that is known and guarded, and not built in this version.

use axum::http::Method;
use engine::Error;

use super::paywall_calls::both;
use super::route::Routes;
use super::spec::Doc;

pub fn routes() -> Routes {
    let doc = Doc::new("Proxy", "createResponse", "Not built in this version");
    let route = (Method::POST, "/v1/responses");
    both(Routes::default(), route, doc, async |_, _| Err(Error::not_built("the proxy")))
}
