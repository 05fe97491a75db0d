//! The id that a developer gives to an end user: opaque, compared byte for byte.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// 1 to 128 characters, no control character, no white space at its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ExternalUser(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// An empty text counts as none.
    #[error("no user is named")]
    Missing,
    #[error(
        "a user id has 1 to 128 characters, no control character and no white space at its ends"
    )]
    Invalid,
}

const USER_CHARS_MAX: usize = 128;

impl ExternalUser {
    pub fn parse(text: &str) -> Result<ExternalUser, UserError> {
        if text.is_empty() {
            return Err(UserError::Missing);
        }
        let fits = text.chars().count() <= USER_CHARS_MAX;
        let plain = !text.chars().any(char::is_control);
        if fits && plain && text.trim().len() == text.len() {
            Ok(ExternalUser(text.to_owned()))
        } else {
            Err(UserError::Invalid)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ExternalUser {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ExternalUser, D::Error> {
        ExternalUser::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_kept_unchanged_or_refused() {
        let long = "é".repeat(128);
        for text in ["acme:user_123", "a", "a b", "用户", &long, "../x?y=%20"] {
            assert_eq!(ExternalUser::parse(text).unwrap().as_str(), text);
        }
        let too_long = "é".repeat(129);
        for text in [" a", "a ", "a\t", "\u{a0}a", "a\nb", "a\u{0}b", "a\u{7f}", " ", &too_long] {
            assert_eq!(ExternalUser::parse(text), Err(UserError::Invalid), "{text:?}");
        }
        assert_eq!(ExternalUser::parse(""), Err(UserError::Missing));
    }
}
