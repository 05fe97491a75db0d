//! The fields of a body or a query, each taken once by name; what is left was not known here.
//!
//! Every refusal names the field by its path. What a field means is for its route to say.

use std::collections::BTreeMap;
use std::str::FromStr;

use domain::amount::{Amount, Rate};
use domain::json;
use domain::ledger::entry::KeyUse;
use domain::time::Timestamp;
use engine::Error;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::call::Call;

const METADATA_BYTES_MAX: usize = 16 << 10;
const TEXT_CHARS_MAX: usize = 1_000;

pub struct Fields {
    map: Map<String, Value>,
    /// Path of the object, with a dot at its end; empty at the top.
    path: String,
    /// Fields of objects inside that nobody took.
    unknown: Vec<String>,
}

impl Fields {
    pub fn of_body(call: &Call) -> Result<Fields, Error> {
        Fields::of_value(call.json()?)
    }

    pub fn of_value(body: Value) -> Result<Fields, Error> {
        match body {
            Value::Object(map) => Ok(Fields::at(map, String::new())),
            _ => Err(Error::invalid("body", "the body must be a JSON object")),
        }
    }

    /// A parameter that is given more than once is a list, as if joined by commas.
    pub fn of_query(call: &Call) -> Fields {
        let mut map = Map::new();
        for (name, value) in call.query_pairs() {
            let value = match map.remove(&name) {
                Some(Value::String(before)) => format!("{before},{value}"),
                _ => value,
            };
            map.insert(name, Value::String(value));
        }
        Fields::at(map, String::new())
    }

    fn at(map: Map<String, Value>, path: String) -> Fields {
        Fields { map, path, unknown: Vec::new() }
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// A refusal of one field.
    pub fn refuse(&self, name: &str, problem: impl std::fmt::Display) -> Error {
        let path = self.path(name);
        let message = format!("{path} {problem}");
        Error::invalid(path, message)
    }

    /// The value as it was sent, null included.
    pub fn take_raw(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// The value; null is as good as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() > TEXT_CHARS_MAX => {
                Err(self.refuse(name, format!("is longer than {TEXT_CHARS_MAX} characters")))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.refuse(name, "must be a text")),
        }
    }

    pub fn required_text(&mut self, name: &str) -> Result<String, Error> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.refuse(name, "is required"))
    }

    /// A text that `read` understands.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| self.refuse(name, format!("must be {expected}")))
    }

    /// An id; one of another kind names nothing.
    pub fn id<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Error> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|_| Error::not_found(what))).transpose()
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(self.refuse(name, "must be true or false")),
        }
    }

    pub fn whole(&mut self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.refuse(name, "must be a whole number"))
    }

    pub fn amount(&mut self, name: &str) -> Result<Option<Amount>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        json::amount(&value).map(Some).map_err(|error| self.refuse(name, error))
    }

    /// An amount greater than zero.
    pub fn positive(&mut self, name: &str) -> Result<Option<Amount>, Error> {
        let amount = self.amount(name)?;
        match amount {
            Some(amount) if !amount.is_positive() => {
                Err(self.refuse(name, "must be greater than zero"))
            }
            amount => Ok(amount),
        }
    }

    pub fn rate(&mut self, name: &str) -> Result<Option<Rate>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let read = json::decimal_text(&value).and_then(|text| Rate::parse(&text));
        read.map(Some).map_err(|error| self.refuse(name, error))
    }

    pub fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Timestamp::parse(&text).map(Some).map_err(|error| self.refuse(name, error))
    }

    /// A list of texts, or one text with commas.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Error> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(joined)) => {
                let parts = joined.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Some(parts.map(str::to_owned).collect()))
            }
            Some(Value::Array(values)) => {
                let texts: Option<Vec<String>> = values.iter().map(text).collect();
                texts.map(Some).ok_or_else(|| self.refuse(name, "must be a list of texts"))
            }
            Some(_) => Err(self.refuse(name, "must be a list of texts")),
        }
    }

    pub fn list(&mut self, name: &str) -> Result<Vec<Value>, Error> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.refuse(name, "must be a list")),
        }
    }

    /// Keys and texts.
    pub fn texts_by_key(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>, Error> {
        let map = match self.take(name) {
            None => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.refuse(name, "must be an object of texts")),
        };
        let mut texts = BTreeMap::new();
        let mut bytes = 0;
        for (key, value) in map {
            let Value::String(text) = value else {
                return Err(self.refuse(&format!("{name}.{key}"), "must be a text"));
            };
            bytes += key.len() + text.len();
            texts.insert(key, text);
        }
        if bytes > METADATA_BYTES_MAX {
            return Err(self.refuse(name, format!("is larger than {METADATA_BYTES_MAX} bytes")));
        }
        Ok(Some(texts))
    }

    /// An object inside; give it back with `done` so that its unknown fields are named too.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields::at(map, format!("{}.", self.path(name))))),
            Some(_) => Err(self.refuse(name, "must be an object")),
        }
    }

    /// An element of a list, which must be an object.
    pub fn element(value: Value, path: &str) -> Result<Fields, Error> {
        match value {
            Value::Object(map) => Ok(Fields::at(map, format!("{path}."))),
            _ => Err(Error::invalid(path, format!("{path} must be an object"))),
        }
    }

    pub fn done(&mut self, inner: Fields) {
        self.unknown.extend(inner.unknown());
    }

    /// The idempotency key of the request: the header's, or the body's.
    pub fn key_use(&mut self, call: &Call) -> Result<Option<KeyUse>, Error> {
        let in_body = self.text("idempotency_key")?;
        call.key_use(in_body.as_deref())
    }

    /// What is left, as a type; the second value names what the type does not know.
    pub fn typed<T: DeserializeOwned>(self) -> Result<(T, Vec<String>), Error> {
        let mut unknown = self.unknown;
        let value = Value::Object(self.map);
        let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
        let known = serde_ignored::Deserializer::new(&value, &mut note);
        let typed = serde_path_to_error::deserialize(known).map_err(|error| {
            let field = error.path().to_string();
            let message = format!("{field}: {}", error.inner());
            Error::invalid(field, message)
        })?;
        Ok((typed, unknown))
    }

    /// Paths of the fields that nobody took.
    pub fn unknown(self) -> Vec<String> {
        let path = self.path;
        let mut unknown = self.unknown;
        unknown.extend(self.map.into_iter().map(|(name, _)| format!("{path}{name}")));
        unknown
    }
}
