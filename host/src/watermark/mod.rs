//! How far event time has come: pure decisions over facts.
//!
//! A partition's watermark is its latest event time minus its source's delay. The pipeline's is
//! the least over the partitions that hold it: those neither idle nor finished. It never goes
//! back. A new partition joins at the pipeline's watermark and holds it there until its own is
//! past it. Only the end of the whole input is `i64::MAX`, which closes everything.
//!
//! Never here: a clock, I/O. Which partitions are idle is a fact of the epoch, so that a replay
//! decides the same.

mod drift;
mod partition;
mod tracker;
mod union;

pub use drift::{Runner, Supply, ahead};
pub use partition::PartitionClock;
pub use tracker::{LastRead, Tracker, idle_candidates};
pub use union::{SourceClock, union};
