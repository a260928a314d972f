//! Counts what plugins do.

use std::sync::atomic::{AtomicU64, Ordering};

/// Running totals of one plugin version, over all its instances. Read at any time.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    failures: AtomicU64,
    poison: AtomicU64,
    recycles: AtomicU64,
    instances: AtomicU64,
    cpu_ns: AtomicU64,
}

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        })*
    };
}

impl Meter {
    totals! {
        /// Returns the number of calls on the data path.
        calls;
        /// Returns the number of those that failed.
        failures;
        /// Returns the number of records found to be poison.
        poison;
        /// Returns how often an instance was replaced because of its memory or age.
        recycles;
        /// Returns how many instances were started.
        instances;
        /// Returns the CPU time used by guests on the data path, in nanoseconds.
        cpu_ns;
    }

    pub(super) fn called(&self, cpu_ns: u64, failed: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        if failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn poisoned(&self, records: usize) {
        if records > 0 {
            let records = u64::try_from(records).unwrap_or(u64::MAX);
            self.poison.fetch_add(records, Ordering::Relaxed);
        }
    }

    pub(super) fn recycled(&self) {
        self.recycles.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn started(&self) {
        self.instances.fetch_add(1, Ordering::Relaxed);
    }
}
