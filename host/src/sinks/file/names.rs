//! Names of parts, published and hidden.

use std::ffi::OsStr;
use std::io;

/// Returns the name under which a part is published: `part-00007.jsonl`.
pub(super) fn published(number: u64, extension: &str) -> String {
    format!("part-{number:05}.{extension}")
}

/// Returns the name of a part that is still written: `.part-00007-5d0c81e2.jsonl.tmp`. The token
/// keeps processes that write the same part at the same time out of each other's files.
pub(super) fn hidden(number: u64, token: &str, extension: &str) -> String {
    format!(".part-{number:05}-{token}.{extension}.tmp")
}

/// Returns a random token.
pub(super) fn token() -> io::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:08x}", u32::from_le_bytes(bytes)))
}

/// A file of the folder that is a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) hidden: bool,
    pub(super) name: String,
}

/// Returns what a file name stands for, or nothing when it is no part of this format.
pub(super) fn parse(name: &OsStr, extension: &str) -> Option<Found> {
    let name = name.to_str()?;
    let (stem, hidden) = match name.strip_prefix('.') {
        Some(rest) => (rest.strip_suffix(".tmp")?, true),
        None => (name, false),
    };
    let stem = stem.strip_suffix(extension)?.strip_suffix('.')?.strip_prefix("part-")?;
    let digits = match stem.split_once('-') {
        Some((digits, token)) => {
            let is_token = hidden && token.len() == 8;
            (is_token && token.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)?
        }
        None => stem,
    };
    if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Found { number: digits.parse().ok()?, hidden, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for number in [0, 1, 99_999, 100_000, u64::MAX] {
            let token = token().unwrap();
            for (name, hidden) in
                [(published(number, "csv"), false), (hidden(number, &token, "csv"), true)]
            {
                let found = parse(OsStr::new(&name), "csv");
                let expected = Found { number, hidden, name: name.clone() };
                assert_eq!(found, Some(expected), "{name}");
                assert_eq!(parse(OsStr::new(&name), "jsonl"), None);
            }
        }
        // As they were without tokens.
        assert!(parse(OsStr::new(".part-00001.csv.tmp"), "csv").is_some_and(|found| found.hidden));
        for stranger in [
            "part-1.csv",
            "part-0000a.csv",
            "xpart-00001.csv",
            ".part-00001.csv",
            "part-00001.csv~",
            "part-00001-0123abcd.csv",
            ".part-00001-0123abc.csv.tmp",
            ".part-00001-0123abcx.csv.tmp",
        ] {
            assert_eq!(parse(OsStr::new(stranger), "csv"), None, "{stranger}");
        }
    }
}
