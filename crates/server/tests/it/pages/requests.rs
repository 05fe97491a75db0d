//! The log of requests: what is in it, for whom, and how it is found.

use super::*;

const PATH: &str = "/developers/requests";

fn request_id(headers: &reqwest::header::HeaderMap) -> String {
    headers["x-request-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn calls_of_a_key_are_listed_with_outcome_and_key_but_never_its_text() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, id) = wallet(&app, &app.key, "ann").await;
    let (status, headers, _) = app.get("/v1/wallets/wallet_nonsense", &app.key).await;
    assert_eq!(status, 404);
    let missing = request_id(&headers);
    app.get(&format!("/v1/wallets/{id}?token=in-the-query"), &app.key).await;
    let page = person.page(PATH).await;
    assert!(page.contains(&format!("/v1/wallets/{id}")) && page.contains("not_found"), "{page}");
    assert!(page.contains(&missing) && page.contains("begins anew"));
    assert!(!page.contains(&app.key) && !page.contains("in-the-query"));
    let found = person.get(&format!("{PATH}?id={missing}")).await;
    assert_eq!(found.status(), 303);
    let one = person.page(&format!("{PATH}/{missing}")).await;
    assert!(one.contains("404") && one.contains("/v1/wallets/wallet_nonsense"), "{one}");
    let lost = person.page(&format!("{PATH}?id=req_01K00000000000000000000000")).await;
    assert!(lost.contains("is kept here") && lost.contains("role=\"alert\""));
}

#[tokio::test]
async fn a_filter_narrows_by_status_path_and_key() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    wallet(&app, &app.key, "ann").await;
    app.get("/v1/wallets/wallet_nonsense", &app.key).await;
    let made = json!({ "name": "reader", "type": "private_key", "roles": ["all_reader"] });
    let (_, _, made) = app.post("/v1/secrets/api/keys", &app.key, &made).await;
    let (status, ..) = app.post("/v1/customers", &text(&made, "api_key"), &json!({})).await;
    assert_eq!(status, 403);
    let display = percent::encoded(&text(&made["secret"], "display_id"));
    let table = [
        ("status=2".to_owned(), "POST</b> /v1/wallets<", "wallet_nonsense"),
        ("status=4".to_owned(), "wallet_nonsense", "POST</b> /v1/wallets<"),
        ("path=/v1/wallets".to_owned(), "wallet_nonsense", "POST</b> /v1/customers<"),
        (format!("key={display}"), "permission_denied", "wallet_nonsense"),
    ];
    for (query, there, gone) in table {
        let page = person.page(&format!("{PATH}?{query}")).await;
        assert!(page.contains(there) && !page.contains(gone), "{query}: {page}");
    }
}

#[tokio::test]
async fn another_tenants_requests_are_not_there_and_a_role_without_keys_sees_none() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let (_, headers, _) = app.get("/v1/customers/zzyzx", &app.other_key).await;
    let foreign = request_id(&headers);
    assert!(!person.page(PATH).await.contains("zzyzx"));
    assert!(!person.page(&format!("{PATH}?path=/v1/customers")).await.contains(&foreign));
    assert!(person.page(&format!("{PATH}?id={foreign}")).await.contains("is kept here"));
    assert_eq!(person.get(&format!("{PATH}/{foreign}")).await.status(), 303);
    let narrow = Person::with_role(&app, "event_reader").await;
    assert_eq!(narrow.get(PATH).await.status(), 403);
    assert_eq!(narrow.get(&format!("{PATH}/{foreign}")).await.status(), 403);
}

#[tokio::test]
async fn a_hostile_path_stays_text() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let path = "/v1/customers/lookup/%3Cscript%3Ewindow.hacked%3C/script%3E";
    app.get(path, &app.key).await;
    let raw = percent::encoded(HOSTILE);
    app.get(&format!("/v1/customers/{raw}"), &app.key).await;
    for query in ["", &format!("?path={raw}&key={raw}"), &format!("?id={raw}")] {
        let page = person.page(&format!("{PATH}{query}")).await;
        assert!(!page.contains("<script>window") && !page.contains("<img src=x"), "{query}");
    }
}
