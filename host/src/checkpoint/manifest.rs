//! What a checkpoint consists of. Written last, so that a manifest that is there has everything it
//! names.
//!
//! ```text
//! manifest := "millstream-checkpoint 1 <xxh3-64 of the body, 16 hex digits>\n" body
//! body     := JSON
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::authority::CheckpointId;
use crate::engine::EpochFacts;
use crate::hash::hash64;
use crate::sinks::FileState;
use crate::sources::SourceState;
use crate::watermark::Tracker;

/// The format of manifests and of what they name.
pub const FORMAT: u32 = 1;

const MAGIC: &str = "millstream-checkpoint";

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The program that wrote it.
    pub program: String,
    /// The pipeline.
    pub pipeline: String,
    /// The checkpoint's name.
    pub id: CheckpointId,
    /// The checkpoint before it.
    pub parent: Option<CheckpointId>,
    /// The number of the commit, from 1, never used twice on the way that counts.
    pub commit: u64,
    /// The first epoch that it does not cover.
    pub epoch: u64,
    /// Chunks merged so far.
    pub chunks: u64,
    /// When it was written, microseconds since the Unix epoch.
    pub created_us: i64,
    /// What state depends on, node by node.
    pub definitions: Vec<Definition>,
    /// Plugins in use, with their versions and digests.
    pub plugins: Vec<PluginNote>,
    /// The objects with the state, in the order in which they are applied: a base, then deltas.
    pub objects: Vec<ObjectNote>,
    /// Where each source was.
    pub sources: BTreeMap<String, SourceState>,
    /// Event time of each source.
    pub time: BTreeMap<String, Tracker>,
    /// How far each node has heard event time advance.
    pub watermarks: BTreeMap<String, i64>,
    /// What each sink must know.
    pub sinks: BTreeMap<String, FileState>,
    /// The facts of the epochs of this commit.
    pub facts: Vec<EpochFacts>,
}

/// What the state of a node depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The node.
    pub node: String,
    /// What kind of node it is.
    pub kind: String,
    /// The stable hash of what its state depends on, in hex.
    pub hash: String,
}

/// A plugin in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginNote {
    /// The node that uses it.
    pub node: String,
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its file, in hex.
    pub sha256: String,
}

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// All state.
    Base,
    /// What one commit changed.
    Delta,
}

/// An object with state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectNote {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Its length.
    pub bytes: u64,
    /// The stable 64-bit hash of its bytes, in hex.
    pub hash: String,
}

impl ObjectNote {
    /// Returns a note of an object's bytes.
    pub fn of(name: String, kind: ObjectKind, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { name, kind, bytes: length, hash: format!("{:016x}", hash64(bytes)) }
    }

    /// Returns whether these are the bytes that were noted.
    pub fn fits(&self, bytes: &[u8]) -> bool {
        *self == Self::of(self.name.clone(), self.kind, bytes)
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not what was written.
    #[error("{what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// A later version wrote it.
    #[error("it has format {found}; this program knows format {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// Its body cannot be read.
    #[error("its body cannot be read: {0}")]
    Body(#[from] serde_json::Error),
}

impl Manifest {
    /// Returns the manifest as it is stored.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let body = serde_json::to_vec(self)?;
        let mut bytes = format!("{MAGIC} {FORMAT} {:016x}\n", hash64(&body)).into_bytes();
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads a manifest back.
    ///
    /// # Errors
    /// When a byte is not as it was written, or a later version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let damaged = |what| ManifestError::Damaged { what };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, body) = end
            .and_then(|end| Some((bytes.get(..end)?, bytes.get(end + 1..)?)))
            .ok_or(damaged("it is cut off"))?;
        let head = std::str::from_utf8(head).map_err(|_| damaged("its first line is damaged"))?;
        let mut words = head.split(' ');
        let format = words.next().filter(|word| *word == MAGIC).and_then(|_| words.next());
        let format: u32 = format
            .and_then(|format| format.parse().ok())
            .ok_or(damaged("its first line is damaged"))?;
        if format > FORMAT {
            return Err(ManifestError::Newer { found: format });
        }
        if words.next() != Some(&format!("{:016x}", hash64(body))) || words.next().is_some() {
            return Err(damaged("its checksum is wrong"));
        }
        Ok(serde_json::from_slice(body)?)
    }

    /// Returns the bytes of all its objects.
    pub fn state_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}
