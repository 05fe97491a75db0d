//! The paywalled way to LLM providers (paywalls 16): a request is read, admitted, forwarded,
//! metered and settled. What it costs and who may is decided by `engine::proxy` and
//! `domain::proxy`; here bytes go from one socket to the other.

mod answer;
mod ask;
mod blocked;
mod client;
mod count_tokens;
mod custom_response;
mod exchange;
mod failure;
mod forward;
mod headers;
mod pump;
mod replay;
mod under_way;

pub use under_way::UnderWay;

use axum::http::Method;
use domain::proxy::usage::Protocol;
use engine::{Class, Error, Fault};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::app::App;
use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::paywall_calls::both;
use crate::http::route::Routes;
use crate::http::spec::Doc;

/// Bodies may hold images.
const BODY_BYTES_MAX: usize = 32 << 20;

pub fn routes() -> Routes {
    let table = [
        (Protocol::Chat, "createChatCompletion", "Chat, plain or as a stream"),
        (Protocol::Completions, "createCompletion", "Complete a text, plain or as a stream"),
        (Protocol::Embeddings, "createEmbedding", "Make embeddings"),
        (Protocol::Messages, "createMessage", "Chat in the words of Anthropic's protocol"),
    ];
    let routes = table.into_iter().fold(Routes::default(), |routes, (protocol, name, summary)| {
        let doc = Doc::new("Proxy", name, summary);
        let work = move |app, call| serve(app, call, protocol);
        both(routes, (Method::POST, endpoint(protocol)), doc, work)
    });
    count_tokens::routes(routes).with_bodies_up_to(BODY_BYTES_MAX)
}

/// The path of a protocol's requests, here and at its provider.
const fn endpoint(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Chat => "/v1/chat/completions",
        Protocol::Completions => "/v1/completions",
        Protocol::Embeddings => "/v1/embeddings",
        Protocol::Messages => "/v1/messages",
    }
}

/// From here on the request is carried to its end, which its client's leaving cannot prevent.
async fn serve(app: App, call: Call, protocol: Protocol) -> Result<Answer, Error> {
    let told = (call.surface(), call.request);
    let (asked, named) = ask::read(call, protocol)?;
    let (sender, answer) = oneshot::channel();
    let lost = || Fault::new(Class::Unavailable, "service_unavailable", "the request was lost");
    let work = exchange::run(app.clone(), asked, sender);
    let outcome = app.tasks.carry(work, answer).await;
    // Answers too are written one after another, when all that came have been read.
    yield_now().await;
    let outcome = outcome.unwrap_or_else(|| Err(lost().into()));
    named.mark_of(outcome, told)
}
