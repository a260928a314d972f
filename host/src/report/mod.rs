//! The closing summary of a run: what was read, what became of it, how fast.
//!
//! Only facts that others counted; nothing here counts, reads a clock or decides. The engine fills
//! a `RunSummary`, `Display` makes it readable and `to_json` makes it processable.

mod format;
mod lateness;
mod memory;
mod summary;

pub use format::{bytes_text, count_text, duration_text};
pub use lateness::Lateness;
pub use memory::{memory_bytes, peak_memory_bytes};
pub use summary::{
    CommitSummary, ParserSummary, RuleSummary, RunSummary, SinkReport, WindowSummary,
};
