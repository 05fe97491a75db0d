//! The text of keys: making, checking, masking and fingerprinting.
//!
//! A key is `fbx_<live|test>_<kind>_`, 32 random characters and 6 characters of checksum, so that
//! a mistyped key is refused without asking anyone. Chance is passed in; what a key may do is
//! ruled by `role`, and who holds it by the store.

use std::fmt;

use ethnum::U256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// Private API key.
    Sk,
    /// Publishable key.
    Pk,
    /// Paywall key.
    Pw,
    /// Portal session token.
    Ps,
}

/// What the text of a key says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedKey {
    /// For a production environment; otherwise for a development one.
    pub live: bool,
    pub kind: KeyKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has our form but not our checksum: no such key can exist.
    #[error("is not a key: its checksum is wrong, so some character was lost or changed")]
    WrongChecksum,
    /// It may be a key that a team supplied itself; only the store can tell.
    #[error("does not have the form of a Farebox key")]
    Foreign,
}

/// Bytes of chance that one key takes.
pub const RANDOM_BYTES: usize = 32;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
const MASK_START_CHARS: usize = 12;
const MASK_END_CHARS: usize = 4;
/// A text below this length would show too much of itself behind a mask.
const MASKABLE_CHARS_MIN: usize = 24;
const SUPPLIED_PAYWALL_PREFIX: &str = "sk-paywalls-v1-";
const SUPPLIED_PAYWALL_CHARS_MIN: usize = 40;
const SUPPLIED_PAYWALL_CHARS_MAX: usize = 256;

impl KeyKind {
    pub const ALL: [KeyKind; 4] = [KeyKind::Sk, KeyKind::Pk, KeyKind::Pw, KeyKind::Ps];

    pub const fn as_str(self) -> &'static str {
        match self {
            KeyKind::Sk => "sk",
            KeyKind::Pk => "pk",
            KeyKind::Pw => "pw",
            KeyKind::Ps => "ps",
        }
    }

    pub fn parse(text: &str) -> Option<KeyKind> {
        KeyKind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A new key. The 256 bits of chance are far more than 32 characters hold, so that every key is
/// equally likely (the bias is below 2⁻⁶⁴).
pub fn make_key(live: bool, kind: KeyKind, random: &[u8; RANDOM_BYTES]) -> String {
    let place = if live { "live" } else { "test" };
    let secret = base62(U256::from_be_bytes(*random), SECRET_CHARS);
    let body = format!("fbx_{place}_{kind}_{secret}");
    let check = checksum(&body);
    body + &check
}

/// Reads a key's own words and proves its checksum; asks no database.
pub fn check_key(text: &str) -> Result<ParsedKey, KeyError> {
    let parsed = parse_form(text).ok_or(KeyError::Foreign)?;
    let (body, check) = text.split_at(text.len() - CHECKSUM_CHARS);
    if same_bytes(checksum(body).as_bytes(), check.as_bytes()) {
        Ok(parsed)
    } else {
        Err(KeyError::WrongChecksum)
    }
}

fn parse_form(text: &str) -> Option<ParsedKey> {
    let (place, rest) = text.strip_prefix("fbx_")?.split_once('_')?;
    let (kind, secret) = rest.split_once('_')?;
    let live = match place {
        "live" => true,
        "test" => false,
        _ => return None,
    };
    let kind = KeyKind::parse(kind)?;
    let whole = secret.len() == SECRET_CHARS + CHECKSUM_CHARS && is_base62(secret);
    whole.then_some(ParsedKey { live, kind })
}

fn checksum(body: &str) -> String {
    base62(U256::from(crc32fast::hash(body.as_bytes())), CHECKSUM_CHARS)
}

fn base62(mut value: U256, chars: usize) -> String {
    let radix = U256::from(62_u8);
    let mut digits: Vec<char> = Vec::with_capacity(chars);
    for _ in 0..chars {
        let digit = (value % radix).as_usize();
        digits.push(char::from(BASE62[digit]));
        value /= radix;
    }
    digits.iter().rev().collect()
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text may be brought along as a paywall key by a team that comes from elsewhere.
pub fn is_supplied_paywall_key(text: &str) -> bool {
    let chars = SUPPLIED_PAYWALL_CHARS_MIN..=SUPPLIED_PAYWALL_CHARS_MAX;
    text.strip_prefix(SUPPLIED_PAYWALL_PREFIX)
        .is_some_and(|secret| chars.contains(&secret.len()) && is_base62(secret))
}

/// What is stored of a key, and looked up by.
pub fn fingerprint(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Equality that takes the same time wherever the difference is.
pub fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// What people see of a key after its creation: the first 12 and the last 4 characters. A short
/// supplied text shows its end only, or nothing.
pub fn mask(text: &str) -> String {
    let chars = text.chars().count();
    if chars < MASKABLE_CHARS_MIN {
        let end = if chars < MASK_START_CHARS { String::new() } else { last_four(text) };
        return format!("…{end}");
    }
    let start: String = text.chars().take(MASK_START_CHARS).collect();
    format!("{start}…{}", last_four(text))
}

pub fn last_four(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(MASK_END_CHARS);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn made_keys_have_the_published_form_and_pass_the_check() {
        for live in [true, false] {
            for kind in KeyKind::ALL {
                let key = make_key(live, kind, &[7; RANDOM_BYTES]);
                let place = if live { "live" } else { "test" };
                let secret = key.strip_prefix(&format!("fbx_{place}_{kind}_")).unwrap();
                assert!(secret.len() == 38 && is_base62(secret), "{key}");
                assert_eq!(check_key(&key), Ok(ParsedKey { live, kind }));
            }
        }
    }

    #[test]
    fn the_text_of_a_key_never_changes_with_the_program() {
        let zero = make_key(false, KeyKind::Sk, &[0; RANDOM_BYTES]);
        assert_eq!(&zero[..44], "fbx_test_sk_00000000000000000000000000000000");
        let crc = crc32fast::hash(&zero.as_bytes()[..44]);
        let value = zero[44..].bytes().fold(0_u64, |value, byte| {
            value * 62 + BASE62.iter().position(|&b| b == byte).unwrap() as u64
        });
        assert_eq!(value, u64::from(crc));
    }

    #[test]
    fn other_forms_are_foreign() {
        let key = make_key(true, KeyKind::Pw, &[1; RANDOM_BYTES]);
        let table = [
            "",
            "fbx_",
            "fbx_live_sk_",
            "any text of a team",
            &key[1..],
            &key[..49],
            &format!("{key}x"),
            &key.replace("live", "prod"),
            &key.replace("_pw_", "_xx_"),
            &format!("{}é{}", &key[..20], &key[22..]),
        ];
        for text in table {
            assert_eq!(check_key(text), Err(KeyError::Foreign), "{text}");
        }
    }

    #[test]
    fn supplied_paywall_keys_keep_their_form() {
        let secret = "aZ09".repeat(10);
        assert!(is_supplied_paywall_key(&format!("sk-paywalls-v1-{secret}")));
        assert!(!is_supplied_paywall_key(&format!("sk-paywalls-v1-{}", &secret[1..])));
        assert!(!is_supplied_paywall_key(&format!("sk-paywalls-v1-{secret}_")));
        assert!(!is_supplied_paywall_key(&format!("sk-paywalls-v2-{secret}")));
        assert!(!is_supplied_paywall_key(&format!("sk-paywalls-v1-{}", "a".repeat(257))));
    }

    #[test]
    fn masks_show_the_ends_of_long_texts_only() {
        let key = make_key(true, KeyKind::Sk, &[9; RANDOM_BYTES]);
        assert_eq!(mask(&key), format!("fbx_live_sk_…{}", &key[46..]));
        assert_eq!(last_four(&key), key[46..]);
        assert_eq!(mask("a-short-secret"), "…cret");
        assert_eq!(mask("tiny"), "…");
        assert_eq!(last_four("é€"), "é€");
    }

    #[test]
    fn fingerprint_is_sha_256() {
        let start = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
        assert_eq!(fingerprint("abc")[..8], start);
        assert!(same_bytes(b"abc", b"abc") && !same_bytes(b"abc", b"abd"));
        assert!(!same_bytes(b"abc", b"ab"));
    }

    proptest! {
        #[test]
        fn a_changed_character_is_noticed(
            random: [u8; RANDOM_BYTES],
            at in 12..50_usize,
            to in 0..62_usize,
        ) {
            let key = make_key(true, KeyKind::Sk, &random);
            prop_assert!(check_key(&key).is_ok());
            let mut bytes = key.clone().into_bytes();
            bytes[at] = BASE62[to];
            let changed = String::from_utf8(bytes).unwrap();
            let same = if changed == key { check_key(&key) } else { Err(KeyError::WrongChecksum) };
            prop_assert_eq!(check_key(&changed), same);
        }
    }
}
