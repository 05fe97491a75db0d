//! `/v1/paywalls/{id}/ledger` and `…/activities/{activityId}`: the money of a paywall, row by row.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, header};
use bytes::Bytes;
use domain::ledger::Entry;
use domain::ledger::entry::{Activity, Reason};
use domain::place::Place;
use domain::role::Entity;
use domain::scope::Scope;
use domain::time::Timestamp;
use engine::activities::{ActivityRow, Explained};
use engine::{Engine, Error};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use store::activities::Filter;
use store::paywalls::Stored;

use super::answer::Answer;
use super::call::Call;
use super::cursor;
use super::paywalls::id;
use super::route::{Routes, reads};
use super::spec::Doc;
use crate::app::App;

/// Rows that an export reads at once.
const EXPORT_ROWS_MAX: u32 = 1_000;
const CSV_COLUMNS: [&str; 17] = [
    "id",
    "createdAt",
    "externalUserId",
    "walletUserId",
    "paywallId",
    "type",
    "status",
    "amount",
    "currency",
    "balanceAfter",
    "platformFees",
    "providerCost",
    "promptTokens",
    "completionTokens",
    "totalTokens",
    "requestId",
    "metadata",
];

pub fn routes() -> Routes {
    let doc = |operation, summary| Doc::new("Paywalls", operation, summary);
    Routes::default()
        .add(
            (Method::GET, "/v1/paywalls/{id}/ledger"),
            reads(Entity::Paywall),
            doc("listPaywallLedger", "List or export the ledger of a paywall"),
            ledger,
        )
        .add(
            (Method::GET, "/v1/paywalls/{id}/activities/{activityId}"),
            reads(Entity::Paywall),
            doc("getPaywallActivity", "Explain one entry of the ledger"),
            activity,
        )
}

/// Where a list goes on, with the filters that it began with.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Asked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl Asked {
    fn read(call: &Call) -> Result<Asked, Error> {
        if let Some(asked) = cursor::read(call)? {
            return Ok(asked);
        }
        Ok(Asked {
            before: None,
            kind: call.query_value("type"),
            user: call.query_value("user"),
            from: call.query_value("from"),
            to: call.query_value("to"),
        })
    }

    fn filter(&self) -> Result<Filter, Error> {
        let time = |name: &str, text: &Option<String>| {
            let parsed = text.as_deref().map(Timestamp::parse).transpose();
            parsed.map_err(|error| Error::invalid(name, format!("{name} {error}")))
        };
        let activity = match self.kind.as_deref() {
            None => None,
            Some(text) => Some(Activity::parse(text).ok_or_else(|| {
                let names: Vec<&str> = Activity::ALL.iter().map(|kind| kind.name()).collect();
                Error::invalid("type", format!("must be one of {}", names.join(", ")))
            })?),
        };
        let (from, to) = (time("from", &self.from)?, time("to", &self.to)?);
        Ok(Filter { activity, user: self.user.clone(), from, to })
    }
}

async fn ledger(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(&call)?)?;
    let asked = Asked::read(&call)?;
    let filter = asked.filter()?;
    let format = match call.query_value("format").as_deref() {
        None | Some("json") => None,
        Some("csv") => Some(Format::Csv),
        Some("jsonl") => Some(Format::JsonLines),
        Some(_) => return Err(Error::invalid("format", "must be json, csv or jsonl")),
    };
    if let Some(format) = format {
        let export = Export {
            engine: app.engine.clone(),
            scope: call.scope,
            paywall,
            filter,
            format,
            next: Next::First,
        };
        return Ok(export.answer());
    }
    let limit = cursor::limit(&call)?;
    let before = asked.before.map(Place::from_raw);
    let page = (before, limit + 1);
    let rows = app.engine.paywall_ledger(call.scope, paywall, filter, page).await?;
    let next = |row: &ActivityRow| Asked { before: Some(row.entry.place.raw()), ..asked.clone() };
    Ok(cursor::page(rows, limit, next, |row| Value::Object(shown(row))))
}

/// One row as lists and exports show it.
fn shown(row: &ActivityRow) -> Map<String, Value> {
    let (entry, wallet) = (&row.entry, &row.wallet);
    let link = wallet.paywall.as_ref();
    let metadata = entry.details.call_metadata.as_deref();
    let metadata: Value =
        metadata.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| json!({}));
    let row = json!({
        "id": entry.id(),
        "activityId": entry.id(),
        "createdAt": entry.at,
        "externalUserId": link.map(|link| &link.external_user),
        "walletUserId": wallet.customer_id,
        "paywallId": link.map(|link| link.id),
        "type": entry.activity.name(),
        "direction": entry.kind.name(),
        "reason": entry.reason.map(Reason::name),
        "description": entry.details.description,
        "status": entry.status.name(),
        "errorCode": entry.details.error_code,
        "amount": entry.credits,
        "currency": wallet.currency.upper(),
        "balanceAfter": entry.after,
        "platformFees": entry.fee,
        "providerCost": Value::Null,
        "promptTokens": Value::Null,
        "completionTokens": Value::Null,
        "totalTokens": Value::Null,
        "requestId": entry.request,
        "idempotencyKey": entry.key.as_ref().map(|key| &key.key),
        "holdId": entry.details.hold_id,
        "refundOf": entry.details.parent.filter(|_| entry.activity == Activity::Refund),
        "metadata": metadata,
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

async fn activity(app: App, call: Call) -> Result<Answer, Error> {
    let paywall = app.engine.find_paywall(&call.scope, id(&call)?)?;
    let activity = call.path("activityId", "activity")?;
    let explained = app.engine.paywall_activity(call.scope, paywall, activity).await?;
    Ok(Answer::ok(&explain(&explained)))
}

/// The row with where its money came from and what it told.
fn explain(explained: &Explained) -> Value {
    let row = &explained.row;
    let entry = &row.entry;
    let is_charge = entry.activity == Activity::Charge;
    let lots: Vec<Value> = explained
        .lots
        .iter()
        .map(|(lot, credits)| {
            json!({
                "activityId": lot.id(),
                "type": lot.activity.name(),
                "amount": credits,
                "priority": lot.details.priority,
                "expiresAt": lot.details.expires_at,
            })
        })
        .collect();
    let events: Vec<Value> = explained
        .events
        .iter()
        .map(|event| json!({ "id": event.id(), "type": event.kind.name() }))
        .collect();
    let mut shown = shown(row);
    let charged = is_charge && entry.fee <= entry.credits;
    shown.insert("before".to_owned(), json!(entry.before));
    shown.insert("from".to_owned(), entry.from.name().into());
    shown.insert("to".to_owned(), entry.to.name().into());
    shown.insert("lots".to_owned(), lots.into());
    shown.insert("events".to_owned(), events.into());
    shown.insert(
        "price".to_owned(),
        json!({
            "asked": entry.credits,
            "charged": entry.credits,
            "markup": Value::Null,
            "tokens": Value::Null,
            "rounding": "none: the amount was given exactly",
            "platformFees": entry.fee,
            "revenue": charged.then(|| entry.credits - entry.fee),
        }),
    );
    let is_settled = is_charge && entry.status.name() == "completed";
    let reference = is_settled.then(|| entry.place.settlement_id(entry.at));
    shown.insert("settlementReference".to_owned(), json!(reference));
    if is_settled {
        shown.insert("refundedAmount".to_owned(), json!(explained.refunded));
        shown.insert("refunds".to_owned(), refunds(explained));
    }
    Value::Object(shown)
}

/// What went back of a charge, newest first.
fn refunds(explained: &Explained) -> Value {
    let row = |entry: &Entry| {
        json!({
            "activityId": entry.id(),
            "requestId": entry.details.request_reference(),
            "amount": entry.credits,
            "createdAt": entry.at,
        })
    };
    explained.refunds.iter().map(row).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// Where an export is.
enum Next {
    First,
    Below(Place),
    Done,
}

/// All rows of a filter, read piece by piece while they are sent.
struct Export {
    engine: Arc<Engine>,
    scope: Scope,
    paywall: Arc<Stored>,
    filter: Filter,
    format: Format,
    next: Next,
}

impl Export {
    fn answer(self) -> Answer {
        let kind = match self.format {
            Format::Csv => "text/csv; charset=utf-8",
            Format::JsonLines => "application/x-ndjson",
        };
        let pieces = stream::unfold(self, |mut export| async {
            let piece = export.piece().await?;
            Some((piece, export))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Answer::Raw(Box::new(response))
    }

    async fn piece(&mut self) -> Option<Result<Bytes, Error>> {
        let before = match self.next {
            Next::First => None,
            Next::Below(place) => Some(place),
            Next::Done => return None,
        };
        let (paywall, filter) = (self.paywall.clone(), self.filter.clone());
        let page = (before, EXPORT_ROWS_MAX);
        let rows = match self.engine.paywall_ledger(self.scope, paywall, filter, page).await {
            Ok(rows) => rows,
            Err(error) => {
                // The connection breaks off, so that half an export cannot pass for a whole one.
                self.next = Next::Done;
                return Some(Err(error));
            }
        };
        let head = if before.is_none() { self.head() } else { String::new() };
        self.next = match rows.last() {
            Some(row) if rows.len() == EXPORT_ROWS_MAX as usize => Next::Below(row.entry.place),
            _ => Next::Done,
        };
        let lines: String = rows.iter().map(|row| self.line(row)).collect();
        Some(Ok(Bytes::from(head + &lines)))
    }

    fn head(&self) -> String {
        match self.format {
            Format::Csv => format!("{}\r\n", CSV_COLUMNS.join(",")),
            Format::JsonLines => String::new(),
        }
    }

    fn line(&self, row: &ActivityRow) -> String {
        let shown = shown(row);
        match self.format {
            Format::JsonLines => format!("{}\n", Value::Object(shown)),
            Format::Csv => {
                let cells = CSV_COLUMNS.iter().map(|name| cell(shown.get(*name)));
                format!("{}\r\n", cells.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// One value in a comma-separated line; quoted where it must be (RFC 4180). A text that a table
/// program would run as a formula is made harmless.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let is_number = domain::amount::Amount::parse(&text).is_ok();
    let text = if !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text
    };
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_run_nothing() {
        let table = [
            (json!("plain"), "plain"),
            (json!("a,b"), "\"a,b\""),
            (json!("say \"hi\""), "\"say \"\"hi\"\"\""),
            (json!("=1+1"), "'=1+1"),
            (json!("-5.5"), "-5.5"),
            (json!(null), ""),
            (json!({"k": 1}), "\"{\"\"k\"\":1}\""),
        ];
        for (value, expected) in table {
            assert_eq!(cell(Some(&value)), expected, "{value}");
        }
    }
}
