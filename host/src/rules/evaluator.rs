//! What a rule is asked and what it answers, free of any plugin machinery.
//!
//! The shapes follow `interface rule` of the plugin contract. The `plugin` room implements
//! [`Evaluator`] for WebAssembly; tests use native ones.

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::SchemaRef;

use crate::config::model::Severity;

/// Why an evaluator could not answer at all.
pub type EvaluateError = Box<dyn std::error::Error + Send + Sync>;

/// Evaluates rows of some keys against their state.
///
/// A pure function: the same call gives the same outcome, and nothing is remembered between calls.
/// The host may throw an outcome away and ask again in smaller pieces.
pub trait Evaluator {
    /// Evaluates one call.
    ///
    /// # Errors
    /// When the rule cannot go on. A row that cannot be evaluated is not an error: it is in
    /// [`RuleOutcome::poison`].
    fn evaluate(&mut self, call: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError>;
}

/// What a rule wants from the host, fixed when it is configured.
#[derive(Clone, Debug)]
pub struct RulePlan {
    /// The columns that annotate a row.
    pub attributes: SchemaRef,
    /// How many earlier rows of the key the host passes along.
    pub history: u32,
    /// The columns wanted in the history. Empty: all of the input.
    pub history_columns: Vec<String>,
}

/// One question to a rule.
///
/// A key has either rows or one due timer in a call, never both.
#[derive(Clone, Copy, Debug)]
pub struct RuleCall<'a> {
    /// The rows, grouped by key, each key's rows in stream order.
    pub rows: &'a RecordBatch,
    /// The rows of key `k` are `key_offsets[k] .. key_offsets[k + 1]`.
    pub key_offsets: &'a [u32],
    /// Each key's state as the last call left it; null: none.
    pub states: &'a BinaryArray,
    /// The earlier rows of each key, oldest first, in the columns the plan asks for. Lists and
    /// structs are JSON text here.
    pub history: &'a RecordBatch,
    /// The history of key `k` is `history_offsets[k] .. history_offsets[k + 1]`.
    pub history_offsets: &'a [u32],
    /// Keys whose timer has come due, ascending.
    pub timer_keys: &'a [u32],
    /// For each of them, the time it asked for.
    pub timers_us: &'a [i64],
    /// The watermark, microseconds since the Unix epoch.
    pub watermark_us: i64,
}

/// A rule's answer.
#[derive(Clone, Debug)]
pub struct RuleOutcome {
    /// Entries: the row each is about, ascending, possibly repeated. `rows.num_rows() + k` is
    /// about key `k`'s timer.
    pub rows: Vec<u32>,
    /// For each entry: it is an alert, not just an annotation.
    pub is_alert: BooleanBuffer,
    /// For each entry its severity.
    pub severities: Vec<Severity>,
    /// For each entry its message.
    pub messages: StringArray,
    /// For each entry its attributes, columns as in the plan.
    pub attributes: RecordBatch,
    /// Changed states, keys ascending; none: the state is deleted.
    pub state: Vec<(u32, Option<Vec<u8>>)>,
    /// Timers set, event time; a key's timer replaces the one before.
    pub timers: Vec<(u32, i64)>,
    /// Rows and timers the rule could not be run on. They are not part of the rest of the outcome.
    pub poison: Vec<Poison>,
}

impl RuleOutcome {
    /// Returns an outcome that says nothing.
    pub fn nothing(attributes: SchemaRef) -> Self {
        Self {
            rows: Vec::new(),
            is_alert: BooleanBuffer::new_unset(0),
            severities: Vec::new(),
            messages: StringArray::new_null(0),
            attributes: RecordBatch::new_empty(attributes),
            state: Vec::new(),
            timers: Vec::new(),
            poison: Vec::new(),
        }
    }

    /// Returns what is inconsistent with a call of `rows` rows and `keys` keys, if anything.
    pub(super) fn fault(&self, rows: usize, keys: usize, plan: &RulePlan) -> Option<&'static str> {
        let entries = self.rows.len();
        let lengths = [
            self.is_alert.len(),
            self.severities.len(),
            self.messages.len(),
            self.attributes.num_rows(),
        ];
        let within = |index: u32, limit: usize| usize::try_from(index).is_ok_and(|i| i < limit);
        if lengths.iter().any(|len| *len != entries) {
            Some("entries of different lengths")
        } else if self.attributes.num_columns() != plan.attributes.fields().len() {
            Some("attributes that are not those of the plan")
        } else if !self.rows.is_sorted() {
            Some("rows out of order")
        } else if !self.rows.last().is_none_or(|last| within(*last, rows.saturating_add(keys))) {
            Some("a row that was not in the call")
        } else if !self.state.is_sorted_by(|a, b| a.0 < b.0) {
            Some("states out of order")
        } else if !self.state.last().is_none_or(|last| within(last.0, keys)) {
            Some("a state of a key that was not in the call")
        } else if !self.timers.iter().all(|(key, _)| within(*key, keys)) {
            Some("a timer of a key that was not in the call")
        } else if !self.poison.iter().all(|p| within(p.row, rows.saturating_add(keys))) {
            Some("a poison row that was not in the call")
        } else {
            None
        }
    }
}

/// A row or timer that made the rule fail. In order of the rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Poison {
    /// Index into the call's rows; `rows.num_rows() + k` is key `k`'s timer.
    pub row: u32,
    /// What kind of failure it was, a short label with few values.
    pub reason: &'static str,
    /// What went wrong.
    pub message: String,
}
