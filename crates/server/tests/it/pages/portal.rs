//! Times of the portal, in the customer's own zone.

use domain::time::Timestamp;
use reqwest::header::COOKIE;

use super::*;

async fn opened(app: &TestApp, name: &str) -> String {
    let path = format!("/v1/customers/portal/{name}");
    let token = text(&app.get(&path, &app.key).await.2, "token");
    let ask = reqwest::Client::new().get(format!("{}/portal", app.base));
    let ask = ask.header(COOKIE, format!("farebox_portal={token}"));
    ask.send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_customer_reads_times_of_the_own_zone_with_utc_in_the_title() {
    let app = TestApp::start().await;
    app.stand_at(Timestamp::parse("2030-11-22T20:33:05Z").unwrap());
    for (name, zone, shown) in [
        ("ann", "Asia/Kolkata", "2030-11-23 02:03:05"),
        ("bob", "Europe/Berlin", "2030-11-22 21:33:05"),
        ("cid", "UTC", "2030-11-22 20:33:05"),
    ] {
        let body = json!({ "external_id": name, "name": name, "timezone": zone });
        let customer = text(&app.post("/v1/customers", &app.key, &body).await.2, "id");
        let body = json!({ "customer_id": customer, "currency": "usd" });
        let wallet = text(&app.post("/v1/wallets", &app.key, &body).await.2, "id");
        let lot = json!({ "credits_to_add": "5", "transaction_reason": "FREE_CREDIT_GRANT",
            "expiry_date_utc": "2031-01-31T18:30:00.000Z" });
        app.post(&format!("/v1/wallets/{wallet}/top-up"), &app.key, &lot).await;
        let page = opened(&app, name).await;
        assert!(page.contains(&format!("title=\"2030-11-22 20:33:05 UTC\">{shown}<")), "{page}");
        assert!(page.contains(&format!("Time ({zone})")), "{page}");
        assert!(page.contains(&format!("As of {shown} {zone}.")), "{page}");
        let ends = page.contains("to be used before <span class=\"num\">2031-02-01<");
        assert_eq!(ends, zone == "Asia/Kolkata", "midnight there is a day alone");
    }
}
