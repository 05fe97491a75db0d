//! How single values of a paywall's body are read: each says what is wrong, and nothing else.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

use crate::amount::Amount;
use crate::json;
use crate::paywall::edit::{PaywallError, Problem};

/// Longest id of a model, in bytes.
pub const MODEL_BYTES_MAX: usize = 256;
/// Entries of a list or map at most.
pub const ENTRIES_MAX: usize = 1_000;

pub fn text(value: &Value) -> Result<&str, Problem> {
    value.as_str().ok_or(Problem::WrongType("a string"))
}

pub fn one_of<T: Default + for<'a> Deserialize<'a>>(
    value: &Value,
    names: &'static str,
) -> Result<T, Problem> {
    Ok(one_of_or_none(value, names)?.unwrap_or_default())
}

pub fn one_of_or_none<T: for<'a> Deserialize<'a>>(
    value: &Value,
    names: &'static str,
) -> Result<Option<T>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    T::deserialize(value).map(Some).map_err(|_| Problem::NotOneOf(names))
}

pub fn flag(value: &Value, default: bool) -> Result<bool, Problem> {
    match value {
        Value::Null => Ok(default),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(Problem::WrongType("true or false")),
    }
}

/// A whole number; null is none.
pub fn count(value: &Value, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.as_u64().filter(|number| range.contains(number));
    number.map(Some).ok_or(Problem::NotWhole(*range.start(), *range.end()))
}

/// An amount of zero or more; null is zero.
pub fn amount(value: &Value) -> Result<Amount, Problem> {
    Ok(amount_or_none(value)?.unwrap_or_default())
}

pub fn amount_or_none(value: &Value) -> Result<Option<Amount>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let amount = json::amount(value)?;
    if amount.is_negative() { Err(Problem::Negative) } else { Ok(Some(amount)) }
}

/// A model's id, or with `*` at its end the beginning of several.
pub fn model(name: &str, may_end_in_star: bool) -> Result<(), Problem> {
    let plain = if may_end_in_star { name.strip_suffix('*').unwrap_or(name) } else { name };
    let fits = !name.is_empty() && name.len() <= MODEL_BYTES_MAX;
    let visible = plain.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*');
    if fits && visible { Ok(()) } else { Err(Problem::NotAModel) }
}

/// A list of model ids, without repeats; null is the empty one.
pub fn models(value: &Value) -> Result<Vec<String>, PaywallError> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    let items = value.as_array().ok_or(Problem::WrongType("a list of strings"))?;
    if items.len() > ENTRIES_MAX {
        return Err(Problem::TooMany(ENTRIES_MAX).into());
    }
    let mut models: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = text(item).and_then(|name| model(name, true).map(|()| name));
        let name = name.map_err(|problem| PaywallError::new(&index.to_string(), problem))?;
        if !models.iter().any(|other| other == name) {
            models.push(name.to_owned());
        }
    }
    Ok(models)
}

/// Merges a map of model ids: null takes a key away, and null for the whole takes all.
pub fn merge_by_model<T>(
    map: &mut BTreeMap<String, T>,
    value: &Value,
    read: impl Fn(&str, &Value) -> Result<T, PaywallError>,
) -> Result<(), PaywallError> {
    // An empty list is what some clients write for an empty object.
    if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
        map.clear();
        return Ok(());
    }
    let members = value.as_object().ok_or(Problem::WrongType("an object"))?;
    for (name, member) in members {
        model(name, false).map_err(|problem| PaywallError::new(name, problem))?;
        if member.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), read(name, member).map_err(|error| error.under(name))?);
        }
    }
    if map.len() > ENTRIES_MAX { Err(Problem::TooMany(ENTRIES_MAX).into()) } else { Ok(()) }
}
