//! Events of proxied requests, each noted in the story of its request: those that the story is the
//! record of, and those with a body of their own.

use domain::event::paywall::{Data, Subject, Told};
use domain::event::proxy::Call as Named;
use domain::proxy::chapter::{Line, Scene};
use domain::scope::Cause;
use domain::wallet::Payer;
use domain::webhook::catalogue::EventType;
use store::Tx;

use super::Story;
use crate::error::Error;

/// Who tells: the paywall's number, who pays, the cause, and the story that is told.
pub(super) struct Teller<'t> {
    pub(super) paywall: i64,
    pub(super) payer: Payer,
    pub(super) cause: &'t Cause,
    pub(super) story: &'t mut Story,
}

impl Teller<'_> {
    /// Tells what the story says; it must be saved in the same command.
    pub(super) fn scenes(&mut self, tx: &mut Tx<'_>, scenes: &[Scene]) -> Result<(), Error> {
        let request = self.story.request_id;
        let lines = scenes.iter().map(|&scene| Line { scene, request }).collect();
        let paywall = (self.paywall, self.story.paywall_id);
        tx.tell_chapter(paywall, self.payer, self.cause, (lines, None))?;
        for scene in scenes {
            self.note(scene.event());
        }
        Ok(())
    }

    /// Tells one event; `fill` writes its own fields.
    pub(super) fn tell(
        &mut self,
        tx: &mut Tx<'_>,
        kind: EventType,
        fill: impl FnOnce(Data, &Named<'_>) -> (Data, Subject),
    ) -> Result<(), Error> {
        let id = self.story.paywall_id;
        let named = Named {
            request: self.story.request_id,
            user: self.story.wallet_user_id,
            external_user: &self.story.external_user_id,
            model: &self.story.requested_model,
        };
        let (data, subject) = fill(Data::new(id, tx.scope().tenant), &named);
        let payer = Some(self.payer);
        let actor = &self.cause.actor;
        tx.tell_paywall((self.paywall, id), payer, kind, self.cause, |telling| {
            let told = Told { paywall: id, data, metadata: None, actor, subject };
            domain::event::paywall::render(telling, &told)
        })?;
        self.note(kind);
        Ok(())
    }

    /// Notes an event that was told elsewhere.
    pub(super) fn note(&mut self, kind: EventType) {
        self.story.events.push(kind);
    }
}
