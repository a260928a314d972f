//! The state of session windows.
//!
//! A session is a stretch of a key's rows, each less than `gap` after the one before. A batch is
//! combined into stretches of its own; merging joins those that touch. A session closes when the
//! watermark reaches its last row plus `gap`; as rows at or before the watermark are late, none
//! can touch a session that has closed. All of this is independent of the order of merges.

#![expect(
    clippy::indexing_slicing,
    reason = "ids and groups are numbered here and index columns of their own table"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::aggregate::Aggregate;
use super::error::WindowError;
use super::fire::{Fired, Rows, Trigger};
use super::key_table::{KeyTable, Shard};
use super::order::{key_columns, permutation};
use super::partial::SessionPartial;
use super::spec::Window;
use super::{NONE, number};
use crate::config::model::OutputMode;
use crate::data::NO_TIME;

/// One session; its number is its group in the aggregates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// `NONE` when the number is free.
    pub(super) key: u32,
    pub(super) start: i64,
    pub(super) last: i64,
    pub(super) changed: bool,
    /// Counts the uses of the number, so that the queue knows its own entries.
    round: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct SessionState {
    window: Arc<Window>,
    shard: Shard,
    gap: i64,
    pub(super) keys: KeyTable,
    /// The sessions of each key, in no order.
    by_key: Vec<Vec<u32>>,
    pub(super) sessions: Vec<Session>,
    free: Vec<u32>,
    /// (close, session, round): one entry for each open session, perhaps with an old close.
    queue: BinaryHeap<Reverse<(i64, u32, u32)>>,
    pub(super) aggregates: Vec<Box<dyn Aggregate>>,
    pub(super) watermark: i64,
    pub(super) trigger: Trigger,
    /// Rows of any shard came since complete mode last emitted.
    pub(super) touched: bool,
}

impl SessionState {
    pub(super) fn new(window: Arc<Window>, shard: Shard, gap: i64) -> Self {
        Self {
            shard,
            gap,
            keys: window.keys(),
            by_key: Vec::new(),
            sessions: Vec::new(),
            free: Vec::new(),
            queue: BinaryHeap::new(),
            aggregates: window.aggregates(),
            watermark: NO_TIME,
            trigger: Trigger::new(window.spec.trigger_us),
            touched: false,
            window,
        }
    }

    /// Adds the stretches of a partial whose keys the shard owns.
    pub(super) fn merge(&mut self, partial: &SessionPartial) -> Result<(), WindowError> {
        self.touched = true;
        let mut ids = vec![NONE; partial.keys.len()];
        let mut stretches = Vec::with_capacity(partial.key.len());
        for (row, key) in partial.key.iter().enumerate() {
            if !self.shard.owns(partial.keys.hash(*key)) {
                continue;
            }
            let id = &mut ids[*key as usize];
            if *id == NONE {
                *id = self.keys.intern_from(&partial.keys, *key);
            }
            stretches.push((*id, partial.start[row], partial.last[row], number(row)));
        }
        self.add(&stretches, &partial.aggregates)
    }

    /// Adds stretches (key, first, last, row of `aggregates`).
    pub(super) fn add(
        &mut self,
        stretches: &[(u32, i64, i64, u32)],
        aggregates: &[Box<dyn Aggregate>],
    ) -> Result<(), WindowError> {
        self.by_key.resize(self.keys.len(), Vec::new());
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        let mut joined: Vec<(u32, u32)> = Vec::new();
        for (key, start, last, row) in stretches {
            let touching: Vec<u32> = self.by_key[*key as usize]
                .iter()
                .copied()
                .filter(|at| {
                    let session = &self.sessions[*at as usize];
                    session.start - last < self.gap && start - session.last < self.gap
                })
                .collect();
            let into = match touching.split_first() {
                None => self.open(*key, *start, *last)?,
                Some((into, others)) => {
                    for from in others {
                        self.join(*from, *into)?;
                        joined.push((*from, *into));
                    }
                    let session = &mut self.sessions[*into as usize];
                    session.start = session.start.min(*start);
                    session.last = session.last.max(*last);
                    session.changed = true;
                    *into
                }
            };
            rows.push(*row);
            targets.push(into);
        }
        // A later stretch may have joined the session an earlier one went to.
        for (from, into) in &joined {
            targets.iter_mut().filter(|t| *t == from).for_each(|target| *target = *into);
        }
        for (mine, its) in self.aggregates.iter_mut().zip(aggregates) {
            mine.merge(its.as_ref(), &rows, &targets)?;
        }
        // Numbers are free again only now that no target names them.
        self.free.extend(joined.iter().map(|(from, _)| *from));
        Ok(())
    }

    fn open(&mut self, key: u32, start: i64, last: i64) -> Result<u32, WindowError> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = number(self.sessions.len());
                self.sessions.push(Session { key: NONE, start, last, changed: false, round: 0 });
                self.aggregates.iter_mut().for_each(|a| a.resize(self.sessions.len()));
                at
            }
        };
        let session = &mut self.sessions[at as usize];
        let round = session.round.wrapping_add(1);
        *session = Session { key, start, last, changed: true, round };
        self.by_key[key as usize].push(at);
        self.queue.push(Reverse((last.saturating_add(self.gap), at, round)));
        Ok(at)
    }

    /// Adds session `from` to session `into` of the same key.
    fn join(&mut self, from: u32, into: u32) -> Result<(), WindowError> {
        for aggregate in &mut self.aggregates {
            aggregate.merge_within(from, into)?;
        }
        let moved = self.sessions[from as usize];
        let session = &mut self.sessions[into as usize];
        session.start = session.start.min(moved.start);
        session.last = session.last.max(moved.last);
        self.by_key[moved.key as usize].retain(|at| *at != from);
        self.sessions[from as usize].key = NONE;
        Ok(())
    }

    /// Emits what is due and frees what has closed.
    pub(super) fn advance(
        &mut self,
        watermark: i64,
        now_us: i64,
    ) -> Result<Vec<Fired>, WindowError> {
        self.watermark = self.watermark.max(watermark);
        let watermark = self.watermark;
        let at_end = watermark == i64::MAX;
        let output = self.window.spec.output;
        if output == OutputMode::Complete {
            let due = self.trigger.due(now_us, at_end) && self.touched;
            let open: Vec<u32> = self.open_sessions().collect();
            let fired = if due { self.emit(&open)? } else { vec![] };
            self.touched &= !due;
            if at_end {
                self.close(&open);
            }
            return Ok(fired);
        }
        let closing = self.closing(watermark);
        let mut emitted = match output {
            OutputMode::Append => closing.clone(),
            _ if self.trigger.due(now_us, at_end) => self.open_sessions().collect(),
            _ => closing.clone(),
        };
        if output == OutputMode::Update {
            emitted.retain(|at| self.sessions[*at as usize].changed);
        }
        let fired = self.emit(&emitted)?;
        emitted.iter().for_each(|at| self.sessions[*at as usize].changed = false);
        self.close(&closing);
        Ok(fired)
    }

    fn open_sessions(&self) -> impl Iterator<Item = u32> {
        self.sessions.iter().enumerate().filter(|(_, s)| s.key != NONE).map(|(at, _)| number(at))
    }

    fn closing(&mut self, watermark: i64) -> Vec<u32> {
        let mut closing = Vec::new();
        while let Some(Reverse((close, at, round))) = self.queue.peek().copied() {
            if close > watermark {
                break;
            }
            self.queue.pop();
            let session = &self.sessions[at as usize];
            if session.key == NONE || session.round != round {
                continue;
            }
            let close = session.last.saturating_add(self.gap);
            if close > watermark {
                self.queue.push(Reverse((close, at, round)));
            } else {
                closing.push(at);
            }
        }
        closing
    }

    fn emit(&self, sessions: &[u32]) -> Result<Vec<Fired>, WindowError> {
        if sessions.is_empty() {
            return Ok(vec![]);
        }
        let of = |at: &u32| &self.sessions[*at as usize];
        let ids: Vec<u32> = sessions.iter().map(|at| of(at).key).collect();
        let end = |at: &u32| of(at).last.saturating_add(self.gap);
        let times: Vec<(i64, i64)> = sessions.iter().map(|at| (end(at), of(at).start)).collect();
        let order = permutation(&self.window, &self.keys, &ids, Some(&times))?;
        let rows: Vec<u32> = order.iter().map(|at| sessions[*at as usize]).collect();
        let ids: Vec<u32> = rows.iter().map(|at| of(at).key).collect();
        let starts = rows.iter().map(|at| of(at).start).collect();
        let ends = rows.iter().map(end).collect();
        let aggregates =
            self.aggregates.iter().map(|a| a.evaluate(&rows)).collect::<Result<Vec<_>, _>>()?;
        let fired = self.window.fired(Rows {
            bounds: Some((starts, ends)),
            time: NO_TIME,
            keys: key_columns(&self.window, &self.keys, &ids)?,
            aggregates,
            count: rows.len(),
            window_end: None,
            revision: 0,
        })?;
        Ok(vec![fired])
    }

    fn close(&mut self, sessions: &[u32]) {
        if sessions.is_empty() {
            return;
        }
        for at in sessions {
            let session = &mut self.sessions[*at as usize];
            self.by_key[session.key as usize].retain(|held| held != at);
            session.key = NONE;
        }
        self.aggregates.iter_mut().for_each(|aggregate| aggregate.clear(sessions));
        self.free.extend_from_slice(sessions);
        self.compact();
    }

    /// Rebuilds the interner when most of its keys have no session.
    fn compact(&mut self) {
        let open = self.sessions.len() - self.free.len();
        if self.keys.len() < 1024 || open * 2 > self.keys.len() {
            return;
        }
        let mut kept = self.keys.fresh();
        let mut by_key = Vec::new();
        for (id, sessions) in std::mem::take(&mut self.by_key).into_iter().enumerate() {
            if sessions.is_empty() {
                continue;
            }
            let renamed = kept.intern_from(&self.keys, number(id));
            sessions.iter().for_each(|at| self.sessions[*at as usize].key = renamed);
            by_key.push(sessions);
        }
        self.keys = kept;
        self.by_key = by_key;
    }

    pub(super) fn open_windows(&self) -> usize {
        self.sessions.len() - self.free.len()
    }

    pub(super) fn next_close(&self) -> Option<i64> {
        self.open_sessions()
            .map(|at| self.sessions[at as usize].last.saturating_add(self.gap))
            .min()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes()
            + self.by_key.iter().map(|list| 24 + list.capacity() * 4).sum::<usize>()
            + self.sessions.capacity() * size_of::<Session>()
            + self.queue.capacity() * 16
            + self.aggregates.iter().map(|a| a.memory_bytes()).sum::<usize>()
    }

    /// Marks sessions as emitted or not, after reading a checkpoint.
    pub(super) fn set_changed(&mut self, key: u32, start: i64, changed: bool) {
        for at in &self.by_key[key as usize] {
            let session = &mut self.sessions[*at as usize];
            if session.start == start {
                session.changed = changed;
            }
        }
    }
}
