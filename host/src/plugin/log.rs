//! What a plugin may say in the host's log: little, short and without tricks.

use std::sync::{Arc, PoisonError};

use crate::clock::Stopwatch;

use super::bindings::millstream::plugin::host_log::{Host, Level};
use super::bindings::millstream::plugin::types;
use super::instance::HostState;

/// Lines a second of one plugin version, over all its instances.
const LINES_A_SECOND: u32 = 100;
/// Longest line.
const MAX_LINE_BYTES: usize = 1024;

/// Lets so many lines a second through.
#[derive(Debug)]
pub(super) struct LogGate {
    window: Stopwatch,
    lines: u32,
    dropped: u64,
}

impl LogGate {
    /// Returns a gate that has let nothing through yet.
    pub(super) fn new() -> Self {
        Self { window: Stopwatch::start(), lines: 0, dropped: 0 }
    }

    /// Returns, when one more line may pass, how many lines were dropped since the last one.
    fn admit(&mut self) -> Option<u64> {
        if self.window.elapsed().as_secs() >= 1 {
            self.window = Stopwatch::start();
            self.lines = 0;
        }
        if self.lines >= LINES_A_SECOND {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.lines = self.lines.saturating_add(1);
        Some(std::mem::take(&mut self.dropped))
    }
}

impl types::Host for HostState {}

impl Host for HostState {
    fn log(&mut self, level: Level, message: String) {
        // A thread that panicked in here has done no harm to two counters.
        let admitted = self.log.lock().unwrap_or_else(PoisonError::into_inner).admit();
        let Some(dropped) = admitted else { return };
        let text = clean(&message);
        let id = Arc::clone(&self.plugin);
        let (plugin, version) = (id.name.as_str(), id.version.as_str());
        match level {
            Level::Debug => tracing::debug!(plugin, version, dropped, "{text}"),
            Level::Info => tracing::info!(plugin, version, dropped, "{text}"),
            Level::Warn => tracing::warn!(plugin, version, dropped, "{text}"),
            Level::Error => tracing::error!(plugin, version, dropped, "{text}"),
        }
    }
}

/// Returns `text` without control characters (escape sequences among them), cut to a line.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_LINE_BYTES));
    for c in text.chars() {
        if out.len().saturating_add(c.len_utf8()) > MAX_LINE_BYTES {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_clean_and_short() {
        assert_eq!(clean("a\x1b[31mb\r\nc"), "a [31mb  c");
        assert_eq!(clean(&"x".repeat(5000)).len(), MAX_LINE_BYTES + '…'.len_utf8());
    }

    #[test]
    fn a_flood_is_cut() {
        let mut gate = LogGate::new();
        let passed = (0..10_000).filter(|_| gate.admit().is_some()).count();
        // The loop takes far less than a second; should it not, a second window opens.
        assert!((100..10_000).contains(&passed), "{passed}");
    }
}
