//! One content of a followed path, from its first byte to its rotation or truncation.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// How many of the first bytes tell one content from another.
const FINGERPRINT_BYTES: usize = 1024;

/// One content of a path.
#[derive(Debug)]
pub(super) struct Generation {
    /// None when the content is gone: the file was truncated.
    pub file: Option<File>,
    /// The position of its first byte in the partition; none while it waits for its turn.
    pub base: Option<i64>,
    /// The position behind its last byte, once the next one was begun.
    pub end: Option<i64>,
    /// Device and inode. The open file keeps them from being given to another file.
    id: (u64, u64),
    /// The first bytes that were read.
    fingerprint: Vec<u8>,
}

impl Generation {
    pub fn new(file: File, metadata: &Metadata) -> Self {
        Self {
            file: Some(file),
            base: None,
            end: None,
            id: (metadata.dev(), metadata.ino()),
            fingerprint: Vec::new(),
        }
    }

    /// Returns whether `metadata` is that of this file.
    pub fn is(&self, metadata: &Metadata) -> bool {
        self.id == (metadata.dev(), metadata.ino())
    }

    /// Reads at `offset` into `space`; nothing behind `end`.
    pub fn read_at(&self, space: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let most = match (self.base, self.end) {
            (Some(base), Some(end)) => {
                let length = u64::try_from(end.saturating_sub(base)).unwrap_or(0);
                usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX)
            }
            _ => usize::MAX,
        };
        let most = most.min(space.len());
        let space = space.get_mut(..most).unwrap_or_default();
        loop {
            match file.read_at(space, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Remembers `bytes`, read at `offset`, as far as they belong to the fingerprint.
    pub fn remember(&mut self, bytes: &[u8], offset: u64) {
        let have = self.fingerprint.len();
        if have < FINGERPRINT_BYTES && u64::try_from(have).is_ok_and(|have| have == offset) {
            let more = bytes.len().min(FINGERPRINT_BYTES - have);
            self.fingerprint.extend_from_slice(bytes.get(..more).unwrap_or_default());
        }
    }

    /// Remembers the first bytes when reading starts in the middle.
    pub fn remember_start(&mut self, offset: u64) -> io::Result<()> {
        let wanted = usize::try_from(offset).unwrap_or(usize::MAX).min(FINGERPRINT_BYTES);
        if self.fingerprint.len() < wanted {
            let mut bytes = vec![0; wanted];
            let read = self.read_at(&mut bytes, 0)?;
            bytes.truncate(read);
            self.fingerprint = bytes;
        }
        Ok(())
    }

    /// Returns whether what was read up to `offset` is no longer there.
    pub fn was_truncated(&self, offset: u64) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if file.metadata()?.len() < offset {
            return Ok(true);
        }
        let mut bytes = [0; FINGERPRINT_BYTES];
        let Some(bytes) = bytes.get_mut(..self.fingerprint.len()) else { return Ok(false) };
        let read = self.read_at(bytes, 0)?;
        Ok(bytes.get(..read) != Some(self.fingerprint.as_slice()))
    }

    /// Takes the open file to the content that replaced this one in place.
    pub fn replaced(&mut self) -> Self {
        Self { file: self.file.take(), base: None, end: None, id: self.id, fingerprint: Vec::new() }
    }
}
