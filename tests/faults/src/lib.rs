//! The fault suite: a real pipeline on a real Apache Kafka, disturbed in every way we know, and an
//! oracle that says what must have come out.
//!
//! ```text
//! load ─▶ topic `in` ─▶ proxy ─▶ millstream run (killed, stopped, cut off …) ─▶ outputs ─▶ check
//!   └──────────────────────────▶ oracle ─────────────────────────────────────────────────┘
//! ```
//! Nothing here uses the host's code: the oracle reads what the load wrote and computes windows in
//! the plainest way. A run is described by a [`Spec`], which comes from a seed, so that a failure
//! can be looked at again.

mod check;
mod client;
mod load;
mod oracle;
mod proxy;
mod random;
mod run;
mod spec;

pub use check::{Checked, check};
pub use client::Topics;
pub use load::{Load, PARTITIONS};
pub use oracle::{Expected, expect};
pub use proxy::{Mode, Proxy};
pub use random::Random;
pub use run::{Ended, Lab, execute};
pub use spec::{Action, Authority, Fault, POINTS, Spec};
