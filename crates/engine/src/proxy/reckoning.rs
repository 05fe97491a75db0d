//! What a request that ended comes to: its usage, its bill, and how its story ends. It moves no
//! money and tells nobody.

use domain::amount::Amount;
use domain::event::proxy::Metered;
use domain::ledger::entry::Details;
use domain::proxy::chapter::Scene;
use domain::proxy::story::{ChargeStory, Status, Story, UsageStory};
use domain::proxy::vector::{Class, Quantities};
use domain::proxy::{Bill, Price, Served};
use domain::time::Timestamp;

use super::{End, Outcome};
use domain::place::Place;

/// What was used, and by whose count.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) metered: Metered,
    provider_cost: Option<Price>,
    pub(super) bill: Bill,
}

impl Used {
    pub(super) fn of(story: &Story, end: &End) -> Used {
        let (quantities, provider_cost) = match &end.usage {
            Some(usage) => (usage.quantities, usage.provider_cost),
            None => (own_count(story, end), None),
        };
        let metered = Metered { quantities, estimated: end.usage.is_none() };
        let output = end.has_output || quantities.completion_tokens() > 0;
        let served = Served { tier: end.service_tier.as_deref(), output };
        let bill = story.pricing.bill(story.price.as_ref(), &quantities, &served, story.decimals);
        let bill = bill.unwrap_or_else(|error| {
            // The hold was within bounds, so figures of the provider are wrong; the hold is the
            // limit.
            tracing::warn!(request = %story.request_id, %error, "a usage has no price");
            Bill { cost: Price::default(), amount: held(story) }
        });
        Used { metered, provider_cost, bill }
    }

    /// What a story says of a request that ended and is not charged yet.
    pub(super) fn due(story: &Story) -> Option<Used> {
        let usage = story.usage.as_ref()?;
        let metered = Metered { quantities: usage.tokens, estimated: usage.is_estimated() };
        Some(Used { metered, provider_cost: usage.provider_cost, bill: story.due? })
    }

    pub(super) fn story(&self) -> UsageStory {
        UsageStory::of(&self.metered.quantities, self.provider_cost, self.metered.estimated)
    }

    /// The charge that entry `place` posted at `at`.
    pub(super) fn charge(
        &self,
        story: &Story,
        (place, at): (Place, Timestamp),
        uncollected: Amount,
    ) -> ChargeStory {
        let parts = |price: &domain::proxy::Tariff| {
            price.prices.parts(&self.metered.quantities).collect::<Vec<_>>()
        };
        ChargeStory {
            cost: self.bill.cost,
            amount: self.bill.amount,
            uncollected,
            activity_id: place.transaction_id(at),
            settlement_reference: place.settlement_id(at),
            parts: story.price.as_ref().map(parts).unwrap_or_default(),
        }
    }
}

/// What the request reserves.
pub(super) fn held(story: &Story) -> Amount {
    story.hold.as_ref().map(|hold| hold.amount).unwrap_or_default()
}

/// Output was delivered, or the provider says what it used.
pub(super) fn is_charged(end: &End) -> bool {
    match end.outcome {
        Outcome::Completed { .. } => true,
        Outcome::Canceled { .. } | Outcome::Failed { .. } => end.has_output || end.usage.is_some(),
    }
}

/// The prompt as it was estimated, and the output that was relayed.
fn own_count(story: &Story, end: &End) -> Quantities {
    let prompt = story.hold.as_ref().filter(|_| is_charged(end));
    let prompt = prompt.map_or(0, |hold| hold.prompt_tokens);
    Quantities::default().with(Class::Input, prompt).with(Class::Output, end.counted_output_tokens)
}

/// Writes the end into the story.
pub(super) fn finish(story: &mut Story, end: &End, now: Timestamp) {
    story.ended_at = Some(now);
    story.finish_reason.clone_from(&end.finish_reason);
    story.latency_ms = Some(end.latency_ms);
    story.http_status = end.upstream_status;
    match end.outcome {
        Outcome::Completed { cut } => {
            story.status = Status::Completed;
            story.cut = cut;
        }
        Outcome::Canceled { by } => {
            story.status = Status::Canceled;
            story.canceled_by = Some(by.name().to_owned());
        }
        Outcome::Failed { code, http_status } => {
            story.status = Status::Failed;
            story.error_code = Some(code.to_owned());
            story.http_status = http_status.or(story.http_status);
        }
    }
}

/// How the request's end is told.
pub(super) const fn last_scene(outcome: &Outcome) -> Scene {
    match outcome {
        Outcome::Completed { .. } => Scene::Completed,
        Outcome::Canceled { .. } => Scene::Canceled,
        Outcome::Failed { .. } => Scene::Failed,
    }
}

/// The ledger's word for what the request moves.
pub(super) fn details(story: &Story) -> Details {
    Details {
        reference_type: Some("REQUEST".to_owned()),
        reference_id: Some(story.request_id.to_string()),
        ..Details::default()
    }
}
