//! What a checkpoint keeps of a path's generations, and how they are found again.
//!
//! A file that was rotated while nobody looked has another name, and a copied one another inode.
//! So a generation is looked for by inode among the files of its folder, then by its first bytes
//! among the names that begin with the path's own: `app.log`, `app.log.1`, `app.log-20260101`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generation::Generation;
use super::prefix::Prefix;

/// Endings of files that cannot be read on, because they were compressed.
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lz4"];

/// One generation as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Recorded {
    pub device: u64,
    pub inode: u64,
    /// The position of its first byte; none while it waits for its turn.
    pub base: Option<i64>,
    /// The position behind its last byte, once the next one was begun.
    pub end: Option<i64>,
    /// How many of its bytes were read.
    pub read: u64,
    /// The first of them.
    pub prefix: Prefix,
    /// Its content is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// A file that was looked for.
#[derive(Debug)]
pub(super) enum Found {
    /// Here it is.
    File(Opened),
    /// The file is there, with another content.
    Truncated(Opened),
    /// No file is it.
    Nowhere,
    /// Several copies might be it.
    Several,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub path: PathBuf,
    pub file: File,
    pub metadata: Metadata,
}

/// Looks for the generation `wanted` of `path`.
pub(super) fn locate(path: &Path, wanted: &Recorded) -> io::Result<Found> {
    let mut truncated = None;
    let mut copies = Vec::new();
    for candidate in candidates(path)? {
        let is_path = candidate == path;
        let kin = (is_path || extends(path, &candidate)) && !wanted.prefix.is_empty();
        // Looking is cheaper than opening: a folder may have many files.
        if !kin && !std::fs::metadata(&candidate).is_ok_and(|found| found.ino() == wanted.inode) {
            continue;
        }
        let Some(opened) = open(&candidate)? else { continue };
        let Opened { file, metadata, .. } = &opened;
        // A device's number may be another one after a restart of the machine.
        let same_device = metadata.dev() == wanted.device || !wanted.prefix.is_empty();
        let same_inode = metadata.ino() == wanted.inode && same_device;
        if !same_inode && !kin {
            continue;
        }
        let holds = metadata.len() >= wanted.read && wanted.prefix.starts(file)?;
        match (holds, same_inode) {
            (true, true) => return Ok(Found::File(opened)),
            (true, false) => copies.push(opened),
            (false, true) if is_path => truncated = Some(opened),
            (false, _) => {}
        }
    }
    let at_path = copies.iter().position(|copy| copy.path == path);
    let copy = match (at_path, copies.len()) {
        (Some(index), _) => Some(copies.swap_remove(index)),
        (None, 1) => copies.pop(),
        (None, 0) => None,
        (None, _) => return Ok(Found::Several),
    };
    Ok(match (copy, truncated) {
        (Some(copy), _) => Found::File(copy),
        (None, Some(opened)) => Found::Truncated(opened),
        (None, None) => Found::Nowhere,
    })
}

/// What was rotated away between the last generation that is known and the file at `path` now.
#[derive(Debug)]
pub(super) enum Between {
    /// These, oldest first.
    Files(Vec<Opened>),
    /// One of them was compressed.
    Compressed(PathBuf),
}

/// Returns the files that were rotated away after `last`, the newest generation known.
///
/// They are those whose name adds digits to the path's, that are none of `known`, and that were
/// written to after it. Rotations in one tick of the file system's clock go by number, the higher
/// the older.
pub(super) fn between(
    path: &Path,
    last: &Opened,
    known: &VecDeque<Generation>,
) -> io::Result<Between> {
    if last.path == path {
        return Ok(Between::Files(Vec::new()));
    }
    let since = order(path, &last.path, &last.metadata);
    let mut found = Vec::new();
    for candidate in candidates(path)? {
        let Some(rest) = rest_of_name(path, &candidate) else { continue };
        let plain = COMPRESSED.iter().find_map(|ending| rest.strip_suffix(ending));
        if candidate == path || !is_rotation(plain.unwrap_or(rest)) {
            continue;
        }
        let Some(opened) = open(&candidate)? else { continue };
        let at = order(path, &candidate, &opened.metadata);
        if opened.metadata.len() == 0 || at <= since {
            continue;
        }
        if plain.is_some() {
            return Ok(Between::Compressed(candidate));
        }
        if !known.iter().any(|generation| generation.was(&opened.file, &opened.metadata)) {
            found.push((at, opened));
        }
    }
    found.sort_by_key(|(age, _)| *age);
    Ok(Between::Files(found.into_iter().map(|(_, opened)| opened).collect()))
}

/// Sorts rotated files by age, oldest first.
type Age = ((i64, i64), Reverse<u64>);

fn order(path: &Path, candidate: &Path, metadata: &Metadata) -> Age {
    let digits: String = rest_of_name(path, candidate)
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    ((metadata.mtime(), metadata.mtime_nsec()), Reverse(digits.parse().unwrap_or(0)))
}

/// Returns true for what rotation adds to a name: `.1`, `-20260101`, `.2026-01-01T00:00`.
fn is_rotation(rest: &str) -> bool {
    let mut chars = rest.chars();
    matches!(chars.next(), Some('.' | '-' | '_'))
        && rest.chars().any(|c| c.is_ascii_digit())
        && chars.all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T' | 'Z'))
}

fn extends(path: &Path, candidate: &Path) -> bool {
    let (Some(name), Some(candidate)) = (path.file_name(), candidate.file_name()) else {
        return false;
    };
    candidate.as_bytes().starts_with(name.as_bytes())
}

fn rest_of_name<'a>(path: &Path, candidate: &'a Path) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?;
    candidate.file_name().and_then(OsStr::to_str)?.strip_prefix(name)
}

/// Returns `path` and all files beside it, and beside the file it links to.
fn candidates(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![folder(path)];
    if let Ok(target) = std::fs::canonicalize(path)
        && path.is_symlink()
    {
        folders.push(folder(&target));
    }
    let mut found = vec![path.to_path_buf()];
    for folder in folders {
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        let entries = match std::fs::read_dir(listed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        let mut beside = Vec::new();
        for entry in entries {
            let candidate = folder.join(entry?.file_name());
            if candidate != path {
                beside.push(candidate);
            }
        }
        beside.sort();
        found.append(&mut beside);
    }
    Ok(found)
}

fn folder(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Opens a regular file; none when there is none, or when it may not be read.
fn open(path: &Path) -> io::Result<Option<Opened>> {
    // Opening a pipe would block, so look first.
    if !std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some(Opened { path: path.to_path_buf(), file, metadata }))
}
