//! Event time in one partition.

use serde::{Deserialize, Serialize};

use crate::data::NO_TIME;

/// What is known of a partition's event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionClock {
    /// Latest event time seen, or `NO_TIME`.
    pub max_time: i64,
    /// The pipeline's watermark when the partition joined, or `NO_TIME`.
    pub joined: i64,
    /// It has had nothing to read for longer than the idle timeout.
    pub idle: bool,
    /// How long it has had nothing to read, in microseconds, while idle.
    pub quiet_us: i64,
    /// It has ended and is not waited for.
    pub finished: bool,
}

impl PartitionClock {
    /// Makes the clock of a partition that joins at the pipeline's watermark.
    pub fn new(joined: i64) -> Self {
        Self { max_time: NO_TIME, joined, idle: false, quiet_us: 0, finished: false }
    }

    /// Returns the partition's own watermark, or `NO_TIME` while nothing is known.
    pub fn watermark(&self, delay_us: i64) -> i64 {
        if self.max_time == NO_TIME {
            return self.joined;
        }
        self.max_time.saturating_sub(delay_us).max(self.joined)
    }

    /// Returns true when the pipeline's watermark waits for the partition.
    pub fn holds(&self) -> bool {
        !self.idle && !self.finished
    }
}
