//! The text that diagnostics point into.

use std::ops::Range;
use std::path::PathBuf;

/// A pipeline file's text, and after it the `--set` overrides.
///
/// Byte ranges below `text.len()` are in the file. The overrides follow as if each were a further
/// line of the file, so that a value from the command line has a place too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// Where the file is, as the user named it.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    overrides: Vec<String>,
}

impl SourceFile {
    /// Returns a file without overrides.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into(), overrides: Vec::new() }
    }

    /// Adds a `--set` argument and returns the offset of its first byte.
    pub fn add_override(&mut self, argument: &str) -> usize {
        let start = self.overrides.iter().fold(self.text.len() + 1, |at, text| at + text.len() + 1);
        self.overrides.push(argument.to_string());
        start
    }

    /// Returns whether a span lies in a `--set` override.
    pub fn is_override(&self, span: &Range<usize>) -> bool {
        !self.overrides.is_empty() && span.start > self.text.len()
    }

    /// Returns the name and text a span lies in and the span within that text, made valid.
    pub(super) fn place(&self, span: &Range<usize>) -> (String, &str, Range<usize>) {
        let mut base = self.text.len() + 1;
        if span.start < base {
            return (self.path.display().to_string(), &self.text, valid(&self.text, span, 0));
        }
        for text in &self.overrides {
            let next = base + text.len() + 1;
            if span.start < next {
                return ("--set".into(), text, valid(text, span, base));
            }
            base = next;
        }
        (self.path.display().to_string(), &self.text, self.text.len()..self.text.len())
    }

    /// Returns the text of a span, as it stands in the file or override.
    pub fn text_at(&self, span: &Range<usize>) -> &str {
        let (_, text, span) = self.place(span);
        text.get(span).unwrap_or_default()
    }

    /// Returns where a part of a TOML string's value stands in the file.
    ///
    /// `span` is the string with its quotes, as `Located` has it; `part` are bytes of the value.
    /// Quotes, escapes and line continuations are accounted for. When the text at `span` does not
    /// hold such a value (a column name that became SQL, a default), the whole span is returned.
    pub fn part_of(&self, span: &Range<usize>, value: &str, part: Range<usize>) -> Range<usize> {
        let (_, text, local) = self.place(span);
        let base = span.start.saturating_sub(local.start);
        let raw = text.get(local.clone()).unwrap_or_default();
        let Some(map) = offsets(raw, value) else { return span.clone() };
        let at = |offset: usize| map.get(offset).or(map.last()).copied().unwrap_or(0);
        let start = base + local.start + at(part.start);
        let end = base + local.start + at(part.end);
        start..end.max(start)
    }
}

/// Returns the span within `text` (which starts at `base`), on character boundaries.
fn valid(text: &str, span: &Range<usize>, base: usize) -> Range<usize> {
    let floor = |offset: usize| {
        let mut at = offset.saturating_sub(base).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}

/// Maps each byte offset of `value` (and its end) to an offset in the TOML string `raw`.
/// None when `raw` is not a string with that value.
fn offsets(raw: &str, value: &str) -> Option<Vec<usize>> {
    let quote = raw.chars().next()?;
    if quote != '"' && quote != '\'' {
        // A bare `--set` value is its own text.
        return (raw == value).then(|| (0..=value.len()).collect());
    }
    let triple: String = [quote; 3].iter().collect();
    let multiline = raw.starts_with(&triple) && raw.len() >= 6;
    let fence = if multiline { 3 } else { 1 };
    let end = raw.len().checked_sub(fence)?;
    let mut at = fence;
    if multiline {
        if raw.get(at..)?.starts_with("\r\n") {
            at += 2;
        } else if raw.get(at..)?.starts_with('\n') {
            at += 1;
        }
    }
    let mut map = Vec::with_capacity(value.len() + 1);
    let mut decoded = String::with_capacity(value.len());
    while at < end {
        let rest = raw.get(at..end)?;
        let (character, width) = match rest.chars().next()? {
            '\\' if quote == '"' => unescape(rest)?,
            other => (Some(other), other.len_utf8()),
        };
        if let Some(character) = character {
            map.extend(std::iter::repeat_n(at, character.len_utf8()));
            decoded.push(character);
        }
        at += width;
    }
    map.push(end);
    (decoded == value).then_some(map)
}

/// Reads an escape: the character, if it stands for one, and the bytes it takes.
fn unescape(rest: &str) -> Option<(Option<char>, usize)> {
    let kind = rest.chars().nth(1)?;
    let hex = |digits: usize| {
        let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
        Some((Some(char::from_u32(code)?), 2 + digits))
    };
    match kind {
        'b' => Some((Some('\u{8}'), 2)),
        't' => Some((Some('\t'), 2)),
        'n' => Some((Some('\n'), 2)),
        'f' => Some((Some('\u{c}'), 2)),
        'r' => Some((Some('\r'), 2)),
        'e' => Some((Some('\u{1b}'), 2)),
        '"' | '\\' => Some((Some(kind), 2)),
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        // A backslash at the end of a line swallows all blanks up to the next word.
        _ if kind.is_whitespace() => {
            let blanks = rest.get(1..)?;
            Some((None, 1 + blanks.len() - blanks.trim_start().len()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_part_of_a_value_in_the_file() {
        // (raw TOML string, value, part, what the part looks like in the file)
        let cases = [
            (r#""a + bb""#, "a + bb", 4..6, "bb"),
            ("'a + bb'", "a + bb", 0..1, "a"),
            (r#""é\t\"x\" y""#, "é\t\"x\" y", 3..6, r#"\"x\""#),
            ("\"\"\"\nselect\n  b\"\"\"", "select\n  b", 9..10, "b"),
            ("\"\"\"a \\\n   b\"\"\"", "a b", 2..3, "b"),
            (r#""\u00e9b""#, "éb", 2..3, "b"),
            (r#""service""#, r#""service""#, 1..8, r#""service""#),
        ];
        for (raw, value, part, expected) in cases {
            let file = SourceFile::new("f", format!("k = {raw}"));
            let found = file.part_of(&(4..4 + raw.len()), value, part);
            assert_eq!(file.text.get(found), Some(expected), "{raw}");
        }
    }

    #[test]
    fn any_span_is_made_valid() {
        let mut file = SourceFile::new("f", "aé");
        assert_eq!(file.place(&(2..9)).2, 1..3);
        assert_eq!(file.place(&(70..90)).2, 3..3);
        let start = file.add_override("x=1");
        let second = file.add_override("y=22");
        assert!(file.is_override(&(start..start + 1)) && !file.is_override(&(0..1)));
        assert_eq!(file.place(&(start + 2..start + 3)), ("--set".into(), "x=1", 2..3));
        assert_eq!(file.text_at(&(start + 2..start + 3)), "1");
        assert_eq!(file.place(&(second + 2..second + 9)), ("--set".into(), "y=22", 2..4));
    }
}
