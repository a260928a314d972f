//! Rules: rows in, alerts and annotated rows out.
//!
//! A rule reads rows of windows, streams or parsers. A [`WhenRule`] raises an alert for each row a
//! SQL condition holds for; a [`KeyedRule`] asks a plugin, behind the [`Evaluator`] trait, and keeps
//! per key what the plugin needs: earlier rows, its own state, a timer.
//!
//! Promises: the same rows in the same order give the same alerts with the same ids, however they
//! are cut into batches and whenever the rule is stopped and put back from its state
//! ([`KeyedRule::state`]). Nothing here reads a clock, does I/O, knows wasmtime, or depends on the
//! order of a hash map.

mod alerts;
mod codec;
mod collect;
mod error;
mod evaluator;
mod groups;
mod held;
mod ids;
mod keyed;
mod keys;
mod schema;
mod state;
mod template;
mod text;
mod when;
mod work;

#[cfg(test)]
mod tests;

pub use alerts::AlertSettings;
pub use error::RuleError;
pub use evaluator::{EvaluateError, Evaluator, Poison, RuleCall, RuleOutcome, RulePlan};
pub use held::RowClock;
pub use keyed::{KeyedRule, KeyedSettings, PoisonRow, RuleOutput};
pub use schema::{IS_ALERT, REVISION, WINDOW_END, WINDOW_START};
pub use state::{RuleDelta, RuleState};
pub use template::{BoundTemplate, MessageTemplate, TemplateError};
pub use when::WhenRule;
