//! HTTP: translates requests into commands and outcomes into answers. Decides nothing.
//!
//! Each noun's file declares its routes with what they need, and has one short handler a route. A
//! route cannot be added without saying who may call it.

pub mod activity;
pub mod alerts;
pub mod answer;
pub mod call;
pub mod checkout;
pub mod cursor;
pub mod customers;
pub mod docs;
pub mod entrance;
pub mod environments;
pub mod errors;
pub mod fields;
pub mod health;
pub mod keys;
pub mod lists;
pub mod members;
pub mod page;
pub mod paywall_calls;
pub mod paywall_charges;
pub mod paywall_holds;
pub mod paywall_ledger;
pub mod paywall_models;
pub mod paywall_owner;
pub mod paywall_prices;
pub mod paywall_providers;
pub mod paywall_proxy;
pub mod paywall_refunds;
pub mod paywall_requests;
pub mod paywall_sections;
mod paywall_settlements;
pub mod paywall_users;
pub mod paywalls;
pub mod portal;
pub mod portal_sessions;
pub mod portal_webhooks;
pub mod query;
pub mod route;
pub mod settings;
pub mod spec;
pub mod tenants;
pub mod test_clock;
pub mod verify;
pub mod wallet_bodies;
pub mod wallet_transactions;
pub mod wallet_views;
pub mod wallets;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_feed;
pub mod webhook_replays;
pub mod webhook_stats;
pub mod webhook_stream;
pub mod webhook_subscriptions;
pub mod webhook_types;

use crate::app::App;

/// Every route of the API, in the order of the docs.
pub fn routes() -> route::Routes {
    route::Routes::default()
        .merge(paywall_users::routes())
        .merge(test_clock::routes())
        .merge(verify::routes())
        .merge(keys::routes())
        .merge(tenants::routes())
        .merge(settings::routes())
        .merge(environments::routes())
        .merge(members::routes())
        .merge(activity::routes())
        .merge(webhook_endpoints::routes())
        .merge(webhook_subscriptions::routes())
        .merge(webhook_deliveries::routes())
        .merge(webhook_replays::routes())
        .merge(webhook_feed::routes())
        .merge(webhook_types::routes())
        .merge(webhook_stats::routes())
        .merge(health::routes())
        .merge(docs::routes())
        .merge(crate::proxy::routes())
        .merge(paywall_proxy::routes())
        .merge(paywall_charges::routes())
        .merge(paywall_holds::routes())
        .merge(paywall_refunds::routes())
        .merge(checkout::routes())
        .merge(paywalls::routes())
        .merge(paywall_models::routes())
        .merge(paywall_sections::routes())
        .merge(paywall_providers::routes())
        .merge(paywall_prices::routes())
        .merge(paywall_requests::routes())
        .merge(paywall_settlements::routes())
        .merge(paywall_owner::routes())
        .merge(paywall_ledger::routes())
        .merge(customers::routes())
        .merge(portal_sessions::routes())
        .merge(portal::routes())
        .merge(portal_webhooks::routes())
        .merge(wallets::routes())
        .merge(wallet_transactions::routes())
        .merge(alerts::routes())
}

/// What a running server answers with.
pub fn entrance(app: App) -> entrance::Entrance {
    entrance::Entrance::new(
        routes().merge(crate::web::routes()).merge(crate::web::portal::routes()),
        app,
    )
}
