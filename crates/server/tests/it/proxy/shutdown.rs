//! A process that stops: what is under way ends by it, is told so, and is charged for its output.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_is_canceled_by_the_shutdown() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = chat("[words 800] [gap 50]", &json!({ "stream": true, "max_tokens": 900 }));
    let mut answer = wall.send(&body).await;
    answer.chunk().await.unwrap();
    wall.app.server.stop();
    let got = Got::of(answer).await;
    assert!(!got.is_done(), "{}", got.text);
    let last = got.chunks().pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "error", "{last}");
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 1)].into());
    let event = wall.event("paywall.proxy.request.canceled");
    assert_eq!(event["canceledBy"], "shutdown");
    assert!(event["usage"]["completionTokens"].as_u64().unwrap_or(1) > 0, "{event}");
    let order = [
        "proxy.request.started",
        "usage.charge.deferred",
        "proxy.request.canceled",
        "usage.charge.created",
    ];
    assert_eq!(wall.told(), order);
    let (balance, held) = wall.balance("ann").await;
    assert!(balance < 1_000_000 && held == 0, "{balance} {held}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_output_is_canceled_and_costs_nothing() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        wall.app.server.stop();
    };
    let extra = |stream: bool| json!({ "stream": stream, "max_tokens": 50 });
    let (plain, stream) = (extra(false), extra(true));
    let (plain, stream) = (wall.chat("[hang]", &plain), wall.chat("[hang]", &stream));
    let (plain, stream, ()) = tokio::join!(plain, stream, stop);
    for got in [plain, stream] {
        assert_eq!((got.status, got.header("retry-after")), (503, "1"), "{}", got.text);
    }
    assert_eq!(wall.settled().await, [("canceled".to_owned(), 2)].into());
    assert_eq!(wall.event("paywall.proxy.request.canceled")["canceledBy"], "shutdown");
    assert_eq!(wall.balance("ann").await, (1_000_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_within_the_grace_is_whole() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let body = chat("[words 20] [gap 50]", &json!({ "stream": true, "max_tokens": 900 }));
    let mut answer = wall.send(&body).await;
    answer.chunk().await.unwrap();
    wall.app.server.stop();
    assert!(Got::of(answer).await.is_done());
    assert_eq!(wall.settled().await, [("completed".to_owned(), 1)].into());
}
