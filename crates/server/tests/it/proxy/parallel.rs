//! Many at once: together they never spend more than there is.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_on_money_for_five() {
    let wall = Wall::with(&json!({ "limits": { "onShort": "block" } })).await;
    // A request holds at most (prompt + 100 × 2) / 1,000,000 × 1.1, and costs 0.00022.
    wall.deposit("ann", "0.0013").await;
    let extra = json!({ "max_tokens": 100 });
    let bodies: Vec<String> = (0..200)
        .map(|index| {
            let mut extra = extra.clone();
            extra["stream"] = json!(index % 2 == 0);
            chat("[prompt-tokens 0] [completion-tokens 100] [slow 300]", &extra).to_string()
        })
        .collect();
    let sent = bodies.into_iter().map(|body| {
        let request = wall.request(CHAT, body).header("x-paywall-on-block", "error");
        async move { Got::of(request.send().await.unwrap()).await }
    });
    let got = futures_util::future::join_all(sent).await;
    let paid = got.iter().filter(|got| got.status == 200).count();
    let refused = got.iter().filter(|got| got.status == 402).count();
    assert_eq!(paid + refused, 200);
    assert!((1..=5).contains(&paid), "{paid}");
    let ends = wall.settled().await;
    assert_eq!(ends.get("completed"), Some(&paid));
    assert_eq!(ends.get("blocked"), Some(&refused));
    let (balance, held) = wall.balance("ann").await;
    assert!(balance >= 0 && held == 0, "{balance} {held}");
    let proof = wall.app.engine.verify(wall.app.scope).await.unwrap();
    assert!(proof.balanced, "{:#?}", proof.findings);
}
