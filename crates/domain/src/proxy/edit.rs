//! Changes of top-level members of a JSON body, as splices of bytes (paywalls 16.3).
//!
//! Every other byte stays: order, blanks, escapes, members that nobody knows. The body must have
//! been read as an object before (`ask`); what cannot be followed is left unedited and told.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::id::PaywallId;

const HASH_BYTES: usize = 16;

/// One member to set at the top level of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// `model`
    Model(&'a str),
    /// A cap of the output, in the member of this name.
    Cap {
        member: &'a str,
        tokens: u64,
    },
    /// `stream_options.include_usage: true`; other options stay.
    IncludeUsage,
    /// `user`
    User(&'a str),
    /// No `user` at all.
    NoUser,
    /// `metadata.user_id`, which names the user in the Messages protocol.
    MetadataUser(&'a str),
    NoMetadataUser,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is no JSON object")]
pub struct NotAnObject;

/// Where a member stands: from its name's quote to the end of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: Range<usize>,
    value: Range<usize>,
}

struct Object {
    /// After the opening brace.
    start: usize,
    members: Vec<Member>,
}

/// The body with the edits, each made in turn. A member that stands there more than once is set
/// everywhere, so that it does not matter which one the provider reads.
pub fn edited(body: &[u8], edits: &[Edit<'_>]) -> Result<Vec<u8>, NotAnObject> {
    let mut body = body.to_vec();
    for edit in edits {
        let object = object(&body).ok_or(NotAnObject)?;
        match edit {
            Edit::Model(model) => set(&mut body, &object, "model", &quoted(model)),
            Edit::User(user) => set(&mut body, &object, "user", &quoted(user)),
            Edit::NoUser => remove(&mut body, &object, "user"),
            Edit::Cap { member, tokens } => {
                set(&mut body, &object, member, tokens.to_string().as_bytes());
            }
            Edit::IncludeUsage => {
                set_inside(&mut body, &object, ("stream_options", "include_usage"), b"true");
            }
            Edit::MetadataUser(user) => {
                set_inside(&mut body, &object, ("metadata", "user_id"), &quoted(user));
            }
            Edit::NoMetadataUser => remove_inside(&mut body, &object, ("metadata", "user_id")),
        }
    }
    Ok(body)
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// Replaces the value of the member, or puts a new member first.
fn set(body: &mut Vec<u8>, object: &Object, name: &str, value: &[u8]) {
    let places = object.named(body, name);
    for member in places.iter().rev() {
        body.splice(member.value.clone(), value.iter().copied());
    }
    if places.is_empty() {
        let comma: &[u8] = if object.members.is_empty() { b"" } else { b"," };
        let member = [quoted(name).as_slice(), b":", value, comma].concat();
        body.splice(object.start..object.start, member);
    }
}

/// Takes the member out, with the comma after it, or before it where it is the last.
fn remove(body: &mut Vec<u8>, object: &Object, name: &str) {
    let places = object.named(body, name);
    let Some(first) = places.first() else { return };
    let index = object.members.iter().position(|member| member == first).unwrap_or_default();
    let next = object.members.get(index + 1).map(|next| next.name.start);
    let before = index.checked_sub(1).map(|index| object.members[index].value.end);
    let span = match (next, before) {
        (Some(next), _) => first.name.start..next,
        (None, Some(before)) => before..first.value.end,
        (None, None) => first.name.start..first.value.end,
    };
    body.splice(span, []);
    if places.len() > 1
        && let Some(rest) = self::object(body)
    {
        remove(body, &rest, name);
    }
}

/// Sets a member of an object that is itself a member; what is no object is replaced by one.
fn set_inside(body: &mut Vec<u8>, object: &Object, (outer, name): (&str, &str), value: &[u8]) {
    let places = object.named(body, outer);
    let alone = [b"{", quoted(name).as_slice(), b":", value, b"}"].concat();
    if places.is_empty() {
        return set(body, object, outer, &alone);
    }
    for place in places.into_iter().rev() {
        let mut inside = body[place.value.clone()].to_vec();
        match self::object(&inside) {
            Some(inner) => set(&mut inside, &inner, name, value),
            None => inside.clone_from(&alone),
        }
        body.splice(place.value, inside);
    }
}

fn remove_inside(body: &mut Vec<u8>, object: &Object, (outer, name): (&str, &str)) {
    for place in object.named(body, outer).into_iter().rev() {
        let mut inside = body[place.value.clone()].to_vec();
        if let Some(inner) = self::object(&inside) {
            remove(&mut inside, &inner, name);
            body.splice(place.value, inside);
        }
    }
}

/// What a provider sees of a user whose name is not its to know: the same for each call, and
/// another one in each paywall.
pub fn hashed_user(paywall: PaywallId, user: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(format!("{paywall}:{user}"));
    digest[..HASH_BYTES].iter().fold("user_".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Object {
    fn named(&self, body: &[u8], name: &str) -> Vec<Member> {
        let is_named = |member: &&Member| is_name(&body[member.name.clone()], name);
        self.members.iter().filter(is_named).cloned().collect()
    }
}

/// A name may be written with escapes; then it is read before it is compared.
fn is_name(quoted: &[u8], name: &str) -> bool {
    let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !plain.contains(&b'\\') {
        return plain == name.as_bytes();
    }
    serde_json::from_slice::<String>(quoted).is_ok_and(|read| read == name)
}

/// Finds the members of the object that the text is.
fn object(json: &[u8]) -> Option<Object> {
    let mut at = after_blanks(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    let start = at + 1;
    let mut members = Vec::new();
    at = after_blanks(json, start);
    while json.get(at) != Some(&b'}') {
        let name = at..string_end(json, at)?;
        at = after_blanks(json, name.end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        let value_start = after_blanks(json, at + 1);
        let value = value_start..value_end(json, value_start)?;
        at = after_blanks(json, value.end);
        members.push(Member { name, value });
        if json.get(at) == Some(&b',') {
            at = after_blanks(json, at + 1);
        }
    }
    Some(Object { start, members })
}

fn after_blanks(json: &[u8], from: usize) -> usize {
    let rest = json.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The offset after the closing quote.
fn string_end(json: &[u8], open: usize) -> Option<usize> {
    if json.get(open) != Some(&b'"') {
        return None;
    }
    let mut at = open + 1;
    loop {
        let stop = json.get(at..)?.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
        at += stop;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The offset after a value of any shape. Brackets are counted, not matched: the text is JSON.
fn value_end(json: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut depth) = (from, 0_usize);
    loop {
        match json.get(at)? {
            b'"' => at = string_end(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return None,
            _ if depth == 0 => return Some(scalar_end(json, at)),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Numbers and literals end where something else begins.
fn scalar_end(json: &[u8], from: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}]".contains(byte);
    let length = json[from..].iter().position(ends).unwrap_or(json.len() - from);
    from + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn edit(body: &str, edits: &[Edit<'_>]) -> String {
        String::from_utf8(edited(body.as_bytes(), edits).unwrap()).unwrap()
    }

    #[test]
    fn members_are_set_where_they_stand_or_put_first() {
        let cap = Edit::Cap { member: "max_tokens", tokens: 7 };
        let table = [
            (r#"{"a":1}"#, cap.clone(), r#"{"max_tokens":7,"a":1}"#),
            ("{ }", cap.clone(), r#"{"max_tokens":7 }"#),
            (
                r#"{"max_tokens" : null , "a":[{}]}"#,
                cap.clone(),
                r#"{"max_tokens" : 7 , "a":[{}]}"#,
            ),
            (r#"{"max_tokens":1,"max_tokens":2}"#, cap, r#"{"max_tokens":7,"max_tokens":7}"#),
            (r#"{"m\u006fdel":"a"}"#, Edit::Model("b"), r#"{"m\u006fdel":"b"}"#),
            (r#"{"x":{"model":"a"}}"#, Edit::Model("b"), r#"{"model":"b","x":{"model":"a"}}"#),
            (
                r#"{"x":"\"model\":","model":"a"}"#,
                Edit::Model("b"),
                r#"{"x":"\"model\":","model":"b"}"#,
            ),
            (r#"{"user":"a"}"#, Edit::User("\"\n"), r#"{"user":"\"\n"}"#),
            (r#"{"user":"a"}"#, Edit::NoUser, "{}"),
            (r#"{"user":"a", "b":1}"#, Edit::NoUser, r#"{"b":1}"#),
            (r#"{"b":1, "user":"a" }"#, Edit::NoUser, r#"{"b":1 }"#),
            (r#"{"user":1,"b":1,"user":2}"#, Edit::NoUser, r#"{"b":1}"#),
            (r#"{"b":1}"#, Edit::NoUser, r#"{"b":1}"#),
        ];
        for (body, one, expected) in table {
            assert_eq!(edit(body, &[one]), expected, "{body}");
        }
    }

    #[test]
    fn usage_is_asked_for_beside_other_options() {
        let table = [
            (r#"{"a":1}"#, r#"{"stream_options":{"include_usage":true},"a":1}"#),
            (r#"{"stream_options":null}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (r#"{"stream_options":{}}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (
                r#"{"stream_options":{ "x":1 }}"#,
                r#"{"stream_options":{"include_usage":true, "x":1 }}"#,
            ),
            (
                r#"{"stream_options":{"include_usage": false}}"#,
                r#"{"stream_options":{"include_usage": true}}"#,
            ),
        ];
        for (body, expected) in table {
            assert_eq!(edit(body, &[Edit::IncludeUsage]), expected, "{body}");
        }
    }

    #[test]
    fn the_user_of_messages_stands_in_the_metadata() {
        let set = |body| edit(body, &[Edit::MetadataUser("u")]);
        assert_eq!(set("{}"), r#"{"metadata":{"user_id":"u"}}"#);
        assert_eq!(set(r#"{"metadata":{"user_id":"ann"}}"#), r#"{"metadata":{"user_id":"u"}}"#);
        let without = |body| edit(body, &[Edit::NoMetadataUser]);
        assert_eq!(without(r#"{"metadata":{"user_id":"ann","x":1}}"#), r#"{"metadata":{"x":1}}"#);
        assert_eq!(without(r#"{"metadata":null}"#), r#"{"metadata":null}"#);
    }

    #[test]
    fn a_hash_tells_users_apart_and_not_who_they_are() {
        let hash = |user| hashed_user(PaywallId::default(), user);
        assert_eq!(hash("ann"), hash("ann"));
        assert_ne!(hash("ann"), hash("bob"));
        assert_ne!(hash("ann"), hashed_user(PaywallId(crate::id::Ulid(1)), "ann"));
        assert_eq!(hash("ann").len(), 5 + 2 * HASH_BYTES);
    }

    #[test]
    fn what_is_no_object_is_not_edited() {
        for body in ["", "[]", "1", "{", "{\"a\"}", "{\"a\":", "{\"a\":}", "{\"a\":\"x", "{a:1}"] {
            assert_eq!(edited(body.as_bytes(), &[Edit::NoUser]), Err(NotAnObject), "{body}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[\\PC\"\\\\\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z\"{\\\\]{0,4}", inner), 0..4)
                    .prop_map(|members| { Value::Object(members.into_iter().collect()) }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_other_member_keeps_its_bytes(
            members in prop::collection::vec(("[b-d\"\\\\]{1,3}", json()), 0..6),
            given in prop::option::of(any::<u32>()),
            (pretty, at) in (any::<bool>(), 0..6_usize),
        ) {
            let write = |value: &Value| {
                if pretty {
                    serde_json::to_string_pretty(value).unwrap()
                } else {
                    value.to_string()
                }
            };
            let mut parts: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{} :{}", quoted_text(name), write(value)))
                .collect();
            let other = parts.clone();
            if let Some(old) = given {
                parts.insert(at.min(parts.len()), format!("\"max_tokens\": {old}"));
            }
            let body = format!("{{\n{}\t}}", parts.join(", "));
            let cap = Edit::Cap { member: "max_tokens", tokens: 5 };
            let after = edit(&body, &[cap, Edit::Model("m"), Edit::IncludeUsage, Edit::NoUser]);
            let expected = match given {
                Some(old) => {
                    let new = format!("\"max_tokens\": {}", 5);
                    body.replacen(&format!("\"max_tokens\": {old}"), &new, 1)
                }
                None if other.is_empty() => body.replacen('{', "{\"max_tokens\":5", 1),
                None => body.replacen('{', "{\"max_tokens\":5,", 1),
            };
            let model = expected.replacen('{', "{\"model\":\"m\",", 1);
            let usage = "{\"stream_options\":{\"include_usage\":true},";
            prop_assert_eq!(&after, &model.replacen('{', usage, 1));
            let read: Value = serde_json::from_str(&after).unwrap();
            prop_assert_eq!(&read["max_tokens"], &Value::from(5));
            prop_assert_eq!(&read["model"], &Value::from("m"));
        }

        #[test]
        fn no_text_makes_it_fail_otherwise(text in "\\PC*") {
            let _ = edited(text.as_bytes(), &[Edit::IncludeUsage, Edit::NoUser]);
        }
    }

    fn quoted_text(text: &str) -> String {
        String::from_utf8(quoted(text)).unwrap()
    }
}
