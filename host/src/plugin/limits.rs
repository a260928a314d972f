//! What one call may use: CPU time, memory, output.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Error, ResourceLimiter, Result};

use crate::config::model::Limits;

/// Time between two looks at the clock while a guest runs.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Core instances, tables and memories of one component instance, and elements of one table.
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 64;
const MAX_MEMORIES: usize = 8;
const MAX_TABLE_ELEMENTS: usize = 200_000;

/// Returns the CPU time that the calling thread has used, in nanoseconds.
pub(super) fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// What to do with a guest that has been running for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its time is not used up: look again after so many ticks.
    Continue(u64),
    /// Its time is used up.
    Stop,
}

/// The CPU time of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    started_ns: u64,
    allowed_ns: u64,
}

impl Budget {
    /// Returns a budget that starts when the thread has used `started_ns` of CPU time.
    pub(super) fn new(started_ns: u64, allowed_us: i64) -> Self {
        let allowed_ns = u64::try_from(allowed_us).unwrap_or(0).saturating_mul(1_000);
        Self { started_ns, allowed_ns }
    }

    /// Decides whether the guest may go on when the thread has used `now_ns`.
    ///
    /// A thread cannot use more CPU time than passes on the wall, so the next look can wait for
    /// as long as the rest of the budget: usually there is one look a call at most.
    pub(super) fn decide(self, now_ns: u64) -> Verdict {
        let left = self.allowed_ns.saturating_sub(now_ns.saturating_sub(self.started_ns));
        if left == 0 { Verdict::Stop } else { Verdict::Continue(ticks(left)) }
    }
}

/// Returns the ticks that fit in `left_ns`; at least 1.
fn ticks(left_ns: u64) -> u64 {
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
    left_ns.checked_div(tick).unwrap_or(0).max(1)
}

/// Counts an instance's memory and refuses what is beyond the limit.
#[derive(Debug)]
pub(super) struct MemoryGuard {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryGuard {
    /// Returns a guard for `limits`.
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limit: limits.memory_bytes, used: 0, refused: false }
    }

    /// Returns true once the instance has asked for more than it may have.
    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    /// Returns true when so much of the limit is in use that a fresh instance is due. Linear
    /// memory never shrinks.
    pub(super) fn is_high(&self) -> bool {
        self.used > self.limit.saturating_sub(self.limit / 5)
    }
}

impl ResourceLimiter for MemoryGuard {
    /// Traps instead of letting the guest's allocator report it, so that the trace shows who asked.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let total = self.used.saturating_sub(current).saturating_add(desired);
        if total > self.limit {
            self.refused = true;
            return Err(Error::msg("memory limit"));
        }
        self.used = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.refused = true;
        Err(error)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cpu_time_of_the_thread_uses_up_a_budget() {
        let budget = Budget::new(5_000_000, 20_000);
        // However long the process was stopped: the thread's own clock stood still.
        assert_eq!(budget.decide(5_000_000), Verdict::Continue(10));
        assert_eq!(budget.decide(15_000_000), Verdict::Continue(5));
        assert_eq!(budget.decide(24_999_999), Verdict::Continue(1));
        assert_eq!(budget.decide(25_000_000), Verdict::Stop);
        assert_eq!(budget.decide(u64::MAX), Verdict::Stop);
        assert_eq!(Budget::new(0, -1).decide(0), Verdict::Stop);
    }

    #[test]
    fn memory_is_counted_over_all_memories() {
        let limits = Limits { memory_bytes: 1000, ..Limits::default() };
        let mut guard = MemoryGuard::new(&limits);
        assert!(guard.memory_growing(0, 400, None).unwrap());
        assert!(guard.memory_growing(0, 400, None).unwrap());
        assert!(!guard.is_high());
        assert!(guard.memory_growing(400, 500, None).unwrap());
        assert!(guard.is_high());
        assert!(!guard.refused());
        assert!(guard.memory_growing(500, 700, None).is_err());
        assert!(guard.refused());
    }
}
