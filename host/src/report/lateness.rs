//! How late the late rows were, and the delay that would have kept them.

/// Buckets of one power of two. A bucket's bounds are at most 1/16 apart.
const STEPS: u32 = 16;
const STEP_BITS: u32 = 4;

/// A histogram of lateness.
///
/// A row's lateness is the node's watermark when the row came, minus the end of the row's window:
/// a delay longer by more than that would have kept it. Buckets grow with the lateness, so that
/// the answer is exact to 1/16 from a microsecond to 292,000 years. Adding up two histograms gives
/// the histogram of all their rows, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    /// As long as the highest bucket in use needs.
    buckets: Vec<u64>,
    rows: u64,
    max_us: i64,
}

impl Lateness {
    /// Takes in one late row. What is not late (negative) counts as lateness 0.
    pub fn observe(&mut self, lateness_us: i64) {
        let lateness_us = lateness_us.max(0);
        let index = bucket(lateness_us.unsigned_abs());
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(index) {
            *count += 1;
        }
        self.rows += 1;
        self.max_us = self.max_us.max(lateness_us);
    }

    /// Takes in the rows of another histogram.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
        self.rows += other.rows;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// Returns the number of late rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the greatest lateness; 0 when there was no late row.
    pub fn max_us(&self) -> i64 {
        self.max_us
    }

    /// Returns how much longer a delay would have kept a share of all rows.
    ///
    /// `all_rows` includes the late ones; `keep_per_mille` is the share (999 for 99.9 %). The
    /// answer is at most 1/16 too long, never too short. None when nothing need be changed: so
    /// many rows were kept already.
    pub fn longer_delay_that_keeps(&self, keep_per_mille: u16, all_rows: u64) -> Option<i64> {
        let lost_per_mille = 1000 - u128::from(keep_per_mille.min(1000));
        let all_rows = u128::from(all_rows.max(self.rows));
        // How many rows may stay late.
        let mut spare = u64::try_from(all_rows * lost_per_mille / 1000).unwrap_or(u64::MAX);
        for (index, count) in self.buckets.iter().enumerate().rev() {
            if *count > spare {
                let longest = i64::try_from(highest(index)).unwrap_or(i64::MAX).min(self.max_us);
                return Some(longest.saturating_add(1));
            }
            spare -= count;
        }
        None
    }
}

/// Returns the bucket of a lateness: below 16 one each, then 16 for each power of two.
fn bucket(lateness_us: u64) -> usize {
    let index = match lateness_us.checked_ilog2() {
        Some(power) if power >= STEP_BITS => {
            let shift = power - STEP_BITS;
            // The leading bit and the four after it: 16 to 31.
            u64::from(shift * STEPS) + (lateness_us >> shift)
        }
        _ => lateness_us,
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Returns the greatest lateness in a bucket.
fn highest(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let steps = u64::from(STEPS);
    if index < 2 * steps {
        return index;
    }
    let shift = index / steps - 1;
    let leading = index % steps + steps;
    let next = u128::from(leading + 1) << shift.min(64);
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    fn of(values: impl IntoIterator<Item = i64>) -> Lateness {
        let mut lateness = Lateness::default();
        values.into_iter().for_each(|value| lateness.observe(value));
        lateness
    }

    #[test]
    fn the_advice() {
        // (late rows, all rows, share) -> longer delay
        let hundred = || (1..=100).map(|n| n * SECOND);
        for (late, all_rows, keep, at_least, at_most) in [
            (of(hundred()), 100, 1000, 100 * SECOND + 1, 100 * SECOND + 1),
            (of(hundred()), 100, 500, 50 * SECOND + 1, 54 * SECOND),
            (of(hundred()), 50_000, 999, 50 * SECOND + 1, 54 * SECOND),
            (of([0]), 1, 999, 1, 1),
            (of([-5]), 1, 999, 1, 1),
            (of([i64::MAX]), 1, 999, i64::MAX, i64::MAX),
            // More late rows than rows: all rows are late.
            (of(hundred()), 0, 1000, 100 * SECOND + 1, 100 * SECOND + 1),
        ] {
            let delay = late.longer_delay_that_keeps(keep, all_rows).unwrap();
            assert!((at_least..=at_most).contains(&delay), "{keep} of {all_rows}: {delay}");
        }
        assert_eq!(of(hundred()).longer_delay_that_keeps(999, 100_000), None);
        assert_eq!(of([]).longer_delay_that_keeps(1000, 100), None);
        assert_eq!((of(hundred()).rows(), of(hundred()).max_us()), (100, 100 * SECOND));
    }

    #[test]
    fn buckets_tile_the_numbers() {
        let mut next = 0;
        for index in 0..=bucket(u64::MAX) {
            assert_eq!(bucket(next), index);
            assert_eq!(bucket(highest(index)), index);
            assert!(highest(index) - next <= next / 16);
            next = highest(index).wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the last number");
    }

    proptest! {
        #[test]
        fn the_delay_keeps_what_it_says(
            values in proptest::collection::vec(0_i64..100_000_000, 1..200),
            on_time in 0_u64..1000,
            keep in 0_u16..=1000,
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = of(values.iter().copied());
            let (a, b) = values.split_at(cut.index(values.len()));
            let mut merged = of(b.iter().copied());
            merged.merge(&of(a.iter().copied()));
            prop_assert_eq!(&merged, &whole);

            let all = on_time + whole.rows();
            let delay = whole.longer_delay_that_keeps(keep, all).unwrap_or(0);
            let late = values.iter().filter(|value| **value >= delay).count();
            let late = u64::try_from(late).unwrap();
            prop_assert!(late * 1000 <= all * (1000 - u64::from(keep)));
            // No much shorter delay would have done.
            let shorter = delay - 1 - delay / 16;
            if shorter > 0 {
                let late = values.iter().filter(|value| **value >= shorter).count();
                let late = u64::try_from(late).unwrap();
                prop_assert!(late * 1000 > all * (1000 - u64::from(keep)));
            }
        }
    }
}
