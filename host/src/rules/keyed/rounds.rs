//! How a rule's plugin is asked: in rounds of calls, each key's rows and timers in their order.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;

use super::super::codec::RowView;
use super::super::collect::{Collected, Said};
use super::super::error::RuleError;
use super::super::evaluator::{Evaluator, RuleCall, RuleOutcome};
use super::super::groups::Groups;
use super::super::keys::is_expired;
use super::super::work::Work;
use super::KeyedRule;
use crate::data::NO_TIME;

/// Most timers one advance of the watermark fires in a row before the rule is taken to loop.
const MAX_TIMER_ROUNDS: u32 = if cfg!(test) { 10_000 } else { 1_000_000 };

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
    /// Evaluates all rows of `work`, each key's in order. `timed`: with timers between them.
    pub(super) fn run(
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
    pub(super) fn fire(
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
    pub(super) fn sweep(&mut self) {
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
