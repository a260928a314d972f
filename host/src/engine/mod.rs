//! Runs a plan: epochs, worker threads, the owner of the state.
//!
//! An epoch: read records turn by turn ([`Input`]), parse and pre-aggregate chunks ([`Worker`], on as
//! many threads as the pipeline has workers), merge them in the order in which they were read and
//! let time advance ([`Owner`]). Whatever must be atomic happens between two epochs. All that an
//! epoch's computation knows of the outside is its [`EpochFacts`]; running the same facts over the
//! same input again gives the same bytes.

mod commits;
mod drift;
mod error;
mod evaluator;
mod facts;
mod flow;
mod input;
mod late;
mod outside;
mod owner;
mod pool;
mod run;
mod stats;
mod time;
mod window_input;
mod wiring;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use commits::{CommitCounts, Commits, Kept};
pub use error::EngineError;
pub use facts::{ChunkRange, EpochFacts, QuietPartition};
pub use input::{EpochInput, Input};
pub use late::{LateLog, LateWindow};
pub use outside::{Machine, Outside};
pub use owner::{EpochEnd, Owner};
pub use run::{Engine, EngineOptions, Outcome};
pub use stats::{NodeStats, Stats};
pub use time::EventTime;
pub use wiring::Wiring;
pub use worker::Worker;
