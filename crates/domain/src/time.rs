//! Instants (UTC, milliseconds) and zones. Nothing here reads a clock: time is always passed in.

use std::fmt;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant: milliseconds since 1970 in UTC. Ranges of them are half open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("is not an RFC 3339 time such as \"2026-03-01T00:00:00Z\"")]
    Malformed,
    #[error("is not a date such as 20260301")]
    BadDate,
    #[error("is not a distance such as \"90s\", \"2h\", \"1d\" or \"1d 12h\"")]
    BadDistance,
    #[error("is not an IANA time zone such as \"Europe/Paris\"")]
    UnknownZone,
}

pub const SECOND_MS: i64 = 1_000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, as signatures carry them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND_MS)
    }

    #[must_use]
    pub const fn plus_ms(self, millis: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(millis))
    }

    /// The same day and hour (UTC) `months` later; the last of the month where there is no such
    /// day.
    #[must_use]
    pub fn plus_months(self, months: i64) -> Timestamp {
        let later = jiff::Timestamp::from_millisecond(self.0).ok().and_then(|instant| {
            let span = jiff::Span::new().try_months(months).ok()?;
            instant.to_zoned(TimeZone::UTC).checked_add(span).ok()
        });
        later.map_or(self, |later| Timestamp(later.timestamp().as_millisecond()))
    }

    /// The clock on a wall of a zone, such as `2026-11-22 11:33:05`; of UTC where there is no such
    /// zone.
    pub fn on_wall(self, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        let instant = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        instant.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Reads RFC 3339 with any offset; finer parts than milliseconds are cut off.
    pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimeError::Malformed)?;
        Ok(Timestamp(instant.as_millisecond()))
    }

    /// Reads the integer form YYYYMMDD: UTC midnight at the start of that day.
    pub fn from_yyyymmdd(date: i64) -> Result<Timestamp, TimeError> {
        let part = |value: i64| i8::try_from(value).map_err(|_| TimeError::BadDate);
        let year = i16::try_from(date / 10_000).map_err(|_| TimeError::BadDate)?;
        let (month, day) = (part(date / 100 % 100)?, part(date % 100)?);
        jiff::civil::Date::new(year, month, day)
            .and_then(|date| date.to_zoned(TimeZone::UTC))
            .map(|start| Timestamp(start.timestamp().as_millisecond()))
            .map_err(|_| TimeError::BadDate)
    }
}

/// The IANA name of a zone, from a name or one of the few abbreviations that clients send.
pub fn zone_name(text: &str) -> Result<String, TimeError> {
    let name = match text {
        "IST" => "Asia/Kolkata",
        "EST" => "America/New_York",
        "CST" => "America/Chicago",
        "MST" => "America/Denver",
        "PST" => "America/Los_Angeles",
        "GMT" => "UTC",
        other => other,
    };
    let zone = TimeZone::get(name).map_err(|_| TimeError::UnknownZone)?;
    zone.iana_name().map(str::to_owned).ok_or(TimeError::UnknownZone)
}

/// Milliseconds of a distance such as `90s`, `15m`, `2h`, `1d`, `1w` or `1d 12h`.
pub fn parse_distance_ms(text: &str) -> Result<i64, TimeError> {
    let mut total: i64 = 0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (count, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let count: i64 = count.parse().map_err(|_| TimeError::BadDistance)?;
        let ms = count.checked_mul(unit_ms(unit)?).ok_or(TimeError::BadDistance)?;
        total = total.checked_add(ms).ok_or(TimeError::BadDistance)?;
        rest = after.trim_start();
    }
    if total == 0 { Err(TimeError::BadDistance) } else { Ok(total) }
}

fn unit_ms(unit: &str) -> Result<i64, TimeError> {
    match unit {
        "s" => Ok(SECOND_MS),
        "m" => Ok(MINUTE_MS),
        "h" => Ok(HOUR_MS),
        "d" => Ok(DAY_MS),
        "w" => Ok(7 * DAY_MS),
        _ => Err(TimeError::BadDistance),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_shows_the_time_of_its_zone_in_summer_and_in_winter() {
        let table = [
            ("2026-11-22T10:33:05Z", "Europe/Berlin", "2026-11-22 11:33:05"),
            ("2026-07-22T22:33:05Z", "Europe/Berlin", "2026-07-23 00:33:05"),
            ("2026-11-22T10:33:05Z", "Asia/Kolkata", "2026-11-22 16:03:05"),
            ("2026-11-22T10:33:05Z", "UTC", "2026-11-22 10:33:05"),
            ("2026-11-22T10:33:05Z", "Nowhere/Land", "2026-11-22 10:33:05"),
        ];
        for (at, zone, shown) in table {
            assert_eq!(Timestamp::parse(at).unwrap().on_wall(zone), shown, "{zone}");
        }
    }

    #[test]
    fn distances_are_sums_of_whole_units() {
        let table = [
            ("90s", Some(90 * SECOND_MS)),
            ("15m", Some(15 * MINUTE_MS)),
            ("1d", Some(DAY_MS)),
            ("1d12h", Some(36 * HOUR_MS)),
            (" 1w 1d ", Some(8 * DAY_MS)),
            ("", None),
            ("1", None),
            ("d", None),
            ("0d", None),
            ("-1d", None),
            ("1.5h", None),
            ("1y", None),
            ("99999999999999999d", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_distance_ms(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn writes_utc_with_milliseconds() {
        let at = Timestamp::parse("2026-11-21T11:15:30.1239+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-21T10:15:30.123Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Ok(at));
        assert_eq!(Timestamp::parse("2026-11-21"), Err(TimeError::Malformed));
    }

    #[test]
    fn reads_dates_and_zones() {
        let day = Timestamp::from_yyyymmdd(20_260_301).unwrap();
        assert_eq!(day.to_string(), "2026-03-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_yyyymmdd(20_260_230), Err(TimeError::BadDate));
        assert_eq!(zone_name("IST").as_deref(), Ok("Asia/Kolkata"));
        assert_eq!(zone_name("+02:00"), Err(TimeError::UnknownZone));
    }
}
