//! The feed as the engine tells it, in the words of the oracle. Names of customers, paywalls and
//! wallets are learned from the events that made them.

use std::collections::HashMap;

use domain::event::Event;
use domain::id::EventId;
use domain::scope::Scope;
use engine::Engine;
use serde_json::Value;

use super::oracle::book::Told;

const EVENTS_MAX: u32 = 100_000;

/// An event that was told, as it must stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: EventId,
    pub body: Vec<u8>,
    pub told: Told,
}

#[derive(Clone, Default)]
pub struct Feed {
    pub events: Vec<Kept>,
    /// Names by id; ids of wallets by name.
    names: HashMap<String, String>,
    pub wallets: HashMap<String, String>,
    sequences: HashMap<String, u64>,
}

impl Feed {
    pub fn position(&self) -> usize {
        self.events.len()
    }

    /// Reads on. Positions and sequences must rise by one; the new events' place is answered.
    pub fn read_on(&mut self, engine: &Engine, scope: Scope) -> Result<usize, String> {
        let from = self.events.len();
        for event in page(engine, scope, from)? {
            self.take(event)?;
        }
        Ok(from)
    }

    /// What was told before must be there still, byte for byte.
    pub fn compare(&self, engine: &Engine, scope: Scope) -> Result<(), String> {
        let now = page(engine, scope, 0)?;
        if now.len() < self.events.len() {
            let (now, before) = (now.len(), self.events.len());
            return Err(format!("the feed ends at {now}, it had {before} events"));
        }
        let changed = self
            .events
            .iter()
            .zip(&now)
            .find(|(kept, event)| kept.id != event.id() || kept.body != event.body);
        changed.map_or(Ok(()), |(kept, _)| Err(format!("an event changed: {:?}", kept.told)))
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        let expected = self.events.len() as u64 + 1;
        let position = event.place.position();
        if position != expected {
            return Err(format!("after position {} comes {position}", expected - 1));
        }
        let sequence = self.sequences.entry(event.subject.clone()).or_default();
        *sequence += 1;
        if event.sequence != *sequence {
            let (subject, told) = (&event.subject, event.sequence);
            return Err(format!("{subject} counts {told}, and {sequence} is next"));
        }
        let body: Value = serde_json::from_slice(&event.body).map_err(|error| error.to_string())?;
        self.learn(&event, &body);
        let told = Told {
            stream: self.stream(&event),
            kind: event.kind.name().to_owned(),
            by: event.request.and_then(|request| u32::try_from(request.0.0).ok()),
            facts: facts(event.kind.name(), &body),
        };
        self.events.push(Kept { id: event.id(), body: event.body, told });
        Ok(())
    }

    fn learn(&mut self, event: &Event, body: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (_, id) = event.subject.split_once(':').unwrap_or_default();
        let name = match event.kind.name() {
            "customer.created" => text(&body["customer"]["external_id"]),
            "webhook.endpoint.created" => text(&body["endpoint"]["description"]),
            "paywall.created" => text(&body["data"]["name"]),
            "wallet.created" => self.wallet_name(body),
            _ => return,
        };
        if event.kind.name() == "wallet.created" {
            self.wallets.insert(name.clone(), id.to_owned());
        }
        self.names.insert(id.to_owned(), name);
    }

    /// A user's second wallet is `P1/ann#1`, a postpaid successor is `W1+`.
    fn wallet_name(&self, body: &Value) -> String {
        let wallet = &body["wallet"];
        let paywall = wallet["metadata"]["paywall_id"].as_str();
        let Some(paywall) = paywall.and_then(|id| self.names.get(id)) else {
            let name = wallet["name"].as_str().unwrap_or_default();
            let after = if wallet["wallet_type"] == "POST_PAID" { "+" } else { "" };
            return format!("{name}{after}");
        };
        let user = body["customer"]["external_id"].as_str().unwrap_or_default();
        let first = format!("{paywall}/{user}");
        let later = (1..).map(|number| format!("{first}#{number}"));
        std::iter::once(first.clone())
            .chain(later)
            .find(|name| !self.wallets.contains_key(name))
            .unwrap_or(first)
    }

    fn stream(&self, event: &Event) -> String {
        let (kind, id) = event.subject.split_once(':').unwrap_or_default();
        let name = self.names.get(id).map_or(id, String::as_str);
        let user = event.order_key.rsplit(':').next().unwrap_or_default();
        match self.names.get(user) {
            Some(user) if kind == "paywall" && user != name => format!("{kind} {name} {user}"),
            _ => format!("{kind} {name}"),
        }
    }
}

fn page(engine: &Engine, scope: Scope, from: usize) -> Result<Vec<Event>, String> {
    let read =
        engine.read_now(|read| Ok(store::events::page(read, &scope, from as u64, EVENTS_MAX)?));
    let (page, _) = read.map_err(|error| error.to_string())?;
    Ok(page.into_iter().map(|recorded| recorded.event).collect())
}

fn facts(kind: &str, body: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (data, wallet) = (&body["data"], &body["wallet"]);
    let all = |values: &[&Value]| values.iter().map(|v| text(v)).collect::<Vec<_>>().join(" ");
    match kind {
        "wallet.transaction.created" => {
            let row = &body["transaction"];
            let (figure, after) = (&row["credit_amount"], &row["credit_balance_after"]);
            let what = all(&[&row["type"], figure]);
            let reason = text(&row["transaction_reason"]);
            let bought = &wallet["credits_available_breakdown"]["purchased"];
            let now = all(&[&wallet["credit_balance"], &wallet["held_credit_balance"], bought]);
            format!("{what} after {} {reason} now {now}", text(after))
        }
        "wallet.credits.expired" | "wallet.credits.expiring" => text(&body["credits"]),
        "paywall.balance.trial.granted" => text(&data["creditsDecimal"]),
        "paywall.balance.hold.released" => all(&[&data["amountDecimal"], &data["cause"]]),
        "paywall.balance.depleted" => {
            all(&[&data["requestedAmountDecimal"], &data["availableBalanceDecimal"]])
        }
        "paywall.request.blocked" => text(&data["reason"]),
        _ if kind.starts_with("paywall.balance.") => text(&data["amountDecimal"]),
        _ if kind.contains("_balance.")
            || kind.ends_with("level_changed")
            || kind.contains("alert_level") =>
        {
            let alert = &body["alert"];
            let which = text(&alert["alert_type"]).replace("low_", "").replace("_balance", "");
            format!("{which} {}", all(&[&alert["previous_state"], &alert["state"]]))
        }
        _ => String::new(),
    }
}
