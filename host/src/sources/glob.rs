//! File name patterns: `*`, `?` and, for whole paths, a pattern in any part.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Returns whether `name` matches `pattern`: `*` stands for any bytes, `?` for one byte.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when the bytes after the last `*` do not fit: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    p = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Returns whether `name` matches `pattern`; names that start with a dot only if the pattern does.
pub(super) fn matches_visible(pattern: &OsStr, name: &OsStr) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    (pattern.first() == Some(&b'.') || name.first() != Some(&b'.')) && matches(pattern, name)
}

/// Returns whether the path contains a pattern character.
pub(super) fn is_pattern(path: &Path) -> bool {
    has_wildcard(path.as_os_str())
}

/// Returns whether a whole path matches a pattern, part by part.
pub(super) fn matches_path(pattern: &Path, path: &Path) -> bool {
    let (mut pattern, mut path) = (pattern.components(), path.components());
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(Component::Normal(pattern)), Some(Component::Normal(name)))
                if has_wildcard(pattern) =>
            {
                if !matches_visible(pattern, name) {
                    return false;
                }
            }
            (Some(pattern), Some(part)) if pattern == part => {}
            _ => return false,
        }
    }
}

/// Returns the paths that match, sorted by their bytes. A missing folder has no matches.
pub(super) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        match part {
            Component::Normal(name) if has_wildcard(name) => {
                let mut next = Vec::new();
                for folder in &found {
                    children(folder, name, &mut next)?;
                }
                found = next;
            }
            part => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    found.retain(|path| path.exists());
    found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(found)
}

fn children(
    folder: &Path,
    pattern: &OsStr,
    into: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match std::fs::read_dir(listed) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => return Err((listed.into(), error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| (listed.to_path_buf(), error))?.file_name();
        if matches_visible(pattern, &name) {
            into.push(folder.join(name));
        }
    }
    Ok(())
}

fn has_wildcard(text: &OsStr) -> bool {
    text.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "a.log", true),
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("*.log*", "a.log.1", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "", false),
            ("", "", true),
            ("", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab ab a", false),
            ("a**b", "ab", true),
            ("[x]", "[x]", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn whole_paths() {
        for (pattern, path, expected) in [
            ("/var/*/a.log", "/var/x/a.log", true),
            ("/var/*/a.log", "/var/x/y/a.log", false),
            ("logs/*.log", "logs/a.log", true),
            ("logs/*.log", "logs/.a.log", false),
            ("logs/*.log", "other/a.log", false),
            ("logs/*", "logs", false),
        ] {
            assert_eq!(matches_path(Path::new(pattern), Path::new(path)), expected, "{pattern}");
        }
    }

    #[test]
    fn hidden_names_need_a_dot() {
        assert!(!matches_visible(OsStr::new("*"), OsStr::new(".a.log.swp")));
        assert!(matches_visible(OsStr::new(".*"), OsStr::new(".a")));
    }
}
