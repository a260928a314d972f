//! Names of parts, published and hidden.

use std::ffi::OsStr;

/// Returns the name under which a part is published: `part-00007.jsonl`.
pub(super) fn published(number: u64, extension: &str) -> String {
    format!("part-{number:05}.{extension}")
}

/// Returns the name of a part that is still written: `.part-00007.jsonl.tmp`.
pub(super) fn hidden(number: u64, extension: &str) -> String {
    format!(".part-{number:05}.{extension}.tmp")
}

/// A file of the folder that is a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) hidden: bool,
}

/// Returns what a file name stands for, or nothing when it is no part of this format.
pub(super) fn parse(name: &OsStr, extension: &str) -> Option<Found> {
    let name = name.to_str()?;
    let (stem, hidden) = match name.strip_prefix('.') {
        Some(rest) => (rest.strip_suffix(".tmp")?, true),
        None => (name, false),
    };
    let digits = stem.strip_suffix(extension)?.strip_suffix('.')?.strip_prefix("part-")?;
    if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Found { number: digits.parse().ok()?, hidden })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for number in [0, 1, 99_999, 100_000, u64::MAX] {
            for (name, hidden) in [(published(number, "csv"), false), (hidden(number, "csv"), true)]
            {
                let found = parse(OsStr::new(&name), "csv");
                assert_eq!(found, Some(Found { number, hidden }), "{name}");
                assert_eq!(parse(OsStr::new(&name), "jsonl"), None);
            }
        }
        for stranger in [
            "part-1.csv",
            "part-0000a.csv",
            "xpart-00001.csv",
            ".part-00001.csv",
            "part-00001.csv~",
        ] {
            assert_eq!(parse(OsStr::new(stranger), "csv"), None, "{stranger}");
        }
    }
}
