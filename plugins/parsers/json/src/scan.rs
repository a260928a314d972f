//! One pass over a record.

use millstream_parser_common::columns::{Column, Kind, Problem, number_problem, slot};
use millstream_parser_common::number::{Number, Short};
use millstream_parser_common::scan::find_json_special;
use millstream_sdk::column::ColumnBuilder;
use millstream_sdk::{Reject, TableBuilder};

use crate::tree::{NONE, Node, Tree};
use crate::{INVALID_JSON, NOT_AN_OBJECT, takes_text};

/// Space that is reused.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The columns whose fields do not fit.
    pub problems: Vec<(usize, Problem)>,
    decoded: Vec<u8>,
    lower: Vec<u8>,
    /// The containers around the value being skipped.
    stack: Vec<u8>,
}

/// A record being parsed. Positions are in `data`, which goes on behind the record's end.
pub struct Scanner<'a> {
    pub data: &'a [u8],
    pub end: usize,
    pub columns: &'a [Column],
    pub unknown: Option<usize>,
    pub table: &'a mut TableBuilder,
    pub scratch: &'a mut Scratch,
    /// Columns written the fast way, each for the first time.
    pub written: usize,
}

/// Whether a number can end before this byte; the rare ones go the general way.
#[inline]
fn ends_value(byte: u8) -> bool {
    matches!(byte, b',' | b'}')
}

/// A value that columns look at.
#[derive(Clone, Copy)]
enum Value<'a> {
    Null,
    Boolean(bool),
    Number(Number<'a>),
    /// A string without escapes, or decoded.
    Text(&'a [u8]),
    Container,
}

impl<'a> Scanner<'a> {
    /// The byte at `at`; 0, which is valid nowhere, behind the end.
    #[inline]
    fn byte(&self, at: usize) -> u8 {
        if at < self.end { self.data.get(at).copied().unwrap_or(0) } else { 0 }
    }

    #[inline]
    fn space(&self, at: usize) -> usize {
        if self.byte(at) > b' ' { at } else { self.spaces(at) }
    }

    #[inline(never)]
    fn spaces(&self, mut at: usize) -> usize {
        while at < self.end && matches!(self.byte(at), b' ' | b'\n' | b'\r' | b'\t') {
            at += 1;
        }
        at
    }

    /// Parses the record that starts at `at`.
    #[inline]
    pub fn record(&mut self, tree: &mut Tree, at: usize) -> Result<(), Reject> {
        let at = self.spaces(at);
        if at >= self.end {
            return Err(INVALID_JSON);
        }
        if self.byte(at) != b'{' {
            return Err(match self.skip(at) {
                Some(at) if self.spaces(at) == self.end => NOT_AN_OBJECT,
                _ => INVALID_JSON,
            });
        }
        match self.object(tree, 0, at + 1) {
            Some(at) if self.spaces(at) == self.end => {
                self.close_unknown();
                Ok(())
            }
            _ => Err(INVALID_JSON),
        }
    }

    /// Parses an object of the tree from behind its brace. It calls itself as deep as configured
    /// paths go; deeper values are skipped without recursion.
    fn object(&mut self, tree: &mut Tree, node: usize, at: usize) -> Option<usize> {
        let at = self.space(at);
        if self.byte(at) == b'}' {
            return Some(at + 1);
        }
        let mut taken = tree.take(node);
        let after = self.members(tree, &mut taken, node, at);
        tree.put(node, taken);
        after
    }

    /// Parses the members of an object and its closing brace.
    #[inline]
    fn members(
        &mut self,
        tree: &mut Tree,
        keys: &mut Node,
        node: usize,
        at: usize,
    ) -> Option<usize> {
        let mut at = at;
        let mut previous = NONE;
        let mut guess = keys.first;
        loop {
            if at >= self.end || self.byte(at) != b'"' {
                return None;
            }
            let name_at = at;
            let key = match keys.key(guess).and_then(|key| key.stands_at(self.data, at)) {
                Some(length) => {
                    at += length;
                    guess
                }
                None => {
                    let (text, next) = self.string(at)?;
                    at = next;
                    let name = match text {
                        Some(text) => text,
                        None => self.scratch.decoded.as_slice(),
                    };
                    keys.look_up(name, previous)
                }
            };
            let name_end = at;
            if self.byte(at) != b':' {
                at = self.space(at);
                if self.byte(at) != b':' {
                    return None;
                }
            }
            at = self.space(at + 1);
            let found = keys.key(key);
            guess = found.map_or(NONE, |key| key.next);
            at = match found {
                Some(found) if found.only.is_some() => {
                    let column = found.only.unwrap_or(0);
                    match self.fast(column, at) {
                        Some(after) => after,
                        None => self.fields(&found.leaves, at, false)?,
                    }
                }
                Some(found) if found.wanted => {
                    let child = found.child;
                    let after = self.fields(&found.leaves, at, child.is_some())?;
                    match child {
                        None => after,
                        Some(child) => self.child(tree, child, at, after)?,
                    }
                }
                _ => {
                    let after = self.skip(at)?;
                    if node == 0 && self.unknown.is_some() {
                        self.keep_unknown(name_at..name_end, at..after);
                    }
                    after
                }
            };
            previous = key;
            if self.byte(at) == b',' {
                at = self.space(at + 1);
                continue;
            }
            if self.byte(at) == b'}' {
                return Some(at + 1);
            }
            at = self.space(at);
            match self.byte(at) {
                b',' => at = self.space(at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Writes a value of the usual form to its column and returns where it ends. `None` says
    /// nothing: the general way must look.
    #[inline]
    fn fast(&mut self, index: usize, at: usize) -> Option<usize> {
        let data = self.data;
        let column = self.columns.get(index)?;
        let rows = self.table.rows();
        let builder = self.table.columns().get_mut(index)?;
        if column.cleans || !self.scratch.problems.is_empty() {
            return None;
        }
        let after = match (&column.kind, builder) {
            (Kind::Text, ColumnBuilder::Text(builder)) => {
                if builder.len() != rows || *data.get(at)? != b'"' {
                    return None;
                }
                let special = find_json_special(data, at + 1, self.end);
                if *data.get(special)? != b'"' {
                    return None;
                }
                builder.push_span(data, at + 1, special);
                special + 1
            }
            (Kind::Int64, ColumnBuilder::Int64(builder)) => {
                let (number, after) = Short::read(data, at)?;
                if builder.len() != rows || !ends_value(*data.get(after)?) {
                    return None;
                }
                builder.push(number.to_i64()?);
                after
            }
            (Kind::Float64, ColumnBuilder::Float64(builder)) => {
                let (number, after) = Short::read(data, at)?;
                if builder.len() != rows || !ends_value(*data.get(after)?) {
                    return None;
                }
                builder.push(number.to_f64()?);
                after
            }
            (Kind::Timestamp(format, naive), ColumnBuilder::Timestamp(builder)) => {
                if builder.len() != rows {
                    return None;
                }
                if format.is_epoch() {
                    let (number, after) = Short::read(data, at)?;
                    if !ends_value(*data.get(after)?) {
                        return None;
                    }
                    builder.push(format.of_integer(number.to_i64()?)?);
                    after
                } else {
                    if *data.get(at)? != b'"' {
                        return None;
                    }
                    let special = find_json_special(data, at + 1, self.end);
                    if *data.get(special)? != b'"' {
                        return None;
                    }
                    builder.push(format.parse(data.get(at + 1..special)?, *naive)?);
                    special + 1
                }
            }
            _ => return None,
        };
        self.written += 1;
        Some(after)
    }

    /// Looks into the value of a key that has columns below it. What an earlier key of the same
    /// name has written there is forgotten.
    #[cold]
    fn child(&mut self, tree: &mut Tree, child: usize, at: usize, after: usize) -> Option<usize> {
        for &column in tree.columns(child) {
            self.forget(column);
        }
        if self.byte(at) == b'{' { self.object(tree, child, at + 1) } else { Some(after) }
    }

    fn forget(&mut self, column: usize) {
        slot(self.table, column);
        if !self.scratch.problems.is_empty() {
            self.scratch.problems.retain(|(at, _)| *at != column);
        }
    }

    /// Reads the value at `at` and writes it to its columns; returns where it ends. With
    /// `looked_into` an object is left to the caller, when no column takes it whole.
    #[inline]
    fn fields(&mut self, leaves: &[usize], at: usize, looked_into: bool) -> Option<usize> {
        let data = self.data;
        let (value, end) = match self.byte(at) {
            b'"' => {
                let (text, end) = self.string(at)?;
                match text {
                    Some(text) => (Value::Text(text), end),
                    None => {
                        let decoded = core::mem::take(&mut self.scratch.decoded);
                        for &column in leaves {
                            self.write(column, Value::Text(&decoded), (at, end));
                        }
                        self.scratch.decoded = decoded;
                        return Some(end);
                    }
                }
            }
            b'-' | b'0'..=b'9' => {
                let (number, end) = Number::read_json(data, at, self.end)?;
                (Value::Number(number), end)
            }
            b'n' => (Value::Null, self.word(at, b"null")?),
            b't' => (Value::Boolean(true), self.word(at, b"true")?),
            b'f' => (Value::Boolean(false), self.word(at, b"false")?),
            b'{' if looked_into && leaves.is_empty() => return Some(at),
            _ => (Value::Container, self.skip(at)?),
        };
        for &column in leaves {
            self.write(column, value, (at, end));
        }
        Some(end)
    }

    #[inline]
    fn write(&mut self, index: usize, value: Value<'_>, span: (usize, usize)) {
        let Some(column) = self.columns.get(index) else { return };
        let Some(builder) = slot(self.table, index) else { return };
        if !self.scratch.problems.is_empty() {
            self.scratch.problems.retain(|(at, _)| *at != index);
        }
        let result = match (value, &column.kind, builder) {
            (Value::Null, ..) => return,
            (Value::Text(text), Kind::Text, ColumnBuilder::Text(builder)) if !column.cleans => {
                builder.push(text);
                return;
            }
            (_, Kind::Json, ColumnBuilder::Text(builder)) => {
                builder.push(self.data.get(span.0..span.1).unwrap_or_default());
                return;
            }
            (Value::Number(number), Kind::Int64, ColumnBuilder::Int64(builder))
                if !column.cleans =>
            {
                number.to_i64().map(|v| builder.push(v)).map_err(number_problem)
            }
            (Value::Number(number), Kind::Float64, ColumnBuilder::Float64(builder))
                if !column.cleans =>
            {
                number.to_f64().map(|v| builder.push(v)).map_err(number_problem)
            }
            (
                Value::Number(number),
                Kind::Timestamp(format, _),
                ColumnBuilder::Timestamp(builder),
            ) if format.is_epoch() && !column.cleans => {
                format.of_number(number).map(|v| builder.push(v)).ok_or(Problem::BadTimestamp)
            }
            (Value::Boolean(value), Kind::Boolean, ColumnBuilder::Boolean(builder)) => {
                builder.push(value);
                return;
            }
            (
                Value::Text(text),
                Kind::Timestamp(format, naive),
                ColumnBuilder::Timestamp(builder),
            ) if !column.cleans && (!format.is_epoch() || column.parse_text) => {
                format.parse(text, *naive).map(|v| builder.push(v)).ok_or(Problem::BadTimestamp)
            }
            _ => self.write_rarely(column, index, value, span),
        };
        if let Err(problem) = column.settle(result) {
            self.scratch.problems.push((index, problem));
        }
    }

    /// Values that are cleaned, and those that do not fit.
    #[cold]
    fn write_rarely(
        &mut self,
        column: &Column,
        index: usize,
        value: Value<'_>,
        span: (usize, usize),
    ) -> Result<(), Problem> {
        let text = match value {
            Value::Text(text) if takes_text(column) || column.cleans => text,
            Value::Number(_) if column.cleans => self.data.get(span.0..span.1).unwrap_or_default(),
            _ => return Err(Problem::WrongType),
        };
        let mut lower = core::mem::take(&mut self.scratch.lower);
        let result = match column.clean(text, &mut lower) {
            None => Ok(()),
            Some(text) => {
                let fits = match (&value, &column.kind) {
                    (Value::Text(_), Kind::Timestamp(format, _)) => {
                        !format.is_epoch() || column.parse_text
                    }
                    (Value::Text(_), _) => takes_text(column),
                    (_, Kind::Timestamp(format, _)) => format.is_epoch(),
                    (_, kind) => matches!(kind, Kind::Int64 | Kind::Float64),
                };
                if fits { column.convert(index, text, self.table) } else { Err(Problem::WrongType) }
            }
        };
        self.scratch.lower = lower;
        result
    }

    #[inline]
    fn word(&self, at: usize, word: &[u8]) -> Option<usize> {
        let end = at + word.len();
        (self.data.get(at..end) == Some(word)).then_some(end)
    }

    /// The string at `at`: its text, or `None` when it has escapes, with the text in
    /// `scratch.decoded`; and where it ends.
    #[inline]
    fn string(&mut self, at: usize) -> Option<(Option<&'a [u8]>, usize)> {
        let data = self.data;
        let special = find_json_special(data, at + 1, self.end);
        match self.byte(special) {
            b'"' => Some((Some(data.get(at + 1..special)?), special + 1)),
            b'\\' => Some((None, self.decode(at + 1, special)?)),
            _ => None,
        }
    }

    /// Decodes a string whose first escape is at `special`.
    #[cold]
    fn decode(&mut self, start: usize, special: usize) -> Option<usize> {
        let data = self.data;
        let mut decoded = core::mem::take(&mut self.scratch.decoded);
        decoded.clear();
        let mut plain = start;
        let mut at = special;
        let end = loop {
            decoded.extend_from_slice(data.get(plain..at).unwrap_or_default());
            match self.byte(at) {
                b'"' => break Some(at + 1),
                b'\\' => {}
                _ => break None,
            }
            let Some((character, next)) = self.escape(at) else { break None };
            decoded.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            plain = next;
            at = find_json_special(data, next, self.end);
        };
        self.scratch.decoded = decoded;
        end
    }

    /// The character that the escape at `at` means, and where it ends. A surrogate needs its
    /// partner.
    fn escape(&self, at: usize) -> Option<(char, usize)> {
        Some((
            match self.byte(at + 1) {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let high = self.hex(at + 2)?;
                    if !(0xd800..0xdc00).contains(&high) {
                        return Some((char::from_u32(high)?, at + 6));
                    }
                    if self.byte(at + 6) != b'\\' || self.byte(at + 7) != b'u' {
                        return None;
                    }
                    let low = self.hex(at + 8)?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    return Some((char::from_u32(code)?, at + 12));
                }
                _ => return None,
            },
            at + 2,
        ))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        (at..at + 4)
            .try_fold(0, |value, at| Some(value * 16 + char::from(self.byte(at)).to_digit(16)?))
    }

    /// Checks the string at `at`; returns where it ends.
    #[inline]
    fn skip_string(&self, at: usize) -> Option<usize> {
        let mut at = at + 1;
        loop {
            at = find_json_special(self.data, at, self.end);
            match self.byte(at) {
                b'"' => return Some(at + 1),
                b'\\' => at = self.escape(at)?.1,
                _ => return None,
            }
        }
    }

    /// Checks the value at `at`; returns where it ends.
    ///
    /// Comparisons one after the other: a `match` becomes a jump through a table, which costs
    /// more than the usual string or number.
    #[inline]
    fn skip(&mut self, at: usize) -> Option<usize> {
        let byte = self.byte(at);
        if byte == b'"' {
            let special = find_json_special(self.data, at + 1, self.end);
            if self.byte(special) == b'"' {
                return Some(special + 1);
            }
        }
        if byte.wrapping_sub(b'0') < 10
            && let Some((_, end)) = Short::read(self.data, at)
            && ends_value(self.byte(end))
        {
            return Some(end);
        }
        self.skip_rarely(at)
    }

    #[inline(never)]
    fn skip_rarely(&mut self, at: usize) -> Option<usize> {
        match self.byte(at) {
            b'{' | b'[' => self.skip_container(at),
            _ => self.skip_scalar(at),
        }
    }

    fn skip_scalar(&self, at: usize) -> Option<usize> {
        match self.byte(at) {
            b'"' => self.skip_string(at),
            b'-' | b'0'..=b'9' => Number::read_json(self.data, at, self.end).map(|(_, end)| end),
            b'n' => self.word(at, b"null"),
            b't' => self.word(at, b"true"),
            b'f' => self.word(at, b"false"),
            _ => None,
        }
    }

    /// Checks an object or array without recursion, however deep it is.
    fn skip_container(&mut self, at: usize) -> Option<usize> {
        let mut stack = core::mem::take(&mut self.scratch.stack);
        stack.clear();
        let end = self.skip_nested(at, &mut stack);
        self.scratch.stack = stack;
        end
    }

    fn skip_nested(&self, mut at: usize, stack: &mut Vec<u8>) -> Option<usize> {
        loop {
            if at >= self.end {
                return None;
            }
            let open = self.byte(at);
            match open {
                b'{' | b'[' => {
                    at = self.space(at + 1);
                    // `{` and `}`, `[` and `]` are two apart.
                    if self.byte(at) == open + 2 {
                        at += 1;
                    } else {
                        stack.push(open);
                        if open == b'{' {
                            at = self.skip_key(at)?;
                        }
                        continue;
                    }
                }
                _ => at = self.skip_scalar(at)?,
            }
            loop {
                let Some(&open) = stack.last() else { return Some(at) };
                at = self.space(at);
                match self.byte(at) {
                    b',' => {
                        at = self.space(at + 1);
                        if open == b'{' {
                            at = self.skip_key(at)?;
                        }
                        break;
                    }
                    close if close == open + 2 => {
                        at += 1;
                        stack.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Checks a key and its colon; returns where the value starts.
    fn skip_key(&self, at: usize) -> Option<usize> {
        if self.byte(at) != b'"' {
            return None;
        }
        let at = self.space(self.skip_string(at)?);
        (self.byte(at) == b':').then(|| self.space(at + 1))
    }

    fn keep_unknown(&mut self, name: core::ops::Range<usize>, value: core::ops::Range<usize>) {
        let data = self.data;
        if let Some(ColumnBuilder::Text(column)) =
            self.unknown.and_then(|index| self.table.columns().get_mut(index))
        {
            column.append(if column.pending().is_empty() { b"{" } else { b"," });
            column.append(data.get(name).unwrap_or_default());
            column.append(b":");
            column.append(data.get(value).unwrap_or_default());
        }
    }

    #[inline]
    fn close_unknown(&mut self) {
        if let Some(ColumnBuilder::Text(column)) =
            self.unknown.and_then(|index| self.table.columns().get_mut(index))
            && !column.pending().is_empty()
        {
            column.append(b"}");
            column.end();
        }
    }
}
