//! Refused records: counted always, kept when somebody reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use crate::data::PartitionName;
use crate::plan::rejects_schema;

/// The longest part of a refused record that is kept, in bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// The reason under which rows are refused whose SQL failed.
pub const EXPRESSION_ERROR: &str = "expression_error";

/// How reasons begin under which records or rows are refused that a plugin failed on.
pub const PLUGIN_FAILURE: &str = "plugin_";

/// Why a record or row was refused: a short name, used as a label.
pub type Reason = Arc<str>;

/// Returns the reason under which what a plugin failed on is refused; `kind`: of the failure.
pub fn plugin_failure(kind: &str) -> Reason {
    Arc::from(format!("{PLUGIN_FAILURE}{kind}"))
}

/// What all rejects of one node and partition share.
#[derive(Clone, Debug)]
pub struct RejectContext {
    /// The source's name.
    pub source: Arc<str>,
    /// The partition's name.
    pub partition: PartitionName,
    /// The node that refused.
    pub node: Arc<str>,
    /// The version of its plugin, if it has one.
    pub plugin_version: Option<Arc<str>>,
}

/// One refused record.
#[derive(Clone, Copy, Debug)]
pub struct RejectedRecord<'a> {
    /// Its position in its partition.
    pub position: i64,
    /// When it was received, microseconds since the Unix epoch.
    pub received_us: i64,
    /// Its bytes; none when only a row was refused.
    pub record: Option<&'a [u8]>,
    /// What exactly was wrong.
    pub detail: Option<&'a str>,
}

/// Counts rejects by reason and, when wanted, keeps them as rows.
#[derive(Debug, Default)]
pub struct Rejects {
    counts: BTreeMap<Reason, u64>,
    rows: Option<Box<Columns>>,
}

impl Rejects {
    /// Returns an empty collection; `keep` also keeps the records.
    pub fn new(keep: bool) -> Self {
        Self { counts: BTreeMap::new(), rows: keep.then(Box::default) }
    }

    /// Adds one refused record.
    pub fn add(&mut self, context: &RejectContext, reason: &Reason, record: RejectedRecord<'_>) {
        match self.counts.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(Arc::clone(reason), 1);
            }
        }
        if let Some(rows) = &mut self.rows {
            rows.push(context, reason, record);
        }
    }

    /// Returns the number of rejects by reason.
    pub fn counts(&self) -> &BTreeMap<Reason, u64> {
        &self.counts
    }

    /// Returns the kept rejects, if there are any.
    ///
    /// # Errors
    /// Never for columns made here.
    pub fn finish(self) -> Result<Option<RecordBatch>, ArrowError> {
        match self.rows {
            Some(rows) if rows.len > 0 => rows.finish().map(Some),
            _ => Ok(None),
        }
    }
}

#[derive(Debug, Default)]
struct Columns {
    len: usize,
    source: StringBuilder,
    partition: StringBuilder,
    position: Int64Builder,
    received: TimestampMicrosecondBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    node: StringBuilder,
    plugin_version: StringBuilder,
    record: StringBuilder,
}

impl Columns {
    fn push(&mut self, context: &RejectContext, reason: &str, rejected: RejectedRecord<'_>) {
        self.len += 1;
        self.source.append_value(&context.source);
        self.partition.append_value(&context.partition);
        self.position.append_value(rejected.position);
        self.received.append_value(rejected.received_us);
        self.reason.append_value(reason);
        self.detail.append_option(rejected.detail);
        self.node.append_value(&context.node);
        self.plugin_version.append_option(context.plugin_version.as_deref());
        let kept = rejected.record.map(|bytes| bytes.get(..MAX_RECORD_BYTES).unwrap_or(bytes));
        self.record.append_option(kept.map(String::from_utf8_lossy));
    }

    fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.source.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.position.finish()),
            Arc::new(self.received.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.detail.finish()),
            Arc::new(self.node.finish()),
            Arc::new(self.plugin_version.finish()),
            Arc::new(self.record.finish()),
        ];
        RecordBatch::try_new(rejects_schema(), columns)
    }
}
