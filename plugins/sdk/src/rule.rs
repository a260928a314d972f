//! Rules: rows and state by key in; annotated rows, alerts and state out.

use serde::{Serialize, de::DeserializeOwned};

use crate::bindings::rule as wit;
use crate::bindings::types::{Fault, Table, TextBuffer};
use crate::describe::{Description, Sample, read_config};
use crate::schema::{ColumnRef, Input, Schema};
use crate::table::{TableBuilder, Value};
use crate::view::{Row, bit, text_at};

pub use wit::Severity;

/// What a rule wants from the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulePlan {
    /// The columns with which it annotates rows and alerts.
    pub attributes: Schema,
    /// How many earlier rows of the key it looks at.
    pub history: u32,
    /// Which columns of those it looks at. Empty: all.
    pub history_columns: Vec<String>,
}

/// Looks at the rows of each key in order, annotates them and raises alerts.
///
/// A rule is a pure function of its configuration, the key's state and the row: what it must
/// remember is in `State` or comes as history.
pub trait Rule: Sized + 'static {
    /// The plugin's name.
    const NAME: &'static str;
    /// The plugin's version; `None`: that of its crate.
    const VERSION: Option<&'static str> = None;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// JSON Schema of its configuration.
    const CONFIG_SCHEMA: &'static str;
    /// The version of `State`. `None`: the rule keeps no state, and `State` is `()`.
    const STATE_VERSION: Option<u32> = None;

    /// The `config` table of the pipeline file.
    type Config: DeserializeOwned;
    /// What is remembered for each key.
    type State: Serialize + DeserializeOwned + Default;

    /// Checks the configuration against the columns of the input.
    ///
    /// # Errors
    /// A configuration fault, in words for the person who wrote the pipeline file.
    fn configure(config: Self::Config, input: &Input) -> Result<Self, Fault>;

    /// What it wants from the host.
    fn plan(&self) -> RulePlan;

    /// Looks at one row. `history` holds the key's rows before it, oldest first.
    fn on_row(
        &self,
        state: &mut Self::State,
        row: Row<'_>,
        history: History<'_>,
        out: &mut Output<'_>,
    );

    /// The key's timer has come due. Runs after the rows of the call.
    fn on_timer(&self, _state: &mut Self::State, _at_us: i64, _out: &mut Output<'_>) {}

    /// Reads state that version `from` has written. Reached only by rules exported with
    /// `export_rule!(MyRule, migrates)`.
    ///
    /// # Errors
    /// An internal fault when it cannot.
    fn migrate(from: u32, _state: &[u8]) -> Result<Self::State, Fault> {
        Err(Fault::Internal(format!("state of version {from} cannot be read")))
    }

    /// Inputs with what is expected of them.
    fn samples() -> Vec<Sample> {
        Vec::new()
    }
}

/// The rows of the key before the current one, oldest first, as many as the plan asked for.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    before: &'a Table,
    places: &'a [Option<usize>],
    /// Rows of `before`.
    old: (usize, usize),
    current: &'a Table,
    /// Rows of `current`.
    new: (usize, usize),
}

impl<'a> History<'a> {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.old.1 - self.old.0) + (self.new.1 - self.new.0)
    }

    /// Whether the key has no earlier row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A row; 0 is the oldest.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Row<'a>> {
        let old = self.old.1 - self.old.0;
        if index < old {
            Some(Row { table: self.before, row: self.old.0 + index, places: Some(self.places) })
        } else if index < self.len() {
            Some(Row { table: self.current, row: self.new.0 + (index - old), places: None })
        } else {
            None
        }
    }

    /// The row right before the current one.
    #[must_use]
    pub fn last(&self) -> Option<Row<'a>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The rows, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Row<'a>> + use<'a> {
        let this = *self;
        (0..this.len()).filter_map(move |index| this.get(index))
    }

    /// The numbers of a column, oldest first; nulls are left out.
    pub fn numbers(&self, column: ColumnRef) -> impl DoubleEndedIterator<Item = f64> + use<'a> {
        self.iter().filter_map(move |row| row.f64(column))
    }
}

/// What a rule says about the current row, or about the key when its timer came due.
#[derive(Debug)]
pub struct Output<'a> {
    collected: &'a mut Collected,
    row: u32,
    timer: &'a mut Option<i64>,
    clear: &'a mut bool,
}

impl Output<'_> {
    /// Annotates the row: one value for each attribute of the plan, in order.
    pub fn annotate(&mut self, values: &[Value<'_>]) {
        self.entry(None, Severity::Info, "", values);
    }

    /// Raises an alert with one value for each attribute of the plan.
    pub fn alert(&mut self, severity: Severity, message: &str, values: &[Value<'_>]) {
        self.entry(Some(()), severity, message, values);
    }

    /// Asks to be called back when the watermark reaches `at_us`. Replaces the key's timer.
    pub fn set_timer(&mut self, at_us: i64) {
        *self.timer = Some(at_us);
    }

    /// Forgets the key's state.
    pub fn clear_state(&mut self) {
        *self.clear = true;
    }

    fn entry(
        &mut self,
        alert: Option<()>,
        severity: Severity,
        message: &str,
        values: &[Value<'_>],
    ) {
        let collected = &mut *self.collected;
        let index = collected.rows.len();
        if index.is_multiple_of(8) {
            collected.is_alert.push(0);
        }
        if alert.is_some()
            && let Some(byte) = collected.is_alert.last_mut()
        {
            *byte |= 1 << (index % 8);
        }
        collected.rows.push(self.row);
        collected.severities.push(severity);
        push_text(&mut collected.messages, message.as_bytes());
        for (column, value) in values.iter().enumerate() {
            collected.attributes.set(column, *value);
        }
        collected.attributes.finish_row();
    }
}

#[derive(Debug)]
struct Collected {
    rows: Vec<u32>,
    is_alert: Vec<u8>,
    severities: Vec<Severity>,
    messages: TextBuffer,
    attributes: TableBuilder,
}

fn empty_text() -> TextBuffer {
    TextBuffer { offsets: vec![0], data: Vec::new() }
}

fn push_text(buffer: &mut TextBuffer, value: &[u8]) {
    buffer.data.extend_from_slice(value);
    // Beyond 2 GiB the host finds offsets that do not ascend and refuses the answer.
    buffer.offsets.push(i32::try_from(buffer.data.len()).unwrap_or(-1));
}

struct Key<S> {
    state: Option<S>,
    had_state: bool,
    dropped: bool,
    timer: Option<i64>,
}

/// A configured rule, as the host sees it.
#[derive(Debug)]
pub struct RuleHost<R> {
    rule: R,
    plan: RulePlan,
    /// For each input column its place in the history.
    places: Vec<Option<usize>>,
}

impl<R: Rule> RuleHost<R> {
    /// Configures a rule.
    ///
    /// # Errors
    /// The configuration fault.
    pub fn configure(config: &str, input: Schema) -> Result<Self, Fault> {
        let input = Input::new(input);
        let rule = R::configure(read_config(config)?, &input)?;
        let plan = rule.plan();
        for name in &plan.history_columns {
            input.column(name)?;
        }
        let places = input
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| {
                if plan.history_columns.is_empty() {
                    Some(index)
                } else {
                    plan.history_columns.iter().position(|n| *n == field.name)
                }
            })
            .collect();
        Ok(Self { rule, plan, places })
    }

    /// The plan, as the host wants it.
    #[must_use]
    pub fn plan(&self) -> wit::Plan {
        wit::Plan {
            attributes: self.plan.attributes.clone(),
            history: self.plan.history,
            history_columns: self.plan.history_columns.clone(),
        }
    }

    /// Evaluates the rule.
    ///
    /// # Errors
    /// An internal fault for state that cannot be read or written.
    pub fn evaluate(&self, call: &wit::RuleCall) -> Result<wit::Outcome, Fault> {
        let count = call.key_offsets.len().saturating_sub(1);
        let mut out = Collected {
            rows: Vec::new(),
            is_alert: Vec::new(),
            severities: Vec::new(),
            messages: empty_text(),
            attributes: TableBuilder::new(&self.plan.attributes, size(call.rows.rows)),
        };
        let mut keys = Vec::with_capacity(count);
        for key in 0..count {
            let mut entry = self.read_state(call, key)?;
            self.rows_of_key(call, key, &mut entry, &mut out);
            keys.push(entry);
        }
        // Alerts of timers stand behind those of rows.
        for (&key, &at_us) in call.timer_keys.iter().zip(&call.timers_us) {
            if let Some(entry) = keys.get_mut(size(key)) {
                let row = call.rows.rows.saturating_add(key);
                callback(entry, &mut out, row, |state, out| {
                    self.rule.on_timer(state, at_us, out);
                });
            }
        }
        self.outcome(call, keys, out)
    }

    fn read_state(&self, call: &wit::RuleCall, key: usize) -> Result<Key<R::State>, Fault> {
        let had_state = R::STATE_VERSION.is_some() && bit(&call.has_state, key);
        let state = if had_state {
            let bytes = text_at(&call.states, key).unwrap_or_default();
            Some(postcard::from_bytes(bytes).map_err(|error| {
                Fault::Internal(format!("the state of key {key} cannot be read: {error}"))
            })?)
        } else {
            None
        };
        Ok(Key { state, had_state, dropped: false, timer: None })
    }

    fn rows_of_key(
        &self,
        call: &wit::RuleCall,
        key: usize,
        entry: &mut Key<R::State>,
        out: &mut Collected,
    ) {
        let (first, end) = span(&call.key_offsets, key);
        let (old_first, old_end) = span(&call.history_offsets, key);
        let wanted = size(self.plan.history);
        for (row, number) in (first..end).zip(size_to_u32(first)..) {
            let new_first = row.saturating_sub(wanted).max(first);
            let from_host = wanted.saturating_sub(row - new_first);
            let history = History {
                before: &call.history,
                places: &self.places,
                old: (old_end.saturating_sub(from_host).max(old_first), old_end),
                current: &call.rows,
                new: (new_first, row),
            };
            let view = Row { table: &call.rows, row, places: None };
            callback(entry, out, number, |state, out| {
                self.rule.on_row(state, view, history, out);
            });
        }
    }

    fn outcome(
        &self,
        call: &wit::RuleCall,
        keys: Vec<Key<R::State>>,
        out: Collected,
    ) -> Result<wit::Outcome, Fault> {
        let mut outcome = wit::Outcome {
            annotations: wit::Annotations {
                rows: out.rows,
                is_alert: out.is_alert,
                severities: out.severities,
                messages: out.messages,
                attributes: out.attributes.finish(&self.plan.attributes)?,
            },
            state_keys: Vec::new(),
            states: empty_text(),
            dropped_keys: Vec::new(),
            timer_keys: Vec::new(),
            timers_us: Vec::new(),
        };
        for (key, index) in keys.into_iter().zip(0_u32..) {
            if let Some(at_us) = key.timer {
                outcome.timer_keys.push(index);
                outcome.timers_us.push(at_us);
            }
            if R::STATE_VERSION.is_none() {
                continue;
            }
            if key.dropped {
                if key.had_state {
                    outcome.dropped_keys.push(index);
                }
                continue;
            }
            let Some(state) = key.state else { continue };
            let bytes = postcard::to_allocvec(&state).map_err(|error| {
                Fault::Internal(format!("the state of key {index} cannot be written: {error}"))
            })?;
            let old = text_at(&call.states, size(index)).unwrap_or_default();
            if !key.had_state || bytes != old {
                outcome.state_keys.push(index);
                push_text(&mut outcome.states, &bytes);
            }
        }
        Ok(outcome)
    }
}

fn callback<S: Default>(
    entry: &mut Key<S>,
    out: &mut Collected,
    row: u32,
    call: impl FnOnce(&mut S, &mut Output<'_>),
) {
    let mut clear = false;
    let state = entry.state.get_or_insert_with(S::default);
    entry.dropped = false;
    call(state, &mut Output { collected: out, row, timer: &mut entry.timer, clear: &mut clear });
    if clear {
        entry.state = None;
        entry.dropped = true;
    }
}

/// Migrates states one by one.
///
/// # Errors
/// The rule's fault.
pub fn migrate<R: Rule>(from: u32, states: &TextBuffer) -> Result<TextBuffer, Fault> {
    let mut migrated = empty_text();
    for index in 0..states.offsets.len().saturating_sub(1) {
        let state = R::migrate(from, text_at(states, index).unwrap_or_default())?;
        let bytes = postcard::to_allocvec(&state)
            .map_err(|error| Fault::Internal(format!("a state cannot be written: {error}")))?;
        push_text(&mut migrated, &bytes);
    }
    Ok(migrated)
}

fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn size_to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn span(offsets: &[u32], key: usize) -> (usize, usize) {
    let first = offsets.get(key).copied().map_or(0, size);
    let end = offsets.get(key + 1).copied().map_or(first, size);
    (first, end.max(first))
}

/// The description of a rule; `version` is that of its crate.
#[must_use]
pub fn describe<R: Rule>(version: &'static str) -> Description {
    Description {
        name: R::NAME,
        version: R::VERSION.unwrap_or(version),
        summary: R::SUMMARY,
        config_schema: R::CONFIG_SCHEMA,
        rejects: &[],
        state_version: R::STATE_VERSION,
        samples: R::samples(),
    }
}
