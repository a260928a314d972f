//! Who is so far ahead in event time that it has to wait for the others.
//!
//! A partition far ahead of the slowest one fills the state: its windows cannot close before the
//! slowest has passed them. While there is a backlog, reading the slowest first costs nothing and
//! bounds the windows that are open.

use crate::data::{NO_TIME, PartitionRef};

/// What a partition has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// It has more, or nobody knows.
    More,
    /// It had nothing lately.
    Nothing,
    /// Nothing will ever come again.
    Over,
}

/// Where one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runner {
    /// The partition.
    pub partition: PartitionRef,
    /// Its own watermark, `NO_TIME` before its first row.
    pub watermark: i64,
    /// What it has to give.
    pub supply: Supply,
    /// The windows' watermark does not wait for it.
    pub idle: bool,
    /// How far ahead it may be; none: as far as it likes.
    pub max_drift_us: Option<i64>,
}

/// Returns the partitions that have to wait, out of those whose windows are common.
///
/// The slowest that has something to give never waits, nor does one without a time yet. One that
/// has nothing, is idle or over holds nobody: waiting would not bring it on.
pub fn ahead(runners: &[Runner]) -> Vec<PartitionRef> {
    let slowest = runners
        .iter()
        .filter(|runner| runner.supply == Supply::More && !runner.idle)
        .map(|runner| runner.watermark)
        .filter(|watermark| *watermark != NO_TIME)
        .min();
    let Some(slowest) = slowest else { return Vec::new() };
    let waits = |runner: &&Runner| {
        runner.watermark != NO_TIME
            && runner
                .max_drift_us
                .is_some_and(|most| runner.watermark.saturating_sub(slowest) > most)
    };
    runners.iter().filter(waits).map(|runner| runner.partition).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::{Partition, SourceId};

    fn at(partition: u32) -> PartitionRef {
        PartitionRef { source: SourceId(0), partition: Partition(partition) }
    }

    fn runner(partition: u32, watermark: i64) -> Runner {
        Runner {
            partition: at(partition),
            watermark,
            supply: Supply::More,
            idle: false,
            max_drift_us: Some(10),
        }
    }

    #[test]
    fn those_too_far_ahead_wait() {
        let of = |supply, runner| Runner { supply, ..runner };
        let cases: [(&str, Vec<Runner>, &[u32]); 10] = [
            ("none", vec![], &[]),
            ("alone", vec![runner(0, 100)], &[]),
            ("within", vec![runner(0, 100), runner(1, 110)], &[]),
            ("beyond", vec![runner(0, 100), runner(1, 111), runner(2, 500)], &[1, 2]),
            ("nothing lately", vec![of(Supply::Nothing, runner(0, 0)), runner(1, 100)], &[]),
            ("over", vec![of(Supply::Over, runner(0, 0)), runner(1, 100), runner(2, 120)], &[2]),
            ("idle", vec![Runner { idle: true, ..runner(0, 0) }, runner(1, 100)], &[]),
            ("no time yet", vec![runner(0, NO_TIME), runner(1, 100)], &[]),
            ("no limit", vec![runner(0, 0), Runner { max_drift_us: None, ..runner(1, 100) }], &[]),
            ("extremes", vec![runner(0, i64::MIN + 1), runner(1, i64::MAX)], &[1]),
        ];
        for (name, runners, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|partition| at(*partition)).collect();
            assert_eq!(ahead(&runners), expected, "{name}");
        }
    }

    fn any_runner() -> impl Strategy<Value = Runner> {
        let supply = prop_oneof![Just(Supply::More), Just(Supply::Nothing), Just(Supply::Over)];
        let time = prop_oneof![4 => -50_i64..50, 1 => Just(NO_TIME)];
        let drift = proptest::option::of(0_i64..20);
        (time, supply, any::<bool>(), drift).prop_map(|(watermark, supply, idle, max_drift_us)| {
            Runner { partition: at(0), watermark, supply, idle, max_drift_us }
        })
    }

    proptest! {
        #[test]
        fn somebody_can_always_be_read(runners in proptest::collection::vec(any_runner(), 0..8)) {
            let runners: Vec<Runner> = (0u32..)
                .zip(runners)
                .map(|(number, runner)| Runner { partition: at(number), ..runner })
                .collect();
            let waiting = ahead(&runners);
            let more = |runner: &&Runner| runner.supply == Supply::More && !runner.idle;
            let can_be_read = |runner: &Runner| !waiting.contains(&runner.partition);
            // If anybody waits, it waits for somebody who is read.
            if !waiting.is_empty() {
                prop_assert!(runners.iter().filter(more).any(can_be_read));
            }
            if let Some(slowest) = runners.iter().filter(more).min_by_key(|one| one.watermark) {
                prop_assert!(can_be_read(slowest));
            }
        }
    }
}
