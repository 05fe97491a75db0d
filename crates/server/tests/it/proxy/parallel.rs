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

/// What all charges took, in units.
fn taken(wall: &Wall) -> i64 {
    let charges = wall.app.events().into_iter();
    let charges = charges.filter(|(name, _)| name == "paywall.usage.charge.created");
    let units = |data: &Value, name: &str| {
        let amount = domain::amount::Amount::parse(data[name].as_str().unwrap()).unwrap();
        i64::try_from(amount.nanos() / 1_000).unwrap()
    };
    let taken = |(_, body): (String, Value)| {
        let data = &body["data"];
        units(data, "amountDecimal") - units(data, "uncollectedDecimal")
    };
    charges.map(taken).sum()
}

/// One stream that claims 4,000 tokens: 0.0088, and a little more is held for it.
async fn stream(wall: &Wall) -> Got {
    let extra = json!({ "stream": true, "max_tokens": 4_000 });
    let body = chat("[prompt-tokens 0] [completion-tokens 4000] [slow 200]", &extra).to_string();
    let request = wall.request(CHAT, body).header("x-paywall-on-block", "error");
    Got::of(request.send().await.unwrap()).await
}

async fn a_thousand_streams_on_five_dollars(settlement: Value) {
    let limits = json!({ "onShort": "block" });
    let wall = Wall::with(&json!({ "limits": limits, "settlement": settlement })).await;
    wall.deposit("ann", "5").await;
    let all = futures_util::future::join_all((0..1_000).map(|_| stream(&wall)));
    let settling = async {
        loop {
            wall.app.engine.settle_leases().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let got = tokio::select! { got = all => got, () = settling => Vec::new() };
    let paid = got.iter().filter(|got| got.status == 200 && got.is_done()).count();
    let refused = got.iter().filter(|got| got.status == 402).count();
    assert_eq!(paid + refused, 1_000);
    // What five dollars pay for, and not less than most of it.
    assert!((300..=568).contains(&paid), "{paid}");
    wall.app.engine.end_leases().await;
    let ends = wall.settled().await;
    assert_eq!((ends.get("completed"), ends.get("blocked")), (Some(&paid), Some(&refused)));
    let (balance, held) = wall.balance("ann").await;
    let taken = taken(&wall);
    assert!(balance >= 0 && held == 0 && taken <= 5_000_000, "{balance} {held} {taken}");
    assert_eq!(balance, 5_000_000 - taken);
    assert_eq!(taken, 8_800 * i64::try_from(paid).unwrap());
    let proof = wall.app.engine.verify(wall.app.scope).await.unwrap();
    assert!(proof.balanced, "{:#?}", proof.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_at_once_never_spend_more_than_five_dollars() {
    a_thousand_streams_on_five_dollars(json!({ "mode": "immediate" })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_do_a_thousand_that_are_let_in_by_leases() {
    a_thousand_streams_on_five_dollars(json!({ "mode": "lease", "intervalMs": 50 })).await;
}
