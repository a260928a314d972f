//! What tells one content from another: its first bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

/// How many of the first bytes count.
pub(in super::super) const PREFIX_BYTES: usize = 1024;

/// The first bytes of a file, as a checkpoint keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Prefix {
    /// How many there are; 0: nothing was read.
    bytes: u64,
    /// Their stable hash.
    hash: u64,
}

impl Prefix {
    /// Returns the prefix that `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { bytes: length, hash: crate::hash::hash64(bytes) }
    }

    /// Returns true when it says nothing.
    pub fn is_empty(self) -> bool {
        self.bytes == 0
    }

    /// Returns true when the file starts with it. Every file starts with an empty one.
    pub fn starts(self, file: &File) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        let bytes = first_bytes(file, usize::try_from(self.bytes).unwrap_or(usize::MAX))?;
        Ok(Self::of(&bytes) == self)
    }
}

/// Returns the first `most` bytes of a file, at most `PREFIX_BYTES`, or as many as it has.
pub(in super::super) fn first_bytes(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most.min(PREFIX_BYTES)];
    let mut filled = 0;
    while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
        match file.read_at(space, u64::try_from(filled).unwrap_or(u64::MAX)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
