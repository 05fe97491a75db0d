//! Receivers of webhooks: which events each must get, by their position in the feed.

use std::collections::BTreeSet;

use super::{Answer, Oracle, refuse};
use crate::world::line::Line;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Enabled,
    Paused,
    Disabled,
    Deleted,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    /// The paywall of a subscription.
    pub of: Option<String>,
    /// `all`, `wallet` or `paywall`.
    pub filter: String,
    pub ordered: bool,
    pub state: State,
    /// Positions that must arrive, and those that may.
    pub must: BTreeSet<usize>,
    pub may: BTreeSet<usize>,
}

/// Types that wildcards leave out.
const EXTENSIONS: [&str; 14] = [
    "wallet.alert_level.changed",
    "wallet.credits.expired",
    "wallet.credits.expiring",
    "wallet.auto_topup.suspended",
    "paywall.created",
    "paywall.unarchived",
    "paywall.webhook.subscription.created",
    "paywall.webhook.subscription.updated",
    "paywall.webhook.subscription.deactivated",
    "paywall.user.suspended",
    "paywall.user.resumed",
    "paywall.balance.refund.created",
    "paywall.balance.adjustment.created",
    "paywall.balance.hold.created",
];

impl Receiver {
    /// Whether it takes an event, by its type and by the paywall in its stream.
    pub fn takes(&self, kind: &str, stream: &str) -> bool {
        let of_paywall = kind.starts_with("paywall.");
        if kind.starts_with("webhook.") {
            return false;
        }
        let own = match &self.of {
            None => true,
            Some(paywall) => {
                let name = format!("paywall {paywall}");
                stream == name || stream.starts_with(&format!("{name} "))
            }
        };
        let extension = EXTENSIONS.contains(&kind) || kind == "paywall.balance.hold.released";
        own && match (self.filter.as_str(), &self.of) {
            ("wallet", _) => kind.starts_with("wallet.") && !extension,
            ("paywall", _) | ("all", Some(_)) => of_paywall && !extension,
            ("every", _) => of_paywall,
            _ => !of_paywall && !extension,
        }
    }

    /// The filter in the words of the API.
    pub fn types(filter: &str, is_subscription: bool) -> (Vec<String>, bool) {
        let types = match filter {
            "wallet" => "wallet.*",
            "paywall" | "every" if !is_subscription => "paywall.*",
            _ => "*",
        };
        (vec![types.to_owned()], filter == "every")
    }

    fn collects(&self) -> bool {
        matches!(self.state, State::Enabled | State::Paused)
    }
}

/// The event of an endpoint's change.
fn told_as(verb: &str) -> &'static str {
    match verb {
        "pause" => "webhook.endpoint.paused",
        "resume" => "webhook.endpoint.resumed",
        "enable" => "webhook.endpoint.enabled",
        "disable" => "webhook.endpoint.disabled",
        _ => "webhook.endpoint.deleted",
    }
}

impl Oracle {
    pub(super) fn turn(&mut self, line: &Line) -> Answer {
        if line.verb == "receiver" {
            self.new_receiver(line);
            return Ok("done".to_owned());
        }
        let receiver = self.receivers.get(&line.subject).ok_or("not_found")?;
        let to = match (line.verb.as_str(), receiver.state) {
            (_, State::Deleted) => return refuse("not_found"),
            ("pause" | "resume", State::Disabled) if receiver.of.is_none() => {
                return refuse("endpoint_disabled");
            }
            ("pause", _) => State::Paused,
            ("resume" | "enable", _) => State::Enabled,
            ("disable", _) => State::Disabled,
            _ => State::Deleted,
        };
        if to == receiver.state {
            return Ok("done".to_owned());
        }
        let of = receiver.of.clone();
        let receiver = self.receivers.get_mut(&line.subject).unwrap();
        // What waits is given up; what is on its way may still arrive.
        if to == State::Deleted || (of.is_some() && to != State::Enabled) {
            let given_up = std::mem::take(&mut receiver.must);
            receiver.may.extend(given_up);
        }
        receiver.state = to;
        let (stream, kind) = match of {
            None => (format!("webhook_endpoint {}", line.subject), told_as(&line.verb)),
            Some(_) if to != State::Disabled => return Ok("done".to_owned()),
            Some(paywall) => {
                (format!("paywall {paywall}"), "paywall.webhook.subscription.deactivated")
            }
        };
        self.book.tell(&stream, kind, "");
        Ok("done".to_owned())
    }

    fn new_receiver(&mut self, line: &Line) {
        let of = line.option("of").map(str::to_owned);
        let receiver = Receiver {
            of: of.clone(),
            filter: line.option("filter").unwrap_or("all").to_owned(),
            ordered: line.option("order") == Some("subject"),
            state: State::Enabled,
            must: BTreeSet::new(),
            may: BTreeSet::new(),
        };
        self.receivers.insert(line.subject.clone(), receiver);
        let (stream, kind) = match of {
            None => (format!("webhook_endpoint {}", line.subject), "webhook.endpoint.created"),
            Some(paywall) => (format!("paywall {paywall}"), "paywall.webhook.subscription.created"),
        };
        self.book.tell(&stream, kind, "");
    }

    /// Notes for every receiver whether it must get the event at a position of the feed.
    pub fn collect(&mut self, position: usize, kind: &str, stream: &str) {
        for receiver in self.receivers.values_mut() {
            if receiver.collects() && receiver.takes(kind, stream) {
                receiver.must.insert(position);
            }
        }
    }
}
