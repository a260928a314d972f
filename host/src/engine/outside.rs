//! What the epoch loop may ask of the outside, so that tests can run it without a clock.

use std::time::Duration;

use crate::clock::{Stopwatch, now_us};

/// The clock, and whether to stop.
pub trait Outside {
    /// Returns the wall clock, microseconds since the Unix epoch.
    fn now_us(&self) -> i64;

    /// Returns the time since some moment that stays the same.
    fn elapsed(&self) -> Duration;

    /// Lets time pass, no longer than this.
    fn pause(&self, most: Duration);

    /// Returns true when the run is to end.
    fn stop(&self) -> bool;
}

/// The outside as it is.
pub struct Machine<'a> {
    watch: Stopwatch,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Machine<'a> {
    /// Returns the machine's clock with a reason to stop.
    pub fn new(stop: &'a dyn Fn() -> bool) -> Self {
        Self { watch: Stopwatch::start(), stop }
    }
}

impl Outside for Machine<'_> {
    fn now_us(&self) -> i64 {
        now_us()
    }

    fn elapsed(&self) -> Duration {
        self.watch.elapsed()
    }

    fn pause(&self, most: Duration) {
        std::thread::sleep(most);
    }

    fn stop(&self) -> bool {
        (self.stop)()
    }
}
