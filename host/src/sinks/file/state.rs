//! What a restart must know of a file sink.

use serde::{Deserialize, Serialize};

/// The files as of one commit. Goes into the record of that commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "visible", rename_all = "snake_case", deny_unknown_fields)]
pub enum FileState {
    /// Parts in a folder.
    Roll {
        /// The number of the next part to be opened.
        next: u64,
        /// Parts that are finished and not published; they are once the commit is recorded.
        sealed: Vec<PartState>,
        /// The part that is appended to.
        open: Option<PartState>,
    },
    /// One plain file.
    Commit {
        /// Its length.
        bytes: u64,
        /// Rows committed to it since the sink was first made.
        rows: u64,
    },
}

/// One part as of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartState {
    /// Its number, from 1.
    pub number: u64,
    /// The name of the hidden file.
    pub file: String,
    /// Its committed length.
    pub bytes: u64,
    /// Its committed rows.
    pub rows: u64,
    /// When its first rows were committed, microseconds since the Unix epoch.
    pub opened_us: i64,
}
