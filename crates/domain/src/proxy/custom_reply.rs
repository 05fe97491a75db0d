//! The words of a developer in place of a template (paywalls 19.6): what an answer may look like.
//! Bytes come in, words go out; who is asked, and how, is not known here.

use serde::Deserialize;

/// Longest message.
pub const CHARS_MAX: usize = 4_000;
/// Of an answer with such a message, whatever is escaped in it.
pub const BODY_BYTES_MAX: usize = CHARS_MAX * 12 + 1_024;

#[derive(Deserialize)]
struct Told {
    message: String,
}

/// The message of `{"message":"…"}`, or a plain text. `None`: the template is used.
pub fn words(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let words = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Told>(text).ok()?.message
    } else {
        text.to_owned()
    };
    let fits = !words.trim().is_empty() && words.chars().count() <= CHARS_MAX;
    fits.then_some(words)
}

/// The language that a client asks for first, as an `Accept-Language` names it.
pub fn locale(accepted: &str) -> Option<&str> {
    let first = accepted.split(',').next()?.split(';').next()?.trim();
    let is_tag = first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (is_tag && !first.is_empty() && first.len() <= 35).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_message_a_text_or_nothing() {
        let long = "é".repeat(CHARS_MAX);
        let table = [
            (r#"{"message":"Top up"}"#, Some("Top up")),
            (" {\"message\":\"Top\\nup\",\"more\":1}\n", Some("Top\nup")),
            ("Top up, please", Some("Top up, please")),
            (long.as_str(), Some(long.as_str())),
            (r#"{"message":""}"#, None),
            (r#"{"message":7}"#, None),
            (r#"{"text":"Top up"}"#, None),
            ("{broken", None),
            ("", None),
            (" \n", None),
        ];
        for (body, expected) in table {
            assert_eq!(words(body.as_bytes()).as_deref(), expected, "{body}");
        }
        assert_eq!(words(format!("{long}x").as_bytes()), None);
        assert_eq!(words(b"\xff"), None);
    }

    #[test]
    fn the_first_language_counts() {
        let table = [
            ("de-DE,de;q=0.9", Some("de-DE")),
            ("fr;q=0.8", Some("fr")),
            ("*", None),
            ("", None),
            ("<script>", None),
        ];
        for (accepted, expected) in table {
            assert_eq!(locale(accepted), expected, "{accepted}");
        }
    }
}
