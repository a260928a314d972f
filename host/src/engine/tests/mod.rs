//! The engine over records in memory: real plans, real plugins, no clock.

mod epochs;
mod outputs;
pub mod rig;
mod sinks;
mod times;
