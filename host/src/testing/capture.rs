//! A sink that keeps rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::config::model::OutputMode;
use crate::encode::row_json;
use crate::sinks::{CommitInfo, Delivery, Sink, SinkError, SinkSummary};

/// Rows by the output they came from.
pub type Captured = BTreeMap<String, Vec<Value>>;

/// Keeps rows where a test can see them. Of a table that is sent whole, only the last is kept; of
/// one that is sent in changes, the last row of each key.
pub struct Capture {
    rows: Arc<Mutex<Captured>>,
    /// For each output in update mode, the columns that make its key.
    keys: BTreeMap<String, Vec<String>>,
    /// The epoch in which each output was last written.
    epochs: BTreeMap<String, u64>,
}

impl Capture {
    /// Returns a sink and the rows it will have kept.
    pub fn new(keys: BTreeMap<String, Vec<String>>) -> (Self, Arc<Mutex<Captured>>) {
        let rows = Arc::new(Mutex::new(Captured::new()));
        (Self { rows: Arc::clone(&rows), keys, epochs: BTreeMap::new() }, rows)
    }
}

impl Sink for Capture {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        let mut all = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = all.entry(input.node.to_owned()).or_default();
        let last = self.epochs.insert(input.node.to_owned(), input.epoch);
        if input.mode == OutputMode::Complete && last != Some(input.epoch) {
            rows.clear();
        }
        for row in 0..input.batch.num_rows() {
            let value = row_json(input.batch, row)?;
            if input.mode == OutputMode::Update
                && let Some(keys) = self.keys.get(input.node)
            {
                rows.retain(|old| keys.iter().any(|key| old.get(key) != value.get(key)));
            }
            rows.push(value);
        }
        Ok(())
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        Ok(CommitInfo::default())
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        Ok(SinkSummary::default())
    }
}
