//! What the boundary benches share: batches of records, the configurations, and the clock.
//!
//! The crate knows nothing of the host, so that it can be built with the profile of the plugins
//! (`--profile guest`) in seconds: native and sandboxed code are then compiled alike.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use millstream_sdk::bindings::types::TextBuffer;
use rustix::time::{ClockId, clock_gettime};

/// Records in a batch, as the engine makes them.
pub const BATCH: usize = 8192;
/// Batches of one measurement; about the size of what the engine reads in an epoch.
pub const BATCHES: usize = 24;
/// Passes over the batches, of which the fastest counts: whatever else runs on the machine makes
/// code slower, never faster.
pub const PASSES: usize = 5;

/// The parser configuration of `w1.toml`.
pub const W1: &str = r#"{"columns": {
    "ts": {"type": "timestamp", "format": "epoch_ms", "required": true},
    "service": "text", "user": "text", "status": "int64", "latency_ms": "float64"
}}"#;
/// The parser configuration of `parse.toml`.
pub const PARSE: &str = r#"{"format": "combined", "columns": ["timestamp", "status"]}"#;
/// Every column of an access log.
pub const PARSE_ALL: &str = r#"{"format": "combined"}"#;

/// A batch of records.
#[derive(Debug)]
pub struct Batch {
    /// The records.
    pub records: TextBuffer,
    /// When each was received.
    pub received_us: Vec<i64>,
}

impl Batch {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received_us.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received_us.is_empty()
    }
}

/// Cuts the lines of a file into `batches` batches of `size` records each, from its start again
/// where it is shorter.
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn read(path: &Path, size: usize, batches: usize) -> Result<Vec<Batch>> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let lines: Vec<&[u8]> =
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    ensure!(!lines.is_empty(), "{} has no lines", path.display());
    let mut cycle = lines.iter().copied().cycle();
    (0..batches).map(|_| batch(&cycle.by_ref().take(size).collect::<Vec<_>>())).collect()
}

/// Checks that hardly a record was refused: that is another path.
///
/// # Errors
/// More were.
pub fn check(rejects: usize, records: usize) -> Result<()> {
    ensure!(rejects <= 1 + records / 1000, "{rejects} of {records} records were refused");
    Ok(())
}

fn batch(lines: &[&[u8]]) -> Result<Batch> {
    let mut data = Vec::with_capacity(lines.iter().map(|line| line.len()).sum());
    let mut offsets = vec![0];
    for line in lines {
        data.extend_from_slice(line);
        offsets.push(i32::try_from(data.len())?);
    }
    Ok(Batch { records: TextBuffer { offsets, data }, received_us: vec![0; lines.len()] })
}

/// CPU time that this thread has used, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Returns the nanoseconds a record of the fastest of `passes` passes over `batches`.
///
/// # Errors
/// Those of `parse`.
pub fn fastest(
    passes: usize,
    batches: &[Batch],
    mut parse: impl FnMut(&Batch) -> Result<()>,
) -> Result<f64> {
    let mut fastest = u64::MAX;
    for _ in 0..passes {
        let started = thread_cpu_ns();
        for batch in batches {
            parse(batch)?;
        }
        fastest = fastest.min(thread_cpu_ns().saturating_sub(started));
    }
    let records: usize = batches.iter().map(Batch::len).sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok(fastest as f64 / records as f64)
}
