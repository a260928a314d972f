//! What must come out, computed in the plainest way from what went in.
//!
//! The rule of lateness: a row is late for its window when the window's end is at or before the
//! watermark of its partition at that row: the highest event time of the rows before it in its
//! partition, minus the delay. It depends on each partition's log and on nothing else.

use std::collections::BTreeMap;

use crate::load::{Load, Row};

/// The window's size in milliseconds. As in the pipeline of `run`.
pub const SIZE_MS: i64 = 10_000;

/// The watermark's delay in milliseconds. As in the pipeline of `run`.
pub const DELAY_MS: i64 = 4_000;

/// A window: key and start in milliseconds.
pub type WindowKey = (String, i64);

/// What a window holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Number of rows.
    pub count: i64,
    /// Sum of their values.
    pub total: i64,
    /// Exclusive or of their numbers: one row lost and another doubled do not cancel.
    pub xor: i64,
    /// Their numbers, sorted.
    pub seqs: Vec<i64>,
}

/// What must come out.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Each window, once.
    pub windows: BTreeMap<WindowKey, Window>,
    /// The numbers of the late rows, sorted.
    pub late: Vec<i64>,
    /// How many records are poison.
    pub poison: usize,
}

/// Returns what must come out of a load.
pub fn expect(load: &Load) -> Expected {
    let mut expected = Expected::default();
    for partition in &load.partitions {
        let mut highest: Option<i64> = None;
        for row in partition {
            let Some(Row { time_ms, key, seq, value }) = row else {
                expected.poison += 1;
                continue;
            };
            let start = time_ms.div_euclid(SIZE_MS) * SIZE_MS;
            let late = highest.is_some_and(|highest| start + SIZE_MS <= highest - DELAY_MS);
            highest = Some(highest.map_or(*time_ms, |highest| highest.max(*time_ms)));
            if late {
                expected.late.push(*seq);
                continue;
            }
            let window = expected.windows.entry((key.clone(), start)).or_default();
            window.count += 1;
            window.total += value;
            window.xor ^= seq;
            window.seqs.push(*seq);
        }
    }
    expected.late.sort_unstable();
    expected.windows.values_mut().for_each(|window| window.seqs.sort_unstable());
    expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_the_partitions_own() {
        let row = |seq: i64, time_ms: i64| Some(Row { time_ms, key: "a".into(), seq, value: seq });
        let load = Load {
            topic: String::new(),
            partitions: vec![
                // 13,999 - 4,000 < 10,000: not late; 14,000 - 4,000 = 10,000: late.
                vec![row(1, 13_999), row(2, 5_000), row(4, 14_000), row(8, 5_000), None],
                vec![row(16, 5_000)],
            ],
        };
        let expected = expect(&load);
        assert_eq!(expected.late, [8]);
        assert_eq!(expected.poison, 1);
        let first = &expected.windows[&("a".to_owned(), 0)];
        assert_eq!((first.count, first.total, first.xor), (2, 18, 18));
        assert_eq!(first.seqs, [2, 16]);
        assert_eq!(expected.windows[&("a".to_owned(), 10_000)].seqs, [1, 4]);
    }
}
