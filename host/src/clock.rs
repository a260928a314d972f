//! The only place that reads a clock.
//!
//! Decisions take time as a parameter; this is where the edges get it from.

#![expect(clippy::disallowed_methods, reason = "this is the one module that may read a clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the wall clock, microseconds since the Unix epoch.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
    now_us.saturating_add(crate::faults::clock_jump_us(now_us))
}

/// Returns the CPU time the process has used.
pub fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// Measures elapsed time on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
