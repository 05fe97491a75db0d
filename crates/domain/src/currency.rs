//! Currencies: a closed list, each with the number of decimals that its money has.
//!
//! Stored and written in lower case; paywalls show upper case. No exchange rates are known here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A three-letter code of the closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a currency that is supported, such as \"usd\"")]
pub struct CurrencyError;

/// Codes with the decimals of their money.
const LIST: [(&[u8; 3], u32); 36] = [
    (b"usd", 2),
    (b"eur", 2),
    (b"gbp", 2),
    (b"aud", 2),
    (b"cad", 2),
    (b"inr", 2),
    (b"idr", 2),
    (b"sgd", 2),
    (b"thb", 2),
    (b"myr", 2),
    (b"php", 2),
    (b"hkd", 2),
    (b"nzd", 2),
    (b"brl", 2),
    (b"chf", 2),
    (b"cny", 2),
    (b"czk", 2),
    (b"dkk", 2),
    (b"huf", 2),
    (b"ils", 2),
    (b"mxn", 2),
    (b"nok", 2),
    (b"pln", 2),
    (b"ron", 2),
    (b"rub", 2),
    (b"sar", 2),
    (b"sek", 2),
    (b"try", 2),
    (b"twd", 2),
    (b"zar", 2),
    (b"jpy", 0),
    (b"vnd", 0),
    (b"krw", 0),
    (b"clp", 0),
    (b"kwd", 3),
    (b"clf", 4),
];

impl Currency {
    pub const USD: Currency = Currency(*b"usd");

    /// Reads a code in any case.
    pub fn parse(text: &str) -> Result<Currency, CurrencyError> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        let code = code.map(|byte| byte.to_ascii_lowercase());
        LIST.iter().find(|(known, _)| **known == code).map(|_| Currency(code)).ok_or(CurrencyError)
    }

    /// Decimals of its money, 2 for most.
    pub fn digits(self) -> u32 {
        LIST.iter().find(|(code, _)| **code == self.0).map_or(2, |(_, digits)| *digits)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn upper(self) -> String {
        self.as_str().to_ascii_uppercase()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Currency, CurrencyError> {
        Currency::parse(text)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
        Currency::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_any_case_and_writes_lower_case() {
        for text in ["usd", "USD", "Usd"] {
            assert_eq!(Currency::parse(text), Ok(Currency::USD));
        }
        assert_eq!(Currency::USD.upper(), "USD");
        assert_eq!(serde_json::to_string(&Currency::USD).unwrap(), "\"usd\"");
        assert_eq!(serde_json::from_str::<Currency>("\"EUR\"").unwrap().as_str(), "eur");
    }

    #[test]
    fn refuses_what_is_not_on_the_list() {
        for text in ["", "us", "usdt", "xxx", "btc", "us ", "€"] {
            assert_eq!(Currency::parse(text), Err(CurrencyError), "{text}");
        }
    }

    #[test]
    fn knows_the_decimals_of_every_code() {
        let digits = |text: &str| Currency::parse(text).unwrap().digits();
        assert_eq!((digits("usd"), digits("jpy"), digits("kwd"), digits("clf")), (2, 0, 3, 4));
        for (index, (code, digits)) in LIST.iter().enumerate() {
            let text = std::str::from_utf8(*code).unwrap();
            assert_eq!(Currency::parse(text).unwrap().digits(), *digits);
            assert!(LIST[..index].iter().all(|(other, _)| other != code), "{text} stands twice");
        }
    }
}
