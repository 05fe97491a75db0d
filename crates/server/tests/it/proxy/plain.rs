//! Plain requests: what passes, what it costs, who is named.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_chat_is_priced_to_the_last_digit_before_it_is_answered() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let prompt = "[prompt-tokens 1001] [completion-tokens 333] Hello";
    let got = wall.chat(prompt, &json!({})).await;
    assert_eq!(got.status, 200, "{}", got.text);
    // (1001 × 1 + 333 × 2) / 1,000,000 with 10 % on top, rounded up at 6 places: 0.0018337
    assert_eq!(got.header("x-paywall-cost"), "0.001834");
    assert_eq!(got.header("x-paywall-balance"), "0.998166");
    assert_eq!(got.header("x-paywall-status"), "ok");
    assert_eq!(got.header("x-paywall-settlement"), "immediate");
    assert!(got.header("x-paywall-activity").starts_with("wtxn_"));
    assert_eq!(got.header("x-paywall-estimated"), "");
    assert_eq!(wall.balance("ann").await, (998_166, 0));
    assert_eq!(got.header("x-upstream-request-id"), "req_fake_1");
    assert_eq!(got.header("x-request-id"), got.header("request-id"));
    assert!(got.header("x-request-id").starts_with("req_"));
    assert_eq!(got.header("x-ratelimit-limit-requests"), "");
    let body = got.json();
    assert_eq!(body["usage"]["completion_tokens"], 333);
    assert!(body.get("paywall").is_none());
    let order = ["proxy.request.started", "usage.charge.created", "proxy.request.completed"];
    assert_eq!(wall.told(), order);
    let charged = wall.event("paywall.usage.charge.created");
    assert_eq!(find(&charged, "requestId").unwrap(), got.header("x-request-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_pass_byte_for_byte_and_nothing_of_ours_goes_out() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = "{ \"zeta\":1e2, \"model\" : \"gpt-test\",\n\t\"messages\":[{\"role\":\"user\",\
                \"content\":\"h\\u00e9 [words 2]\",\"odd\":[1.0,-0]}],\"user\":\"ann\",\
                \"max_tokens\":50,\"x-paywall\":{\"a\":null} }";
    let request = wall.request(CHAT, body).header("cookie", "a=b").header("x-paywall-user", "ann");
    let request = request.header("idempotency-key", "k1").header("x-custom", "passes");
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    let sent = wall.last_received();
    assert_eq!(String::from_utf8_lossy(&sent.body), body);
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.header("authorization"), Some("Bearer sk-of-the-provider"));
    assert_eq!(sent.header("x-custom"), Some("passes"));
    for name in ["cookie", "x-paywall-user", "accept-encoding", "idempotency-key", "x-api-key"] {
        assert_eq!(sent.header(name), None, "{name}");
    }
    let all = format!("{:?}", sent.headers);
    assert!(!all.contains(&wall.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_is_named_in_three_ways_and_the_body_wins() {
    let wall = Wall::start().await;
    for user in ["ann", "bob", "eve"] {
        wall.deposit(user, "1").await;
    }
    let bare = |user: Option<&str>| {
        let mut body = chat("[prompt-tokens 1000000] [completion-tokens 0]", &json!({}));
        body["user"] = json!(user);
        body["max_tokens"] = json!(16);
        body.to_string()
    };
    let table = [
        (CHAT, Some("ann"), None, "ann", ""),
        (CHAT, None, Some("bob"), "bob", ""),
        ("/v1/eve/chat/completions", None, None, "eve", ""),
        ("/v1/eve/chat/completions", Some("ann"), Some("bob"), "ann", "body"),
    ];
    for (path, body, header, paid_by, source) in table {
        let mut request = wall.request(path, bare(body));
        if let Some(user) = header {
            request = request.header("x-paywall-user", user);
        }
        let got = Got::of(request.send().await.unwrap()).await;
        assert_eq!(got.status, 200, "{}", got.text);
        assert_eq!(got.header("x-paywall-user-source"), source);
        let event = wall.event("paywall.proxy.request.completed");
        assert_eq!(find(&event, "externalUserId").as_deref(), Some(paid_by));
        wall.deposit(paid_by, "2").await;
    }
    let got = Got::of(wall.request(CHAT, bare(None)).send().await.unwrap()).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (400, &json!("user_required")));
    assert_eq!(wall.provider.requests(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_refused_before_anything_happens() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let table = [
        ("", 400, "invalid_request"),
        ("[]", 400, "invalid_request"),
        ("{\"user\":\"ann\",\"messages\":[]}", 400, "invalid_request"),
        ("{\"user\":\"ann\",\"model\":\"gpt-test\"}", 400, "invalid_request"),
        ("{\"user\":\"ann\",\"model\":\"no-such\",\"messages\":[]}", 404, "model_not_found"),
        ("{\"user\":\" a\",\"model\":\"gpt-test\",\"messages\":[]}", 400, "invalid_user"),
    ];
    for (body, status, code) in table {
        let got = Got::of(wall.request(CHAT, body).send().await.unwrap()).await;
        assert_eq!((got.status, &got.json()["error"]["code"]), (status, &json!(code)), "{body}");
        assert_eq!(got.header("x-should-retry"), "false", "{body}");
    }
    for (name, value) in [("x-paywall-max-cost", "free"), ("x-paywall-on-block", "maybe")] {
        let request = wall.request(CHAT, chat("hi", &json!({})).to_string()).header(name, value);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 400, "{name}");
    }
    assert_eq!(wall.told(), Vec::<String>::new());
    assert_eq!(wall.provider.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_and_larger_ones_do_not() {
    let wall = Wall::start().await;
    wall.deposit("ann", "100").await;
    let image = "A".repeat(5 << 20);
    let part = json!([{ "type": "image_url", "image_url":
        { "url": format!("data:image/png;base64,{image}") } }, { "type": "text", "text": "what?" }]);
    let body = json!({ "model": MODEL, "user": "ann", "max_tokens": 20,
        "messages": [{ "role": "user", "content": part }] });
    let got = Got::of(wall.send(&body).await).await;
    assert_eq!(got.status, 200, "{}", got.text);
    let huge = "x".repeat((32 << 20) + 1);
    let got = Got::of(wall.request(CHAT, huge).send().await.unwrap()).await;
    assert_eq!((got.status, &got.json()["error"]["code"]), (413, &json!("request_too_large")));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_is_absent_is_counted_and_said_to_be() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("Hello there [no-usage]", &json!({ "max_tokens": 50 })).await;
    assert_eq!(got.header("x-paywall-estimated"), "true", "{}", got.text);
    assert!(got.header("x-paywall-cost").parse::<f64>().unwrap() > 0.0);
    let got = wall.chat("Hello there [zero-usage]", &json!({ "max_tokens": 50 })).await;
    assert_eq!((got.header("x-paywall-estimated"), got.header("x-paywall-cost")), ("", "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_sees_of_the_user_is_the_paywalls_choice() {
    for (choice, seen) in [("as_is", Some("ann")), ("drop", None), ("hash", Some("user_"))] {
        let wall = Wall::with(&json!({ "forwardUser": choice })).await;
        wall.deposit("ann", "1").await;
        assert_eq!(wall.chat("hi", &json!({ "max_tokens": 20 })).await.status, 200);
        let body: Value = serde_json::from_slice(&wall.last_received().body).unwrap();
        match seen {
            None => assert!(body.get("user").is_none()),
            Some(seen) => assert!(body["user"].as_str().unwrap().starts_with(seen), "{body}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_and_messages_go_the_same_way() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let ask = json!({ "model": "text-embedding-3-small", "input": ["one two", "three"],
        "user": "ann" });
    let got = Got::of(wall.request("/v1/embeddings", ask.to_string()).send().await.unwrap()).await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert!(!got.header("x-paywall-cost").is_empty());
    let ask = json!({ "model": "claude-haiku-4-5", "max_tokens": 20,
        "messages": [{ "role": "user", "content": "Hello" }], "metadata": { "user_id": "ann" } });
    let got = Got::of(wall.request("/v1/messages", ask.to_string()).send().await.unwrap()).await;
    assert_eq!((got.status, &got.json()["type"]), (200, &json!("message")), "{}", got.text);
    let sent = wall.last_received();
    assert_eq!(sent.header("x-api-key"), Some("sk-of-the-provider"));
    assert_eq!(sent.header("authorization"), None);
    assert!(sent.header("anthropic-version").is_some());
    let mut stream = ask.clone();
    stream["stream"] = json!(true);
    let got = Got::of(wall.request("/v1/messages", stream.to_string()).send().await.unwrap()).await;
    assert!(got.text.contains("event: message_stop"), "{}", got.text);
    assert_eq!(got.comment()["status"], "ok");
    let mut wrong = ask;
    wrong["metadata"] = json!(null);
    let got = Got::of(wall.request("/v1/messages", wrong.to_string()).send().await.unwrap()).await;
    assert_eq!((got.status, &got.json()["type"]), (400, &json!("error")));
    wall.settled().await;
}
