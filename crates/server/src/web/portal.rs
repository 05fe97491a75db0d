//! The portal: pages that a customer of the operator's looks at, with the token of a session. They
//! show what the portal's API shows of that one customer, and nothing on them runs.
//!
//! The token comes once, in the address of a link; from there on a cookie has it that goes to these
//! pages alone, so it stands in no history and in no referrer.

mod details;
mod door;
mod frame;
mod money;
mod overview;
mod topup;
mod transactions;
mod visit;
mod webhooks;
mod zone;

use crate::http::route::Routes;

pub fn routes() -> Routes {
    door::routes()
        .merge(overview::routes())
        .merge(topup::routes())
        .merge(transactions::routes())
        .merge(webhooks::routes())
        .merge(details::routes())
}

/// Method and path of every page, for whoever tries them all.
pub fn declared() -> Vec<(axum::http::Method, String)> {
    routes().all.into_iter().map(|route| (route.method, route.path.to_owned())).collect()
}
