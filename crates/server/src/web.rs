//! The dashboard: pages that a person looks at. Rendered here, from the same commands and queries
//! that the API uses; a page decides nothing about money.
//!
//! Every page is declared with what it takes to see it, is of one environment of the signed-in
//! person's tenant, and works without its script. Lists go by keys of an index: none scans.

mod assets;
mod audit;
mod chart;
mod clock;
mod cookies;
mod customer;
mod customers;
mod deliveries;
mod developers;
mod door;
mod entry;
mod events;
mod form;
mod home;
mod home_figures;
mod icons;
mod layout;
mod ledger;
mod live;
mod lots;
mod mishap;
mod parts;
mod paywall;
mod paywalls;
mod playground;
pub mod portal;
mod request_log;
mod requests;
mod setting_fields;
mod setting_forms;
mod settings;
mod sign_in;
mod system;
mod visit;
mod wallet;
mod wallet_actions;
mod wallet_topups;
mod webhook_health;
mod webhook_replays;
mod webhook_secrets;
mod webhooks;

use crate::http::route::Routes;

/// A page for the end of a link, such as one to top up, in the dashboard's look.
pub fn hosted_page(title: &str, body: &maud::Markup) -> maud::Markup {
    layout::hosted(title, body)
}

/// Bytes of style, script and icon, which every page shares.
pub fn asset_bytes() -> usize {
    assets::bytes()
}

pub fn routes() -> Routes {
    assets::routes()
        .merge(sign_in::routes())
        .merge(live::routes())
        .merge(home::routes())
        .merge(customers::routes())
        .merge(customer::routes())
        .merge(wallet::routes())
        .merge(entry::routes())
        .merge(wallet_actions::routes())
        .merge(paywalls::routes())
        .merge(paywall::routes())
        .merge(requests::routes())
        .merge(playground::routes())
        .merge(webhooks::routes())
        .merge(webhook_replays::routes())
        .merge(webhook_secrets::routes())
        .merge(deliveries::routes())
        .merge(events::routes())
        .merge(developers::routes())
        .merge(request_log::routes())
        .merge(clock::routes())
        .merge(audit::routes())
        .merge(settings::routes())
        .merge(setting_forms::routes())
        .merge(system::routes())
}

/// Method and path of every page, for whoever tries them all.
pub fn declared() -> Vec<(axum::http::Method, String)> {
    routes().all.into_iter().map(|route| (route.method, route.path.to_owned())).collect()
}

/// What the forms of a session's pages carry.
pub fn form_proof(session: &str) -> String {
    visit::csrf(session)
}
