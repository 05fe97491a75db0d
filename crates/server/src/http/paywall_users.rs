//! `/v1/user/…` of a paywall: balance, top-up link, deposit, connection (paywalls 6.2).

use axum::http::Method;
use domain::time::Timestamp;
use engine::blocks::Caller;
use engine::deposits::{DepositAsk, Origin};
use engine::{Class, Error, Fault};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::call::Call;
use super::paywall_calls::{Named, both, movement, named};
use super::route::Routes;
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "User";

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new(TAG, operation, summary);
    let routes = Routes::default();
    let routes = both(
        routes,
        (Method::GET, "/v1/user/balance"),
        doc("getBalance", "Read a user's balance"),
        balance,
    );
    let routes = both(
        routes,
        (Method::GET, "/v1/user/balance/topup"),
        doc("getTopupLink", "Get a user's link to top up"),
        topup,
    );
    let routes = both(
        routes,
        (Method::POST, "/v1/user/balance/deposit"),
        doc("depositBalance", "Credit a user"),
        deposit,
    );
    let routes = both(
        routes,
        (Method::GET, "/v1/user/connect"),
        doc("connectUser", "Tell whether a user is connected"),
        connect,
    );
    later(routes)
}

/// Routes of later stages answer 501 once the caller is known.
fn later(routes: Routes) -> Routes {
    let table = [
        (Method::GET, "/v1/user/disconnect", "disconnectUser"),
        (Method::POST, "/v1/user/disconnect", "postDisconnectUser"),
        (Method::DELETE, "/v1/user/connection", "deleteConnection"),
        (Method::GET, "/v1/user/menu", "getUserMenu"),
    ];
    table.into_iter().fold(routes, |routes, (method, path, operation)| {
        let doc = Doc::new(TAG, operation, "Not built in this version");
        both(routes, (method, path), doc, async |_, _| Err(Error::not_built("this route")))
    })
}

fn in_query(call: &Call) -> Result<Named, Error> {
    named(call, call.query_value("user").as_deref())
}

async fn balance(app: App, call: Call) -> Result<Answer, Error> {
    let (named, paywall, cause) = (in_query(&call)?, call.paywall()?, call.cause());
    let (account, sight) =
        app.engine.account_now(call.scope, &paywall, &named.user, &cause).await?;
    let (decimals, currency) = (paywall.paywall.decimals, paywall.paywall.currency);
    let mut body = json!({
        "balance": account.credits.in_units_of(decimals),
        "balanceFormatted": account.credits.formatted(currency.digits(), decimals),
        "available": (account.credits - account.held).in_units_of(decimals),
        "held": account.held.in_units_of(decimals),
        "currency": currency.upper(),
        "decimals": decimals,
        "walletUserId": sight.payer.customer,
        "asOf": app.engine.now(&call.scope),
        "sequence": account.sequence,
    });
    let link = app.engine.live_topup_link(&call.scope, paywall.no, named.user.as_str())?;
    if let Some(link) = link {
        body["topupUrl"] = link.url.into();
    }
    named.mark(Ok(Answer::ok(&body)), &call)
}

async fn topup(app: App, call: Call) -> Result<Answer, Error> {
    let (named, paywall, cause) = (in_query(&call)?, call.paywall()?, call.cause());
    let sight = app.engine.sight(call.scope, &paywall, &named.user, &cause).await?;
    let caller = Caller { user: &named.user, sight: &sight, cause: &cause };
    let link = app.engine.topup_link(call.scope, &paywall, caller).await;
    let answer = link.map(|link| {
        let body = json!({ "url": link.url, "expiresAt": link.expires_at });
        Answer::ok(&body).with("cache-control", "no-store")
    });
    named.mark(answer, &call)
}

async fn connect(app: App, call: Call) -> Result<Answer, Error> {
    let (named, paywall, cause) = (in_query(&call)?, call.paywall()?, call.cause());
    let sight = app.engine.sight(call.scope, &paywall, &named.user, &cause).await?;
    let caller = Caller { user: &named.user, sight: &sight, cause: &cause };
    let gate = app.engine.gate_archived(call.scope, &paywall, caller).await;
    let answer = gate.map(|()| {
        Answer::ok(&json!({
            "connected": true,
            "connectedUser": {
                "paywallKeyId": paywall.paywall.id,
                "userId": sight.payer.customer,
                "externalUserId": named.user,
                "createdAt": sight.first_seen_at,
            },
            "message": "This user is connected; the paywall asks for no consent.",
        }))
    });
    named.mark(answer, &call)
}

async fn deposit(app: App, call: Call) -> Result<Answer, Error> {
    let asked = movement(&call)?;
    let (origin, expires_at) = terms(asked.metadata.as_deref())?;
    let ask = DepositAsk {
        paywall: call.paywall()?,
        user: asked.named.user.clone(),
        amount: asked.amount,
        origin,
        expires_at,
        metadata: asked.metadata,
        key: asked.key,
        cause: call.cause(),
    };
    let answer = app.engine.deposit(call.scope, ask).await.map(|moved| {
        let currency = moved.wallet.currency;
        let decimals = moved.wallet.paywall.as_ref().map_or(6, |link| link.decimals);
        let body = json!({
            "balanceFormatted": moved.entry.after.formatted(currency.digits(), decimals),
            "balance": moved.entry.after.in_units_of(decimals),
            "activityId": moved.entry.id(),
            "amount": moved.entry.credits,
            "currency": currency.upper(),
        });
        Answer::ok(&body).replayed(moved.replayed)
    });
    asked.named.mark(answer, &call)
}

/// Where a deposit says that it comes from, and until when it is good (paywalls 11.1).
fn terms(metadata: Option<&str>) -> Result<(Origin, Option<Timestamp>), Error> {
    let Some(text) = metadata else { return Ok((Origin::Deposit, None)) };
    let fields: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| Error::invalid("metadata", error.to_string()))?;
    let source = fields.get("source").and_then(Value::as_str);
    let origin = source.and_then(Origin::parse).unwrap_or(Origin::Deposit);
    let expires_at = match fields.get("expiresAt") {
        None | Some(Value::Null) => None,
        Some(value) => Some(expiry(value)?),
    };
    Ok((origin, expires_at))
}

fn expiry(value: &Value) -> Result<Timestamp, Error> {
    let parsed = value.as_str().map(Timestamp::parse);
    let refused = |problem: String| {
        let message = format!("metadata.expiresAt {problem}");
        Fault::new(Class::Invalid, "validation_error", message).at("metadata.expiresAt").into()
    };
    match parsed {
        Some(Ok(at)) => Ok(at),
        Some(Err(error)) => Err(refused(error.to_string())),
        None => Err(refused("is not an RFC 3339 time".to_owned())),
    }
}
