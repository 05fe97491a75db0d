//! Which models a paywall lets through, and under which other names (paywalls 9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lists of model ids; `*` at the end of an entry stands for any rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Models {
    /// Empty: all.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// What clients may call a model → the model's id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
}

impl Models {
    /// The id that a name stands for: an alias is followed once.
    pub fn resolve<'m>(&'m self, name: &'m str) -> &'m str {
        self.aliases.get(name).map_or(name, String::as_str)
    }

    /// Whether a model may be used that goes by all of these names; `deny` wins.
    pub fn permit(&self, names: &[&str]) -> bool {
        let listed = |list: &[String]| {
            names.iter().any(|name| list.iter().any(|pattern| covers(pattern, name)))
        };
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }
}

fn covers(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => id.starts_with(start),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn lists_match_whole_ids_and_beginnings_and_deny_wins() {
        let names = ["gpt-5", "openai/gpt-5"];
        let table: [(&[&str], &[&str], bool); 10] = [
            (&[], &[], true),
            (&["gpt-5"], &[], true),
            (&["openai/gpt-5"], &[], true),
            (&["gpt-5-mini"], &[], false),
            (&["gpt-*"], &[], true),
            (&["gpt-*"], &["gpt-5"], false),
            (&[], &["openai/*"], false),
            (&[], &["gpt-5-pro"], true),
            (&["*"], &["*"], false),
            (&["GPT-5"], &[], false),
        ];
        for (allow, deny, expected) in table {
            let models = Models { allow: list(allow), deny: list(deny), ..Models::default() };
            assert_eq!(models.permit(&names), expected, "{allow:?} less {deny:?}");
        }
    }

    #[test]
    fn an_alias_is_followed_once() {
        let pairs = [("fast", "gpt-5-mini"), ("gpt-5-mini", "gpt-5-nano")];
        let aliases = pairs.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let models = Models { aliases, ..Models::default() };
        assert_eq!(models.resolve("fast"), "gpt-5-mini");
        assert_eq!(models.resolve("gpt-5"), "gpt-5");
    }
}
