//! A window's state in one shard.

use std::sync::Arc;

use super::count::CountState;
use super::error::WindowError;
use super::fire::Fired;
use super::key_table::Shard;
use super::partial::{Body, Partial};
use super::session::SessionState;
use super::sliding::SlicedState;
use super::spec::Window;
use crate::config::model::WindowKind;

#[derive(Debug)]
pub(super) enum Store {
    Sliced(SlicedState),
    Sessions(SessionState),
    Counts(CountState),
}

/// The state of a window for the keys of one shard. One owner, no locks.
#[derive(Debug)]
pub struct WindowState {
    pub(super) window: Arc<Window>,
    pub(super) store: Store,
}

impl WindowState {
    pub(super) fn new(window: Arc<Window>, shard: Shard) -> Self {
        let own = Arc::clone(&window);
        let store = match window.spec.kind {
            WindowKind::Session { gap_us } => {
                Store::Sessions(SessionState::new(own, shard, gap_us))
            }
            WindowKind::Count { rows } => Store::Counts(CountState::new(own, shard, rows)),
            _ => Store::Sliced(SlicedState::new(own, shard)),
        };
        Self { window, store }
    }

    /// Returns the window.
    pub fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// Adds those groups of a partial whose keys the shard owns. Every shard must be given every
    /// partial, in (partition, chunk) order.
    ///
    /// # Errors
    /// When the partial is another window's.
    pub fn merge(&mut self, partial: &Partial) -> Result<(), WindowError> {
        match (&mut self.store, &partial.body) {
            (_, Body::Empty) => Ok(()),
            (Store::Sliced(state), Body::Slices(body)) => state.merge(body, partial.max_time),
            (Store::Sessions(state), Body::Sessions(body)) => state.merge(body),
            (Store::Counts(state), Body::Rows(body)) => state.merge(body),
            _ => Err(WindowError::Foreign { what: "a partial" }),
        }
    }

    /// Emits what the watermark has closed (and what a trigger asks for), in the order of window
    /// ends and revisions, and frees it. `i64::MAX` closes everything. A watermark below an
    /// earlier one counts as that.
    ///
    /// # Errors
    /// When a result cannot be given the type that the specification asks for.
    pub fn advance(&mut self, watermark: i64, now_us: i64) -> Result<Vec<Fired>, WindowError> {
        match &mut self.store {
            Store::Sliced(state) => state.advance(watermark, now_us),
            Store::Sessions(state) => state.advance(watermark, now_us),
            Store::Counts(state) => state.advance(watermark, now_us),
        }
    }

    /// Returns about how many bytes the state holds.
    pub fn memory_bytes(&self) -> usize {
        match &self.store {
            Store::Sliced(state) => state.memory_bytes(),
            Store::Sessions(state) => state.memory_bytes(),
            Store::Counts(state) => state.memory_bytes(),
        }
    }

    /// Returns how many windows hold rows and have not closed.
    pub fn open_windows(&self) -> usize {
        match &self.store {
            Store::Sliced(state) => state.open_windows(),
            Store::Sessions(state) => state.open_windows(),
            Store::Counts(state) => state.open_windows(),
        }
    }

    /// Returns the watermark that would close the next window; nothing when none is open or time
    /// does not close it.
    pub fn next_close(&self) -> Option<i64> {
        match &self.store {
            Store::Sliced(state) => state.next_window(state.fired_to),
            Store::Sessions(state) => state.next_close(),
            Store::Counts(_) => None,
        }
    }
}
