//! How one secret follows another: both sign until the overlap ends, on the environment's clock. It
//! knows no texts of secrets.

use crate::time::{SECOND_MS, Timestamp};

/// Live secrets of one kind.
pub const LIVE_MAX: usize = 3;
pub const OVERLAP_S_DEFAULT: u32 = 86_400;
pub const OVERLAP_S_MAX: u32 = 604_800;

/// What becomes of the secrets before a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// All end at once.
    Replaced,
    /// The newest of them signs on until then; older ones end when they would have.
    Overlaps { until: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{LIVE_MAX} secrets of this kind sign already: end one of them first")]
pub struct TooManyLive;

/// A secret without an end is the newest of its kind.
pub fn is_live(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_none_or(|end| end > now)
}

/// A new secret comes beside `live` others of its kind.
pub fn rotate(live: usize, now: Timestamp, overlap_s: u32) -> Result<Rotation, TooManyLive> {
    match overlap_s {
        0 => Ok(Rotation::Replaced),
        _ if live >= LIVE_MAX => Err(TooManyLive),
        seconds => Ok(Rotation::Overlaps { until: now.plus_ms(i64::from(seconds) * SECOND_MS) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rotation_overlaps_replaces_or_is_one_too_many() {
        let now = Timestamp::from_millis(1_000);
        let until = |ms| Ok(Rotation::Overlaps { until: Timestamp::from_millis(ms) });
        // (live, overlap in seconds, what becomes of them)
        let table = [
            (1, 0, Ok(Rotation::Replaced)),
            (3, 0, Ok(Rotation::Replaced)),
            (1, 1, until(2_000)),
            (2, 604_800, until(604_801_000)),
            (3, 1, Err(TooManyLive)),
        ];
        for (live, overlap_s, expected) in table {
            assert_eq!(rotate(live, now, overlap_s), expected, "{live} and {overlap_s} s");
        }
    }

    #[test]
    fn a_secret_ends_at_its_end() {
        let at = Timestamp::from_millis;
        let table = [(None, 5, true), (Some(6), 5, true), (Some(5), 5, false), (Some(4), 5, false)];
        for (end, now, live) in table {
            assert_eq!(is_live(end.map(at), at(now)), live, "{end:?} at {now}");
        }
    }

    proptest! {
        /// Whatever is asked for and whenever: 1 to 3 sign, the newest among them, and one that
        /// overlaps signs exactly as long as was asked.
        #[test]
        fn some_secret_always_signs_and_never_more_than_three(
            steps in prop::collection::vec((0..200_000_u32, 0..100_000_i64), 1..40),
        ) {
            let (mut now, mut all) = (Timestamp::from_millis(0), vec![None]);
            for (overlap_s, wait_s) in steps {
                now = now.plus_ms(wait_s * SECOND_MS);
                all.retain(|end| is_live(*end, now));
                match rotate(all.len(), now, overlap_s) {
                    Ok(Rotation::Replaced) => all = vec![None],
                    Ok(Rotation::Overlaps { until }) => {
                        prop_assert!(is_live(Some(until), until.plus_ms(-1)));
                        prop_assert!(!is_live(Some(until), until));
                        all[0] = Some(until);
                        all.insert(0, None);
                    }
                    Err(TooManyLive) => prop_assert_eq!(all.len(), LIVE_MAX),
                }
                prop_assert!(all[0].is_none() && all.len() <= LIVE_MAX);
                prop_assert!(all[1..].iter().all(Option::is_some));
            }
        }
    }
}
