//! What a run has done so far. Updated once a batch or epoch, never per row.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};

use crate::parse::Reason;
use crate::plan::{NodeId, Plan};
use crate::sinks::SinkSummary;

/// Counters of a run.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records read.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Epochs ended.
    pub epochs: u64,
    /// Counters of each node, by its number in the plan.
    pub nodes: Vec<NodeStats>,
    /// What each sink wrote.
    pub sinks: BTreeMap<String, SinkSummary>,
}

/// Counters of one node.
#[derive(Debug, Default)]
pub struct NodeStats {
    /// Rows that windows took or found late.
    pub rows_in: u64,
    /// Windows that fired, of all keys together.
    pub fired: u64,
    /// Rows that left the node.
    pub rows_out: u64,
    /// Rows and records it refused, by reason.
    pub rejects: BTreeMap<Reason, u64>,
    /// Values that became null in its SQL.
    pub made_null: u64,
    /// Rows of windows that fired again.
    pub revised: u64,
    /// Rows without an event time, which no window takes.
    pub without_time: u64,
    /// Alerts, by severity.
    pub alerts: BTreeMap<String, u64>,
    /// Memory of its state, and the most there was.
    pub state_bytes: usize,
    /// The most memory its state has had.
    pub state_bytes_max: usize,
    /// Windows open.
    pub open_windows: usize,
}

impl Stats {
    /// Returns counters at zero.
    pub fn new(plan: &Plan) -> Self {
        let nodes = plan.nodes.iter().map(|_| NodeStats::default()).collect();
        Self { nodes, ..Self::default() }
    }

    /// Counts a chunk's records.
    pub fn read(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
    }

    fn node(&mut self, node: NodeId) -> Option<&mut NodeStats> {
        self.nodes.get_mut(node.0)
    }

    /// Counts rows that left a node.
    pub fn rows_out(&mut self, node: NodeId, rows: u64) {
        if let Some(stats) = self.node(node) {
            stats.rows_out += rows;
        }
    }

    /// Counts values that became null.
    pub fn made_null(&mut self, node: NodeId, values: u64) {
        if let Some(stats) = self.node(node) {
            stats.made_null += values;
        }
    }

    /// Counts rejects.
    pub fn rejects(&mut self, node: NodeId, counts: &BTreeMap<Reason, u64>) {
        if let Some(stats) = self.node(node) {
            for (reason, count) in counts {
                *stats.rejects.entry(Reason::clone(reason)).or_default() += count;
            }
        }
    }

    /// Counts rows that no window takes because they have no event time.
    pub fn without_time(&mut self, node: NodeId, rows: u64) {
        if let Some(stats) = self.node(node) {
            stats.without_time += rows;
        }
    }

    /// Counts rows that a window was given.
    pub fn rows_in(&mut self, node: NodeId, rows: u64) {
        if let Some(stats) = self.node(node) {
            stats.rows_in += rows;
        }
    }

    /// Counts the rows of a window's firing.
    pub fn fired(&mut self, node: NodeId, rows: u64, revision: u32) {
        if let Some(stats) = self.node(node) {
            if revision > 0 {
                stats.revised += rows;
            } else {
                stats.fired += 1;
            }
            stats.rows_out += rows;
        }
    }

    /// Notes how much state a node has.
    pub fn state(&mut self, node: NodeId, bytes: usize, open_windows: usize) {
        if let Some(stats) = self.node(node) {
            stats.state_bytes = bytes;
            stats.state_bytes_max = stats.state_bytes_max.max(bytes);
            stats.open_windows = open_windows;
        }
    }

    /// Returns the memory of all state.
    pub fn state_bytes(&self) -> u64 {
        let bytes = self.nodes.iter().map(|node| u64::try_from(node.state_bytes).unwrap_or(0));
        bytes.fold(0, u64::saturating_add)
    }

    /// Counts alerts by severity.
    pub fn alerts(&mut self, node: NodeId, alerts: &RecordBatch) {
        let Some(stats) = self.node(node) else { return };
        stats.rows_out += u64::try_from(alerts.num_rows()).unwrap_or(u64::MAX);
        let severities = alerts.column_by_name("severity").and_then(|c| c.as_string_opt::<i32>());
        for severity in severities.into_iter().flatten().flatten() {
            match stats.alerts.get_mut(severity) {
                Some(count) => *count += 1,
                None => {
                    stats.alerts.insert(severity.to_owned(), 1);
                }
            }
        }
    }

    /// Notes what a sink wrote in the whole run.
    pub fn sink(&mut self, name: &str, summary: SinkSummary) {
        self.sinks.insert(name.to_owned(), summary);
    }
}
