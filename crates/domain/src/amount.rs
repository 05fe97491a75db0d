//! Exact numbers: `Amount` (money and credits, 9 places) and `Rate` (prices per credit, 12 places).
//!
//! Both are integers in disguise; no float is ever involved. An amount is rounded once, where an
//! entry is made (billing rule 1.4), and every later figure is a sum. This module knows no
//! currency.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use ethnum::I256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Money, or credits of one wallet, in units of 10⁻⁹. |value| < 10¹⁸ whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Currency per credit, in units of 10⁻¹². Always greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i128);

/// Why a text is not a number that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("is not a plain decimal number such as \"12.5\"")]
    Malformed,
    #[error("has more than {0} decimal places")]
    TooManyPlaces(u32),
    #[error("is too large: it must be below 10^18")]
    TooLarge,
    #[error("must be greater than zero")]
    NotPositive,
}

/// Which way the one rounding of an amount goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Away from zero, as usage charges are.
    Up,
    /// To the nearest, halves away from zero, as everything else is.
    HalfAwayFromZero,
}

const AMOUNT_PLACES: u32 = 9;
const RATE_PLACES: u32 = 12;
const NANO: i128 = 10_i128.pow(AMOUNT_PLACES);
const PICO: i128 = 10_i128.pow(RATE_PLACES);
/// First value that is refused, in whole units.
const LIMIT_UNITS: i128 = 10_i128.pow(18);

impl Amount {
    pub const ZERO: Amount = Amount(0);
    /// The first amount that is too large (10¹⁸).
    pub const LIMIT: Amount = Amount(LIMIT_UNITS * NANO);

    pub const fn from_nanos(nanos: i128) -> Amount {
        Amount(nanos)
    }

    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// `units` whole units of money or credits.
    pub const fn units(units: i64) -> Amount {
        Amount(units as i128 * NANO)
    }

    /// Reads plain decimal text; a sign is allowed, an exponent is not.
    pub fn parse(text: &str) -> Result<Amount, NumberError> {
        parse_scaled(text, AMOUNT_PLACES).map(Amount)
    }

    /// As `parse`, for amounts that must be greater than zero.
    pub fn parse_positive(text: &str) -> Result<Amount, NumberError> {
        let amount = Amount::parse(text)?;
        if amount.is_positive() { Ok(amount) } else { Err(NumberError::NotPositive) }
    }

    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn abs(self) -> Amount {
        Amount(self.0.abs())
    }

    /// The same amount, never below zero.
    #[must_use]
    pub fn or_zero(self) -> Amount {
        self.max(Amount::ZERO)
    }

    pub fn in_range(self) -> bool {
        self.abs() < Amount::LIMIT
    }

    /// Number of decimal places that are needed to write it.
    pub fn places(self) -> u32 {
        places_needed(self.0, AMOUNT_PLACES)
    }

    /// Credits → currency at `rate`, rounded once to 9 places.
    #[must_use]
    pub fn times(self, rate: Rate, rounding: Rounding) -> Amount {
        Amount(mul_div(self.0, rate.0, PICO, rounding))
    }

    /// Currency → credits at `rate`, rounded once to 9 places.
    #[must_use]
    pub fn divided_by(self, rate: Rate, rounding: Rounding) -> Amount {
        Amount(mul_div(self.0, PICO, rate.0, rounding))
    }

    /// `percent` of it, for thresholds given in percent.
    #[must_use]
    pub fn percent(self, percent: Amount) -> Amount {
        Amount(mul_div(self.0, percent.0, 100 * NANO, Rounding::HalfAwayFromZero))
    }

    /// Integer text in units of 10^-`places`, rounded towards minus infinity (paywalls 4.2).
    pub fn in_units_of(self, places: u32) -> String {
        let places = AMOUNT_PLACES.saturating_sub(places);
        match i64::try_from(self.0) {
            Ok(small) => small.div_euclid(10_i64.pow(places)).to_string(),
            Err(_) => self.0.div_euclid(10_i128.pow(places)).to_string(),
        }
    }

    /// Plain text with at least `digits` places, at most `places`, rounded towards minus infinity.
    pub fn formatted(self, digits: u32, places: u32) -> String {
        let dropped = AMOUNT_PLACES.saturating_sub(places);
        let floor = match i64::try_from(self.0) {
            Ok(small) => i128::from(small) - i128::from(small.rem_euclid(10_i64.pow(dropped))),
            Err(_) => self.0 - self.0.rem_euclid(10_i128.pow(dropped)),
        };
        pad_places(write_scaled(floor, AMOUNT_PLACES), digits)
    }
}

impl Rate {
    pub const ONE: Rate = Rate(PICO);

    pub fn parse(text: &str) -> Result<Rate, NumberError> {
        let scaled = parse_scaled(text, RATE_PLACES)?;
        if scaled > 0 { Ok(Rate(scaled)) } else { Err(NumberError::NotPositive) }
    }

    /// In units of 10⁻¹².
    pub const fn picos(self) -> i128 {
        self.0
    }

    /// As it was stored; `None` where no rate is so small.
    pub fn from_picos(picos: i128) -> Option<Rate> {
        (picos > 0).then_some(Rate(picos))
    }
}

/// Reads plain decimal text into units of 10^-`places`; below 10^18 whole units.
pub(crate) fn parse_scaled(text: &str, places: u32) -> Result<i128, NumberError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(whole) || !plain(fraction) {
        return Err(NumberError::Malformed);
    }
    if whole.len() > 1 && whole.starts_with('0') {
        return Err(NumberError::Malformed);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places as usize {
        return Err(NumberError::TooManyPlaces(places));
    }
    if whole.len() > 18 {
        return Err(NumberError::TooLarge);
    }
    let mut scaled: i128 = 0;
    let padding = std::iter::repeat_n(b'0', places as usize - fraction.len());
    for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
        scaled = scaled * 10 + i128::from(digit - b'0');
    }
    Ok(if negative { -scaled } else { scaled })
}

/// Plain decimal text of `scaled` units of 10^-`places`; at most 18 places. Mostly all of it fits
/// 64 bits, where a division takes a tenth of the time.
pub(crate) fn write_scaled(scaled: i128, places: u32) -> String {
    let magnitude = scaled.unsigned_abs();
    let (whole, fraction) = if let Ok(small) = u64::try_from(magnitude) {
        let unit = 10_u64.pow(places);
        ((small / unit).to_string(), small % unit)
    } else {
        let unit = 10_u128.pow(places);
        ((magnitude / unit).to_string(), u64::try_from(magnitude % unit).unwrap_or_default())
    };
    let mut text = String::with_capacity(whole.len() + 2 + places as usize);
    if scaled < 0 {
        text.push('-');
    }
    text.push_str(&whole);
    if fraction > 0 {
        text.push('.');
        push_fraction(&mut text, fraction, places);
    }
    text
}

/// The digits after the point, without zeros at their end.
fn push_fraction(text: &mut String, fraction: u64, places: u32) {
    let (mut rest, mut unit) = (fraction, 10_u64.pow(places));
    while rest > 0 {
        unit /= 10;
        let digit = u32::try_from(rest / unit).unwrap_or_default();
        text.extend(char::from_digit(digit, 10));
        rest %= unit;
    }
}

fn pad_places(text: String, digits: u32) -> String {
    let have = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let missing = (digits as usize).saturating_sub(have);
    if missing == 0 {
        return text;
    }
    let point = if have == 0 { "." } else { "" };
    format!("{text}{point}{}", "0".repeat(missing))
}

fn places_needed(scaled: i128, places: u32) -> u32 {
    let mut rest = scaled;
    let mut needed = places;
    while needed > 0 && rest % 10 == 0 {
        rest /= 10;
        needed -= 1;
    }
    needed
}

/// `a × b ÷ c`, rounded once. Saturates where the result leaves 128 bits, which `Amount::in_range`
/// then refuses.
fn mul_div(a: i128, b: i128, c: i128, rounding: Rounding) -> i128 {
    narrow_mul_div(a, b, c, rounding).unwrap_or_else(|| wide_mul_div(a, b, c, rounding))
}

/// In 128 bits, where nothing on the way is above 127.
fn narrow_mul_div(a: i128, b: i128, c: i128, rounding: Rounding) -> Option<i128> {
    let product = a.unsigned_abs().checked_mul(b.unsigned_abs())?;
    let divisor = c.unsigned_abs();
    let quotient = product.checked_div(divisor)?;
    let rest = product - quotient * divisor;
    let away = match rounding {
        Rounding::Up => rest != 0,
        Rounding::HalfAwayFromZero => rest != 0 && rest >= divisor - rest,
    };
    let rounded = i128::try_from(quotient + u128::from(away)).ok()?;
    let is_negative = (a < 0) ^ (b < 0) ^ (c < 0);
    Some(if is_negative { -rounded } else { rounded })
}

/// In 256 bits, which hold every product.
fn wide_mul_div(a: i128, b: i128, c: i128, rounding: Rounding) -> i128 {
    let product = I256::from(a) * I256::from(b);
    let divisor = I256::from(c);
    let (quotient, rest) = (product / divisor, product % divisor);
    let away = if (product < 0) == (c < 0) { I256::ONE } else { -I256::ONE };
    let round = match rounding {
        Rounding::Up => rest != 0,
        Rounding::HalfAwayFromZero => rest.abs() * 2 >= divisor.abs() && rest != 0,
    };
    let rounded = if round { quotient + away } else { quotient };
    i128::try_from(rounded).unwrap_or(if rounded < 0 { i128::MIN / 2 } else { i128::MAX / 2 })
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_scaled(self.0, AMOUNT_PLACES))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_scaled(self.0, RATE_PLACES))
    }
}

impl Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount(self.0 + other.0)
    }
}

impl Sub for Amount {
    type Output = Amount;
    fn sub(self, other: Amount) -> Amount {
        Amount(self.0 - other.0)
    }
}

impl Neg for Amount {
    type Output = Amount;
    fn neg(self) -> Amount {
        Amount(-self.0)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.0 += other.0;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Amount) {
        self.0 -= other.0;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::ZERO, Add::add)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Stored form: always a string. Input from clients is read by the edge, which names the field.
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(deserializer)?;
        Amount::parse(&text).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        Rate::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_plain_decimals() {
        let table = [
            ("0", "0"),
            ("-0", "0"),
            ("12.5", "12.5"),
            ("1.000", "1"),
            ("0.000000001", "0.000000001"),
            ("999999999999999999.999999999", "999999999999999999.999999999"),
            ("-3.10", "-3.1"),
        ];
        for (text, written) in table {
            assert_eq!(Amount::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn refuses_everything_that_is_not_a_plain_decimal() {
        use NumberError::*;
        let table = [
            ("", Malformed),
            (" 1", Malformed),
            ("1 ", Malformed),
            ("+1", Malformed),
            ("1e3", Malformed),
            ("NaN", Malformed),
            ("Infinity", Malformed),
            (".5", Malformed),
            ("1.", Malformed),
            ("01", Malformed),
            ("1_0", Malformed),
            ("0x1", Malformed),
            ("--1", Malformed),
            ("١", Malformed),
            ("0.0000000001", TooManyPlaces(9)),
            ("1000000000000000000", TooLarge),
            ("1234567890123456789012345678901234567890", TooLarge),
        ];
        for (text, error) in table {
            assert_eq!(Amount::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Amount::parse_positive("0"), Err(NotPositive));
        assert_eq!(Rate::parse("0"), Err(NotPositive));
    }

    #[test]
    fn shows_paywall_units_rounded_down() {
        let amount = Amount::parse("9.9991729").unwrap();
        assert_eq!(amount.in_units_of(6), "9999172");
        assert_eq!(amount.formatted(2, 6), "9.999172");
        assert_eq!(Amount::units(10).formatted(2, 6), "10.00");
        assert_eq!(Amount::parse("-0.0000001").unwrap().in_units_of(6), "-1");
        assert_eq!(Amount::units(7).formatted(0, 6), "7");
    }

    #[test]
    fn converts_between_credits_and_currency_with_one_rounding() {
        let cent = Rate::parse("0.01").unwrap();
        assert_eq!(Amount::units(100).times(cent, Rounding::HalfAwayFromZero), Amount::units(1));
        let cents = Amount::units(1).divided_by(cent, Rounding::HalfAwayFromZero);
        assert_eq!(cents, Amount::units(100));
        let third = Rate::parse("3").unwrap();
        let one = Amount::units(1);
        assert_eq!(one.divided_by(third, Rounding::HalfAwayFromZero).to_string(), "0.333333333");
        assert_eq!(one.divided_by(third, Rounding::Up).to_string(), "0.333333334");
        assert_eq!((-one).divided_by(third, Rounding::Up).to_string(), "-0.333333334");
    }

    #[test]
    fn amounts_on_both_sides_of_64_bits_are_written_and_floored_alike() {
        let edge = i128::from(i64::MAX);
        for nanos in [0, 1, -1, 999_999_999, -1_000_000_001, edge, edge + 1, -edge - 2] {
            let amount = Amount::from_nanos(nanos);
            assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
            assert_eq!(amount.in_units_of(6), nanos.div_euclid(1_000).to_string());
            let floor = Amount::from_nanos(nanos.div_euclid(1_000) * 1_000);
            assert_eq!(amount.formatted(0, 6), floor.to_string(), "{nanos}");
        }
    }

    /// Integers of every length, both signs.
    fn any_size() -> impl Strategy<Value = i128> {
        (any::<i128>(), 0_u32..127).prop_map(|(number, shift)| number >> shift)
    }

    proptest! {
        #[test]
        fn a_product_is_the_same_in_128_bits_as_in_256(
            a in any_size(), b in any_size(), c in any_size(),
            up in any::<bool>(),
        ) {
            let rounding = if up { Rounding::Up } else { Rounding::HalfAwayFromZero };
            if let (Some(narrow), true) = (narrow_mul_div(a, b, c, rounding), c != 0) {
                prop_assert_eq!(narrow, wide_mul_div(a, b, c, rounding));
            }
            let half = (a, 1, 2);
            let narrow = narrow_mul_div(half.0, half.1, half.2, rounding);
            prop_assert_eq!(narrow, Some(wide_mul_div(half.0, half.1, half.2, rounding)));
        }

        #[test]
        fn writing_and_reading_is_the_identity(nanos in -10_i128.pow(26)..10_i128.pow(26)) {
            let amount = Amount::from_nanos(nanos);
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn rounding_up_is_never_below_rounding_to_nearest(
            nanos in 0..10_i128.pow(24),
            rate in 1..10_i128.pow(15),
        ) {
            let (amount, rate) = (Amount::from_nanos(nanos), Rate(rate));
            let up = amount.times(rate, Rounding::Up);
            let near = amount.times(rate, Rounding::HalfAwayFromZero);
            prop_assert!(up >= near && up - near <= Amount::from_nanos(1));
        }
    }
}
