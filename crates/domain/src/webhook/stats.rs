//! Times counted in buckets, so that a window of days is read as a few rows. It knows no clock and
//! no receiver.

use std::collections::BTreeMap;

/// Bounds of one power of ten: none is more than a third above the one before.
const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
const SMALL: [u64; 11] = [0, 1, 2, 3, 4, 5, 6, 8, 8, 10, 10];
/// Longer times are all the same: four months.
const LONGEST_MS: u64 = 10_000_000_000;

/// Counts by the upper bound of their bucket.
pub type Buckets = BTreeMap<u64, u64>;

/// The bucket of a time, by its upper bound.
pub fn bucket_ms(ms: u64) -> u64 {
    if let Some(bound) = usize::try_from(ms).ok().and_then(|ms| SMALL.get(ms)) {
        return *bound;
    }
    let mut scale = 1;
    while scale < LONGEST_MS / 10 {
        if let Some(step) = STEPS.iter().find(|step| *step * scale >= ms) {
            return step * scale;
        }
        scale *= 10;
    }
    LONGEST_MS
}

/// The bound below which so many percent of the times are; none where nothing was counted.
pub fn percentile_ms(buckets: &Buckets, percent: u64) -> Option<u64> {
    let all: u64 = buckets.values().sum();
    let rank = (all * percent).div_ceil(100).max(1);
    let mut below = 0;
    buckets.iter().find_map(|(bound, count)| {
        below += count;
        (below >= rank).then_some(*bound)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_in_the_next_bucket_above() {
        let table = [(0, 0), (1, 1), (7, 8), (9, 10), (11, 12), (16, 20), (99, 100), (101, 120)];
        for (ms, bound) in table {
            assert_eq!(bucket_ms(ms), bound, "{ms}");
        }
        assert_eq!(bucket_ms(u64::MAX), LONGEST_MS);
    }

    #[test]
    fn percentiles_are_bounds_that_enough_times_are_below() {
        let buckets = Buckets::from([(10, 50), (100, 45), (1_000, 5)]);
        let all = [50, 95, 99].map(|percent| percentile_ms(&buckets, percent));
        assert_eq!(all, [Some(10), Some(100), Some(1_000)]);
        assert_eq!(percentile_ms(&Buckets::new(), 50), None);
        assert_eq!(percentile_ms(&Buckets::from([(7, 1)]), 1), Some(7));
    }

    proptest! {
        #[test]
        fn no_bucket_is_far_from_its_times(ms in 1_u64..1_000_000_000) {
            let bound = bucket_ms(ms);
            prop_assert!(bound >= ms && bound <= ms + ms / 3 + 1, "{bound}");
            prop_assert_eq!(bucket_ms(bound), bound);
        }
    }
}
