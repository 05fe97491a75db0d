//! The strict form in which an amount of money may be asked of a paywall.

use crate::amount::{Amount, NumberError};

/// Why an amount was refused; each of them is the API's `invalid_amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChargeAmountError {
    #[error("must be plain digits such as \"1.5\", without sign, exponent or blanks")]
    Malformed,
    #[error("must be greater than zero")]
    NotPositive,
    #[error("must have at most {WHOLE_DIGITS_MAX} digits before the point")]
    TooLarge,
    #[error("must have at most {0} decimal places")]
    TooManyPlaces(u32),
}

const WHOLE_DIGITS_MAX: usize = 12;

/// Reads `digits` or `digits.digits`; zeros at the end do not count as places.
pub fn parse_charge_amount(text: &str, decimals: u32) -> Result<Amount, ChargeAmountError> {
    if text.starts_with('-') {
        return Err(ChargeAmountError::Malformed);
    }
    let amount = Amount::parse(text).map_err(|error| match error {
        NumberError::TooManyPlaces(_) => ChargeAmountError::TooManyPlaces(decimals),
        NumberError::TooLarge => ChargeAmountError::TooLarge,
        NumberError::Malformed | NumberError::NotPositive => ChargeAmountError::Malformed,
    })?;
    let whole = text.split('.').next().unwrap_or_default();
    if whole.len() > WHOLE_DIGITS_MAX {
        return Err(ChargeAmountError::TooLarge);
    }
    if amount.places() > decimals {
        return Err(ChargeAmountError::TooManyPlaces(decimals));
    }
    if amount.is_zero() { Err(ChargeAmountError::NotPositive) } else { Ok(amount) }
}

/// As `parse_charge_amount`, for a member of a body as its JSON text: a string, or a number of the
/// same form. The text is judged, so that no digit is lost on the way through binary.
pub fn charge_amount_from_json(json: &str, decimals: u32) -> Result<Amount, ChargeAmountError> {
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json).map_err(|_| ChargeAmountError::Malformed)?;
        return parse_charge_amount(&text, decimals);
    }
    parse_charge_amount(json, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_have_one_strict_form() {
        use ChargeAmountError::{Malformed, NotPositive, TooLarge, TooManyPlaces};
        for text in
            ["1", "0.5", "0.000001", "999999999999", "999999999999.999999", "1.0000000000000"]
        {
            assert!(parse_charge_amount(text, 6).is_ok(), "{text}");
        }
        let table = [
            ("", Malformed),
            (".5", Malformed),
            ("1.", Malformed),
            ("-1", Malformed),
            ("-0", Malformed),
            ("+1", Malformed),
            ("1e3", Malformed),
            (" 1", Malformed),
            ("1 ", Malformed),
            ("01", Malformed),
            ("00", Malformed),
            ("1,5", Malformed),
            ("1.2.3", Malformed),
            ("１", Malformed),
            ("NaN", Malformed),
            ("0x1", Malformed),
            ("0", NotPositive),
            ("0.000", NotPositive),
            ("1000000000000", TooLarge),
            ("9999999999999999999", TooLarge),
            ("0.0000001", TooManyPlaces(6)),
            ("1.1234567890123", TooManyPlaces(6)),
        ];
        for (text, error) in table {
            assert_eq!(parse_charge_amount(text, 6), Err(error), "{text}");
        }
        assert!(parse_charge_amount("0.000000001", 9).is_ok());
        assert_eq!(parse_charge_amount("0.0000000001", 9), Err(TooManyPlaces(9)));
    }

    #[test]
    fn numbers_of_the_same_form_are_accepted() {
        let table = [
            ("5", Some("5")),
            ("0.25", Some("0.25")),
            ("\"0.25\"", Some("0.25")),
            ("1.0000000000000000", Some("1")),
            ("1.0000000000000001", None),
            ("1e3", None),
            ("1E3", None),
            ("-5", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
            ("{}", None),
            ("0", None),
            ("\" 1\"", None),
        ];
        for (json, expected) in table {
            let got = charge_amount_from_json(json, 6).ok().map(|amount| amount.to_string());
            assert_eq!(got.as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn every_unit_of_the_paywall_can_be_charged(units in 1..10_i128.pow(18)) {
            let amount = Amount::from_nanos(units * 1_000);
            prop_assert_eq!(parse_charge_amount(&amount.to_string(), 6), Ok(amount));
        }

        #[test]
        fn no_text_makes_it_fail_otherwise(text in "\\PC*") {
            if let Ok(amount) = parse_charge_amount(&text, 6) {
                prop_assert!(amount.is_positive() && amount.in_range());
            }
        }
    }
}
