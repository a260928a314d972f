//! Where a source was at a commit, so that a restart goes on from there.

use serde::{Deserialize, Serialize};

/// What a checkpoint keeps of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its partitions, in the order in which they joined. Their numbers are part of the state of
    /// windows and rules, so a restart gives each the same number.
    pub partitions: Vec<PartitionState>,
    /// What the source needs besides to find its partitions again, such as which file a position
    /// is in (`Source::detail`). Null for most.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// Where one partition was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Its stable name.
    pub name: String,
    /// The position of the next record.
    pub position: i64,
    /// Whether nothing will ever come again.
    #[serde(default)]
    pub finished: bool,
}
