//! `/v1/activity`: the audit log, read only.

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::AuditId;
use domain::role::Entity;
use domain::time::Timestamp;
use engine::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::audit::{AuditRow, Wanted};

use super::answer::Answer;
use super::call::Call;
use super::route::{Routes, reads};
use super::spec::Doc;
use crate::app::App;

const TAG: &str = "Audit";
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

pub fn routes() -> Routes {
    Routes::default()
        .add(
            (Method::POST, "/v1/activity"),
            reads(Entity::Audit),
            Doc::new(TAG, "searchActivity", "Who changed what, newest first"),
            search,
        )
        .add(
            (Method::GET, "/v1/activity/{id}"),
            reads(Entity::Audit),
            Doc::new(TAG, "getActivity", "One change, with the values before and after"),
            find,
        )
}

/// The conditions of a search; a cursor carries them on.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Conditions {
    action: Option<String>,
    actor_id: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
}

/// Its fields stand side by side: a flattened struct would not say which one is wrong.
#[derive(Deserialize)]
struct SearchBody {
    limit: Option<u32>,
    cursor: Option<String>,
    action: Option<String>,
    actor_id: Option<String>,
    entity_type: Option<String>,
    entity_id: Option<String>,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
}

impl SearchBody {
    fn conditions(self) -> Conditions {
        Conditions {
            action: self.action,
            actor_id: self.actor_id,
            entity_type: self.entity_type,
            entity_id: self.entity_id,
            start_time: self.start_time,
            end_time: self.end_time,
        }
    }
}

/// Where a page ends, and what it was a page of.
#[derive(Serialize, Deserialize)]
struct Cursor {
    below: i64,
    conditions: Conditions,
}

impl Cursor {
    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(text: &str) -> Result<Cursor, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cursor.ok_or_else(|| Error::invalid("cursor", "cursor is not one that was given out"))
    }
}

impl Conditions {
    fn wanted(&self, below: Option<i64>) -> Wanted {
        Wanted {
            action: self.action.clone(),
            actor: self.actor_id.clone(),
            entity_type: self.entity_type.clone(),
            entity_id: self.entity_id.clone(),
            start: self.start_time,
            end: self.end_time,
            below,
        }
    }
}

async fn search(app: App, call: Call) -> Result<Answer, Error> {
    let body: SearchBody = call.body()?;
    let limit = body.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("limit", format!("limit must be from 1 to {LIMIT_MAX}")));
    }
    let (conditions, below) = match body.cursor.as_deref().map(Cursor::read).transpose()? {
        Some(cursor) => (cursor.conditions, Some(cursor.below)),
        None => (body.conditions(), None),
    };
    let (rows, next) = app.engine.audit_page(call.scope, conditions.wanted(below), limit).await?;
    let next = next.map(|below| Cursor { below, conditions }.write());
    let data: Vec<Value> = rows.iter().map(view).collect();
    Ok(Answer::ok(&json!({ "data": data, "has_more": next.is_some(), "next_cursor": next })))
}

async fn find(app: App, call: Call) -> Result<Answer, Error> {
    let id: AuditId = call.path("id", "activity")?;
    Ok(Answer::ok(&view(&app.engine.audit_row(call.scope, id).await?)))
}

fn view(row: &AuditRow) -> Value {
    let (kind, id) = &row.entity;
    let text = |name: &str| {
        let state = row.after.as_ref().or(row.before.as_ref());
        state.and_then(|state| state.get(name)).and_then(Value::as_str)
    };
    let customer = if kind == "customer" { Some(id.as_str()) } else { text("customer_id") };
    json!({
        "id": row.id,
        "action": row.action,
        "actor": { "id": row.actor, "label": row.actor, "type": row.actor_kind },
        "entity": { "id": id, "label": text("name").unwrap_or(id), "type": kind },
        "customer_id": customer,
        "occurred_at": row.at,
        "request_id": row.request,
        "ip": null,
        "user_agent": null,
        "source": row.source,
        "state": { "before": row.before, "after": row.after },
    })
}
