//! Reference data and helpers for the tests of rules. Panics when misused, as tests do.
#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "for tests, where a panic is the answer"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_sdk::prelude::*;
use millstream_sdk::testing::{Entry, evaluate, table};
use serde_json::Value as Json;

/// Returns the text of a reference file, or nothing, with a line that says so, when it is absent.
///
/// Reference data is looked for in `$MILLSTREAM_DATA`, then beside the workspace.
#[must_use]
pub fn reference(path: &str) -> Option<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data");
    let root = std::env::var_os("MILLSTREAM_DATA").map_or(beside, PathBuf::from);
    let file = root.join(path);
    if !file.exists() {
        println!("SKIPPED: data absent: {}", file.display());
        return None;
    }
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(text),
        Err(error) => panic!("{}: {error}", file.display()),
    }
}

/// Returns the objects of a JSON lines text.
#[must_use]
pub fn json_lines(text: &str) -> Vec<Json> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(parse).collect()
}

/// Returns what a rule says about each row: alert or not, message, attributes. Each key's rows are
/// one call.
#[must_use]
pub fn annotate<R: Rule>(config: &str, schema: &[Field], key: &str, rows: &[Json]) -> Vec<Entry> {
    let mut keys: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        keys.entry(row.get(key).map(ToString::to_string).unwrap_or_default())
            .or_default()
            .push(index);
    }
    let mut entries: Vec<(usize, Entry)> = Vec::new();
    for indices in keys.values() {
        let of_key: Vec<Json> = indices.iter().filter_map(|i| rows.get(*i)).cloned().collect();
        let table = table(schema, &of_key).unwrap_or_else(|fault| panic!("{fault:?}"));
        let said = evaluate::<R>(config, schema, &table).unwrap_or_else(|f| panic!("{f:?}"));
        for entry in said {
            let index = usize::try_from(entry.row).ok().and_then(|row| indices.get(row));
            entries.push((index.copied().unwrap_or_else(|| panic!("no such row")), entry));
        }
    }
    entries.sort_by_key(|(index, _)| *index);
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// Returns true when both are null or equal within a relative 1e-9.
#[must_use]
pub fn close(actual: &Json, expected: &Json) -> bool {
    match (actual.as_f64(), expected.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        (None, None) => actual.is_null() && expected.is_null(),
        _ => false,
    }
}
