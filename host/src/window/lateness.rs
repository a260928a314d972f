//! Which rows are late: the rule of one row, and when a batch needs no look at its rows.

use super::input::PartitionTime;
use crate::data::NO_TIME;

impl PartitionTime {
    /// Returns the watermark at a row before which the chunk's latest event time was `max_before`.
    pub(crate) fn watermark(&self, max_before: i64) -> i64 {
        let latest = max_before.max(self.max_before_chunk);
        let own = if latest == NO_TIME { NO_TIME } else { latest.saturating_sub(self.delay_us) };
        own.max(self.pipeline_watermark)
    }
}

/// Returns true when a watermark has passed an end and what is allowed after it.
pub(crate) fn passed(end: i64, allowed_lateness: i64, watermark: i64) -> bool {
    end.saturating_add(allowed_lateness) <= watermark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_of_a_row_is_its_partitions() {
        let cases = [
            // before the chunk, delay, pipeline, before the row, watermark
            (NO_TIME, 5, NO_TIME, NO_TIME, NO_TIME),
            (100, 5, NO_TIME, NO_TIME, 95),
            (100, 5, NO_TIME, 120, 115),
            (100, 5, 97, NO_TIME, 97),
            (NO_TIME, 5, 97, NO_TIME, 97),
            (NO_TIME + 1, 5, NO_TIME, NO_TIME, i64::MIN),
            (i64::MAX, 5, NO_TIME, 0, i64::MAX - 5),
        ];
        for (chunk, delay_us, pipeline_watermark, before, expected) in cases {
            let time = PartitionTime { max_before_chunk: chunk, delay_us, pipeline_watermark };
            assert_eq!(time.watermark(before), expected, "{time:?} at {before}");
        }
    }

    #[test]
    fn an_end_is_passed_when_reached() {
        assert!(!passed(60, 0, 59));
        assert!(passed(60, 0, 60));
        assert!(!passed(60, 10, 69));
        assert!(passed(60, 10, 70));
        assert!(!passed(60, i64::MAX, i64::MAX - 1));
    }
}
