//! Rules: rows and state by key to annotations, alerts and state.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Schema, SchemaRef};

use crate::config::model::Severity;

use super::bindings::exports::millstream::plugin::rule::{
    Guest, GuestIndices, Outcome, Plan, RuleCall as GuestCall, Severity as GuestSeverity,
};
use super::bisect::bisect;
use super::convert_in::{HeldText, InputShape, bits};
use super::error::{CallError, PluginError, Poison};
use super::gate::PluginKind;
use super::instance::{CallSite, Live, Slot};
use super::load::PluginVersion;
use super::rule_split::{Part, join, split_key};
use super::schema;
use super::validate::{self, BadOutput, size};

/// Most rows of history that a rule may ask for, for each key.
const MAX_HISTORY: u32 = 100_000;

/// A configured rule. Shared; each worker takes an instance of its own.
pub struct RulePlugin {
    version: Arc<PluginVersion>,
    config: String,
    input: InputShape,
    history_input: InputShape,
    plan: RulePlan,
    indices: GuestIndices,
}

/// What a rule wants from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RulePlan {
    pub(super) attributes: SchemaRef,
    pub(super) history: u32,
    pub(super) history_columns: Vec<usize>,
}

impl std::fmt::Debug for RulePlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RulePlugin")
            .field("version", &self.version)
            .field("config", &self.config)
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// What a rule is called with. Rows are grouped by key.
#[derive(Clone, Copy, Debug)]
pub struct RuleCall<'a> {
    /// The rows, of the schema the rule was configured with; those of key `k` are
    /// `key_offsets[k]..key_offsets[k + 1]`, in stream order. A key may have none.
    pub rows: &'a RecordBatch,
    /// One more than there are keys, the first is 0, the last the number of rows.
    pub key_offsets: &'a [u32],
    /// The state of each key, null when it has none.
    pub states: &'a BinaryArray,
    /// The earlier rows of each key, oldest first: the columns `RulePlugin::history_columns`.
    pub history: &'a RecordBatch,
    /// Like `key_offsets`, into `history`.
    pub history_offsets: &'a [u32],
    /// Timers that have come due: the index of the key.
    pub timer_keys: &'a [u32],
    /// And the time that it asked for.
    pub timers_us: &'a [i64],
    /// The watermark.
    pub watermark_us: i64,
}

/// What a rule said, in the order of rows.
#[derive(Clone, Debug)]
pub struct RuleOutcome {
    /// For each entry the index of its row, never falling; the number of rows plus the index of the
    /// key when a timer made it.
    pub rows: Vec<u32>,
    /// Whether the entry is an alert.
    pub is_alert: BooleanBuffer,
    /// Each entry's severity.
    pub severities: Vec<Severity>,
    /// Each entry's message.
    pub messages: StringArray,
    /// Each entry's attributes.
    pub attributes: RecordBatch,
    /// Keys with a new state, ascending.
    pub state_keys: Vec<u32>,
    /// Their states.
    pub states: BinaryArray,
    /// Keys whose state is to be deleted, ascending.
    pub dropped_keys: Vec<u32>,
    /// Timers to set, in place of the key's timer before; of several for one key the last counts.
    pub timer_keys: Vec<u32>,
    /// When each is due.
    pub timers_us: Vec<i64>,
    /// Rows that the rule cannot digest, ascending. They changed no state.
    pub poison: Vec<Poison>,
    /// CPU time that the guest took, in nanoseconds.
    pub cpu_ns: u64,
}

impl RuleOutcome {
    /// Returns what a rule with these attributes says when it says nothing.
    pub fn empty(attributes: &SchemaRef) -> Self {
        Self {
            rows: Vec::new(),
            is_alert: BooleanBuffer::new_unset(0),
            severities: Vec::new(),
            messages: StringArray::new_null(0),
            attributes: RecordBatch::new_empty(Arc::clone(attributes)),
            state_keys: Vec::new(),
            states: BinaryArray::new_null(0),
            dropped_keys: Vec::new(),
            timer_keys: Vec::new(),
            timers_us: Vec::new(),
            poison: Vec::new(),
            cpu_ns: 0,
        }
    }
}

impl PluginVersion {
    /// Configures the plugin as a rule over rows of `input`; `config` is JSON.
    ///
    /// # Errors
    /// When it is no rule, refuses configuration or input, or fails.
    pub fn rule(
        self: &Arc<Self>,
        config: &str,
        input: &Schema,
    ) -> Result<Arc<RulePlugin>, PluginError> {
        self.expect_kind(PluginKind::Rule)?;
        let name = &self.core.id.name;
        let shape = InputShape::new(name, input)?;
        let indices = GuestIndices::new(&self.core.pre)
            .map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        let (_, plan) = open(self, &indices, config, &shape)?;
        let plan = check_plan(self, plan, &shape)?;
        let history = input.project(&plan.history_columns).map_err(|error| {
            PluginError::Caller { name: name.clone(), reason: error.to_string() }
        })?;
        let history_input = InputShape::new(name, &history)?;
        let config = config.to_owned();
        let version = Arc::clone(self);
        Ok(Arc::new(RulePlugin { version, config, input: shape, history_input, plan, indices }))
    }
}

/// Starts and configures an instance.
fn open(
    version: &PluginVersion,
    indices: &GuestIndices,
    config: &str,
    input: &InputShape,
) -> Result<(Live<Guest>, Plan), PluginError> {
    let core = &version.core;
    let (live, result) = core.once(
        "configure",
        |store, instance| indices.load(store, instance),
        |store, guest| guest.call_configure(store, config, &input.fields()),
    )?;
    Ok((live, result.map_err(|fault| core.refused("configure", fault))?))
}

fn check_plan(
    version: &PluginVersion,
    plan: Plan,
    input: &InputShape,
) -> Result<RulePlan, PluginError> {
    let core = &version.core;
    let attributes =
        schema::from_guest(plan.attributes).map_err(|bad| core.nonsense("configure", bad))?;
    if plan.history > MAX_HISTORY {
        let bad = BadOutput(format!("wants {} rows of history for each key", plan.history));
        return Err(core.nonsense("configure", bad));
    }
    let names = input.names();
    let mut history_columns = Vec::new();
    for column in plan.history_columns {
        let found = names.iter().position(|name| **name == *column);
        history_columns.push(found.ok_or_else(|| PluginError::HistoryColumn {
            name: core.id.name.clone(),
            column: super::log::clean(&column),
        })?);
    }
    if plan.history == 0 {
        history_columns.clear();
    } else if history_columns.is_empty() {
        history_columns = (0..names.len()).collect();
    }
    Ok(RulePlan { attributes, history: plan.history, history_columns })
}

impl RulePlugin {
    /// Returns the schema of what annotates a row.
    pub fn attributes(&self) -> &SchemaRef {
        &self.plan.attributes
    }

    /// Returns how many earlier rows of each key the rule wants. 0: none.
    pub fn history(&self) -> u32 {
        self.plan.history
    }

    /// Returns which of the input's columns the history has.
    pub fn history_columns(&self) -> &[usize] {
        &self.plan.history_columns
    }

    /// Returns the plugin version that this is a configuration of.
    pub fn version(&self) -> &Arc<PluginVersion> {
        &self.version
    }

    /// Returns an instance for one thread. It starts at its first batch.
    pub fn instance(self: &Arc<Self>) -> RuleInstance {
        RuleInstance { plugin: Arc::clone(self), slot: Slot::new(), cpu_ns: 0 }
    }

    fn open(&self) -> Result<Live<Guest>, PluginError> {
        let (live, plan) = open(&self.version, &self.indices, &self.config, &self.input)?;
        if check_plan(&self.version, plan, &self.input)? == self.plan {
            return Ok(live);
        }
        Err(PluginError::Unstable { name: self.version.core.id.name.clone() })
    }

    /// Checks what one call over `rows` rows of `keys` keys returned.
    fn check(&self, outcome: Outcome, rows: usize, keys: usize) -> Result<RuleOutcome, BadOutput> {
        let said = outcome.annotations;
        let entries = said.rows.len();
        validate::never_falls(&said.rows, rows.saturating_add(keys), "annotated rows")?;
        if said.severities.len() != entries {
            return Err(BadOutput(format!("{} severities for {entries}", said.severities.len())));
        }
        let is_alert = validate::bitmap(said.is_alert, entries)?;
        let messages = validate::text(said.messages, entries, None)?;
        let most = self.version.core.limits.output_bytes;
        let attributes = validate::table(&self.plan.attributes, said.attributes, most)?;
        if attributes.num_rows() != entries {
            return Err(BadOutput(format!(
                "{} rows of attributes for {entries}",
                attributes.num_rows()
            )));
        }
        validate::rises(&outcome.state_keys, keys, "keys of states")?;
        validate::rises(&outcome.dropped_keys, keys, "dropped keys")?;
        let states = validate::bytes(outcome.states, outcome.state_keys.len(), None)?;
        if !states.is_empty() && self.version.descriptor().state_version.is_none() {
            return Err(BadOutput("a state, though it declares no state-version".into()));
        }
        let timers = outcome.timer_keys.len();
        if outcome.timers_us.len() != timers
            || outcome.timer_keys.iter().any(|key| size(*key) >= keys)
        {
            return Err(BadOutput(format!("{timers} timers that do not fit {keys} keys")));
        }
        let severity = |severity| match severity {
            GuestSeverity::Info => Severity::Info,
            GuestSeverity::Warning => Severity::Warning,
            GuestSeverity::Critical => Severity::Critical,
        };
        Ok(RuleOutcome {
            rows: said.rows,
            is_alert,
            severities: said.severities.into_iter().map(severity).collect(),
            messages,
            attributes,
            state_keys: outcome.state_keys,
            states,
            dropped_keys: outcome.dropped_keys,
            timer_keys: outcome.timer_keys,
            timers_us: outcome.timers_us,
            poison: Vec::new(),
            cpu_ns: 0,
        })
    }
}

/// A rule's instance on one thread.
pub struct RuleInstance {
    plugin: Arc<RulePlugin>,
    slot: Slot<Guest>,
    cpu_ns: u64,
}

impl std::fmt::Debug for RuleInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuleInstance").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl RuleInstance {
    /// Evaluates rows by key.
    ///
    /// When the rule fails, the keys and then the rows that it fails on are found; a key's other
    /// rows are evaluated in order, each with the state and history that those before it left.
    ///
    /// # Errors
    /// When no instance can be started, or `call` is malformed.
    pub fn evaluate(&mut self, call: RuleCall<'_>) -> Result<RuleOutcome, PluginError> {
        self.cpu_ns = 0;
        check_call(&call).map_err(|reason| self.caller(reason))?;
        let keys = call.states.len();
        let attributes = Arc::clone(&self.plugin.plan.attributes);
        if keys == 0 {
            return Ok(RuleOutcome::empty(&attributes));
        }
        let deadline_us = self.plugin.version.core.limits.deadline_us;
        let parts = bisect(keys, deadline_us, |range, deadline_us| {
            if range.len() == keys {
                return self.call(call, deadline_us);
            }
            let part = part_of_keys(&call, range).map_err(|reason| self.caller(reason))?;
            self.call(part.call(call.watermark_us), deadline_us)
        })?;
        let mut outcome = if parts.poison.is_empty() && parts.outputs.len() == 1 {
            let whole = parts.outputs.into_iter().next();
            whole.map_or_else(|| RuleOutcome::empty(&attributes), |(_, whole)| whole)
        } else {
            let mut pieces = parts.outputs;
            for (key, _) in parts.poison {
                let range = key..key.saturating_add(1);
                let part =
                    part_of_keys(&call, range.clone()).map_err(|reason| self.caller(reason))?;
                pieces.push((range, split_key(self, &part, call.watermark_us)?));
            }
            pieces.sort_by_key(|(range, _)| range.start);
            join(&attributes, &call, pieces).map_err(|reason| self.caller(reason))?
        };
        self.plugin.version.core.meter.poisoned(outcome.poison.len());
        outcome.cpu_ns = self.cpu_ns;
        Ok(outcome)
    }

    /// Calls the guest once.
    pub(super) fn call(
        &mut self,
        call: RuleCall<'_>,
        deadline_us: i64,
    ) -> Result<Result<RuleOutcome, Box<CallError>>, PluginError> {
        let plugin = Arc::clone(&self.plugin);
        let arrow = |error: arrow::error::ArrowError| PluginError::Caller {
            name: plugin.version.core.id.name.clone(),
            reason: error.to_string(),
        };
        let (rows, keys) = (call.rows.num_rows(), call.states.len());
        let held = plugin.input.hold(call.rows).map_err(arrow)?;
        let history = plugin.history_input.hold(call.history).map_err(arrow)?;
        let states = HeldText::new(call.states.offsets(), call.states.values()).map_err(arrow)?;
        let has_state = match call.states.nulls() {
            Some(nulls) => bits(nulls.inner()),
            None => bits(&BooleanBuffer::new_set(keys)),
        };
        let (columns, history_columns) = (held.columns(), history.columns());
        let core = &plugin.version.core;
        self.slot.call(
            CallSite { core, name: "evaluate", deadline_us, cpu_ns: &mut self.cpu_ns },
            || plugin.open(),
            |store, guest| {
                let call = GuestCall {
                    rows: held.table(&columns),
                    key_offsets: call.key_offsets,
                    states: states.param(),
                    has_state: &has_state,
                    history: history.table(&history_columns),
                    history_offsets: call.history_offsets,
                    timer_keys: call.timer_keys,
                    timers_us: call.timers_us,
                    watermark_us: call.watermark_us,
                };
                guest.call_evaluate(store, call)
            },
            |outcome| plugin.check(outcome, rows, keys),
        )
    }

    /// Returns the plugin that this is an instance of.
    pub fn plugin(&self) -> &Arc<RulePlugin> {
        &self.plugin
    }

    pub(super) fn plan(&self) -> &RulePlan {
        &self.plugin.plan
    }

    pub(super) fn deadline_us(&self) -> i64 {
        self.plugin.version.core.limits.deadline_us
    }

    pub(super) fn caller(&self, reason: String) -> PluginError {
        PluginError::Caller { name: self.plugin.version.core.id.name.clone(), reason }
    }
}

/// Checks that the parts of a call fit each other.
fn check_call(call: &RuleCall<'_>) -> Result<(), String> {
    let keys = call.states.len();
    let groups = [
        ("key_offsets", call.key_offsets, call.rows.num_rows()),
        ("history_offsets", call.history_offsets, call.history.num_rows()),
    ];
    for (name, offsets, rows) in groups {
        let fits = offsets.len().checked_sub(1) == Some(keys)
            && offsets.first() == Some(&0)
            && offsets.is_sorted()
            && offsets.last().is_some_and(|last| size(*last) == rows);
        if !fits {
            return Err(format!("{name} do not fit {keys} keys and {rows} rows"));
        }
    }
    let timers = call.timer_keys.len();
    if timers != call.timers_us.len() || call.timer_keys.iter().any(|key| size(*key) >= keys) {
        return Err(format!("{timers} timers do not fit {keys} keys"));
    }
    Ok(())
}

/// Returns the part of a call that is about the keys `range`. `check_call` has looked at the call.
fn part_of_keys(call: &RuleCall<'_>, range: Range<usize>) -> Result<Part, String> {
    let group = |offsets: &[u32], batch: &RecordBatch| {
        let offsets = offsets.get(range.start..range.end.saturating_add(1))?;
        let (&first, &last) = (offsets.first()?, offsets.last()?);
        let batch = batch.slice(size(first), size(last.saturating_sub(first)));
        Some((offsets.iter().map(|o| o.saturating_sub(first)).collect::<Vec<_>>(), batch))
    };
    let outside = || format!("no keys {range:?}");
    let (key_offsets, rows) = group(call.key_offsets, call.rows).ok_or_else(outside)?;
    let (history_offsets, history) =
        group(call.history_offsets, call.history).ok_or_else(outside)?;
    let mut timer_keys = Vec::new();
    let mut timers_us = Vec::new();
    for (&key, &time_us) in call.timer_keys.iter().zip(call.timers_us) {
        if range.contains(&size(key)) {
            timer_keys.push(key.saturating_sub(super::parser::index(range.start)));
            timers_us.push(time_us);
        }
    }
    let states = call.states.slice(range.start, range.len());
    Ok(Part { rows, key_offsets, states, history, history_offsets, timer_keys, timers_us })
}
