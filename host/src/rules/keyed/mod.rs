//! Plugin rules: rows by key, with history, state and timers kept by the host.
//!
//! A key's rows and timers are taken in a fixed order, however the stream was cut into batches:
//!
//! * Rows in stream order, or, with `order = "event_time"`, by event time once the watermark is
//!   beyond them.
//! * With `order = "event_time"` a timer fires between the rows it falls between: before rows at or
//!   after its time. In arrival order rows come first, timers when the watermark reaches them.
//! * State is gone for a row that comes more than `state_ttl` after the key's row before it, and
//!   for timers that would fire then. Keys without rows are swept when the watermark says so, which
//!   changes nothing but memory.
//!
//! Evaluators are pure, so a call can be thrown away: when a rule turns out to set timers for a key
//! of which the call had several rows, the call is repeated row by row.

mod rounds;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::alerts::{AlertSettings, AlertWriter};
use super::codec::RowCodec;
use super::collect::Collected;
use super::error::RuleError;
use super::evaluator::{Evaluator, RulePlan};
use super::held::{Held, RowClock};
use super::keys::{Entry, KeyTable};
use super::schema::{AlertAttributes, column, rows_schema};
use super::state::{
    RuleDelta, RuleState, forget, held_from_batches, held_to_batches, ids_from_batch, ids_to_batch,
    keys_from_batches, keys_to_batches, removed_to_batch,
};
use super::work::Work;
use crate::config::model::RowOrder;
use crate::data::{NO_TIME, PartitionRef, Rows};

/// How a keyed rule runs.
#[derive(Clone, Debug)]
pub struct KeyedSettings {
    /// What its alerts look like.
    pub alerts: AlertSettings,
    /// What the plugin asked for.
    pub plan: RulePlan,
    /// State is dropped when a key has had no row for this long, in event time.
    pub state_ttl_us: Option<i64>,
    /// The order of rows.
    pub order: RowOrder,
    /// Also evaluate revisions of windows.
    pub revisions: bool,
    /// Most rows in one call.
    pub call_rows: usize,
    /// Whether anyone reads the annotated rows.
    pub annotate: bool,
}

/// What a rule made of some rows.
#[derive(Clone, Debug)]
pub struct RuleOutput {
    /// Alerts, in the order of their rows, then of their timers.
    pub alerts: Rows,
    /// Every row with the rule's attributes; empty unless asked for.
    pub rows: Rows,
    /// Rows the rule could not be run on, for the dead letters.
    pub poison: Vec<PoisonRow>,
}

/// A row or timer that made the rule fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonRow {
    /// The partition it came from; none for rows that windows made, and for timers.
    pub from: Option<PartitionRef>,
    /// Its position there.
    pub position: i64,
    /// Its event time, or `NO_TIME`; of a timer the time that the rule asked for.
    pub time_us: i64,
    /// The row as a JSON object; none for timers.
    pub row: Option<String>,
    /// What kind of failure it was, a short label with few values.
    pub reason: &'static str,
    /// What went wrong.
    pub message: String,
}

/// A plugin rule and the state it has the host keep.
#[derive(Clone, Debug)]
pub struct KeyedRule {
    settings: KeyedSettings,
    writer: AlertWriter,
    rows_schema: SchemaRef,
    history: RowCodec,
    history_columns: Vec<usize>,
    history_schema: SchemaRef,
    history_rows: usize,
    table: KeyTable,
    held: Held,
    watermark_us: i64,
    /// The latest clock of any row so far.
    latest_us: i64,
    swept_us: i64,
    /// The rule has set a timer. Only a hint: it never changes what comes out.
    uses_timers: bool,
}

impl KeyedRule {
    /// Checks the settings and returns a rule without state.
    ///
    /// # Errors
    /// When a column does not exist, cannot be a key or be kept as history, or clashes with another
    /// in the rule's results; when the message template does not fit.
    pub fn new(settings: KeyedSettings) -> Result<Self, RuleError> {
        let plan = &settings.plan;
        let input = Arc::clone(&settings.alerts.input);
        let attributes = AlertAttributes::Plugin(&plan.attributes);
        let writer = AlertWriter::new(settings.alerts.clone(), attributes)?;
        let rows_schema = rows_schema(&input, &plan.attributes)?;
        let wanted = &plan.history_columns;
        let history_columns: Vec<usize> = if plan.history == 0 {
            Vec::new()
        } else if wanted.is_empty() {
            (0..input.fields().len()).collect()
        } else {
            wanted.iter().map(|name| column(&input, name)).collect::<Result<_, _>>()?
        };
        let mut fields: Vec<FieldRef> = Vec::with_capacity(history_columns.len());
        for index in &history_columns {
            fields.extend(input.fields().get(*index).cloned());
        }
        let history = RowCodec::for_rows(&fields)?;
        let history_schema = Arc::new(Schema::new(history.fields().to_vec()));
        let history_rows = usize::try_from(plan.history).unwrap_or(usize::MAX);
        Ok(Self {
            writer,
            rows_schema,
            history,
            history_columns,
            history_schema,
            history_rows,
            table: KeyTable::default(),
            held: Held::default(),
            watermark_us: NO_TIME,
            latest_us: NO_TIME,
            swept_us: NO_TIME,
            uses_timers: false,
            settings,
        })
    }

    /// Returns the schema of the rule's alerts.
    pub fn alert_schema(&self) -> &SchemaRef {
        self.writer.schema()
    }

    /// Returns the schema of the annotated rows.
    pub fn rows_schema(&self) -> &SchemaRef {
        &self.rows_schema
    }

    /// Returns the number of keys that keep something.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    /// Returns the number of rows held until the watermark passes them.
    pub fn held_rows(&self) -> usize {
        self.held.len()
    }

    /// Returns about how much memory the rule's state takes.
    pub fn memory_bytes(&self) -> usize {
        self.table
            .memory_bytes()
            .saturating_add(self.held.memory_bytes())
            .saturating_add(self.writer.ids.memory_bytes())
    }

    /// Takes rows. In arrival order they are evaluated at once; in event-time order they are held.
    ///
    /// # Errors
    /// When the rule cannot go on.
    pub fn push(
        &mut self,
        rows: &Rows,
        clock: RowClock,
        evaluator: &mut dyn Evaluator,
    ) -> Result<RuleOutput, RuleError> {
        if self.settings.order == RowOrder::EventTime {
            self.held.push(rows, clock, self.watermark_us);
            return self.nothing();
        }
        let clocks = rows.time.values().to_vec();
        let work = Work { rows: rows.clone(), partitions: None, clocks };
        let mut collected = Collected::default();
        self.run(&work, false, evaluator, &mut collected)?;
        self.output(&work, collected)
    }

    /// Moves the watermark: held rows before it leave, timers it has reached fire.
    ///
    /// At `i64::MAX`, the end of the source, pending timers fire, but none that these set.
    ///
    /// # Errors
    /// When the rule cannot go on.
    pub fn advance(
        &mut self,
        watermark_us: i64,
        evaluator: &mut dyn Evaluator,
    ) -> Result<RuleOutput, RuleError> {
        let watermark_us = watermark_us.max(self.watermark_us);
        let mut collected = Collected::new(self.settings.order == RowOrder::EventTime);
        let work = match self.held.release(watermark_us)? {
            Some(work) => {
                self.run(&work, true, evaluator, &mut collected)?;
                work
            }
            None => self.no_work(),
        };
        if watermark_us == i64::MAX {
            // The end: timers up to the last row as if the watermark had stopped there, so that
            // how often it had moved before makes no difference.
            self.watermark_us = self.watermark_us.max(self.latest_us);
            self.fire(&work, evaluator, &mut collected)?;
        }
        self.watermark_us = watermark_us;
        self.fire(&work, evaluator, &mut collected)?;
        self.sweep();
        let output = self.output(&work, collected)?;
        self.writer.ids.advance(watermark_us);
        Ok(output)
    }

    /// Returns everything the rule must have back after a restart.
    ///
    /// # Errors
    /// When a batch cannot be made.
    pub fn state(&self) -> Result<RuleState, RuleError> {
        self.written(&self.table.sorted(), self.held.all()?)
    }

    /// Keeps track of what changes from here on, for [`KeyedRule::take_delta`].
    pub fn track(&mut self) {
        self.table.track();
    }

    /// Returns what has changed since this was last asked, or since [`KeyedRule::track`].
    ///
    /// # Errors
    /// When a batch cannot be made.
    pub fn take_delta(&mut self) -> Result<RuleDelta, RuleError> {
        let (slots, removed) = self.table.take_changes();
        let fresh = self.held.take_fresh()?;
        let entries: Vec<&Entry> =
            slots.iter().filter_map(|slot| self.table.entry(*slot)).collect();
        let state = self.written(&entries, fresh)?;
        Ok(RuleDelta { state, removed: removed_to_batch(&removed)? })
    }

    fn written(&self, keys: &[&Entry], held: Option<Work>) -> Result<RuleState, RuleError> {
        let (keys, history) = keys_to_batches(keys, &self.writer.key_codec, &self.history)?;
        let (held, held_facts) = held_to_batches(held, self.writer.input())?;
        Ok(RuleState {
            watermark_us: self.watermark_us,
            latest_us: self.latest_us,
            keys,
            history,
            held,
            held_facts,
            alerts: ids_to_batch(self.writer.ids.counts())?,
        })
    }

    /// Returns a rule that goes on where `state` was taken.
    ///
    /// # Errors
    /// As [`KeyedRule::new`], and when the state was taken from a rule with another key, input or
    /// history.
    pub fn from_state(settings: KeyedSettings, state: &RuleState) -> Result<Self, RuleError> {
        let mut rule = Self::new(settings)?;
        rule.load(state)?;
        Ok(rule)
    }

    /// Puts a state into a rule that has seen nothing.
    ///
    /// # Errors
    /// When the state was taken from a rule with another key, input or history.
    pub fn load(&mut self, state: &RuleState) -> Result<(), RuleError> {
        let name = self.writer.rule().to_owned();
        let misfit = |what: &str| RuleError::State { rule: name.clone(), what: what.to_owned() };
        let key = &self.writer.key_codec;
        keys_from_batches(&mut self.table, state, key, &self.history, self.history_rows)?
            .map_err(misfit)?;
        held_from_batches(&mut self.held, state, self.writer.input()).map_err(misfit)?;
        let counts = ids_from_batch(&state.alerts)
            .ok_or_else(|| misfit("its alert counts have other columns"))?;
        self.writer.ids.restore(counts.into_iter());
        self.watermark_us = state.watermark_us;
        self.latest_us = state.latest_us;
        Ok(())
    }

    /// Brings the rule from where the delta before was taken to where this one was.
    ///
    /// # Errors
    /// As [`KeyedRule::load`].
    pub fn apply_delta(&mut self, delta: &RuleDelta) -> Result<(), RuleError> {
        let name = self.writer.rule().to_owned();
        forget(&mut self.table, &delta.removed)
            .map_err(|what| RuleError::State { rule: name, what: what.to_owned() })?;
        self.held.release(delta.state.watermark_us)?;
        self.load(&delta.state)
    }

    fn nothing(&mut self) -> Result<RuleOutput, RuleError> {
        let work = self.no_work();
        self.output(&work, Collected::default())
    }

    fn no_work(&self) -> Work {
        let none = || arrow::array::Int64Array::from(Vec::<i64>::new());
        let rows = Rows {
            batch: RecordBatch::new_empty(Arc::clone(self.writer.input())),
            time: none(),
            position: none(),
            max_before: none(),
            from: None,
        };
        Work { rows, partitions: None, clocks: Vec::new() }
    }

    fn output(&mut self, work: &Work, collected: Collected) -> Result<RuleOutput, RuleError> {
        let annotate = self.settings.annotate.then_some(&self.rows_schema);
        let rows_schema = Arc::clone(&self.rows_schema);
        let attributes = &self.settings.plan.attributes;
        collected.output(work, &mut self.writer, attributes, annotate, &rows_schema)
    }
}
