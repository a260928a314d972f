//! A file of which only the first bytes count.
//!
//! ```text
//! |---- committed ----|---- written early ----|---- buffer (memory) ----|
//! 0                committed               written
//! ```
//!
//! `abort` cuts the file back to `committed` and empties the buffer; `advance` makes everything
//! count. After a failed write the file is broken: it takes nothing until `abort` has cut it.
//!
//! Nobody else may write to the file. That is looked at before each write: when the path leads to
//! another file, or the file has another length than this one left it with, it takes nothing any
//! more, and is not cut either.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::super::{BeforeRecord, SinkError};

/// The buffer is written out when it has grown to this, committed or not. Small in tests, so that
/// they come upon it.
pub(in super::super) const SPILL_BYTES: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

#[derive(Debug)]
pub(super) struct CommittedFile {
    path: PathBuf,
    /// Opened for appending, so that cutting it also moves the place of the next write.
    pub(super) file: File,
    /// False for devices and pipes, which cannot be cut.
    regular: bool,
    committed: u64,
    written: u64,
    buffer: Vec<u8>,
    broken: bool,
    /// Whether somebody else may come upon the file: it has a name that all know.
    shared: bool,
    /// Somebody else does write to it.
    contended: bool,
}

impl CommittedFile {
    /// Makes a new file; one that exists is an error.
    pub(super) fn create(path: &Path) -> Result<Self, SinkError> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).open(path);
        Self::new(path, file.map_err(SinkError::io("create", path))?, 0)
    }

    /// Makes a new file with the first `committed` bytes of another one, on the disk.
    pub(super) fn copy(from: &Path, to: &Path, committed: u64) -> Result<Self, SinkError> {
        let old = File::open(from).map_err(SinkError::io("open", from))?;
        let new = Self::create(to)?;
        let copied = io::copy(&mut old.take(committed), &mut &new.file);
        let found = copied.map_err(SinkError::io("copy", from))?;
        if found < committed {
            return Err(SinkError::Shorter { path: from.to_owned(), committed, found });
        }
        new.file.sync_all().map_err(SinkError::io("sync", to))?;
        Ok(Self { committed, written: committed, ..new })
    }

    /// Opens a file, or makes it, and goes on behind its last line.
    pub(super) fn append(path: &Path) -> Result<Self, SinkError> {
        let file = OpenOptions::new().append(true).create(true).open(path);
        let mut opened = Self::new(path, file.map_err(SinkError::io("open", path))?, 0)?;
        opened.shared = opened.regular;
        opened.committed = opened.length()?;
        opened.written = opened.committed;
        if opened.regular && opened.committed > 0 && !ends_a_line(path, opened.committed)? {
            // A killed run can leave half a row. It must not swallow the first of ours.
            opened.buffer.push(b'\n');
            opened.flush()?;
            opened.advance();
        }
        Ok(opened)
    }

    /// Opens a file and cuts it to what was committed.
    pub(super) fn reopen(path: &Path, committed: u64, create: bool) -> Result<Self, SinkError> {
        let file = OpenOptions::new().append(true).create(create).open(path);
        let mut opened = Self::new(path, file.map_err(SinkError::io("open", path))?, committed)?;
        opened.shared = opened.regular;
        if opened.regular {
            let found = opened.length()?;
            if found < committed {
                return Err(SinkError::Shorter { path: path.to_owned(), committed, found });
            }
            if found > committed {
                opened.cut()?;
            }
        }
        Ok(opened)
    }

    fn new(path: &Path, file: File, committed: u64) -> Result<Self, SinkError> {
        let regular = file.metadata().map_err(SinkError::io("inspect", path))?.is_file();
        Ok(Self {
            path: path.to_owned(),
            file,
            regular,
            committed,
            written: committed,
            buffer: Vec::new(),
            broken: false,
            shared: false,
            contended: false,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// Returns the length the file will have once everything is written.
    pub(super) fn length_after_flush(&self) -> u64 {
        self.written + super::rows(self.buffer.len())
    }

    /// Returns true when there are bytes that are not committed.
    pub(super) fn has_new(&self) -> bool {
        self.length_after_flush() > self.committed
    }

    /// Lets `encode` append to the buffer; it is told whether the file is still empty.
    ///
    /// When `encode` fails the buffer is as before.
    pub(super) fn add(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, bool) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        self.not_broken()?;
        let (before, empty) = (self.buffer.len(), self.length_after_flush() == 0);
        if let Err(error) = encode(&mut self.buffer, empty) {
            self.buffer.truncate(before);
            return Err(error);
        }
        if self.buffer.len() >= SPILL_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the buffer out. It counts only after `advance`.
    pub(super) fn flush(&mut self) -> Result<(), SinkError> {
        self.not_broken()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.alone()?;
        // If this fails, who knows how much of it arrived.
        self.broken = true;
        self.file.write_all(&self.buffer).map_err(SinkError::io("write", &self.path))?;
        self.broken = false;
        self.written += super::rows(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }

    /// Forces the bytes to the disk.
    ///
    /// A failure breaks the file: the kernel may have dropped what it could not write, and a
    /// second sync would not say so.
    pub(super) fn sync(&mut self) -> Result<(), SinkError> {
        if self.regular
            && let Err(error) = self.file.sync_data()
        {
            self.broken = true;
            return Err(SinkError::io("sync", &self.path)(error));
        }
        Ok(())
    }

    /// Returns the work of forcing the bytes to the disk, those of now and perhaps more; of a new
    /// file its name too.
    pub(super) fn sync_later(&self, new: bool) -> Result<BeforeRecord, SinkError> {
        let path = self.path.clone();
        let file = self.file.try_clone().map_err(SinkError::io("open", &path))?;
        let regular = self.regular;
        let folder = self.path.parent().filter(|_| new && regular).map(|folder| match folder {
            none if none.as_os_str().is_empty() => PathBuf::from("."),
            folder => folder.to_owned(),
        });
        Ok(Box::new(move || {
            if regular {
                file.sync_data().map_err(SinkError::io("sync", &path))?;
            }
            folder.map_or(Ok(()), |folder| super::sync_folder(&folder))
        }))
    }

    /// Makes all that was flushed count, and returns how many bytes are new.
    pub(super) fn advance(&mut self) -> u64 {
        let new = self.written - self.committed;
        self.committed = self.written;
        new
    }

    /// Takes back everything that does not count.
    pub(super) fn abort(&mut self) -> Result<(), SinkError> {
        self.buffer.clear();
        if self.contended {
            // What would be cut off is another's.
            return self.alone();
        }
        if self.broken || self.written > self.committed {
            self.broken = true;
            if self.regular {
                self.cut()?;
            }
            self.broken = false;
            self.written = self.committed;
        }
        Ok(())
    }

    fn cut(&self) -> Result<(), SinkError> {
        self.file.set_len(self.committed).map_err(SinkError::io("truncate", &self.path))
    }

    fn length(&self) -> Result<u64, SinkError> {
        if !self.regular {
            return Ok(0);
        }
        Ok(self.file.metadata().map_err(SinkError::io("inspect", &self.path))?.len())
    }

    /// Fails when the path leads to another file, or the file has another length than it was left
    /// with.
    fn alone(&mut self) -> Result<(), SinkError> {
        if !self.shared {
            return Ok(());
        }
        let ours = self.file.metadata().map_err(SinkError::io("inspect", &self.path))?;
        let id = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        let replaced = std::fs::metadata(&self.path).map_or(true, |there| id(&there) != id(&ours));
        let (found, expected) = (ours.len(), self.written);
        self.contended = replaced || found != expected;
        let path = self.path.clone();
        if replaced {
            return Err(SinkError::Moved { path });
        }
        if found != expected {
            return Err(SinkError::AnotherWriter { path, expected, found });
        }
        Ok(())
    }

    fn not_broken(&self) -> Result<(), SinkError> {
        if self.broken || self.contended {
            return Err(SinkError::NotAborted { path: self.path.clone() });
        }
        Ok(())
    }
}

/// Returns true when the last of `length` bytes is a line feed.
fn ends_a_line(path: &Path, length: u64) -> Result<bool, SinkError> {
    let mut last = [0];
    let file = File::open(path).map_err(SinkError::io("read", path))?;
    file.read_exact_at(&mut last, length.saturating_sub(1)).map_err(SinkError::io("read", path))?;
    Ok(last == *b"\n")
}
