//! One content of a followed path, from its first byte to its rotation or truncation.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::history::Recorded;
use super::prefix::{PREFIX_BYTES, Prefix, first_bytes};

/// One content of a path.
#[derive(Debug)]
pub(super) struct Generation {
    /// None when the content is gone, or when it was read long ago and closed.
    pub file: Option<File>,
    /// The content is gone: the file was truncated.
    pub truncated: bool,
    /// The position of its first byte in the partition; none while it waits for its turn.
    pub base: Option<i64>,
    /// The position behind its last byte, once the next one was begun.
    pub end: Option<i64>,
    /// Device and inode. While the file is open they cannot be given to another.
    id: (u64, u64),
    /// The first bytes that were read, while the file is open.
    fingerprint: Vec<u8>,
    /// What they were, once it is closed.
    prefix: Prefix,
}

impl Generation {
    pub fn new(file: File, metadata: &Metadata) -> Self {
        Self {
            file: Some(file),
            truncated: false,
            base: None,
            end: None,
            id: (metadata.dev(), metadata.ino()),
            fingerprint: Vec::new(),
            prefix: Prefix::default(),
        }
    }

    /// Returns a generation of a checkpoint, not opened.
    pub fn recorded(recorded: &Recorded) -> Self {
        Self {
            file: None,
            truncated: recorded.truncated,
            base: recorded.base,
            end: recorded.end,
            id: (recorded.device, recorded.inode),
            fingerprint: Vec::new(),
            prefix: recorded.prefix,
        }
    }

    /// Returns what a checkpoint keeps of it; `read`: how much of it was read.
    pub fn record(&self, read: u64) -> Recorded {
        let length = self.base.zip(self.end).map(|(base, end)| end.saturating_sub(base));
        Recorded {
            device: self.id.0,
            inode: self.id.1,
            base: self.base,
            end: self.end,
            read: length.map_or(read, |length| u64::try_from(length).unwrap_or(0)),
            prefix: self.prefix(),
            truncated: self.truncated,
        }
    }

    fn prefix(&self) -> Prefix {
        if self.file.is_some() { Prefix::of(&self.fingerprint) } else { self.prefix }
    }

    /// Returns whether the file at `path` is this one.
    pub fn is_at(&self, path: &Path) -> bool {
        let Ok(metadata) = std::fs::metadata(path) else { return false };
        // A pipe, which must not be opened, never has the inode of a file that is open.
        self.is(&metadata)
            || (self.id == (metadata.dev(), metadata.ino())
                && metadata.is_file()
                && File::open(path).is_ok_and(|file| self.was(&file, &metadata)))
    }

    /// Returns whether `metadata` is that of this open file.
    pub fn is(&self, metadata: &Metadata) -> bool {
        self.file.is_some() && self.id == (metadata.dev(), metadata.ino())
    }

    /// Returns whether `file` is this one, open or closed.
    ///
    /// A closed file's inode may have been given to another, so its content has to fit too.
    pub fn was(&self, file: &File, metadata: &Metadata) -> bool {
        self.is(metadata)
            || (self.id == (metadata.dev(), metadata.ino())
                && !self.truncated
                && self.prefix().starts(file).unwrap_or(false))
    }

    /// Closes the file; what it was is remembered.
    pub fn close(&mut self) {
        self.prefix = self.prefix();
        self.file = None;
        self.fingerprint = Vec::new();
    }

    /// Takes `file`, which was found to be this content.
    pub fn reopen(&mut self, file: File, metadata: &Metadata) {
        self.id = (metadata.dev(), metadata.ino());
        self.file = Some(file);
        self.fingerprint = Vec::new();
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
        if have < PREFIX_BYTES && u64::try_from(have).is_ok_and(|have| have == offset) {
            let more = bytes.len().min(PREFIX_BYTES - have);
            self.fingerprint.extend_from_slice(bytes.get(..more).unwrap_or_default());
        }
    }

    /// Remembers the first bytes when reading starts in the middle.
    pub fn remember_start(&mut self, offset: u64) -> io::Result<()> {
        let wanted = usize::try_from(offset).unwrap_or(usize::MAX).min(PREFIX_BYTES);
        if self.fingerprint.len() < wanted
            && let Some(file) = &self.file
        {
            self.fingerprint = first_bytes(file, wanted)?;
        }
        Ok(())
    }

    /// Returns whether what was read up to `offset` is no longer there.
    pub fn was_truncated(&self, offset: u64) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        if file.metadata()?.len() < offset {
            return Ok(true);
        }
        Ok(first_bytes(file, self.fingerprint.len())? != self.fingerprint)
    }

    /// Takes the open file to the content that replaced this one in place.
    pub fn replaced(&mut self) -> Self {
        self.prefix = self.prefix();
        self.truncated = true;
        let fingerprint = Vec::new();
        Self {
            file: self.file.take(),
            truncated: false,
            base: None,
            end: None,
            id: self.id,
            fingerprint,
            prefix: Prefix::default(),
        }
    }
}
