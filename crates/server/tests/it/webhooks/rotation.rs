//! Secrets that follow one another, key pairs, and thin payloads.

use domain::webhook::signature::{Signed, SigningKey, VerifyError, verify_v1, verify_v1a};
use fakes::sink::Received;

use super::*;

const DAY_S: i64 = 86_400;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| unreachable!("{name} of {value}"))
}

fn signed(one: &Received) -> (Signed<'_>, i64) {
    let (id, timestamp) = (one.header("webhook-id"), one.header("webhook-timestamp").unwrap());
    let signature = one.header("webhook-signature").unwrap();
    (Signed { id: id.unwrap(), timestamp, signature }, timestamp.parse().unwrap())
}

/// Whether each of these secrets verifies a request.
fn verifies(one: &Received, secrets: &[&str]) -> Vec<bool> {
    let (signed, now) = signed(one);
    let check = |secret: &&str| verify_v1(&[SigningKey::parse(secret)], signed, &one.body, now);
    secrets.iter().map(|secret| check(secret).is_ok()).collect()
}

impl Stage {
    async fn rotated(&self, path: &str, body: Value) -> Value {
        let (status, _, rotated) = self.post(&format!("{path}/rotate"), &body).await;
        assert_eq!(status, 200, "{rotated}");
        rotated
    }

    /// The request that tells of one more customer.
    async fn next_request(&self, name: &str) -> Received {
        self.customer(name).await;
        self.drain().await;
        self.sink.received().pop().unwrap()
    }
}

#[tokio::test]
async fn two_secrets_sign_until_the_overlap_ends_on_the_environments_clock() {
    let stage = stage().await;
    let made = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", text(&made, "id"));
    let rotated = stage.rotated(&path, json!({})).await;
    let secrets = [text(&rotated, "secret"), text(&made, "secret")];
    assert_ne!(secrets[0], secrets[1]);
    let one = stage.next_request("one").await;
    assert_eq!(one.header("webhook-signature").unwrap().split(' ').count(), 2);
    let newest = signed(&one).0.signature.split(' ').next().unwrap().to_owned();
    assert_eq!(verifies(&one, &secrets), [true, true]);
    let (first, now) = signed(&one);
    let first = Signed { signature: &newest, ..first };
    let only_newest = verify_v1(&[SigningKey::parse(secrets[0])], first, &one.body, now);
    assert_eq!(only_newest, Ok(()), "the newest signs first");
    let shown = stage.get(&path).await;
    let ends: Vec<_> = shown["secrets"].as_array().unwrap().iter().collect();
    let of_v1: Vec<_> = ends.iter().filter(|one| one["kind"] == "v1").collect();
    assert_eq!(of_v1.len(), 2, "{shown}");
    assert_eq!(of_v1[0]["expires_at"], Value::Null);
    assert_eq!(time(&of_v1[1]["expires_at"]), NOON + DAY_MS);

    stage.move_by(DAY_MS - 1).await;
    assert_eq!(verifies(&stage.next_request("two").await, &secrets), [true, true]);
    stage.move_by(1).await;
    assert_eq!(verifies(&stage.next_request("three").await, &secrets), [true, false]);
    assert!(!stage.get(&path).await.to_string().contains("whsec_"), "shown once");
}

#[tokio::test]
async fn three_secrets_are_the_most_and_an_old_one_can_be_ended_early() {
    let stage = stage().await;
    let made = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", text(&made, "id"));
    let second = stage.rotated(&path, json!({ "overlap_seconds": 2 * DAY_S })).await;
    let third = stage.rotated(&path, json!({ "overlap_seconds": DAY_S })).await;
    let (status, _, fourth) = stage.post(&format!("{path}/rotate"), &json!({})).await;
    assert_eq!((status, &fourth["code"]), (409, &json!("too_many_live_secrets")));
    let secrets = [text(&third, "secret"), text(&second, "secret"), text(&made, "secret")];
    assert_eq!(verifies(&stage.next_request("one").await, &secrets), [true, true, true]);

    let ids: Vec<_> = third["secrets"].as_array().unwrap().iter().collect();
    let of_v1: Vec<_> = ids.iter().filter(|one| one["kind"] == "v1").collect();
    let secret = |index: usize| format!("{path}/secrets/{}", text(of_v1[index], "id"));
    let (status, _, refused) = stage.app.delete(&secret(0), &stage.app.key).await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_operation")), "the newest stays");
    assert_eq!(stage.app.delete(&secret(1), &stage.app.other_key).await.0, 404);
    assert_eq!(stage.app.delete(&secret(1), &stage.app.key).await.0, 204);
    assert_eq!(stage.app.delete(&secret(1), &stage.app.key).await.0, 404, "it has ended");
    assert_eq!(verifies(&stage.next_request("two").await, &secrets), [true, false, true]);

    let alone = stage.rotated(&path, json!({ "overlap_seconds": 0 })).await;
    let secrets = [text(&alone, "secret"), secrets[0], secrets[2]];
    assert_eq!(verifies(&stage.next_request("three").await, &secrets), [true, false, false]);
}

#[tokio::test]
async fn a_subscription_rotates_with_overlap_and_its_older_signature_takes_the_newest_secret() {
    let stage = stage().await;
    let key = paywall_key(&stage.app).await;
    let body = json!({ "url": stage.sink.url("/ok"), "events": ["balance.deposit.created"],
        "secret": "sixteen characters at least" });
    let path = "/v1/webhooks/subscriptions";
    let (status, _, made) = stage.app.post(path, &key, &body).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("{path}/{}/rotate-secret", text(&made["subscription"], "id"));
    let (status, _, rotated) = stage.app.post(&path, &key, &json!({ "overlapSeconds": 60 })).await;
    assert_eq!(status, 200, "{rotated}");
    let secrets = [text(&rotated["subscription"], "secret"), "sixteen characters at least"];
    for (user, live) in [("ada", [true, true]), ("bob", [true, false])] {
        let body = json!({ "user": user, "amount": "1" });
        assert_eq!(stage.app.post("/v1/user/balance/deposit", &key, &body).await.0, 200);
        stage.drain().await;
        let one = stage.sink.received().pop().unwrap();
        assert_eq!(verifies(&one, &secrets), live);
        let hex = sign_body_hex(secrets[0], &one.body);
        assert_eq!(one.header("x-paywalls-signature"), Some(hex.as_str()));
        stage.move_by(MINUTE_MS).await;
    }
}

#[tokio::test]
async fn a_key_pair_signs_alone_or_beside_and_its_public_half_is_listed() {
    let stage = stage().await;
    let more = json!({ "signatures": ["v1a"] });
    let made = stage.endpoint("/ok", &["customer.created"], more).await;
    let path = format!("/v1/webhooks/endpoints/{}", text(&made, "id"));
    let first = text(&made, "public_key").to_owned();
    let one = stage.next_request("one").await;
    assert_eq!(verifies(&one, &[text(&made, "secret")]), [false]);
    let (signed_one, now) = signed(&one);
    assert_eq!(verify_v1a(&[&first], signed_one, &one.body, now), Ok(()));
    let changed = verify_v1a(&[&first], signed_one, b"{}", now);
    assert_eq!(changed, Err(VerifyError::NoMatch));

    let both = json!({ "signatures": ["v1a", "v1"] });
    let (status, _, patched) = stage.app.patch(&path, &stage.app.key, &both).await;
    assert_eq!((status, &patched["signatures"]), (200, &json!(["v1", "v1a"])));
    let rotated = stage.rotated(&path, json!({ "kind": "v1a", "overlap_seconds": 60 })).await;
    assert_eq!(rotated["secret"], Value::Null, "the private half is never shown");
    let second = text(&rotated, "public_key");
    let two = stage.next_request("two").await;
    assert_eq!(verifies(&two, &[text(&made, "secret")]), [true]);
    let (signed_two, now) = signed(&two);
    for key in [&first, second] {
        assert_eq!(verify_v1a(&[key], signed_two, &two.body, now), Ok(()));
    }
    let keys = stage.get("/v1/webhooks/keys").await;
    let listed: Vec<_> = keys["data"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 2, "{keys}");
    assert_eq!(
        (&listed[0]["public_key"], &listed[0]["endpoint_id"]),
        (&json!(second), &made["id"])
    );
    assert_eq!(listed[1]["public_key"], json!(first));
    let (_, _, theirs) = stage.app.get("/v1/webhooks/keys", &stage.app.other_key).await;
    assert_eq!(theirs["data"], json!([]));
}

#[tokio::test]
async fn wrong_rotations_are_refused_by_field_and_change_nothing() {
    let stage = stage().await;
    let made = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    let path = format!("/v1/webhooks/endpoints/{}", text(&made, "id"));
    let before = stage.get(&path).await;
    for (body, param) in [
        (json!({ "overlap_seconds": -1 }), "overlap_seconds"),
        (json!({ "overlap_seconds": 604_801 }), "overlap_seconds"),
        (json!({ "overlap_seconds": "1" }), "overlap_seconds"),
        (json!({ "kind": "v2" }), "kind"),
        (json!({ "kind": "v1a", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }), "secret"),
        (json!({ "secret": "short" }), "secret"),
    ] {
        let (status, _, refused) = stage.post(&format!("{path}/rotate"), &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!(param)), "{body}: {refused}");
    }
    for signatures in [json!([]), json!(["v1", "v1"]), json!(["v2"]), json!("v1")] {
        let body = json!({ "signatures": signatures });
        let (status, _, refused) = stage.app.patch(&path, &stage.app.key, &body).await;
        assert_eq!((status, &refused["param"]), (400, &json!("signatures")), "{refused}");
    }
    assert_eq!(stage.get(&path).await, before);
}

#[tokio::test]
async fn a_thin_payload_names_the_event_and_where_the_rest_is() {
    let stage = stage().await;
    let made =
        stage.endpoint("/ok", &["customer.created"], json!({ "payload_mode": "thin" })).await;
    stage.sink.set_secret(text(&made, "secret"));
    let one = stage.next_request("one").await;
    assert_eq!(one.signature, Signature::Valid);
    let body: Value = serde_json::from_slice(&one.body).unwrap();
    assert_eq!((&body["thin"], &body["customer"]), (&json!(true), &Value::Null));
    let url = text(&body, "url");
    assert!(url.ends_with(&format!("/v1/webhooks/events/{}", text(&body, "id"))), "{url}");
    let path = format!("/v1/webhooks/events/{}", text(&body, "id"));
    assert_eq!(stage.get(&path).await["body"]["event_type"], "customer.created");
}

#[tokio::test]
async fn the_published_rust_library_takes_a_delivery_and_no_changed_one() {
    let stage = stage().await;
    let endpoint = stage.endpoint("/ok", &["customer.created"], json!({})).await;
    stage.customer("rust").await;
    stage.drain().await;
    let one = stage.sink.received().pop().unwrap();
    let mut headers = http::HeaderMap::new();
    for (name, value) in &one.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(text(&endpoint, "secret")).unwrap();
    webhook.verify(&one.body, &headers).unwrap();
    let changed = [&one.body[..], b" "].concat();
    assert!(webhook.verify(&changed, &headers).is_err());
}
