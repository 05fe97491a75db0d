//! Prompts and answers, kept sealed and only where a paywall's owner switched it on
//! (`privacy.storePrompts`). Nothing else of this crate may keep either.

use domain::id::RequestId;
use domain::scope::Scope;
use store::prompts;

use crate::error::Error;
use crate::run::Engine;

/// Longest text of either that is kept; a longer one is left out.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// What was sent for a user, and what came back; empty where nothing came, or too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub prompt: String,
    pub answer: String,
}

impl Engine {
    /// Keeps both with their request. The first call for a request counts.
    pub async fn keep_prompt(
        &self,
        scope: Scope,
        request: RequestId,
        (prompt, answer): (&[u8], &[u8]),
    ) -> Result<(), Error> {
        let sealed = |part, text: &[u8]| {
            let text = if text.len() > TEXT_BYTES_MAX { &[] } else { text };
            self.seal.seal(&self.random, scope.tenant, &place(request, part), text)
        };
        let (prompt, answer) = (sealed("prompt", prompt)?, sealed("answer", answer)?);
        self.change(scope, move |tx| {
            Ok(prompts::insert(tx.write()?, &scope, request, (&prompt, &answer))?)
        })
        .await
    }

    /// What was kept of a request.
    pub fn kept_prompt(&self, scope: &Scope, request: RequestId) -> Result<Option<Prompt>, Error> {
        let found = self.read_now(|read| Ok(prompts::find(read, scope, request)?))?;
        let Some((prompt, answer)) = found else { return Ok(None) };
        let text = |part, sealed: &[u8]| {
            let opened = self.seal.open(scope.tenant, &place(request, part), sealed)?;
            Ok::<_, Error>(String::from_utf8_lossy(&opened).into_owned())
        };
        Ok(Some(Prompt { prompt: text("prompt", &prompt)?, answer: text("answer", &answer)? }))
    }
}

/// What is sealed is bound to its request.
fn place(request: RequestId, part: &str) -> String {
    format!("proxy_prompts.{part}:{request}")
}
