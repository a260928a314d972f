//! The engine over records in memory: real plans, real plugins, no clock.

mod drift;
mod epochs;
mod outputs;
pub mod rig;
mod sinks;
mod times;
