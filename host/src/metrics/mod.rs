//! What a running pipeline counts, for Prometheus.
//!
//! [`Metrics`] holds all families of [`FAMILIES`]; [`Publisher`] brings them up to date once an
//! epoch, from counters that the engine keeps anyway: nothing here is touched per record. Whoever
//! commits tells it with [`Metrics::commit`] and [`Metrics::aborted`].
//!
//! A counter never goes back. An engine that starts again after an aborted commit counts from 0;
//! what it reads again is counted again, as it was read again.
//!
//! Never here: a clock, but for what is asked at a scrape; HTTP.

mod families;
mod publish;
mod registry;

#[cfg(test)]
mod tests;

pub use families::{FAMILIES, Family, Kind, reference_markdown};
pub use publish::Publisher;
pub use registry::{Metrics, MetricsError};
