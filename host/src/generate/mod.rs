//! Made-up logs and events, for demos, tests and benchmarks.
//!
//! A pure function of its settings: the same settings give the same bytes on every machine, however
//! they are fetched. Nothing here reads a clock or a random source; row n of a stream depends on
//! the seed and n alone, only the times depend on the rows before.
//!
//! [`Settings`] say what is wanted; [`Generator`] writes rows in the order of their arrival and
//! knows afterwards what it put in ([`Truth`]).

mod access_log;
mod cast;
mod fields;
mod generator;
mod plan;
mod random;
mod record_j;
mod service_json;
mod settings;
mod timeline;
mod truth;
mod user_events;
pub(crate) mod write;

#[cfg(test)]
mod tests;

pub use generator::Generator;
pub use settings::{Format, Incident, IncidentKind, Incidents, Settings, SettingsError};
pub use truth::Truth;
