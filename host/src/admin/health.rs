//! Whether the pipeline does its work.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a pipeline is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It opens sources and sinks, or goes back to its last commit.
    Starting,
    /// It reads.
    Running,
    /// It finishes what it has begun.
    Stopping,
}

/// Shared between the pipeline and whoever asks.
#[derive(Debug, Default)]
pub struct Health(AtomicU8);

impl Health {
    /// Says where the pipeline is.
    pub fn set(&self, readiness: Readiness) {
        let number = match readiness {
            Readiness::Starting => 0,
            Readiness::Running => 1,
            Readiness::Stopping => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    /// Returns where the pipeline is.
    pub fn get(&self) -> Readiness {
        match self.0.load(Ordering::Relaxed) {
            0 => Readiness::Starting,
            1 => Readiness::Running,
            _ => Readiness::Stopping,
        }
    }
}
