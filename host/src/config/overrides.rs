//! `--set sources.logs.path=VALUE`: changes to the tree from the command line.

use std::ops::Range;

use super::tree::{self, Entry, Kind, Value, quoted};
use crate::diag::{Diagnostic, SourceFile};

/// Applies one argument. Its text becomes part of `file`, so that its values have a place.
///
/// The path is a TOML key, quoted parts allowed; tables on the way are made. The value is TOML,
/// and any text that is not TOML is a string.
pub(super) fn apply(
    root: &mut Value,
    argument: &str,
    file: &mut SourceFile,
    problems: &mut Vec<Diagnostic>,
) {
    let base = file.add_override(argument);
    let whole = base..base + argument.len();
    let Some((path, value)) = split(argument) else {
        problems.push(
            Diagnostic::error("`--set` needs a key and a value")
                .at(whole)
                .help("write --set sources.logs.path=/var/log/app.log"),
        );
        return;
    };
    let Some(keys) = keys(path, base) else {
        problems.push(
            Diagnostic::error(format!("`{path}` is not a path of keys"))
                .at(base..base + path.len())
                .help("write keys with dots between them; quote a key that has blanks or dots"),
        );
        return;
    };
    let value_base = base + argument.len() - value.len();
    let value = tree::parse_value(value, value_base, problems).unwrap_or_else(|| Value {
        kind: Kind::String(value.to_string()),
        span: value_base..value_base + value.len(),
    });
    insert(root, &keys, value, problems);
}

/// Splits at the first `=` outside quotes; the value keeps no leading blanks.
fn split(argument: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, character) in argument.char_indices() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => quote = Some(character),
            None if character == '=' => {
                let (path, rest) = argument.split_at(at);
                return Some((path, rest.get(1..)?.trim_start()));
            }
            None => {}
        }
    }
    None
}

/// Reads a dotted key with TOML's own rules.
fn keys(path: &str, base: usize) -> Option<Vec<(String, Range<usize>)>> {
    if path.contains('\n') {
        return None;
    }
    let mut problems = Vec::new();
    let mut table = tree::parse(&format!("{path} = 0"), &mut problems);
    if !problems.is_empty() {
        return None;
    }
    let mut keys = Vec::new();
    loop {
        match table.kind {
            Kind::Table(mut entries) if entries.len() == 1 => {
                let entry = entries.pop()?;
                keys.push((entry.key, entry.key_span.start + base..entry.key_span.end + base));
                table = entry.value;
            }
            Kind::Integer(_) => return Some(keys),
            _ => return None,
        }
    }
}

fn insert(
    root: &mut Value,
    keys: &[(String, Range<usize>)],
    value: Value,
    problems: &mut Vec<Diagnostic>,
) {
    let mut at = root;
    let mut walked: Vec<String> = Vec::new();
    let Some(((last, last_span), parents)) = keys.split_last() else { return };
    for (key, span) in parents {
        walked.push(quoted(key));
        let Some(entries) = entries(at) else { return };
        let index = position(entries, key, span);
        let Some(entry) = entries.get_mut(index) else { return };
        if !matches!(entry.value.kind, Kind::Table(_)) {
            let what = match entry.value.kind {
                Kind::Array(_) => "an array, and `--set` cannot reach into arrays",
                _ => "not a table",
            };
            problems.push(
                Diagnostic::error(format!("`{}` is {what}", walked.join(".")))
                    .at(span.clone())
                    .help(format!("set the whole of it: --set {}=VALUE", walked.join("."))),
            );
            return;
        }
        at = &mut entry.value;
    }
    let Some(entries) = entries(at) else { return };
    let index = position(entries, last, last_span);
    if let Some(entry) = entries.get_mut(index) {
        entry.value = value;
        entry.key_span = last_span.clone();
    }
}

fn entries(value: &mut Value) -> Option<&mut Vec<Entry>> {
    match &mut value.kind {
        Kind::Table(entries) => Some(entries),
        _ => None,
    }
}

/// Returns the place of a key, which is made as an empty table when there is none.
fn position(entries: &mut Vec<Entry>, key: &str, span: &Range<usize>) -> usize {
    if let Some(index) = entries.iter().position(|entry| entry.key == key) {
        return index;
    }
    entries.push(Entry {
        key: key.to_string(),
        key_span: span.clone(),
        value: Value { kind: Kind::Table(Vec::new()), span: span.clone() },
    });
    entries.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the value at `path` after `--set argument`, or the first message.
    fn set(text: &str, argument: &str, path: &[&str]) -> Result<Kind, String> {
        let mut problems = Vec::new();
        let mut file = SourceFile::new("p.toml", text);
        let mut root = tree::parse(text, &mut problems);
        apply(&mut root, argument, &mut file, &mut problems);
        if let Some(problem) = problems.first() {
            return Err(problem.message.clone());
        }
        let mut at = root;
        for key in path {
            let Kind::Table(entries) = at.kind else { panic!("no table above {key}") };
            at = entries.into_iter().find(|entry| entry.key == *key).expect("key").value;
        }
        Ok(at.kind)
    }

    #[test]
    fn values_are_toml_or_else_text() {
        let cases = [
            ("a.b=1", Kind::Integer(1)),
            ("a.b = true", Kind::Boolean(true)),
            ("a.b=\"1\"", Kind::String("1".into())),
            ("a.b=/tmp/x.log", Kind::String("/tmp/x.log".into())),
            ("a.b=100ms", Kind::String("100ms".into())),
            ("a.b=x = 1", Kind::String("x = 1".into())),
            ("a.b=", Kind::String(String::new())),
            ("a.b=2025-01-01T00:00:00Z", Kind::Datetime("2025-01-01T00:00:00Z".into())),
        ];
        for (argument, expected) in cases {
            assert_eq!(set("[a]\nb = 7\n", argument, &["a", "b"]), Ok(expected.clone()));
            assert_eq!(set("", argument, &["a", "b"]), Ok(expected), "created");
        }
        assert_eq!(set("", "a.\"x = y\".b=1", &["a", "x = y", "b"]), Ok(Kind::Integer(1)));
    }

    #[test]
    fn bad_arguments_are_explained() {
        let cases = [
            ("novalue", "`--set` needs a key and a value"),
            ("a..b=1", "`a..b` is not a path of keys"),
            ("=1", "`` is not a path of keys"),
            ("a.n.x=1", "`a.n` is not a table"),
            ("t.x=1", "`t` is an array, and `--set` cannot reach into arrays"),
        ];
        for (argument, message) in cases {
            assert_eq!(set("[a]\nn = 1\n[[t]]\n", argument, &[]), Err(message.into()));
        }
    }
}
