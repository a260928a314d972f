//! Event time where several sources meet.

use crate::data::NO_TIME;

/// Where the event time of one source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceClock {
    /// Its watermark, or `NO_TIME`.
    pub watermark: i64,
    /// It has a partition that is waited for: neither idle nor finished.
    pub holds: bool,
    /// Nothing will ever come again.
    pub ended: bool,
}

/// Returns the watermark of a node that reads these sources: the least of those that are waited
/// for. While none is, it is the greatest of those that may still give something; only when all
/// have ended is it `i64::MAX`.
///
/// A source that falls idle stops holding, so a later value can be greater than what holds again
/// when it is back: the caller keeps the greatest so far.
pub fn union(sources: impl IntoIterator<Item = SourceClock>) -> i64 {
    let (mut any, mut open) = (false, false);
    let mut least: Option<i64> = None;
    let mut greatest = NO_TIME;
    for source in sources {
        any = true;
        if source.ended {
            continue;
        }
        open = true;
        if source.holds {
            least = Some(least.map_or(source.watermark, |least| least.min(source.watermark)));
        } else {
            greatest = greatest.max(source.watermark);
        }
    }
    match (any, open) {
        (false, _) => NO_TIME,
        (true, false) => i64::MAX,
        (true, true) => least.unwrap_or(greatest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_is_waited_for() {
        let holding = |watermark| SourceClock { watermark, holds: true, ended: false };
        let idle = |watermark| SourceClock { watermark, holds: false, ended: false };
        let ended = SourceClock { watermark: i64::MAX, holds: false, ended: true };
        let cases: [(&[SourceClock], i64); 9] = [
            (&[], NO_TIME),
            (&[holding(5)], 5),
            (&[holding(5), holding(3)], 3),
            (&[holding(5), holding(NO_TIME)], NO_TIME),
            (&[holding(5), idle(NO_TIME)], 5),
            (&[holding(5), idle(3), ended], 5),
            (&[idle(5), idle(3)], 5),
            (&[idle(5), ended], 5),
            (&[ended, ended], i64::MAX),
        ];
        for (sources, expected) in cases {
            assert_eq!(union(sources.iter().copied()), expected, "{sources:?}");
        }
    }
}
