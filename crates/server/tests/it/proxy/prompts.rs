//! Prompts and answers: kept for the owner who wants them, and nowhere else.

use super::*;

impl Wall {
    async fn story(&self, got: &Got) -> Value {
        let path = format!("/v1/paywalls/{}/requests/{}", self.id, got.header("x-request-id"));
        let (status, _, story) = self.app.get(&path, &self.app.key).await;
        assert_eq!(status, 200, "{story}");
        story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_kept() {
    let wall = Wall::start().await;
    wall.deposit("ann", "1").await;
    let got = wall.chat("Hello secret", &json!({ "max_tokens": 20 })).await;
    let story = wall.story(&got).await;
    assert_eq!((&story["prompt"], &story["answer"]), (&Value::Null, &Value::Null));
    assert!(!story.to_string().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_setting_the_owner_reads_both_and_they_are_sealed() {
    let wall = Wall::with(&json!({ "privacy": { "storePrompts": true } })).await;
    wall.deposit("ann", "1").await;
    for stream in [false, true] {
        let extra = json!({ "max_tokens": 20, "stream": stream });
        let sent = chat("Hello secret", &extra).to_string();
        let got = wall.chat("Hello secret", &extra).await;
        let story = wall.story(&got).await;
        assert_eq!(story["prompt"], json!(sent));
        let answer = story["answer"].as_str().unwrap();
        assert!(answer.len() > 50 && got.text.starts_with(answer), "{answer}");
        let (scope, id) = (wall.app.scope, got.header("x-request-id").parse().unwrap());
        let kept = wall.app.engine.read_now(|read| Ok(store::prompts::find(read, &scope, id)?));
        let (prompt, _) = kept.unwrap().unwrap();
        assert!(!prompt.windows(6).any(|part| part == b"secret"));
    }
    let failed = wall.chat("[status 500] secret", &json!({ "max_tokens": 20 })).await;
    let story = wall.story(&failed).await;
    assert!(story["prompt"].as_str().unwrap().contains("secret"));
    assert_eq!(story["answer"], Value::Null);
    let list = format!("/v1/paywalls/{}/requests", wall.id);
    let (_, _, list) = wall.app.get(&list, &wall.app.key).await;
    assert!(!list.to_string().contains("secret"), "only the single request shows it");
}
