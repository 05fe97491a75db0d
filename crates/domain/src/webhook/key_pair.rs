//! Key pairs of endpoints: ed25519, whose private half stays here and whose public half anyone may
//! have. Pure: the seed is passed in, and it never appears in `Debug`.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

pub const PUBLIC_KEY_PREFIX: &str = "whpk_";
pub const SEED_BYTES: usize = 32;

#[derive(Clone)]
pub struct KeyPair(Arc<Ed25519KeyPair>);

impl KeyPair {
    /// The pair that a seed stands for; none if that has another length.
    pub fn of_seed(seed: &[u8]) -> Option<KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| KeyPair(Arc::new(pair)))
    }

    /// As receivers are told it.
    pub fn public_key(&self) -> String {
        format!("{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(self.0.public_key()))
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair")
    }
}

/// The check of a receiver that knows the public key.
pub fn is_signed_by(public_key: &str, message: &[u8], signature: &[u8]) -> bool {
    let key =
        public_key.strip_prefix(PUBLIC_KEY_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    key.is_some_and(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    #[test]
    fn the_vectors_of_the_standard_are_met() {
        // RFC 8032, section 7.1, test 2.
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let public = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let pair = KeyPair::of_seed(&seed).unwrap();
        assert_eq!(pair.public_key(), format!("whpk_{}", STANDARD.encode(public)));
        assert_eq!(pair.sign(&[0x72]), signature);
        assert!(is_signed_by(&pair.public_key(), &[0x72], &signature));
    }

    #[test]
    fn another_message_signature_or_key_fails() {
        let pair = KeyPair::of_seed(&[7; SEED_BYTES]).unwrap();
        let other = KeyPair::of_seed(&[8; SEED_BYTES]).unwrap();
        let signature = pair.sign(b"one");
        assert!(!is_signed_by(&pair.public_key(), b"two", &signature));
        assert!(!is_signed_by(&pair.public_key(), b"one", &signature[1..]));
        assert!(!is_signed_by(&other.public_key(), b"one", &signature));
        assert!(!is_signed_by("whpk_short", b"one", &signature));
        assert!(KeyPair::of_seed(&[7; 31]).is_none());
        assert_eq!(format!("{pair:?}"), "KeyPair");
    }
}
