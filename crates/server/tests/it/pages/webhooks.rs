//! Replays, secrets and health on an endpoint's page.

use super::*;

fn from() -> Vec<(&'static str, &'static str)> {
    vec![("from", "2020-01-01T00:00"), ("types", "customer.*"), ("only", "undelivered")]
}

async fn replays(app: &TestApp, id: &str) -> Vec<Value> {
    let (_, _, list) = app.get(&format!("/v1/webhooks/endpoints/{id}/replays"), &app.key).await;
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_replay_is_counted_before_it_starts_once_and_can_be_canceled() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    wallet(&app, &app.key, "ann").await;
    let id = endpoint(&app, &app.key).await;
    let path = format!("/webhooks/{id}/replay");
    assert!(person.page(&path).await.contains("Count what matches"));
    let shown = person.post(&path, &from()).await.text().await.unwrap();
    assert!(shown.contains("1 event<") && shown.contains("nothing has been sent yet"), "{shown}");
    assert!(replays(&app, &id).await.is_empty());
    let confirmed = [&from()[..], &[("step", "confirm"), ("once", "a")]].concat();
    for _ in 0..2 {
        assert_eq!(person.post(&path, &confirmed).await.status(), 303);
    }
    let all = replays(&app, &id).await;
    assert_eq!((all.len(), &all[0]["matched"]), (1, &json!(1)));
    let page = person.page(&format!("/webhooks/{id}")).await;
    assert!(page.contains("data-busy") && page.contains("max=\"1\" value=\"0\""), "{page}");
    let cancel = format!("/webhooks/{id}/replays/{}/cancel", text(&all[0], "id"));
    assert_eq!(person.post(&cancel, &[]).await.status(), 303);
    assert_eq!(replays(&app, &id).await[0]["status"], "canceled");
    assert!(!person.page(&format!("/webhooks/{id}")).await.contains("data-busy"));
}

#[tokio::test]
async fn a_replay_that_cannot_be_is_refused_in_words_and_hostile_filters_stay_text() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let id = endpoint(&app, &app.key).await;
    let path = format!("/webhooks/{id}/replay");
    for (pairs, words) in [
        (vec![("from", "")], "From is missing"),
        (vec![("from", "2099-01-01T00:00")], "later than from"),
        (vec![("from", "2020-01-01T00:00"), ("types", "nonsense.thing")], "Types"),
        (vec![("from", "2020-01-01T00:00"), ("max_rps", "0")], "1 to 1000"),
    ] {
        let shown = person.post(&path, &pairs).await.text().await.unwrap();
        assert!(shown.contains("role=\"alert\"") && shown.contains(words), "{words}: {shown}");
    }
    let pairs = [("from", "2020-01-01T00:00"), ("subjects", HOSTILE)];
    let shown = person.post(&path, &pairs).await.text().await.unwrap();
    assert!(shown.contains("0</span> events") && is_tame(&shown), "{shown}");
    assert!(!shown.contains("value=\"confirm\""), "nothing to start");
}

#[tokio::test]
async fn a_new_secret_is_seen_once_and_the_old_one_signs_on_for_the_overlap() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let id = endpoint(&app, &app.key).await;
    let path = format!("/webhooks/{id}/secret");
    let asked = [("kind", "v1"), ("overlap", "3600"), ("once", "a")];
    let shown = person.post(&path, &asked).await.text().await.unwrap();
    assert!(shown.contains("whsec_") && shown.contains("signs until"), "{shown}");
    let read = async || app.get(&format!("/v1/webhooks/endpoints/{id}"), &app.key).await.2;
    let secrets = read().await["secrets"].as_array().unwrap().clone();
    assert_eq!(secrets.len(), 3, "two that are shared, and the pair");
    let page = person.page(&format!("/webhooks/{id}")).await;
    assert!(!page.contains("whsec_") && page.contains("End now") && is_tame(&page));
    let own = [("kind", "v1"), ("overlap", "other"), ("seconds", "604801"), ("once", "b")];
    let refused = person.post(&path, &own).await.text().await.unwrap();
    assert!(refused.contains("0 to 604800"), "{refused}");
    let older = secrets.iter().find(|one| !one["expires_at"].is_null()).unwrap();
    let end = format!("/webhooks/{id}/secrets/{}/end", text(older, "id"));
    assert_eq!(person.post(&end, &[]).await.status(), 303);
    assert_eq!(read().await["secrets"].as_array().unwrap().len(), 2);
    let pair = [("kind", "v1a"), ("overlap", "0"), ("once", "c")];
    let shown = person.post(&path, &pair).await.text().await.unwrap();
    assert!(shown.contains("whpk_"), "{shown}");
}

#[tokio::test]
async fn what_was_held_back_is_sent_or_given_up_as_chosen() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let id = endpoint(&app, &app.key).await;
    assert_eq!(person.post(&format!("/webhooks/{id}/pause"), &[]).await.status(), 303);
    wallet(&app, &app.key, "ann").await;
    let page = person.page(&format!("/webhooks/{id}")).await;
    assert!(page.contains("paused by hand") && page.contains("give up what waits"), "{page}");
    let chosen = [("parked", "discard")];
    assert_eq!(person.post(&format!("/webhooks/{id}/resume"), &chosen).await.status(), 303);
    let path = format!("/v1/webhooks/endpoints/{id}/stats");
    let (_, _, stats) = app.get(&path, &app.key).await;
    assert_eq!((&stats["pending"], &stats["parked"]), (&json!(0), &json!(0)), "{stats}");
}

#[tokio::test]
async fn an_endpoint_of_another_tenant_is_not_there_and_a_reader_changes_none() {
    let app = TestApp::start().await;
    let person = Person::first(&app).await;
    let reader = Person::reader(&app).await;
    let (own, foreign) = (endpoint(&app, &app.key).await, endpoint(&app, &app.other_key).await);
    let missing = "replay_01K00000000000000000000000";
    let secret = "whk_01K00000000000000000000000";
    for (path, pairs) in [
        ("replay".to_owned(), from()),
        ("secret".to_owned(), vec![("kind", "v1"), ("overlap", "0")]),
        (format!("replays/{missing}/cancel"), vec![]),
        (format!("secrets/{secret}/end"), vec![]),
    ] {
        let answer = person.post(&format!("/webhooks/{foreign}/{path}"), &pairs).await;
        let refused = answer.status() == 404 || answer.headers().contains_key("set-cookie");
        assert!(refused, "{path} {}", answer.status());
        let answer = reader.post(&format!("/webhooks/{own}/{path}"), &pairs).await;
        assert_eq!(answer.status(), 403, "{path}");
    }
    for page in ["replay", "secret"] {
        assert_eq!(person.get(&format!("/webhooks/{foreign}/{page}")).await.status(), 404);
        assert_eq!(reader.get(&format!("/webhooks/{own}/{page}")).await.status(), 403);
    }
    let page = reader.page(&format!("/webhooks/{own}")).await;
    assert!(!page.contains("/replay\"") && !page.contains("/secret\""));
    let (_, _, list) = app.get(&format!("/v1/webhooks/endpoints/{foreign}"), &app.other_key).await;
    assert_eq!(list["secrets"].as_array().unwrap().len(), 2, "untouched");
}
