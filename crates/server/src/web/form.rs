//! The fields of a form as a browser sends them.

use serde_json::{Map, Value};

pub struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    pub fn of(body: &[u8]) -> Form {
        Form { pairs: url::form_urlencoded::parse(body).into_owned().collect() }
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The value without space around it; empty where there is none.
    pub fn get(&self, name: &str) -> String {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    }

    /// The value as it was typed.
    pub fn raw(&self, name: &str) -> String {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    pub fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name)).filter(|text| !text.is_empty())
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.some(name).is_some()
    }

    /// An object with these fields, those that are empty left out.
    pub fn object(&self, names: &[&str]) -> Map<String, Value> {
        let some = |name: &&str| Some(((*name).to_owned(), Value::String(self.some(name)?)));
        names.iter().filter_map(some).collect()
    }
}
