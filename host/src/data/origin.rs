//! Names for where a record came from.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number of a source in its pipeline, in the order of the pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u32);

/// The number of a partition within its source, in the order in which partitions joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition(pub u32);

/// One partition of one source: the unit of order and of watermarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionRef {
    /// The source.
    pub source: SourceId,
    /// The partition within it.
    pub partition: Partition,
}

impl fmt::Display for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source.0, self.partition.0)
    }
}

/// A partition's stable name ("access.log", "logs-3"), shared by all who show it.
pub type PartitionName = Arc<str>;
