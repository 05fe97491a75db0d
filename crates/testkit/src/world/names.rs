//! Which real id bears which name. An id gets its name when an answer with it is first compared
//! with what the oracle says; from then on the two must agree.

use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
pub struct Names {
    by_id: HashMap<String, String>,
    ids: HashMap<String, String>,
}

/// Words of an answer that are ids of what a command made.
fn is_id(word: &str) -> bool {
    word.starts_with("wtxn_") || word.starts_with("hold_")
}

impl Names {
    /// The id behind a name.
    pub fn id(&self, name: &str) -> Option<&str> {
        self.ids.get(name).map(String::as_str)
    }

    pub fn name(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    pub fn bind(&mut self, id: &str, name: &str) {
        self.by_id.insert(id.to_owned(), name.to_owned());
        self.ids.insert(name.to_owned(), id.to_owned());
    }

    /// Whether an answer says what is expected. New ids are given the names that stand in their
    /// places.
    pub fn agree(&mut self, said: &str, expected: &str) -> bool {
        let (words, names): (Vec<_>, Vec<_>) =
            (said.split(' ').collect(), expected.split(' ').collect());
        let same = |(word, name): (&&str, &&str)| {
            if !is_id(word) {
                return word == name;
            }
            match (self.by_id.get(*word), self.ids.get(*name)) {
                (None, None) => {
                    self.bind(word, name);
                    true
                }
                (Some(known), _) => known == name,
                (None, Some(_)) => false,
            }
        };
        words.len() == names.len() && words.iter().zip(&names).all(same)
    }

    /// The answer with names for the ids that have one.
    pub fn shown(&self, said: &str) -> String {
        let word = |word: &str| self.name(word).unwrap_or(word).to_owned();
        said.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}
