//! The OpenAPI document is honest: the harness compares every answer with it, and this makes sure
//! that there is an answer of every call.

use testkit::document;

use crate::world::World;

/// It has no end; its own tests read it.
const STREAMS: &str = "streamEvents";
/// The provider of the tests does not speak it.
const UNSPOKEN: &str = "createCompletion";
/// None can be made in this version, so each answers 404 or 501.
const NONE_CAN_EXIST: &[&str] =
    &["createAlertSettings", "getAlertSettings", "updateAlertSettings", "deleteAlertSettings"];

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_is_built_answers_what_the_document_says() {
    let world = World::whole().await;
    let made = world.made();
    let is_there = |method: &str, path: &'static str| made.contains(&(method.to_owned(), path));
    let missing: Vec<String> = document::operations()
        .into_iter()
        .filter(|(method, path, call)| {
            let name = call["operationId"].as_str().unwrap();
            let built = call["responses"]
                .as_object()
                .unwrap()
                .keys()
                .any(|status| status < &"4".to_owned());
            let by_user = path.starts_with("/v1/{user}");
            built
                && !by_user
                && name != STREAMS
                && name != UNSPOKEN
                && !NONE_CAN_EXIST.contains(&name)
                && !is_there(method, path)
        })
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert!(missing.is_empty(), "no answer was seen of {missing:#?}");
}
