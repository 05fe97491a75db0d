//! Shapes of the main nouns: customers, wallets, keys, paywalls, holds, receivers, events.

use serde_json::Value;

use super::super::schema::{list, named, object, page, words};
use super::{Shape, shape};

pub fn of(operation: &str) -> Option<Shape> {
    let some = |body: &str| Some(words(body));
    Some(match operation {
        "createCustomer" => shape(201, some(NEW_CUSTOMER), named("Customer")),
        "updateCustomer" => shape(200, some(NEW_CUSTOMER), named("Customer")),
        "getCustomer" | "getCustomerByExternalId" => shape(200, None, named("Customer")),
        "queryCustomer" => shape(200, some(SEARCH), page("Customer")),
        "createWallet" => shape(200, some(NEW_WALLET), named("Wallet")),
        "updateWallet" => shape(200, some(WALLET_PATCH), named("Wallet")),
        "getWallet" => shape(200, None, named("Wallet")),
        "queryWallet" => shape(200, some(SEARCH), page("Wallet")),
        "queryWalletTransaction" => shape(200, some(SEARCH), page("WalletTransaction")),
        "getWalletTransactions" => shape(200, None, page("WalletTransaction")),
        "topUpWallet" => shape(200, some(TOPUP), words("wallet:Wallet wallet_transaction:object")),
        "createApiKey" => {
            shape(201, some("name! type roles:texts expires_at:time"), named("NewApiKey"))
        }
        "listApiKeys" => shape(200, None, page("ApiKey")),
        "createPaywall" => shape(201, some(NEW_PAYWALL), named("Paywall")),
        "getPaywall" | "archivePaywall" | "unarchivePaywall" => shape(200, None, named("Paywall")),
        "getBalance" => shape(200, None, words("balance balanceFormatted currency")),
        "createHold" => shape(201, some("amount!:amount user expiresIn:int"), named("Hold")),
        "getHold" => shape(200, None, named("Hold")),
        _ => return of_webhooks(operation),
    })
}

fn of_webhooks(operation: &str) -> Option<Shape> {
    let some = |body: &str| Some(words(body));
    let subscription = || words("subscription!:Subscription");
    Some(match operation {
        "createWebhookEndpoint" => shape(201, some(NEW_ENDPOINT), named("Endpoint")),
        "updateWebhookEndpoint" => shape(200, some(ENDPOINT_PATCH), named("Endpoint")),
        "getWebhookEndpoint" => shape(200, None, named("Endpoint")),
        "listWebhookEndpoints" => shape(200, None, cursor_page("Endpoint")),
        "createWebhookSubscription" => shape(201, some(NEW_SUBSCRIPTION), subscription()),
        "getWebhookSubscription" => shape(200, None, subscription()),
        "listWebhookDeliveries" => shape(200, None, cursor_page("Delivery")),
        "getWebhookDelivery" => shape(200, None, named("Delivery")),
        "testWebhookEndpoint" => shape(202, some("type"), words("delivery_id!")),
        "retryWebhookEvents" => shape(200, some("ids!:texts"), words("queued!:int skipped!:int")),
        "deleteCustomer" | "deleteApiKey" | "deleteWebhookEndpoint" | "deleteAlertSettings" => {
            Shape { status: 204, body: None, answer: None }
        }
        "createEnvironment" | "createUser" | "createAlertSettings" => {
            shape(201, some(""), words(""))
        }
        _ => return None,
    })
}

const SEARCH: &str = "limit:int offset:int filters:objects sort:objects";
const NEW_CUSTOMER: &str = "external_id name email address_line1 address_line2 address_city \
    address_state address_postal_code address_country metadata:map";
const NEW_WALLET: &str = "customer_id external_customer_id currency! name description wallet_type \
    conversion_rate topup_conversion_rate initial_credits_to_load:amount \
    initial_credits_expiry_date_utc:time alert_settings:AlertSettings auto_topup:object \
    metadata:map";
const WALLET_PATCH: &str =
    "name description alert_settings:AlertSettings auto_topup:object metadata:map";
const TOPUP: &str = "credits_to_add:amount amount:amount transaction_reason! idempotency_key \
    description expiry_date_utc:time priority:int bonus_credits_to_add:amount metadata:map";
const NEW_PAYWALL: &str = "name! currency mode decimals:int apiKey block:object";
const NEW_ENDPOINT: &str = "url! types!:texts extensions:flag description metadata:map ordering \
    on_exhausted timeout_seconds:int custom_headers:map bearer_token secret send_traceparent:flag";
const ENDPOINT_PATCH: &str = "url types:texts extensions:flag description metadata:map ordering \
    on_exhausted timeout_seconds:int custom_headers:map bearer_token send_traceparent:flag \
    version:int";
const NEW_SUBSCRIPTION: &str = "url! events!:texts description customHeaders:map secret \
    payloadFormat eventNaming extensions:flag bearerToken";

/// `data`, `has_more`, `next_cursor`.
fn cursor_page(of: &str) -> Value {
    let data = list(&named(of));
    let rest = words("has_more!:flag next_cursor");
    object(&[
        ("data", data),
        ("has_more", rest["properties"]["has_more"].clone()),
        ("next_cursor?", rest["properties"]["next_cursor"].clone()),
    ])
}

pub fn components() -> Vec<(&'static str, Value)> {
    let level = object(&[
        ("threshold", super::super::schema::amount()),
        ("condition", super::super::schema::one_of(&["below", "above"])),
    ]);
    let alerts = object(&[
        ("alert_enabled?", super::super::schema::boolean()),
        ("critical?", level.clone()),
        ("warning?", level.clone()),
        ("info?", level),
    ]);
    vec![
        ("AlertSettings", alerts),
        ("Customer", words(&format!("id! {NEW_CUSTOMER} status created_at:time updated_at:time"))),
        ("Wallet", words(WALLET)),
        ("WalletTransaction", words(TRANSACTION)),
        ("ApiKey", words(API_KEY)),
        ("NewApiKey", words("api_key! secret:ApiKey")),
        ("Paywall", words("id! name! currency mode apiKey createdAt:time updatedAt:time")),
        ("Hold", words("id! status amount:amount user expiresAt:time createdAt:time")),
        ("Endpoint", words(&format!("id! {ENDPOINT_PATCH} state! secret created_at:time"))),
        ("Subscription", words("id! url! events!:texts isActive:flag secret createdAt:time")),
        ("Delivery", words("id! event_id state attempts:int next_attempt_at:time")),
    ]
}

const WALLET: &str = "id! customer_id! name description currency! wallet_status wallet_type \
    balance:amount credit_balance:amount conversion_rate topup_conversion_rate \
    alert_settings:AlertSettings alert_state auto_topup:object metadata:map created_at:time \
    updated_at:time";
const TRANSACTION: &str = "id! wallet_id customer_id type amount:amount credit_amount:amount \
    credit_balance_before:amount credit_balance_after:amount transaction_status \
    transaction_reason currency description expiry_date:time metadata:map created_at:time";
const API_KEY: &str =
    "id! name type display_id roles:texts status expires_at:time last_used_at:time created_at:time";
