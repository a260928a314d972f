//! TOML as a tree in file order, each key and value with its byte range.
//!
//! Owned and plain, so that `--set` can change it and the reader can walk it more than once.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::diag::Diagnostic;

/// The parser's words for a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// A value and its byte range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// As RFC 3339 text.
    Datetime(String),
    Array(Vec<Value>),
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Range<usize>,
    pub value: Value,
}

/// Reads a whole document. Reports every syntax error; the tree is empty then.
pub(super) fn parse(text: &str, problems: &mut Vec<Diagnostic>) -> Value {
    let (document, errors) = DeTable::parse_recoverable(text);
    let before = problems.len();
    let mut last_line = None;
    // Where the keys of a table that stands twice end: each of them is a duplicate too.
    let mut twice_until = 0;
    for error in errors {
        let start = error.span().map_or(0, |span| span.start);
        if error.message() == DUPLICATE {
            if start < twice_until {
                continue;
            }
            twice_until = end_of_table(text, start);
        }
        // What follows a syntax error on its line is mostly an echo of it.
        let line = error.span().map(|span| line_of(text, span.start));
        if line.is_none() || line != last_line {
            problems.push(syntax_error(&error));
        }
        last_line = line;
    }
    let mut root = Value { kind: Kind::Table(Vec::new()), span: 0..0 };
    if problems.len() == before {
        root.kind = table(document.get_ref(), 0, problems);
    }
    root
}

/// Reads one value that starts at `base`. None: the text is not a TOML value.
pub(super) fn parse_value(
    text: &str,
    base: usize,
    problems: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let value = DeValue::parse(text).ok()?;
    Some(convert(value.get_ref(), shift(value.span(), base), base, problems))
}

/// Returns a key as it would be typed: bare, or quoted when it must be.
pub(super) fn quoted(key: &str) -> String {
    let bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_string() } else { format!("{key:?}") }
}

fn syntax_error(error: &toml::de::Error) -> Diagnostic {
    let mut lines = error.message().lines();
    if error.message() == DUPLICATE {
        let mut problem = Diagnostic::error("not valid TOML: this key or table stands twice");
        problem.span = error.span();
        return problem.help("join the two, or rename one");
    }
    let message = lines.next().unwrap_or("invalid syntax");
    let mut problem = Diagnostic::error(format!("not valid TOML: {message}"));
    problem.span = error.span();
    problem.help = lines.map(str::to_string).collect();
    problem
}

/// Returns where the table ends whose header is at `offset`; `offset` when no header is there.
fn end_of_table(text: &str, offset: usize) -> usize {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    if !before.get(line_start..).is_some_and(|line| line.trim_start().starts_with('[')) {
        return offset;
    }
    after.find("\n[").map_or(text.len(), |at| offset + at)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn shift(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

fn table(table: &DeTable<'_>, base: usize, problems: &mut Vec<Diagnostic>) -> Kind {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: shift(key.span(), base),
            value: convert(value.get_ref(), shift(value.span(), base), base, problems),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Kind::Table(entries)
}

fn convert(
    value: &DeValue<'_>,
    span: Range<usize>,
    base: usize,
    problems: &mut Vec<Diagnostic>,
) -> Value {
    let kind = match value {
        DeValue::String(text) => Kind::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Kind::Integer(number),
            Err(_) => {
                problems.push(
                    Diagnostic::error(format!("the integer {number} is too large"))
                        .at(span.clone())
                        .help(format!("the largest integer is {}", i64::MAX)),
                );
                Kind::Integer(0)
            }
        },
        DeValue::Float(number) => {
            let parsed = number.as_str().parse::<f64>().ok().filter(|number| number.is_finite());
            if parsed.is_none() {
                problems.push(
                    Diagnostic::error(format!("the number {number} is not finite"))
                        .at(span.clone())
                        .help("infinite numbers and `nan` mean nothing in a pipeline file"),
                );
            }
            Kind::Float(parsed.unwrap_or_default())
        }
        DeValue::Boolean(flag) => Kind::Boolean(*flag),
        DeValue::Datetime(datetime) => Kind::Datetime(datetime.to_string()),
        DeValue::Array(items) => Kind::Array(
            items
                .iter()
                .map(|item| convert(item.get_ref(), shift(item.span(), base), base, problems))
                .collect(),
        ),
        DeValue::Table(inner) => table(inner, base, problems),
    };
    Value { kind, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(value: &Value, text: &str, out: &mut Vec<String>) {
        match &value.kind {
            Kind::Table(entries) => {
                for entry in entries {
                    out.push(format!(
                        "{} {:?} {:?}",
                        entry.key,
                        text.get(entry.key_span.clone()).unwrap_or("?"),
                        text.get(entry.value.span.clone()).unwrap_or("?"),
                    ));
                    shape(&entry.value, text, out);
                }
            }
            Kind::Array(items) => items.iter().for_each(|item| shape(item, text, out)),
            _ => {}
        }
    }

    #[test]
    fn keys_are_in_file_order_with_their_places() {
        let text = "z = 1\n[b.x]\nq = \"s\"\n[a]\n\"k k\".j = { v = [1] }\n[[t]]\nn = 1\n[[t]]\nn = 2\n[b.c]\n";
        let mut problems = Vec::new();
        let tree = parse(text, &mut problems);
        assert_eq!(problems, []);
        let mut out = Vec::new();
        shape(&tree, text, &mut out);
        let expected = [
            r#"z "z" "1""#,
            r#"b "b" "b""#,
            r#"x "x" "[b.x]""#,
            r#"q "q" "\"s\"""#,
            r#"c "c" "[b.c]""#,
            r#"a "a" "[a]""#,
            r#"k k "\"k k\"" "\"k k\"""#,
            r#"j "j" "{ v = [1] }""#,
            r#"v "v" "[1]""#,
            r#"t "t" "[[t]]""#,
            r#"n "n" "1""#,
            r#"n "n" "2""#,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn every_syntax_error_is_reported_once_a_line() {
        let mut problems = Vec::new();
        parse("a = \nb = 1\nc = [1,\nd = = 2\n", &mut problems);
        assert!(problems.len() >= 2, "{problems:?}");
        assert!(problems.iter().all(|one| one.message.starts_with("not valid TOML")));
    }

    #[test]
    fn numbers_beyond_range_are_reported() {
        let mut problems = Vec::new();
        parse("a = 99999999999999999999\nb = inf\nc = nan\nd = 0xff\n", &mut problems);
        let messages: Vec<&str> = problems.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
    }
}
