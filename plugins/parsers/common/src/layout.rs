//! Lines of fields between fixed texts, such as access logs: a small scanner, compiled from the
//! line's layout once.
//!
//! A field ends where the text behind it first stands. Between quotation marks a backslash
//! escapes. A field that is a lone `-` is null.

use millstream_sdk::TableBuilder;
use millstream_sdk::column::{ColumnBuilder, TextColumn};

use crate::columns::Problem;
use crate::number::{Number, Short};
use crate::scan::{find, find_either};
use crate::simd::Block;
use crate::time::TimeFormat;

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// An integer.
    Int64,
    /// A double.
    Float64,
    /// A time, and the offset of times without one.
    Time(TimeFormat, i64),
}

/// Where a field goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Nowhere.
    Skip,
    /// To a column.
    Column(usize, FieldKind),
    /// A request line to the columns of its method, path, protocol, and the whole.
    Request([Option<usize>; 4]),
}

/// A fixed text.
#[derive(Clone, Debug)]
struct Literal {
    bytes: Vec<u8>,
    /// The text, when it has at most eight bytes.
    word: u64,
    /// The bits of `word` that count.
    mask: u64,
}

impl Literal {
    fn new(bytes: &[u8]) -> Self {
        let mut word = [0; 8];
        let mut mask = [0; 8];
        let short = if bytes.len() <= 8 { bytes } else { &[] };
        for ((to, mask), from) in word.iter_mut().zip(&mut mask).zip(short) {
            *to = *from;
            *mask = 0xff;
        }
        Self {
            bytes: bytes.to_vec(),
            word: u64::from_le_bytes(word),
            mask: u64::from_le_bytes(mask),
        }
    }

    /// Whether a text of one to eight bytes stands at `at`; `None` when it is another, or the
    /// buffer ends within eight bytes.
    #[inline(always)]
    fn is_near(&self, data: &[u8], at: usize) -> Option<bool> {
        let word = u64::from_le_bytes(*data.get(at..)?.first_chunk::<8>()?);
        (self.mask != 0).then_some(word & self.mask == self.word)
    }

    #[inline]
    fn is_at(&self, data: &[u8], at: usize) -> bool {
        if self.bytes.len() <= 8
            && let Some(word) = data.get(at..).and_then(|d| d.first_chunk::<8>())
        {
            u64::from_le_bytes(*word) & self.mask == self.word
        } else {
            data.get(at..at + self.bytes.len()) == Some(self.bytes.as_slice())
        }
    }
}

#[derive(Clone, Debug)]
struct Step {
    /// The first byte of the text behind the field, and between quotation marks the backslash,
    /// sixteen times.
    stops: [[u8; 16]; 2],
    /// The text behind the field.
    after: Literal,
    stop: u8,
    quoted: bool,
    target: Target,
}

/// A compiled layout.
#[derive(Clone, Debug)]
pub struct Layout {
    before: Literal,
    steps: Vec<Step>,
}

/// A piece of a layout.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// A fixed text.
    Text(Vec<u8>),
    /// A field.
    Field(Target),
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It does not have the layout.
    Malformed,
    /// A field does not fit its column.
    Field(Problem),
}

impl Layout {
    /// Compiles pieces.
    ///
    /// # Errors
    /// Two fields without a text between them.
    pub fn new(pieces: Vec<Piece>) -> Result<Self, String> {
        let mut before = Vec::new();
        let mut steps: Vec<(Target, Vec<u8>)> = Vec::new();
        let mut last_was_field = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    match steps.last_mut() {
                        Some((_, after)) => after.extend_from_slice(&text),
                        None => before.extend_from_slice(&text),
                    }
                    last_was_field &= text.is_empty();
                }
                Piece::Field(target) => {
                    if last_was_field {
                        return Err(
                            "two fields stand side by side; nothing tells them apart".into()
                        );
                    }
                    steps.push((target, Vec::new()));
                    last_was_field = true;
                }
            }
        }
        let mut quote = before.last() == Some(&b'"');
        let before = Literal::new(&before);
        let steps = steps
            .into_iter()
            .map(|(target, after)| {
                let stop = after.first().copied().unwrap_or(0);
                let quoted = quote && stop == b'"';
                let step = Step {
                    stops: [[stop; 16], [if quoted { b'\\' } else { stop }; 16]],
                    target,
                    quoted,
                    stop,
                    after: Literal::new(&after),
                };
                quote = after.last() == Some(&b'"');
                step
            })
            .collect();
        Ok(Self { before, steps })
    }

    /// Parses the line at `start .. end` of `data` into the current row of `table`, and writes
    /// every column. `utf8` says that the line is known to be UTF-8.
    ///
    /// # Errors
    /// Why the line is refused.
    #[inline]
    pub fn parse(
        &self,
        data: &[u8],
        start: usize,
        end: usize,
        utf8: bool,
        table: &mut TableBuilder,
    ) -> Result<(), LineError> {
        let end = match end.checked_sub(1) {
            // A carriage return is part of the line's end.
            Some(last) if last >= start && data.get(last) == Some(&b'\r') => last,
            _ => end,
        };
        if !self.before.is_at(data, start) {
            return Err(LineError::Malformed);
        }
        let mut at = start + self.before.bytes.len();
        for step in &self.steps {
            let (stop, escaped) = match step.find(data, at, end) {
                Some(stop) => (stop, false),
                None => step.find_carefully(data, at, end).ok_or(LineError::Malformed)?,
            };
            if step.target != Target::Skip {
                let field = Span { data, start: at, end: stop, escaped, utf8 };
                field.give(&step.target, table).map_err(LineError::Field)?;
            }
            at = stop + step.after.bytes.len();
        }
        if at == end { Ok(()) } else { Err(LineError::Malformed) }
    }
}

impl Step {
    /// Where the field ends, when it has no escapes. `None` says nothing.
    #[inline(always)]
    fn find(&self, data: &[u8], at: usize, end: usize) -> Option<usize> {
        let stops = [Block::new(&self.stops[0]), Block::new(&self.stops[1])];
        let mut from = at;
        while from < end {
            let mut mask = Block::at(data, from)?.same_either(stops[0], stops[1]);
            while mask != 0 {
                let stop = from + mask.trailing_zeros() as usize;
                if self.after.is_near(data, stop)? {
                    return (stop + self.after.bytes.len() <= end).then_some(stop);
                }
                if self.quoted && *data.get(stop)? == b'\\' {
                    return None;
                }
                mask &= mask - 1;
            }
            from += 16;
        }
        None
    }

    /// Where the field ends, and whether it has escapes.
    #[inline(never)]
    fn find_carefully(&self, data: &[u8], at: usize, end: usize) -> Option<(usize, bool)> {
        let length = self.after.bytes.len();
        if length == 0 {
            return Some((end.max(at), false));
        }
        let mut from = at;
        let mut escaped = false;
        loop {
            let stop = if self.quoted {
                find_either(data, from, end, b'"', b'\\')
            } else {
                find(data, from, end, self.stop)
            };
            if stop + length > end {
                return None;
            }
            if self.quoted && data.get(stop) == Some(&b'\\') {
                escaped = true;
                from = stop + 2;
            } else if length == 1 || self.after.is_at(data, stop) {
                return Some((stop, escaped));
            } else {
                from = stop + 1;
            }
        }
    }
}

/// A field of a line.
#[derive(Clone, Copy)]
struct Span<'a> {
    data: &'a [u8],
    start: usize,
    end: usize,
    escaped: bool,
    utf8: bool,
}

impl<'a> Span<'a> {
    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Writes the field to its columns.
    #[inline(never)]
    fn give(&self, target: &Target, table: &mut TableBuilder) -> Result<(), Problem> {
        match target {
            Target::Skip => Ok(()),
            Target::Column(column, kind) => match table.columns().get_mut(*column) {
                Some(builder) => self.write(kind, builder),
                None => Ok(()),
            },
            Target::Request(columns) => self.request(columns, table),
        }
    }

    #[inline]
    fn is_dash(&self) -> bool {
        self.end == self.start + 1 && self.data.get(self.start) == Some(&b'-')
    }

    #[inline]
    fn part(&self, start: usize, end: usize) -> Self {
        Self { start, end, ..*self }
    }

    #[inline]
    fn write(&self, kind: &FieldKind, builder: &mut ColumnBuilder) -> Result<(), Problem> {
        if self.is_dash() {
            builder.push_null();
            return Ok(());
        }
        match (kind, builder) {
            (FieldKind::Text, ColumnBuilder::Text(column)) => self.text(column)?,
            (FieldKind::Int64, ColumnBuilder::Int64(column)) => column.push(self.int64()?),
            (FieldKind::Float64, ColumnBuilder::Float64(column)) => {
                let number = Number::parse(self.bytes()).ok_or(Problem::WrongType)?;
                column.push(number.to_f64().map_err(|_| Problem::OutOfRange)?);
            }
            (FieldKind::Time(format, naive), ColumnBuilder::Timestamp(column)) => {
                column.push(format.parse(self.bytes(), *naive).ok_or(Problem::BadTimestamp)?);
            }
            (_, builder) => builder.push_null(),
        }
        Ok(())
    }

    #[inline]
    fn int64(&self) -> Result<i64, Problem> {
        if let Some((number, end)) = Short::read(self.data, self.start)
            && end == self.end
            && let Some(value) = number.to_i64()
        {
            return Ok(value);
        }
        let number = Number::parse(self.bytes()).ok_or(Problem::WrongType)?;
        number.to_i64().map_err(crate::columns::number_problem)
    }

    #[inline]
    fn text(&self, column: &mut TextColumn) -> Result<(), Problem> {
        if !self.utf8 && core::str::from_utf8(self.bytes()).is_err() {
            return Err(Problem::InvalidUtf8);
        }
        if self.escaped {
            column.push(&unescape(self.bytes()));
        } else {
            column.push_span(self.data, self.start, self.end);
        }
        Ok(())
    }

    fn request(
        &self,
        columns: &[Option<usize>; 4],
        table: &mut TableBuilder,
    ) -> Result<(), Problem> {
        let [method, path, protocol, whole] = *columns;
        let parts = if self.is_dash() { [None; 4] } else { self.split_request() };
        for (column, part) in [method, path, protocol, whole].into_iter().zip(parts) {
            let builder = column.and_then(|column| table.columns().get_mut(column));
            match (builder, part) {
                (Some(ColumnBuilder::Text(column)), Some(part)) => part.text(column)?,
                (Some(builder), _) => builder.push_null(),
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Method, path, protocol and the whole. What is no request is all path.
    #[inline]
    fn split_request(&self) -> [Option<Self>; 4] {
        let whole = Some(*self);
        let data = self.data;
        let space = find(data, self.start, self.end, b' ');
        let method = data.get(self.start..space).unwrap_or_default();
        if space == self.end || method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) {
            return [None, whole, None, whole];
        }
        let is_protocol = |at: usize| data.get(at..).is_some_and(|d| d.starts_with(b" HTTP/"));
        // `HTTP/1.1` is the usual length.
        let usual = self.end.saturating_sub(9);
        let last = if usual > space && is_protocol(usual) {
            Some(usual)
        } else {
            let rest = data.get(space + 1..self.end).unwrap_or_default();
            let last = rest.iter().rposition(|&b| b == b' ').map(|at| space + 1 + at);
            last.filter(|&at| is_protocol(at))
        };
        let method = Some(self.part(self.start, space));
        match last {
            Some(last) => [
                method,
                Some(self.part(space + 1, last)),
                Some(self.part(last + 1, self.end)),
                whole,
            ],
            None => [method, Some(self.part(space + 1, self.end)), None, whole],
        }
    }
}

/// Decodes what log writers escape: `\"`, `\\`, `\/`, `\n` and its like, `\xhh`, `\uhhhh`. Text that
/// would not be UTF-8 then stays as it is.
#[must_use]
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let after = rest.clone();
        match rest.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'b') => out.push(8),
            Some(b'v') => out.push(0x0b),
            Some(b'f') => out.push(0x0c),
            Some(plain @ (b'"' | b'\\' | b'/' | b'\'')) => out.push(plain),
            Some(b'x') => match hex(&mut rest, 2).and_then(|code| u8::try_from(code).ok()) {
                Some(byte) => out.push(byte),
                None => {
                    out.push(b'\\');
                    rest = after;
                }
            },
            Some(b'u') => match hex(&mut rest, 4).and_then(char::from_u32) {
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => {
                    out.push(b'\\');
                    rest = after;
                }
            },
            _ => {
                out.push(b'\\');
                rest = after;
            }
        }
    }
    if core::str::from_utf8(&out).is_err() {
        return text.to_vec();
    }
    out
}

fn hex(bytes: &mut impl Iterator<Item = u8>, count: usize) -> Option<u32> {
    (0..count).try_fold(0, |value, _| Some(value * 16 + char::from(bytes.next()?).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, expected) in [
            (r#"a\"b\\c"#, "a\"b\\c"),
            (r"\x41\x0a\n", "A\n\n"),
            (r"\xc3\xa9", "é"),
            (r"\xff", r"\xff"),
            (r"\u00e9\ud800", "é\\ud800"),
            (r"\x4", r"\x4"),
            (r"\q\", r"\q\"),
        ] {
            assert_eq!(unescape(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
