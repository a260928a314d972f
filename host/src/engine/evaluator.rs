//! Joins the rules room to WebAssembly: an evaluator that calls a plugin's instance.

use std::sync::Arc;

use arrow::array::BinaryArray;

use crate::plugin::{self, RuleInstance, RulePlugin};
use crate::rules::{EvaluateError, Evaluator, Poison, RuleCall, RuleOutcome};

/// A rule plugin's instance as the rules room sees it.
pub struct PluginEvaluator {
    instance: RuleInstance,
}

impl PluginEvaluator {
    /// Returns an evaluator; the plugin starts at its first call.
    pub fn new(plugin: &Arc<RulePlugin>) -> Self {
        Self { instance: plugin.instance() }
    }
}

impl Evaluator for PluginEvaluator {
    fn evaluate(&mut self, call: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError> {
        let outcome = self.instance.evaluate(plugin::RuleCall {
            rows: call.rows,
            key_offsets: call.key_offsets,
            states: call.states,
            history: call.history,
            history_offsets: call.history_offsets,
            timer_keys: call.timer_keys,
            timers_us: call.timers_us,
            watermark_us: call.watermark_us,
        })?;
        let poison = outcome.poison.into_iter().map(|poison| Poison {
            row: poison.record,
            reason: poison.error.failure.label(),
            message: poison.error.to_string(),
        });
        Ok(RuleOutcome {
            rows: outcome.rows,
            is_alert: outcome.is_alert,
            severities: outcome.severities,
            messages: outcome.messages,
            attributes: outcome.attributes,
            state: states(&outcome.state_keys, &outcome.states, &outcome.dropped_keys),
            timers: outcome.timer_keys.into_iter().zip(outcome.timers_us).collect(),
            poison: poison.collect(),
        })
    }
}

/// Returns changed and dropped states by key, ascending.
fn states(changed: &[u32], states: &BinaryArray, dropped: &[u32]) -> Vec<(u32, Option<Vec<u8>>)> {
    let changed = changed.iter().zip(states).map(|(key, state)| (*key, state.map(<[u8]>::to_vec)));
    let mut all: Vec<_> = changed.chain(dropped.iter().map(|key| (*key, None))).collect();
    all.sort_by_key(|(key, _)| *key);
    all
}
