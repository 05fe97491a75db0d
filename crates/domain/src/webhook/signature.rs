//! Signatures of deliveries, and the secrets behind them: Standard Webhooks, and the older one over
//! the body alone.
//!
//! Pure: the random bytes of a new secret and the time of a check are passed in. Secrets never
//! appear in `Debug`.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::key_pair::{KeyPair, is_signed_by};

pub const SECRET_PREFIX: &str = "whsec_";
/// How far the signed time may lie from the verifier's clock.
pub const TOLERANCE_S: i64 = 300;

const VERSION_PREFIX: &str = "v1,";
const PAIR_PREFIX: &str = "v1a,";
const BLOCK_BYTES: usize = 64;
const SUFFIX_CHARS: usize = 6;

/// A prepared key. Cached for each secret: preparing costs two rounds of the hash.
#[derive(Clone)]
pub struct SigningKey(Key);

#[derive(Clone)]
enum Key {
    Shared(Hmac<Sha256>),
    Pair(KeyPair),
}

/// What a receiver was sent, beside the body.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub id: &'a str,
    pub timestamp: &'a str,
    pub signature: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("webhook-timestamp is not a time in Unix seconds")]
    BadTimestamp,
    #[error("webhook-timestamp is more than {TOLERANCE_S} seconds away")]
    OutsideTolerance,
    #[error("no entry of webhook-signature fits the id, the time and the body")]
    NoMatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("must be \"{SECRET_PREFIX}\" and 24 to 64 bytes in base64")]
    NotAnEndpointSecret,
    #[error("must have 16 to 256 characters")]
    WrongLength,
}

impl SigningKey {
    /// The key that a secret's text stands for: the bytes after the prefix, or, for a secret of
    /// another form, its own bytes.
    pub fn parse(secret: &str) -> SigningKey {
        SigningKey(Key::Shared(match decoded(secret) {
            Some(bytes) => keyed(&bytes),
            None => keyed(secret.as_bytes()),
        }))
    }

    pub const fn of_pair(pair: KeyPair) -> SigningKey {
        SigningKey(Key::Pair(pair))
    }

    /// The entry of this key: its version and what it makes of the three.
    fn entry(&self, (id, timestamp, body): (&str, &str, &[u8])) -> String {
        match &self.0 {
            Key::Shared(key) => {
                let tag = mac(key, id, timestamp, body).finalize().into_bytes();
                format!("{VERSION_PREFIX}{}", STANDARD.encode(tag))
            }
            Key::Pair(pair) => {
                let signature = pair.sign(&joined(id, timestamp, body));
                format!("{PAIR_PREFIX}{}", STANDARD.encode(signature))
            }
        }
    }
}

/// HMAC fills a short key with zeros and hashes a long one; done here, it cannot fail.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0_u8; BLOCK_BYTES];
    if key.len() > BLOCK_BYTES {
        let digest = Sha256::digest(key);
        block[..digest.len()].copy_from_slice(&digest);
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    Hmac::new(&block.into())
}

fn mac(key: &Hmac<Sha256>, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

fn joined(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The value of `webhook-signature`: one entry for each live key, in the order given, newest first.
pub fn sign(keys: &[SigningKey], id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let timestamp = unix_seconds.to_string();
    let entries = keys.iter().map(|key| key.entry((id, &timestamp, body)));
    entries.collect::<Vec<_>>().join(" ")
}

/// The older signature: over the body alone, keyed with the secret's text as it stands.
pub fn sign_body_hex(secret: &str, body: &[u8]) -> String {
    let mut mac = keyed(secret.as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The check of a receiver, in constant time for each entry. Entries of other versions are passed
/// over, so that a sender can add one.
pub fn verify_v1(
    keys: &[SigningKey],
    signed: Signed<'_>,
    body: &[u8],
    now_seconds: i64,
) -> Result<(), VerifyError> {
    check_time(signed, now_seconds)?;
    let tags = entries(signed, VERSION_PREFIX);
    let fits = |key: &SigningKey, tag: &[u8]| match &key.0 {
        Key::Shared(key) => mac(key, signed.id, signed.timestamp, body).verify_slice(tag).is_ok(),
        Key::Pair(_) => false,
    };
    let matched = keys.iter().any(|key| tags.iter().any(|tag| fits(key, tag)));
    if matched { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// As `verify_v1`, with public keys.
pub fn verify_v1a(
    public_keys: &[&str],
    signed: Signed<'_>,
    body: &[u8],
    now_seconds: i64,
) -> Result<(), VerifyError> {
    check_time(signed, now_seconds)?;
    let message = joined(signed.id, signed.timestamp, body);
    let signatures = entries(signed, PAIR_PREFIX);
    let fits = |key: &&str| signatures.iter().any(|one| is_signed_by(key, &message, one));
    if public_keys.iter().any(fits) { Ok(()) } else { Err(VerifyError::NoMatch) }
}

fn check_time(signed: Signed<'_>, now_seconds: i64) -> Result<(), VerifyError> {
    let at: i64 = signed.timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
    if now_seconds.abs_diff(at) > TOLERANCE_S.unsigned_abs() {
        return Err(VerifyError::OutsideTolerance);
    }
    Ok(())
}

/// What the entries of one version hold.
fn entries(signed: Signed<'_>, version: &str) -> Vec<Vec<u8>> {
    let of_version = signed.signature.split(' ').filter_map(|entry| entry.strip_prefix(version));
    of_version.filter_map(|text| STANDARD.decode(text).ok()).collect()
}

/// A new secret from random bytes.
pub fn secret_from_bytes(random: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(random))
}

/// A secret that the owner of an endpoint brings along.
pub fn check_endpoint_secret(secret: &str) -> Result<(), SecretError> {
    match decoded(secret) {
        Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(()),
        _ => Err(SecretError::NotAnEndpointSecret),
    }
}

/// A secret that the owner of a subscription brings along: any text.
pub fn check_subscription_secret(secret: &str) -> Result<(), SecretError> {
    if (16..=256).contains(&secret.chars().count()) {
        Ok(())
    } else {
        Err(SecretError::WrongLength)
    }
}

/// What is shown of a secret once it is made.
pub fn secret_suffix(secret: &str) -> &str {
    suffix(secret, SUFFIX_CHARS)
}

/// The last `count` characters; all of a text that has fewer.
pub fn suffix(text: &str, count: usize) -> &str {
    let start = text.char_indices().rev().take(count).last().map_or(0, |(index, _)| index);
    &text[start..]
}

fn decoded(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn check(secret: &str, id: &str, signature: &str, now: i64) -> Result<(), VerifyError> {
        let timestamp = AT.to_string();
        let signed = Signed { id, timestamp: &timestamp, signature };
        verify_v1(&[SigningKey::parse(secret)], signed, BODY, now)
    }

    #[test]
    fn the_public_vector_is_met_both_ways() {
        assert_eq!(sign(&[SigningKey::parse(SECRET)], ID, AT, BODY), SIGNATURE);
        assert_eq!(check(SECRET, ID, SIGNATURE, AT), Ok(()));
    }

    #[test]
    fn any_change_of_id_time_body_or_key_fails() {
        let no_match = Err(VerifyError::NoMatch);
        assert_eq!(check(SECRET, "msg_other", SIGNATURE, AT), no_match);
        assert_eq!(check("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", ID, SIGNATURE, AT), no_match);
        let keys = [SigningKey::parse(SECRET)];
        let later = Signed { id: ID, timestamp: "1614265331", signature: SIGNATURE };
        assert_eq!(verify_v1(&keys, later, BODY, AT), no_match);
        let same = Signed { timestamp: "1614265330", ..later };
        assert_eq!(verify_v1(&keys, same, b"{}", AT), no_match);
        for entry in ["", "v1,", "v1,%%%", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="] {
            assert_eq!(check(SECRET, ID, entry, AT), no_match, "{entry}");
        }
    }

    #[test]
    fn the_time_must_be_near() {
        for (now, result) in [
            (AT + 300, Ok(())),
            (AT - 300, Ok(())),
            (AT + 301, Err(VerifyError::OutsideTolerance)),
            (AT - 301, Err(VerifyError::OutsideTolerance)),
        ] {
            assert_eq!(check(SECRET, ID, SIGNATURE, now), result);
        }
        let bad = Signed { id: ID, timestamp: "soon", signature: SIGNATURE };
        assert_eq!(verify_v1(&[], bad, BODY, AT), Err(VerifyError::BadTimestamp));
    }

    #[test]
    fn every_live_secret_signs_and_either_is_enough() {
        let keys = ["an older secret of another form", SECRET].map(SigningKey::parse);
        let value = sign(&keys, ID, AT, BODY);
        assert_eq!(value.split(' ').count(), 2);
        assert!(value.ends_with(SIGNATURE));
        assert_eq!(check(SECRET, ID, &value, AT), Ok(()));
        assert_eq!(check("an older secret of another form", ID, &value, AT), Ok(()));
    }

    #[test]
    fn both_versions_stand_side_by_side_and_each_is_checked_by_its_own() {
        let pair = KeyPair::of_seed(&[7; 32]).unwrap();
        let keys = [SigningKey::parse(SECRET), SigningKey::of_pair(pair.clone())];
        let (value, timestamp) = (sign(&keys, ID, AT, BODY), AT.to_string());
        assert!(value.starts_with(&format!("{SIGNATURE} v1a,")), "{value}");
        let signed = Signed { id: ID, timestamp: &timestamp, signature: &value };
        let public = pair.public_key();
        assert_eq!(verify_v1(&keys, signed, BODY, AT), Ok(()));
        assert_eq!(verify_v1a(&[&public], signed, BODY, AT), Ok(()));
        assert_eq!(verify_v1a(&[&public], signed, b"{}", AT), Err(VerifyError::NoMatch));
        assert_eq!(verify_v1(&keys[1..], signed, BODY, AT), Err(VerifyError::NoMatch));
        let late = verify_v1a(&[&public], signed, BODY, AT + 301);
        assert_eq!(late, Err(VerifyError::OutsideTolerance));
    }

    #[test]
    fn the_older_signature_is_keyed_with_the_text_as_it_stands() {
        // RFC 4231, test cases 2 and 6 (a key longer than a block).
        assert_eq!(
            sign_body_hex("Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = "a".repeat(65);
        assert_eq!(sign_body_hex(&long, b"x").len(), 64);
        assert_ne!(sign_body_hex(SECRET, b"x"), sign_body_hex(&SECRET[6..], b"x"));
    }

    #[test]
    fn long_keys_are_hashed_as_hmac_says() {
        // RFC 4231, test case 6.
        let mut mac = keyed(&[0xaa; 131]);
        mac.update(b"Test Using Larger Than Block-Size Key - Hash Key First");
        let tag = mac.finalize().into_bytes();
        assert_eq!(tag[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn secrets_are_checked_by_kind() {
        for (bytes, fits) in [(23, false), (24, true), (32, true), (64, true), (65, false)] {
            let secret = secret_from_bytes(&vec![9; bytes]);
            assert_eq!(check_endpoint_secret(&secret).is_ok(), fits, "{bytes}");
        }
        for wrong in ["", "whsec_", "whsec_not base64 at all, really!", &SECRET[6..]] {
            assert_eq!(check_endpoint_secret(wrong), Err(SecretError::NotAnEndpointSecret));
        }
        for (chars, fits) in [(15, false), (16, true), (256, true), (257, false)] {
            assert_eq!(check_subscription_secret(&"é".repeat(chars)).is_ok(), fits, "{chars}");
        }
    }

    #[test]
    fn only_the_end_of_a_secret_is_shown() {
        assert_eq!(secret_suffix(SECRET), "LaLaSw");
        assert_eq!(secret_suffix("short"), "short");
        assert_eq!(suffix("aéö", 2), "éö");
        assert_eq!(format!("{:?}", SigningKey::parse(SECRET)), "SigningKey");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies(
            secret: Vec<u8>,
            id: String,
            at in 0..1_i64 << 40,
            body: Vec<u8>,
        ) {
            let keys = [SigningKey::parse(&secret_from_bytes(&secret))];
            let (timestamp, signature) = (at.to_string(), sign(&keys, &id, at, &body));
            let signed = Signed { id: &id, timestamp: &timestamp, signature: &signature };
            prop_assert_eq!(verify_v1(&keys, signed, &body, at), Ok(()));
        }
    }
}
