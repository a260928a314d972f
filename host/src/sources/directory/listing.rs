//! What is in a folder, and which of it was read.
//!
//! A file that was read is known again by its name, and by its modification time or its first
//! bytes: a file that was only touched or copied back is the same one, a new file under an old
//! name is not.
//!
//! What is remembered is bounded. Of files read long ago only a mark is kept, the greatest
//! (modification time, name) among them; whatever is not beyond it counts as read, except for
//! files that are known to wait. So a file must not be moved in with a modification time that lies
//! before [`REMEMBERED`] others, while nobody watches.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::file::Prefix;
use super::super::{SourceError, glob};

/// How many files that were read are remembered one by one.
pub(super) const REMEMBERED: usize = if cfg!(test) { 8 } else { 4096 };

/// A file of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: OsString,
    /// Nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    pub bytes: u64,
    /// Its first bytes, as far as they were read.
    pub prefix: Prefix,
}

impl Listed {
    fn new(name: OsString, metadata: &Metadata) -> Self {
        let modified_ns =
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { name, modified_ns, bytes: metadata.len(), prefix: Prefix::default() }
    }

    /// Returns what orders files.
    pub fn age(&self) -> Age {
        (self.modified_ns, self.name.to_string_lossy().into_owned())
    }

    /// Returns what a checkpoint keeps of it.
    pub fn record(&self) -> Recorded {
        let Self { name, modified_ns, bytes, prefix } = self;
        let name = name.to_string_lossy().into_owned();
        Recorded { name, modified_ns: *modified_ns, bytes: *bytes, prefix: *prefix }
    }

    /// Returns true when this is the file of a checkpoint, in `folder`.
    pub fn is(&self, recorded: &Recorded, folder: &Path) -> bool {
        let Recorded { name, modified_ns, prefix, .. } = recorded;
        let same_start = || {
            let file = File::open(folder.join(&self.name));
            file.and_then(|file| prefix.starts(&file)).unwrap_or(false)
        };
        self.name.to_string_lossy() == *name
            && (self.modified_ns == *modified_ns || (!prefix.is_empty() && same_start()))
    }
}

/// The order of files: modification time, then name.
pub(super) type Age = (i64, String);

/// A file as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub name: String,
    pub modified_ns: i64,
    pub bytes: u64,
    pub prefix: Prefix,
}

impl Recorded {
    /// Returns the file with what a checkpoint knows of it. One that was deleted has its name.
    pub fn listed(&self) -> Listed {
        let Self { name, modified_ns, bytes, prefix } = self.clone();
        Listed { name: OsString::from(name), modified_ns, bytes, prefix }
    }
}

/// Returns the regular files of a folder that match a pattern and were not seen, in order, and the
/// names of those that were.
pub(super) fn list(
    folder: &Path,
    pattern: &OsStr,
    is_seen: impl Fn(&OsStr) -> bool,
) -> Result<(Vec<Listed>, Vec<OsString>), SourceError> {
    let failed = |error| SourceError::listing(folder, error);
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !glob::matches_visible(pattern, &name) {
            continue;
        }
        if is_seen(&name) {
            seen.push(name);
            continue;
        }
        // Through links; a file that vanished since, or a broken link, is not there.
        let Ok(metadata) = std::fs::metadata(folder.join(&name)) else { continue };
        if metadata.is_file() {
            found.push(Listed::new(name, &metadata));
        }
    }
    found.sort_by(|a, b| (a.modified_ns, &a.name).cmp(&(b.modified_ns, &b.name)));
    Ok((found, seen))
}

/// Takes the file of a checkpoint out of `found`, if it is there and still the same.
pub(super) fn take(found: &mut Vec<Listed>, recorded: &Recorded, folder: &Path) -> Option<Listed> {
    let index = found.iter().position(|file| file.is(recorded, folder))?;
    let mut file = found.remove(index);
    file.prefix = recorded.prefix;
    Some(file)
}

/// Returns the error for a file that was not read to its end and is gone.
pub(super) fn gone(folder: &Path, recorded: &Recorded, position: i64) -> SourceError {
    let path: PathBuf = folder.join(&recorded.name);
    let reason = "the file was not read to its end, and is gone or another one";
    SourceError::Gone { partition: path.display().to_string(), position, reason }
}
