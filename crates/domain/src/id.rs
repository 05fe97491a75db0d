//! Ids: `<prefix>_<ULID>`, one type per kind of thing. The order of ids is the order of creation.
//!
//! A ULID is 48 bits of milliseconds and 80 bits that make it unique. Things of the log (entries,
//! events, deliveries) carry their place in it, so that an id alone finds its row without an index.
//! This module makes no ids: `Mint` is fed with time and chance by the engine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Timestamp;

/// 128 bits, written as 26 characters of Crockford's base 32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(pub u128);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ULID_CHARS: usize = 26;
const UNIQUE_BITS: u32 = 80;
const UNIQUE_MASK: u128 = (1 << UNIQUE_BITS) - 1;

/// The text is not an id of this kind. The edge answers 404 for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a {0}_ id")]
pub struct IdError(pub &'static str);

impl Ulid {
    /// The lower 80 bits of `unique` at `at`.
    pub fn new(at: Timestamp, unique: u128) -> Ulid {
        let ms = u128::from(at.millis().unsigned_abs());
        Ulid((ms << UNIQUE_BITS) | (unique & UNIQUE_MASK))
    }

    pub const fn unique(self) -> u128 {
        self.0 & UNIQUE_MASK
    }

    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Ulid> {
        bytes.try_into().ok().map(|bytes| Ulid(u128::from_be_bytes(bytes)))
    }

    pub fn parse(text: &str) -> Option<Ulid> {
        if text.len() != ULID_CHARS || text.as_bytes()[0] > b'7' {
            return None;
        }
        text.bytes()
            .try_fold(0_u128, |value, byte| {
                let digit = ALPHABET.iter().position(|&c| c == byte)?;
                Some((value << 5) | digit as u128)
            })
            .map(Ulid)
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; ULID_CHARS];
        for (index, slot) in text.iter_mut().rev().enumerate() {
            *slot = ALPHABET[((self.0 >> (index * 5)) & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Makes ULIDs that only ever rise, from a time and a seed that it is given.
#[derive(Clone, Debug)]
pub struct Mint {
    last: Ulid,
    seed: u64,
}

impl Mint {
    /// `seed` separates this run from others that may have used the same milliseconds.
    pub fn new(seed: u64) -> Mint {
        Mint { last: Ulid::default(), seed }
    }

    /// Ids of the same millisecond count up; a new one starts from a scrambled seed, so that two
    /// processes at the same instant do not meet.
    pub fn next(&mut self, now: Timestamp) -> Ulid {
        self.seed = splitmix(self.seed);
        let fresh = Ulid::new(now, u128::from(self.seed) << 12);
        self.last = if fresh.0 >> UNIQUE_BITS > self.last.0 >> UNIQUE_BITS {
            fresh
        } else {
            Ulid(self.last.0 + 1)
        };
        self.last
    }
}

/// One step of SplitMix64: spreads a counter over 64 bits.
pub fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Ulid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", $prefix, self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(Ulid::parse)
                    .map($name)
                    .ok_or(IdError($prefix))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    TenantId = "tenant";
    EnvironmentId = "env";
    UserId = "user";
    /// An API key or a paywall key (never the key's text).
    SecretId = "secret";
    CustomerId = "cust";
    WalletId = "wallet";
    /// A wallet transaction; paywalls call the same id an activity.
    TransactionId = "wtxn";
    HoldId = "hold";
    PaywallId = "pw";
    RequestId = "req";
    EventId = "evt";
    /// A webhook endpoint or subscription.
    ReceiverId = "we";
    DeliveryId = "dlv";
    /// A signing secret of a receiver.
    WebhookSecretId = "whk";
    ReplayId = "replay";
    /// A top-up link.
    CheckoutId = "cs";
    SettlementId = "stl";
    /// A row of the price book.
    PriceId = "price";
    AlertLogId = "alert";
    AlertSettingId = "alert_set";
    SettingId = "setting";
    /// A row of the audit log.
    AuditId = "activity";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_the_same_id() {
        let id = WalletId(Ulid::new(Timestamp::from_millis(1_770_000_000_000), 42));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("cust_0".parse::<CustomerId>(), Err(IdError("cust")));
        assert_eq!(id.to_string().parse::<CustomerId>(), Err(IdError("cust")));
        assert!(Ulid::parse("8ZZZZZZZZZZZZZZZZZZZZZZZZZ").is_none(), "more than 128 bits");
        assert!(Ulid::parse("7zzzzzzzzzzzzzzzzzzzzzzzzz").is_none(), "one spelling only");
    }

    #[test]
    fn minted_ids_only_rise_even_when_the_clock_steps_back() {
        let mut mint = Mint::new(7);
        let times = [5, 5, 5, 6, 4, 4, 9];
        let ids: Vec<Ulid> =
            times.iter().map(|&ms| mint.next(Timestamp::from_millis(ms))).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
