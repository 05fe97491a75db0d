//! The events that a proxied request's story is the record of, rendered from what never changes.
//!
//! A chapter says which scene of which request each event tells; every figure is the story's.

use super::Event;
use super::paywall::{self, Data, Subject, Told};
use super::proxy::{Call, Canceled, Completed, Deferred, Failed, Metered, Started, UsageCharge};
use crate::ledger::log::{Telling, paywall_names};
use crate::paywall::SettlementMode;
use crate::place::Place;
use crate::proxy::Bill;
use crate::proxy::chapter::{Chapter, Line, Scene};
use crate::proxy::story::{Story, UsageStory};
use crate::scope::Scope;

/// The event of one line. `story` is its request's, as it is now.
pub fn event(
    scope: &Scope,
    chapter: &Chapter,
    (place, sequence, line): (Place, u64, Line),
    story: &Story,
) -> Event {
    let kind = line.scene.event();
    let telling = Telling { place, at: chapter.at, sequence, scope: *scope, kind };
    let (data, subject) = body(Data::new(story.paywall_id, scope.tenant), line.scene, story);
    let told =
        Told { paywall: story.paywall_id, data, metadata: None, actor: &chapter.actor, subject };
    let (subject, order_key) = paywall_names(chapter.paywall.1, Some(chapter.payer.customer));
    Event {
        place,
        at: chapter.at,
        kind,
        subject,
        order_key,
        sequence,
        paywall: Some(chapter.paywall.0),
        channels: chapter.channels(),
        body: paywall::render(&telling, &told),
        request: Some(line.request),
        idempotency_key: chapter.idempotency_key.clone(),
        suppressed: false,
    }
}

fn body(data: Data, scene: Scene, story: &Story) -> (Data, Subject) {
    let call = Call {
        request: story.request_id,
        user: story.wallet_user_id,
        external_user: &story.external_user_id,
        model: &story.requested_model,
    };
    let activity = story.charge.as_ref().map(|charge| charge.activity_id);
    let metered = metered(story.usage.as_ref());
    let provider = story.provider.as_deref();
    match scene {
        Scene::Started => {
            let event = Started { stream: story.stream, endpoint: &story.endpoint };
            (event.data(data, &call), call.subject())
        }
        Scene::Deferred => {
            let held = story.deferred_amount.unwrap_or_default();
            let event = Deferred { held, currency: story.currency };
            (event.data(data, &call), call.usage_subject(None))
        }
        Scene::Charged => match charge(story, metered) {
            Some(event) => (event.data(data, &call), call.usage_subject(activity)),
            None => (data, call.usage_subject(None)),
        },
        Scene::Completed => {
            let event = Completed {
                metered,
                latency_ms: story.latency_ms.unwrap_or_default(),
                provider: provider.unwrap_or_default(),
                finish_reason: story.finish_reason.as_deref(),
                cut: story.cut,
                // In a batch the charge comes later than this event.
                activity: activity.filter(|_| story.settlement == SettlementMode::Immediate),
            };
            (event.data(data, &call), call.subject())
        }
        Scene::Failed => {
            let event = Failed {
                error_code: story.error_code.as_deref().unwrap_or_default(),
                http_status: story.http_status,
                provider,
                metered: story.usage.as_ref().map(|_| metered),
            };
            (event.data(data, &call), call.subject())
        }
        Scene::Canceled => {
            let by = story.canceled_by.as_deref().unwrap_or("client");
            (Canceled { canceled_by: by, metered }.data(data, &call), call.subject())
        }
    }
}

fn metered(usage: Option<&UsageStory>) -> Metered {
    usage.map_or(Metered { estimated: true, ..Metered::default() }, |usage| Metered {
        quantities: usage.tokens,
        estimated: usage.is_estimated(),
    })
}

fn charge(story: &Story, metered: Metered) -> Option<UsageCharge> {
    let charge = story.charge.as_ref()?;
    Some(UsageCharge {
        activity: charge.activity_id,
        settlement: charge.settlement_reference,
        metered,
        bill: Bill { cost: charge.cost, amount: charge.amount },
        uncollected: charge.uncollected,
        currency: story.currency,
        price: story.price.as_ref().and_then(|price| price.price_id),
        was_deferred: story.deferred,
    })
}
