//! What a first visitor sees: a wallet that has alerts, receivers, and four commands to paste.

use serde_json::{Value, json};

use super::super::Failure;
use super::super::client::Client;
use super::state::{EMAIL, State};

const CUSTOMER: &str = "tour-customer";

/// Makes what is missing, through the API like any client.
pub async fn prepare(client: &Client, state: &mut State, sink: &str) -> Result<(), Failure> {
    endpoint(client, state, sink).await?;
    subscription(client, state, sink).await?;
    if state.wallet.is_none() {
        state.wallet = wallet(client).await?;
    }
    Ok(())
}

/// A customer with a wallet of 60 credits that warns below 50.
async fn wallet(client: &Client) -> Result<Option<String>, Failure> {
    let customer = json!({ "external_id": CUSTOMER, "name": "Tour Customer" });
    // It may be there from an earlier start that was cut off.
    drop(client.post("/v1/customers", customer).await);
    let wallet = json!({
        "external_customer_id": CUSTOMER,
        "currency": "USD",
        "initial_credits_to_load": "60",
        "alert_settings": {
            "alert_enabled": true,
            "critical": { "threshold": "50", "condition": "below" },
        },
    });
    let made = client.post("/v1/wallets", wallet).await?;
    Ok(text(&made, "id"))
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// An endpoint at the sink; after a restart at the sink's new address.
async fn endpoint(client: &Client, state: &mut State, sink: &str) -> Result<(), Failure> {
    let url = format!("{sink}/endpoint");
    if let Some(id) = &state.endpoint {
        let path = format!("/v1/webhooks/endpoints/{id}");
        return client.patch(&path, json!({ "url": url })).await.map(drop);
    }
    let body = json!({
        "url": url,
        "types": ["*"],
        "description": "The sink of farebox dev",
        "secret": state.webhook_secret,
    });
    let made = client.post("/v1/webhooks/endpoints", body).await?;
    state.endpoint = text(&made, "id");
    Ok(())
}

/// A subscription of the paywall at the sink.
async fn subscription(client: &Client, state: &mut State, sink: &str) -> Result<(), Failure> {
    let Some(key) = &state.paywall_key else { return Ok(()) };
    let client = client.as_key(key);
    let url = format!("{sink}/subscription");
    if let Some(id) = &state.subscription {
        let path = format!("/v1/webhooks/subscriptions/{id}");
        return client.patch(&path, json!({ "url": url })).await.map(drop);
    }
    let body = json!({ "url": url, "events": ["*"], "secret": state.webhook_secret });
    let made = client.post("/v1/webhooks/subscriptions", body).await?;
    state.subscription = made.get("subscription").and_then(|made| text(made, "id"));
    Ok(())
}

/// The lines that greet.
pub fn welcome(state: &State, sink: &str) -> String {
    let url = &state.url;
    let paywall_key = state.paywall_key.as_deref().unwrap_or("-");
    format!(
        "Farebox is ready on {url}   docs: {url}/docs\n\n\
         Dashboard     {url}/   e-mail {EMAIL}   password {}\n\
         API key       {}\nPaywall key   {paywall_key}\nWebhook sink  {sink}   secret {}\n\n\
         Four commands to paste into another terminal:\n\n\
         # 1. A user pays in\n{}\n\n# 2. A chat with a model, paid by that user\n{}\n\n\
         # 3. A charge, the whole amount or nothing\n{}\n\n\
         # 4. A wallet falls below its alert at 50 credits, and recovers\n{}\n\n\
         Time moves with `farebox clock advance 1d`. Each webhook is shown as it arrives:\n",
        state.password,
        state.api_key,
        state.webhook_secret,
        deposit(url, paywall_key),
        chat(url, paywall_key),
        charge(url, paywall_key),
        alert(url, state),
    )
}

fn deposit(url: &str, key: &str) -> String {
    let body = r#"{"user":"ann","amount":"10"}"#;
    format!("curl {url}/v1/user/balance/deposit -H 'X-Paywall-Key: {key}' -d '{body}'")
}

/// The model is invented, and so are its words; the money is counted as for any other.
fn chat(url: &str, key: &str) -> String {
    let body = r#"{"user":"ann","model":"gpt-test","messages":[{"role":"user","content":"Hi!"}]}"#;
    format!("curl -i {url}/v1/chat/completions -H 'X-Paywall-Key: {key}' -d '{body}'")
}

fn charge(url: &str, key: &str) -> String {
    let body = r#"{"user":"ann","amount":"2.5"}"#;
    format!("curl {url}/v1/user/charge -H 'X-Paywall-Key: {key}' -d '{body}'")
}

/// Two calls; each paste has keys of its own, so that it works again.
fn alert(url: &str, state: &State) -> String {
    let wallet = state.wallet.as_deref().unwrap_or("WALLET");
    let key = format!("-H 'x-api-key: {}' -H \"Idempotency-Key: $(date +%s%N)\"", state.api_key);
    let debit = r#"{"credits":"20","transaction_reason":"MANUAL_BALANCE_DEBIT"}"#;
    let credit = r#"{"credits_to_add":"20","transaction_reason":"FREE_CREDIT_GRANT"}"#;
    format!(
        "curl {url}/v1/wallets/{wallet}/debit {key} -d '{debit}' && \\\n  \
         curl {url}/v1/wallets/{wallet}/top-up {key} -d '{credit}'"
    )
}
