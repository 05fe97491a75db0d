//! Names of models: which are let through, what an alias stands for, and which connection serves
//! one (paywalls 16.2).
//!
//! Catalogues are asked through a closure; no list of models is kept here.

use crate::paywall::Models;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// Name of the provider connection.
    pub connection: &'a str,
    /// The model as that provider knows it.
    pub model: &'a str,
}

/// What the client's name stands for: the target of an alias, else the name itself.
pub fn target<'a>(models: &'a Models, asked: &'a str) -> &'a str {
    models.aliases.get(asked).map_or(asked, String::as_str)
}

/// Whether a model passes the lists: some name of it is allowed, and none is denied. `names` are
/// all by which it is known: as asked, the alias's target, the provider's own.
pub fn is_allowed(models: &Models, names: &[&str]) -> bool {
    let any =
        |list: &[String]| list.iter().any(|entry| names.iter().any(|name| matches(entry, name)));
    (models.allow.is_empty() || any(&models.allow)) && !any(&models.deny)
}

/// `*` at the end stands for any rest.
fn matches(entry: &str, name: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => entry == name,
    }
}

/// Finds the connection of a model. A namespace that names a connection is taken off for it; any
/// other name is whole, and goes to the first connection whose catalogue has it.
pub fn route<'a>(
    target: &'a str,
    connections: &[&'a str],
    serves: impl Fn(&str, &str) -> bool,
) -> Option<Route<'a>> {
    let named = target.split_once('/').and_then(|(space, model)| {
        let connection = connections.iter().copied().find(|name| *name == space)?;
        serves(connection, model).then_some(Route { connection, model })
    });
    let first = || connections.iter().copied().find(|name| serves(name, target));
    named.or_else(|| first().map(|connection| Route { connection, model: target }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(allow: &[&str], deny: &[&str]) -> Models {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Models { allow: list(allow), deny: list(deny), ..Models::default() }
    }

    #[test]
    fn lists_take_exact_names_and_beginnings() {
        let table = [
            (models(&[], &[]), "gpt-5", true),
            (models(&["gpt-5"], &[]), "gpt-5", true),
            (models(&["gpt-5"], &[]), "gpt-5-mini", false),
            (models(&["gpt-5*"], &[]), "gpt-5-mini", true),
            (models(&["*"], &["gpt-5"]), "gpt-5", false),
            (models(&[], &["gpt-*"]), "claude", true),
            (models(&[], &["gpt-*"]), "gpt-5", false),
            (models(&["openai/*"], &[]), "gpt-5", false),
            (models(&["a*c"], &[]), "abc", false),
        ];
        for (lists, name, allowed) in table {
            assert_eq!(is_allowed(&lists, &[name]), allowed, "{lists:?} {name}");
        }
        assert!(is_allowed(&models(&["openai/*"], &[]), &["gpt-5", "openai/gpt-5"]));
        assert!(
            !is_allowed(&models(&[], &["gpt-5"]), &["fast", "gpt-5"]),
            "an alias hides nothing"
        );
    }

    #[test]
    fn aliases_stand_for_their_target_once() {
        let mut lists = Models::default();
        lists.aliases.insert("fast".to_owned(), "quick".to_owned());
        lists.aliases.insert("quick".to_owned(), "gpt-5-mini".to_owned());
        assert_eq!(target(&lists, "fast"), "quick");
        assert_eq!(target(&lists, "gpt-5"), "gpt-5");
    }

    #[test]
    fn a_model_goes_to_its_namespace_or_to_the_first_that_has_it() {
        let serves = |connection: &str, model: &str| {
            let catalogue: &[&str] = match connection {
                "openai" => &["gpt-5"],
                "anthropic" => &["claude", "claude:thinking"],
                _ => &["openai/gpt-5", "openai/gpt-4", "meta/llama"],
            };
            catalogue.contains(&model)
        };
        let connections = ["openai", "anthropic", "openrouter"];
        let table = [
            ("openai/gpt-5", Some(("openai", "gpt-5"))),
            ("gpt-5", Some(("openai", "gpt-5"))),
            ("anthropic/claude:thinking", Some(("anthropic", "claude:thinking"))),
            ("openai/gpt-4", Some(("openrouter", "openai/gpt-4"))),
            ("openrouter/meta/llama", Some(("openrouter", "meta/llama"))),
            ("meta/llama", Some(("openrouter", "meta/llama"))),
            ("unknown", None),
        ];
        for (target, expected) in table {
            let route = route(target, &connections, serves);
            assert_eq!(route.map(|route| (route.connection, route.model)), expected, "{target}");
        }
    }
}
