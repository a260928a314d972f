//! Runs a plan: epochs, worker threads, the owner of the state.
//!
//! An epoch: gather records ([`Input`]), parse and pre-aggregate chunks ([`Worker`], on as many
//! threads as the pipeline has workers), merge in order of (partition, position) and let time
//! advance ([`Owner`]). Whatever must be atomic happens between two epochs. All that an epoch's
//! computation knows of the outside is its [`EpochFacts`]; running the same facts over the same
//! input again gives the same bytes.

mod error;
mod evaluator;
mod facts;
mod input;
mod late;
mod owner;
mod pool;
mod run;
mod stats;
mod time;
mod window_input;
mod worker;

pub use error::EngineError;
pub use facts::{ChunkRange, EpochFacts, QuietPartition};
pub use input::{EpochInput, Input};
pub use late::{LateLog, LateWindow};
pub use owner::{EpochEnd, Owner};
pub use run::{Engine, EngineOptions, Outcome};
pub use stats::{NodeStats, Stats};
pub use time::EventTime;
pub use worker::{Wiring, Worker};
