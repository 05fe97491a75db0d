//! How large a prompt is: text, images, audio and other data, measured in place (paywalls 17.1).
//!
//! Nothing is fetched and nothing is decoded. What has an unknown shape counts as text.

use super::book::ModelFacts;
use super::count::{TextBytes, with_margin};
use crate::json::scan::Scan;

/// What a prompt is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Bytes of text; tools and schemas as their JSON.
    pub text_bytes: u64,
    pub messages: u64,
    pub images: u64,
    pub audio_parts: u64,
    /// Tokens of the audio parts by their length.
    pub audio_tokens: u64,
    /// Base64 and other data inside the body that is neither image nor audio.
    pub inline_bytes: u64,
    pub caching: Caching,
}

/// What the prompt asks to be written to the provider's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caching {
    #[default]
    None,
    Minutes,
    Hour,
}

const MESSAGE_TOKENS: u64 = 4;
const ANSWER_TOKENS: u64 = 3;
const BYTES_PER_TOKEN: u64 = 3;
/// Where the model has no maximum of its own.
const IMAGE_TOKENS: u64 = 2_000;
const AUDIO_TOKENS_PER_SECOND: u64 = 50;
/// The slowest that audio is sent: bytes a second of telephone sound and of compressed speech.
const WAV_BYTES_PER_SECOND: u64 = 8_000;
const COMPRESSED_BYTES_PER_SECOND: u64 = 1_000;
/// A link that is longer than this is no link.
const LINK_BYTES_MAX: usize = 8_192;
/// Parts inside parts, such as a tool's result; deeper is text.
const DEPTH_MAX: u32 = 8;

impl Measure {
    /// The upper bound that is held for: text with framing and margin, then the other parts.
    pub fn tokens(&self, facts: &ModelFacts) -> u64 {
        let framing = self.messages.saturating_mul(MESSAGE_TOKENS).saturating_add(ANSWER_TOKENS);
        let text = with_margin(self.text_bytes.div_ceil(BYTES_PER_TOKEN).saturating_add(framing));
        let images = self.images.saturating_mul(facts.max_image_tokens.unwrap_or(IMAGE_TOKENS));
        let audio = match facts.max_audio_tokens {
            Some(most) => self.audio_parts.saturating_mul(most),
            None => self.audio_tokens,
        };
        let data = self.inline_bytes.div_ceil(BYTES_PER_TOKEN);
        text.saturating_add(images).saturating_add(audio).saturating_add(data)
    }

    /// A list of messages; false where it is none.
    pub(super) fn add_messages(&mut self, json: &str) -> bool {
        each_element(json, |message| {
            self.messages += 1;
            let known = each_member(message, |name, value| match name {
                "role" => {}
                "content" => self.add_content(value, 0),
                _ => self.add_text(value),
            });
            if !known {
                self.add_text(message);
            }
        })
    }

    /// A string, a part, or a list of them.
    pub(super) fn add_content(&mut self, json: &str, depth: u32) {
        let parts = match json.as_bytes().first() {
            Some(b'[') if depth <= DEPTH_MAX => {
                each_element(json, |part| self.add_content(part, depth + 1))
            }
            Some(b'{') if depth <= DEPTH_MAX => self.add_part(json, depth),
            _ => false,
        };
        if !parts {
            self.add_text(json);
        }
    }

    /// Strings of a value of any shape.
    pub(super) fn add_text(&mut self, json: &str) {
        self.add_bytes(TextBytes::of(json).0);
    }

    /// The JSON itself, for tools and schemas.
    pub(super) fn add_json(&mut self, json: &str) {
        self.add_bytes(json.len() as u64);
    }

    fn add_bytes(&mut self, bytes: u64) {
        self.text_bytes = self.text_bytes.saturating_add(bytes);
    }

    fn add_part(&mut self, json: &str, depth: u32) -> bool {
        let mut is_image = false;
        let mut source = None;
        let whole = each_member(json, |name, value| match name {
            "type" => is_image = value == "\"image\"",
            "image_url" => self.add_image_link(value),
            "input_audio" => self.add_audio(value),
            "source" => source = Some(value),
            "file" => self.add_inline(value),
            "cache_control" => self.add_caching(value),
            "content" => self.add_content(value, depth + 1),
            "input" => self.add_json(value),
            _ => self.add_text(value),
        });
        match source {
            Some(_) if is_image => self.images += 1,
            Some(data) => self.add_inline(data),
            None => {}
        }
        whole
    }

    fn add_image_link(&mut self, json: &str) {
        let is_data = json.contains("\"data:");
        if is_data || json.len() <= LINK_BYTES_MAX {
            self.images += 1;
        } else {
            self.add_text(json);
        }
    }

    fn add_audio(&mut self, json: &str) {
        let (mut data, mut rate) = (0, COMPRESSED_BYTES_PER_SECOND);
        each_member(json, |name, value| match name {
            "data" => data = TextBytes::of(value).0,
            "format" if value == "\"wav\"" => rate = WAV_BYTES_PER_SECOND,
            _ => {}
        });
        // Base64 has four characters for three bytes.
        let bytes = data.div_ceil(4).saturating_mul(3);
        let tokens = bytes.saturating_mul(AUDIO_TOKENS_PER_SECOND).div_ceil(rate);
        self.audio_parts += 1;
        self.audio_tokens = self.audio_tokens.saturating_add(tokens);
    }

    fn add_inline(&mut self, json: &str) {
        self.inline_bytes = self.inline_bytes.saturating_add(TextBytes::of(json).0);
    }

    pub(super) fn add_caching(&mut self, json: &str) {
        let wanted = match json {
            "null" => Caching::None,
            _ if json.contains("\"1h\"") => Caching::Hour,
            _ => Caching::Minutes,
        };
        self.caching = self.caching.max(wanted);
    }
}

/// Calls `each` with every member of JSON that is known to be well formed; false where it is no
/// object.
pub(super) fn each_member<'j>(json: &'j str, mut each: impl FnMut(&str, &'j str)) -> bool {
    let member = |scan: &mut Scan<'j>, name: &str| {
        each(name, scan.known_value()?);
        Some(())
    };
    Scan::of(json).object(member).is_some()
}

/// Calls `each` with every element of JSON that is known to be well formed; false where it is no
/// list.
pub(super) fn each_element<'j>(json: &'j str, mut each: impl FnMut(&'j str)) -> bool {
    let element = |scan: &mut Scan<'j>| {
        each(scan.known_value()?);
        Some(())
    };
    Scan::of(json).list(element).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(messages: &str) -> Measure {
        let mut measure = Measure::default();
        assert!(measure.add_messages(messages), "{messages}");
        measure
    }

    #[test]
    fn messages_count_their_text_whatever_its_shape() {
        let table = [
            ("[]", 0, 0),
            (r#"[{"role":"user","content":"hello"}]"#, 1, 5),
            (r#"[{"role":"user","content":[{"type":"text","text":"hello"}]}]"#, 1, 11),
            (r#"[{"role":"tool","tool_call_id":"c1","content":"ok","x":0.5}]"#, 1, 4),
            (
                r#"[{"role":"assistant","content":null,"tool_calls":[{"function":
                {"name":"go","arguments":"{}"}}]}]"#,
                1,
                4,
            ),
            (r#"["odd",{"content":7}]"#, 2, 3),
            (r#"[{"content":[{"type":"tool_result","content":[{"text":"ab"}]}]}]"#, 1, 13),
            (r#"[{"content":[{"type":"tool_use","input":{"image_url":"ab"}}]}]"#, 1, 18 + 8),
        ];
        for (json, messages, _) in table {
            assert_eq!(measured(json).messages, messages, "{json}");
        }
        assert!(!Measure::default().add_messages("{}"));
        assert!(!Measure::default().add_messages("\"x\""));
        assert_eq!(measured(table[1].0).text_bytes, 5);
        assert_eq!(measured(table[2].0).text_bytes, 5, "a part's type is no text");
        assert_eq!(measured(table[3].0).text_bytes, 4);
        assert_eq!(measured(table[4].0).text_bytes, 4);
        assert_eq!(measured(table[6].0).text_bytes, 2);
        assert_eq!(measured(table[7].0).text_bytes, 18, "a tool's input is its JSON");
    }

    #[test]
    fn images_audio_and_files_are_told_apart() {
        let long = "x".repeat(9_000);
        let messages = format!(
            r#"[{{"content":[
                {{"type":"image_url","image_url":{{"url":"https://a.example/b.png"}}}},
                {{"type":"image_url","image_url":{{"url":"data:image/png;base64,{long}"}}}},
                {{"source":{{"type":"base64","data":"{long}"}},"type":"image"}},
                {{"type":"input_audio","input_audio":{{"data":"{long}","format":"mp3"}}}},
                {{"type":"document","source":{{"data":"abcdef"}}}},
                {{"type":"image_url","image_url":"{long}"}}
            ]}}]"#
        );
        let measure = measured(&messages);
        assert_eq!((measure.images, measure.audio_parts), (3, 1));
        assert_eq!(measure.audio_tokens, 338, "9,000 characters are 6.75 s at the slowest");
        assert_eq!((measure.inline_bytes, measure.text_bytes), (6, 9_000));
        let tokens = measure.tokens(&ModelFacts::default());
        assert_eq!(tokens, with_margin(3_000 + 7) + 3 * 2_000 + 338 + 2);
        let facts = ModelFacts {
            max_image_tokens: Some(10),
            max_audio_tokens: Some(1),
            ..ModelFacts::default()
        };
        assert_eq!(measure.tokens(&facts), with_margin(3_000 + 7) + 30 + 1 + 2);
    }

    #[test]
    fn caching_is_seen_where_it_is_asked_for() {
        let part = |control: &str| {
            measured(&format!(r#"[{{"content":[{{"text":"a","cache_control":{control}}}]}}]"#))
        };
        assert_eq!(part(r#"{"type":"ephemeral"}"#).caching, Caching::Minutes);
        assert_eq!(part(r#"{"type":"ephemeral","ttl":"1h"}"#).caching, Caching::Hour);
        assert_eq!(part("null").caching, Caching::None);
    }

    #[test]
    fn deep_nesting_is_counted_and_does_not_overflow() {
        let deep = 100_000;
        let content = format!("{}\"abc\"{}", "[".repeat(deep), "]".repeat(deep));
        let mut measure = Measure::default();
        measure.add_content(&content, 0);
        assert_eq!(measure.text_bytes, 3);
    }
}
