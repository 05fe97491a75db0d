//! Asks the developer of a paywall for the words of a refusal (paywalls 19.6). Whatever goes wrong,
//! the template is used; the client waits at most as long as the paywall says.

use std::time::Duration;

use axum::http::header;
use domain::amount::Amount;
use domain::id::{CustomerId, PaywallId, RequestId};
use domain::proxy::custom_reply::{BODY_BYTES_MAX, locale, words};
use engine::Error;
use serde::Serialize;
use tokio::time::timeout;

use super::ask::Front;
use crate::app::App;

/// For everything around the question itself.
const SLACK: Duration = Duration::from_millis(150);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    paywall_id: PaywallId,
    request_id: RequestId,
    external_user_id: &'a str,
    wallet_user_id: CustomerId,
    reason: &'a str,
    url: Option<&'a str>,
    name: &'a str,
    model: &'a str,
    stream: bool,
    balance: Amount,
    currency: String,
    locale: Option<&'a str>,
}

/// The developer's words for `reason`, where the paywall asks for them and they come in time.
pub async fn ask(app: &App, front: &Front, (reason, url): (&str, Option<&str>)) -> Option<String> {
    let custom = &front.paywall.paywall.templates.custom_response;
    let target = custom.url.as_deref().filter(|_| custom.enabled)?;
    let most = Duration::from_millis(custom.timeout_ms) + SLACK;
    let asked = timeout(most, told(app, front, (reason, url), (target, custom.timeout_ms))).await;
    asked.unwrap_or(Ok(None)).unwrap_or_else(|error| {
        tracing::warn!(request = %front.request, %error, "a developer was not asked for words");
        None
    })
}

async fn told(
    app: &App,
    front: &Front,
    (reason, url): (&str, Option<&str>),
    target: (&str, u64),
) -> Result<Option<String>, Error> {
    let Some(user) = &front.user else { return Ok(None) };
    let (stored, paywall) = (&front.paywall, &front.paywall.paywall);
    let secret = app.engine.custom_response_secret(front.scope, stored).await?;
    let standing = app.engine.standing(front.scope, (stored, user)).await?;
    let accepted = front.headers.get(header::ACCEPT_LANGUAGE);
    let question = Question {
        paywall_id: paywall.id,
        request_id: front.request,
        external_user_id: user.as_str(),
        wallet_user_id: standing.user,
        reason,
        url,
        name: &paywall.name,
        model: &front.ask.model,
        stream: front.ask.stream,
        balance: standing.available,
        currency: paywall.currency.upper(),
        locale: accepted.and_then(|value| value.to_str().ok()).and_then(locale),
    };
    let body = serde_json::to_vec(&question).unwrap_or_default();
    let id = front.request.to_string();
    let request = app.engine.custom_question(target, &secret, (&id, body));
    let answer = app.webhooks.ask(&request, BODY_BYTES_MAX).await;
    Ok(answer.and_then(|body| words(&body)))
}
