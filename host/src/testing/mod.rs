//! Runs the `[[tests]]` of a pipeline file: records and watermarks in, expected rows out.
//!
//! A test runs the real engine on one thread with sources fed from memory; each step is an epoch.
//! Instead of the pipeline's sinks one sink captures whatever the test expects something of.

mod capture;
mod compare;
mod run;

pub use compare::{Mismatch, compare};
pub use run::{TestError, TestReport, run_test};
