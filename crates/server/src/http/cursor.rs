//! Pages of management lists: `limit`, opaque cursors, and the frame (conventions 2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::Answer;
use super::call::Call;

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

/// The query's `limit`: 1 to 100, 20 when it is not given.
pub fn limit(call: &Call) -> Result<u32, Error> {
    let Some(text) = call.query_value("limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Error::invalid("limit", "must be a whole number from 1 to 100"))
}

/// What an earlier page's cursor holds.
pub fn read<T: DeserializeOwned>(call: &Call) -> Result<Option<T>, Error> {
    let Some(text) = call.query_value("cursor") else { return Ok(None) };
    let json = URL_SAFE_NO_PAD.decode(text).ok();
    let held = json.and_then(|json| serde_json::from_slice(&json).ok());
    held.map(Some).ok_or_else(|| Error::invalid("cursor", "is not a cursor of this list"))
}

/// Cuts the one row too many off and says from where the next page goes on. `rows` was asked for
/// with `limit + 1`.
pub fn page<R, C: Serialize>(
    mut rows: Vec<R>,
    limit: u32,
    next: impl Fn(&R) -> C,
    show: impl Fn(&R) -> serde_json::Value,
) -> Answer {
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(|row| write(&next(row)));
    let data: Vec<_> = rows.iter().map(show).collect();
    Answer::ok(&json!({ "data": data, "has_more": has_more, "next_cursor": next }))
}

fn write(held: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(held).unwrap_or_default())
}
