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

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};

use super::alerts::{AlertSettings, AlertWriter};
use super::codec::{RowCodec, RowView};
use super::collect::{Collected, Said};
use super::error::RuleError;
use super::evaluator::{Evaluator, RuleCall, RuleOutcome, RulePlan};
use super::groups::Groups;
use super::held::{Held, RowClock};
use super::keys::{KeyTable, is_expired};
use super::schema::{AlertAttributes, column, rows_schema};
use super::state::{
    RuleState, held_from_batches, held_to_batches, ids_from_batch, ids_to_batch, keys_from_batches,
    keys_to_batches,
};
use super::work::Work;
use crate::config::model::RowOrder;
use crate::data::{NO_TIME, PartitionRef, Rows};

/// Most timers one advance of the watermark fires in a row before the rule is taken to loop.
const MAX_TIMER_ROUNDS: u32 = if cfg!(test) { 10_000 } else { 1_000_000 };

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

/// Some rows of one key, or its timer.
struct Step {
    group: usize,
    slot: Option<u32>,
    from: usize,
    to: usize,
    timer: Option<i64>,
    /// The clock of the key's last row before.
    last_us: i64,
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
        let (keys, history) = keys_to_batches(&self.table, &self.writer.key_codec, &self.history)?;
        let (held, held_facts) = held_to_batches(&self.held, self.writer.input())?;
        let alerts = ids_to_batch(self.writer.ids.counts())?;
        Ok(RuleState {
            watermark_us: self.watermark_us,
            latest_us: self.latest_us,
            keys,
            history,
            held,
            held_facts,
            alerts,
        })
    }

    /// Returns a rule that goes on where `state` was taken.
    ///
    /// # Errors
    /// As [`KeyedRule::new`], and when the state was taken from a rule with another key, input or
    /// history.
    pub fn from_state(settings: KeyedSettings, state: &RuleState) -> Result<Self, RuleError> {
        let mut rule = Self::new(settings)?;
        let name = rule.writer.rule().to_owned();
        let misfit = |what: &str| RuleError::State { rule: name.clone(), what: what.to_owned() };
        let key = &rule.writer.key_codec;
        rule.table =
            keys_from_batches(state, key, &rule.history, rule.history_rows)?.map_err(misfit)?;
        rule.held = held_from_batches(state, rule.writer.input()).map_err(misfit)?;
        let counts = ids_from_batch(&state.alerts)
            .ok_or_else(|| misfit("its alert counts have other columns"))?;
        rule.writer.ids.restore(counts.into_iter());
        rule.watermark_us = state.watermark_us;
        rule.latest_us = state.latest_us;
        Ok(rule)
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

    /// Evaluates all rows of `work`, each key's in order. `timed`: with timers between them.
    fn run(
        &mut self,
        work: &Work,
        timed: bool,
        evaluator: &mut dyn Evaluator,
        collected: &mut Collected,
    ) -> Result<(), RuleError> {
        let rows = work.rows.len();
        if rows == 0 {
            return Ok(());
        }
        self.latest_us = work.clocks.iter().copied().fold(self.latest_us, i64::max);
        let columns = &self.writer.columns;
        let skip = !self.settings.revisions && columns.revision.is_some();
        let keep = |row| !skip || work.revision(columns, row) == 0;
        let keys = self.writer.key_codec.view(&self.writer.key_columns(&work.rows.batch))?;
        let groups = Groups::of_rows(&keys, rows, keep)?;
        let history = self.history.view(&self.history_of(&work.rows.batch))?;

        let mut next = vec![0usize; groups.len()];
        let mut active: Vec<usize> = (0..groups.len()).collect();
        let mut idle_rounds = 0u32;
        while !active.is_empty() {
            let steps = self.plan_round(work, &groups, &active, &next, timed);
            if steps.iter().all(|step| step.timer.is_some()) {
                idle_rounds = self.count_timers(idle_rounds)?;
            } else {
                idle_rounds = 0;
            }
            if self.call(work, &groups, &steps, &history, timed, evaluator, collected)? {
                for step in &steps {
                    if let Some(next) = next.get_mut(step.group) {
                        *next = step.to;
                    }
                }
                let done = |group: &usize| {
                    next.get(*group).is_none_or(|next| *next >= groups.rows(*group).len())
                };
                active.retain(|group| !done(group));
            }
        }
        Ok(())
    }

    fn history_of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let column = |index: &usize| batch.columns().get(*index).cloned();
        self.history_columns.iter().filter_map(column).collect()
    }

    fn count_timers(&self, rounds: u32) -> Result<u32, RuleError> {
        if rounds >= MAX_TIMER_ROUNDS {
            let rule = self.writer.rule().to_owned();
            return Err(RuleError::TimerLoop { rule, limit: MAX_TIMER_ROUNDS });
        }
        Ok(rounds.saturating_add(1))
    }

    /// Chooses what each key does next, within the most rows of a call. Never returns nothing.
    fn plan_round(
        &mut self,
        work: &Work,
        groups: &Groups,
        active: &[usize],
        next: &[usize],
        timed: bool,
    ) -> Vec<Step> {
        let mut room = self.settings.call_rows.max(1);
        let mut steps = Vec::with_capacity(active.len());
        for group in active {
            if room == 0 {
                break;
            }
            let from = next.get(*group).copied().unwrap_or(0);
            let step = self.plan_key(work, groups, *group, from, room, timed);
            room = room.saturating_sub(step.to.saturating_sub(step.from));
            steps.push(step);
        }
        steps
    }

    fn plan_key(
        &mut self,
        work: &Work,
        groups: &Groups,
        group: usize,
        from: usize,
        room: usize,
        timed: bool,
    ) -> Step {
        let rows = groups.rows(group).get(from..).unwrap_or_default();
        let clock = |row: &u32| {
            let row = usize::try_from(*row).unwrap_or(usize::MAX);
            work.clocks.get(row).copied().unwrap_or(NO_TIME)
        };
        let first = rows.first().map_or(NO_TIME, clock);
        let mut slot = self.table.find(groups.hash(group), groups.key(group));
        let (mut timer, mut last) = (None, NO_TIME);
        if let Some(entry) = slot.and_then(|slot| self.table.entry(slot)) {
            (timer, last) = (entry.timer(), entry.last_us);
        }
        if let Some(at) = timer.filter(|at| timed && *at <= first)
            && !self.is_gone(last, at)
        {
            return Step { group, slot, from, to: from, timer: Some(at), last_us: last };
        }
        if let Some(gone) = slot.filter(|_| self.is_gone(last, first.max(self.watermark_us))) {
            self.table.remove(gone);
            (slot, timer, last) = (None, None, NO_TIME);
        }
        let most = if timed && self.uses_timers { 1 } else { room };
        let (last_us, mut taken) = (last, 0usize);
        for row in rows.iter().take(most) {
            let now = clock(row);
            let gone = self.is_gone(last, now.max(self.watermark_us));
            let stop = gone || timer.is_some_and(|at| timed && at <= now);
            if taken > 0 && stop {
                break;
            }
            last = last.max(now);
            taken = taken.saturating_add(1);
        }
        Step { group, slot, from, to: from.saturating_add(taken), timer: None, last_us }
    }

    fn is_gone(&self, last_us: i64, now_us: i64) -> bool {
        self.settings.state_ttl_us.is_some_and(|ttl_us| is_expired(last_us, now_us, ttl_us))
    }

    /// Fires the timers that the watermark has reached, and those they set.
    fn fire(
        &mut self,
        work: &Work,
        evaluator: &mut dyn Evaluator,
        collected: &mut Collected,
    ) -> Result<(), RuleError> {
        let history = self.history.view(&self.history_of(&work.rows.batch))?;
        let mut rounds = 0;
        loop {
            let mut due = self.table.due(self.watermark_us);
            due.retain(|(at, slot)| {
                let gone =
                    self.table.entry(*slot).is_none_or(|entry| self.is_gone(entry.last_us, *at));
                if gone {
                    self.table.remove(*slot);
                }
                !gone
            });
            if due.is_empty() || (rounds > 0 && self.watermark_us == i64::MAX) {
                return Ok(());
            }
            rounds = self.count_timers(rounds)?;
            let entries: Vec<(u64, Box<[u8]>)> = due
                .iter()
                .filter_map(|(_, slot)| self.table.entry(*slot))
                .map(|entry| (entry.hash(), entry.key.clone()))
                .collect();
            let groups = Groups::of_keys(entries.iter().map(|(hash, key)| (*hash, &**key)));
            let last = |slot: u32| self.table.entry(slot).map_or(NO_TIME, |entry| entry.last_us);
            let step = |(group, (at, slot)): (usize, &(i64, u32))| Step {
                group,
                slot: Some(*slot),
                from: 0,
                to: 0,
                timer: Some(*at),
                last_us: last(*slot),
            };
            let steps: Vec<Step> = due.iter().enumerate().map(step).collect();
            self.call(work, &groups, &steps, &history, false, evaluator, collected)?;
        }
    }

    /// Drops keys that have expired. When does not matter to results, so it is done seldom.
    fn sweep(&mut self) {
        let Some(ttl_us) = self.settings.state_ttl_us else { return };
        if self.watermark_us == NO_TIME {
            return;
        }
        let step = ttl_us / 8;
        if self.swept_us == NO_TIME || self.watermark_us.saturating_sub(self.swept_us) > step {
            self.table.expire(self.watermark_us, ttl_us);
            self.swept_us = self.watermark_us;
        }
    }

    /// Asks the evaluator about `steps` and applies the answer. False: nothing was applied, because
    /// the rule sets timers and must be asked row by row.
    #[expect(clippy::too_many_arguments, reason = "one call has this many facts")]
    fn call(
        &mut self,
        work: &Work,
        groups: &Groups,
        steps: &[Step],
        history: &RowView,
        timed: bool,
        evaluator: &mut dyn Evaluator,
        collected: &mut Collected,
    ) -> Result<bool, RuleError> {
        let mut asked = Asked::default();
        asked.key_offsets.push(0);
        asked.history_offsets.push(0);
        let mut states = BinaryBuilder::new();
        let mut earlier = self.history.decoder(0);
        let mut earlier_rows = 0usize;
        for (key, step) in (0u32..).zip(steps) {
            let rows = groups.rows(step.group).get(step.from..step.to).unwrap_or_default();
            asked.rows.extend_from_slice(rows);
            asked.key_offsets.push(length(asked.rows.len())?);
            let entry = step.slot.and_then(|slot| self.table.entry(slot));
            states.append_option(entry.and_then(|entry| entry.state.as_deref()));
            if let Some(entry) = entry {
                for row in entry.history.iter() {
                    earlier.push(row)?;
                }
                earlier_rows = earlier_rows.saturating_add(entry.history.len());
            }
            asked.history_offsets.push(length(earlier_rows)?);
            if let Some(at) = step.timer {
                asked.timer_keys.push(key);
                asked.timers_us.push(at);
            }
        }
        let rows = asked.batch(&work.rows.batch)?;
        let outcome = evaluator
            .evaluate(RuleCall {
                rows: &rows,
                key_offsets: &asked.key_offsets,
                states: &states.finish(),
                history: &RecordBatch::try_new_with_options(
                    Arc::clone(&self.history_schema),
                    earlier.finish()?,
                    &RecordBatchOptions::new().with_row_count(Some(earlier_rows)),
                )?,
                history_offsets: &asked.history_offsets,
                timer_keys: &asked.timer_keys,
                timers_us: &asked.timers_us,
                watermark_us: self.watermark_us,
            })
            .map_err(|source| RuleError::Evaluate { rule: self.writer.rule().into(), source })?;
        let fault = outcome.fault(asked.rows.len(), steps.len(), &self.settings.plan);
        if let Some(what) = fault {
            return Err(RuleError::Outcome { rule: self.writer.rule().to_owned(), what });
        }
        if timed && self.must_repeat(&outcome, steps) {
            return Ok(false);
        }
        self.apply(work, groups, steps, history, &asked, &outcome)?;
        let said = Said { outcome, rows: &asked.rows, key_offsets: &asked.key_offsets };
        let timer = |key: usize| {
            let step = steps.get(key)?;
            Some((step.timer?, step.last_us))
        };
        let key = |key: usize| steps.get(key).map(|step| groups.key(step.group));
        collected.add(said, work, key, timer)?;
        Ok(true)
    }

    fn must_repeat(&mut self, outcome: &RuleOutcome, steps: &[Step]) -> bool {
        if self.uses_timers || outcome.timers.is_empty() {
            return false;
        }
        self.uses_timers = true;
        let several = |(key, _): &(u32, i64)| {
            let step = usize::try_from(*key).ok().and_then(|key| steps.get(key));
            step.is_some_and(|step| step.to.saturating_sub(step.from) > 1)
        };
        outcome.timers.iter().any(several)
    }

    /// Puts history, states and timers of an outcome into the table.
    fn apply(
        &mut self,
        work: &Work,
        groups: &Groups,
        steps: &[Step],
        history: &RowView,
        asked: &Asked,
        outcome: &RuleOutcome,
    ) -> Result<(), RuleError> {
        let mut poisoned = vec![false; asked.rows.len()];
        for poison in &outcome.poison {
            if let Some(row) = usize::try_from(poison.row).ok().and_then(|r| poisoned.get_mut(r)) {
                *row = true;
            }
        }
        let mut timers: Vec<Option<i64>> = vec![None; steps.len()];
        for (key, at) in &outcome.timers {
            if let Some(timer) = usize::try_from(*key).ok().and_then(|k| timers.get_mut(k)) {
                *timer = Some(*at);
            }
        }
        let mut states = outcome.state.iter().peekable();
        let mut rows = asked.rows.iter().zip(&poisoned);
        let mut encoded = Vec::new();
        for (key, (step, timer)) in (0u32..).zip(steps.iter().zip(timers)) {
            let state = states.next_if(|(changed, _)| *changed == key).map(|(_, state)| state);
            let count = step.to.saturating_sub(step.from);
            let keeps = self.history_rows > 0 && count > 0;
            // The last row's time must not be lost while it can still matter.
            let dated = self.settings.state_ttl_us.is_some() && count > 0;
            let wanted = keeps || dated || timer.is_some() || state.is_some_and(Option::is_some);
            let mut slot = step.slot;
            if slot.is_none() && wanted {
                slot = self.table.ensure(groups.hash(step.group), groups.key(step.group));
            }
            let Some(slot) = slot else {
                rows.by_ref().take(count).for_each(drop);
                continue;
            };
            let (limit, watermark_us) = (self.history_rows, self.watermark_us);
            self.table.update(slot, |entry| {
                for (row, poisoned) in rows.by_ref().take(count) {
                    let row = usize::try_from(*row).unwrap_or(usize::MAX);
                    let clock = work.clocks.get(row).copied().unwrap_or(NO_TIME);
                    let clock = if clock == NO_TIME { watermark_us } else { clock };
                    entry.last_us = entry.last_us.max(clock);
                    if limit > 0 && !*poisoned {
                        encoded.clear();
                        history.encode(row, &mut encoded);
                        entry.history.push(&encoded, limit);
                    }
                }
                if let Some(state) = state {
                    entry.state.clone_from(state);
                }
            });
            if let Some(fired) = step.timer {
                // A timer set at or before the one that fired would never let time pass.
                let later = timer.map(|at| at.max(fired.saturating_add(1)));
                self.table.set_timer(slot, later);
            } else if timer.is_some() {
                self.table.set_timer(slot, timer);
            }
            if self.settings.state_ttl_us.is_none() {
                self.table.tidy(slot);
            }
        }
        Ok(())
    }
}

/// The parts of a call that are not columns.
#[derive(Default)]
struct Asked {
    rows: Vec<u32>,
    key_offsets: Vec<u32>,
    history_offsets: Vec<u32>,
    timer_keys: Vec<u32>,
    timers_us: Vec<i64>,
}

impl Asked {
    /// Returns the rows asked about, grouped by key.
    fn batch(&self, all: &RecordBatch) -> Result<RecordBatch, RuleError> {
        let whole = self.rows.len() == all.num_rows() && self.rows.is_sorted_by(|a, b| a < b);
        if whole {
            return Ok(all.clone());
        }
        Ok(take_record_batch(all, &UInt32Array::from(self.rows.clone()))?)
    }
}

fn length(rows: usize) -> Result<u32, RuleError> {
    u32::try_from(rows).map_err(|_| RuleError::TooManyRows { rows })
}
