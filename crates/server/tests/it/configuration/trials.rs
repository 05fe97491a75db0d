//! Trial credit: once for each new user, whole, and told before everything else.

use domain::time::Timestamp;

use super::*;

const NOON: i64 = 2_000_000_000_000;

async fn balance(owned: &Owned, user: &str) -> Value {
    let path = format!("/v1/user/balance?user={user}");
    let (status, _, body) = owned.app.get(&path, &owned.key).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_calls_at_once_grant_one_trial() {
    let owned = Owned::with(&json!({ "trial": { "amount": "5" } })).await;
    let seen = owned.app.events().len();
    let calls = (0..50).map(|index| {
        let (base, key) = (owned.app.base.clone(), owned.key.clone());
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            let request = if index % 2 == 0 {
                client.get(format!("{base}/v1/user/balance?user=zoe"))
            } else {
                let body = r#"{"user":"zoe","amount":"0.01"}"#;
                client.post(format!("{base}/v1/user/charge")).body(body)
            };
            request.header("x-api-key", key).send().await.unwrap().status().as_u16()
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
    let told = owned.app.events().split_off(seen);
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..3], ["customer.created", "wallet.created", "paywall.balance.trial.granted"]);
    let granted = names.iter().filter(|name| name.contains("trial")).count();
    assert_eq!(granted, 1, "{names:?}");
    let data = &told[2].1["data"];
    assert_eq!((&data["credits"], &data["creditsDecimal"]), (&json!(5), &json!("5")));
    assert_eq!((&data["externalUserId"], &data["currency"]), (&json!("zoe"), &json!("USD")));
    assert_eq!(data["activityId"], told[2].1["subject"]["id"]);
    assert_eq!(balance(&owned, "zoe").await["balanceFormatted"], "4.75");
    let totals = owned.get("/users/zoe").await["totals"].clone();
    assert_eq!((&totals["trials"], &totals["deposits"]), (&json!("5"), &json!("0")));
    let ledger = owned.get("/ledger?type=trial").await;
    assert_eq!(ledger["data"].as_array().unwrap().len(), 1, "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_expires_is_spent_first_and_is_not_given_again() {
    let owned = Owned::with(&json!({ "trial": { "amount": "5", "expiresInDays": 2 } })).await;
    let at = |ms| owned.app.stand_at(Timestamp::from_millis(NOON + ms));
    at(0);
    let deposit = json!({ "user": "amy", "amount": "10" });
    let reply = owned.app.post("/v1/user/balance/deposit", &owned.key, &deposit).await;
    assert_eq!((reply.0, &reply.2["balanceFormatted"]), (200, &json!("15.00")));
    let charge = json!({ "user": "amy", "amount": "1" });
    owned.app.post("/v1/user/charge", &owned.key, &charge).await;
    at(2 * 86_400_000 - 1);
    assert_eq!(balance(&owned, "amy").await["balanceFormatted"], "14.00");
    at(2 * 86_400_000);
    assert_eq!(balance(&owned, "amy").await["balanceFormatted"], "10.00");
    // Neither a rotated key nor a state of the paywall or the user brings it back.
    for rest in ["/users/amy/suspend", "/users/amy/resume", "/archive", "/unarchive"] {
        let reply = owned.app.post(&owned.path(rest), &owned.app.key, &json!({})).await;
        assert_eq!(reply.0, 200, "{rest}");
    }
    assert_eq!(balance(&owned, "amy").await["balanceFormatted"], "10.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_ends_the_giving_and_the_owner_sees_it() {
    let owned = Owned::with(&json!({ "trial": { "amount": "2", "budget": "5" } })).await;
    // Given by hand: it neither counts nor takes the user's own one away.
    let metadata = json!({ "source": "trial" });
    let deposit = json!({ "user": "u1", "amount": "1", "metadata": metadata });
    let reply = owned.app.post("/v1/user/balance/deposit", &owned.key, &deposit).await;
    assert_eq!((reply.0, &reply.2["balanceFormatted"]), (200, &json!("3.00")));
    for (user, balanced) in [("u2", "2.00"), ("u3", "0.00"), ("u1", "3.00")] {
        assert_eq!(balance(&owned, user).await["balanceFormatted"], balanced, "{user}");
    }
    assert_eq!(owned.get("").await["trialGranted"], "4");
    let granted = |name: &str| name == "paywall.balance.trial.granted";
    assert_eq!(owned.app.events().iter().filter(|(name, _)| granted(name)).count(), 2);
    // More budget is for users who come after it.
    assert_eq!(owned.patch(&json!({ "trial": { "budget": "6" } })).await.0, 200);
    assert_eq!(balance(&owned, "u3").await["balanceFormatted"], "0.00");
    assert_eq!(balance(&owned, "u4").await["balanceFormatted"], "2.00");
    assert_eq!(balance(&owned, "u5").await["balanceFormatted"], "0.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_still_balance() {
    let owned = Owned::with(&json!({ "trial": { "amount": "0.5" } })).await;
    for user in ["a", "b", "c"] {
        balance(&owned, user).await;
    }
    let (status, _, proof) = owned.app.get("/v1/verify", &owned.app.key).await;
    assert_eq!((status, &proof["balanced"]), (200, &json!(true)), "{proof}");
}
