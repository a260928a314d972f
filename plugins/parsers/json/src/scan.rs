//! One pass over a record.

use core::ops::Range;

use millstream_parser_common::columns::{Column, Kind, Problem, number_problem, slot};
use millstream_parser_common::number::{Number, Short};
use millstream_parser_common::scan::{Glue, count_digits, find_json_special, json_special_near};
use millstream_sdk::column::ColumnBuilder;
use millstream_sdk::{Reject, TableBuilder};

use crate::shape::{Op, START, Shape, Step, glue};
use crate::tree::{Key, NONE, Tree};
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

/// Records being parsed, one after the other. Positions are in `data`, which goes on behind the
/// record's end.
pub struct Scanner<'a> {
    pub data: &'a [u8],
    pub end: usize,
    pub columns: &'a [Column],
    pub tree: &'a Tree,
    pub unknown: Option<usize>,
    pub shape: &'a mut Shape,
    pub scratch: &'a mut Scratch,
    /// Columns written along the steps, each for the first time.
    pub written: usize,
    /// Whether any column was written, or a value forgotten, in the general way.
    pub general: bool,
}

/// Bytes behind the record's end that steps may look at.
const BEHIND: usize = 64;

/// Where a walk along the steps stopped.
struct Stop {
    at: usize,
    /// The step of the value at `at`, or of the one before.
    step: u8,
    /// Whether it is at a value that is for the general way. If not, it is behind one.
    at_value: bool,
}

/// Whether a number can end before this byte; the rare ones go the general way.
#[inline]
fn ends_value(byte: u8) -> bool {
    matches!(byte, b',' | b'}')
}

/// Reads a string of the usual form whose first byte is at `at`, and writes it to its column.
/// Returns where it ends. `None` says nothing: the general way must look.
#[inline(always)]
fn string_value(
    step: &Step,
    columns: &mut [ColumnBuilder],
    rows: usize,
    data: &[u8],
    at: usize,
) -> Option<usize> {
    let special = json_special_near(data, at)?;
    if *data.get(special)? != b'"' {
        return None;
    }
    if step.op.has(Op::WRITE) {
        match columns.get_mut(step.column as usize)? {
            ColumnBuilder::Text(column) if column.len() == rows => {
                if !column.try_push_span(data, at, special) {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(special + 1)
}

/// The same for a number.
#[inline(always)]
fn number_value(
    step: &Step,
    columns: &mut [ColumnBuilder],
    rows: usize,
    data: &[u8],
    at: usize,
) -> Option<usize> {
    if !step.op.has(Op::WRITE) {
        return skip_number(data, at);
    }
    let (number, after) = Short::read(data, at)?;
    if !ends_value(*data.get(after)?) {
        return None;
    }
    let done = match columns.get_mut(step.column as usize)? {
        ColumnBuilder::Float64(column) if column.len() == rows => column.try_push(number.to_f64()?),
        ColumnBuilder::Int64(column) if column.len() == rows => column.try_push(number.to_i64()?),
        ColumnBuilder::Timestamp(column) if column.len() == rows => {
            column.try_push(step.epoch.apply(number.to_i64()?)?)
        }
        _ => return None,
    };
    done.then_some(after)
}

/// Where the number of the usual form at `at` ends.
#[inline(always)]
fn skip_number(data: &[u8], at: usize) -> Option<usize> {
    let at = at + usize::from(*data.get(at)? == b'-');
    let count = count_digits(data, at)?;
    if count == 0 || (count > 1 && *data.get(at)? == b'0') {
        return None;
    }
    let after = at + count;
    let next = *data.get(after)?;
    if ends_value(next) {
        return Some(after);
    }
    let decimals = count_digits(data, after + 1)?;
    let after = after + 1 + decimals;
    (next == b'.' && decimals > 0 && ends_value(*data.get(after)?)).then_some(after)
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
    pub fn record(&mut self, at: usize, table: &mut TableBuilder) -> Result<(), Reject> {
        let at = self.space(at);
        if self.byte(at) != b'{' {
            return Err(match self.skip(at) {
                Some(at) if self.spaces(at) == self.end => NOT_AN_OBJECT,
                _ => INVALID_JSON,
            });
        }
        self.walk(table, at).ok_or(INVALID_JSON)?;
        if self.unknown.is_some() {
            self.close_unknown(table);
        }
        Ok(())
    }

    /// Parses the object at `at`, which is the record.
    #[inline]
    fn walk(&mut self, table: &mut TableBuilder, at: usize) -> Option<()> {
        let (mut at, mut from) = (at, START);
        loop {
            let Some((step, value)) = self.guess(table, from, at) else {
                (at, from) = self.member(table, from, at)?;
                if from == NONE {
                    return Some(());
                }
                continue;
            };
            if self.shape.step(step).op.has(Op::END) {
                return Some(());
            }
            let stop = self.run(table, step, value);
            (at, from) = (stop.at, u32::from(stop.step));
            if stop.at_value {
                at = self.general_value(table, stop.step, at)?;
                if !self.scratch.problems.is_empty() {
                    // A later key of the same name may mend it: no steps from here.
                    from = Shape::place(self.shape.node(from));
                }
            }
        }
    }

    /// The step that goes on from step `from`, behind whose value is `at`; and where its own
    /// value is.
    #[inline]
    fn guess(&self, table: &mut TableBuilder, from: u32, at: usize) -> Option<(u8, usize)> {
        let from = self.shape.step(u8::try_from(from).ok()?);
        let fits = |number: &u8| self.shape.step(*number).glue.is_at(self.data, at);
        let number = [from.next, from.other].into_iter().find(fits)?;
        let step = self.shape.step(number);
        let value = at + step.glue.length();
        if step.op.has(Op::END) && value != self.end {
            return None;
        }
        if step.op.has(Op::ENTER) {
            // What an earlier key of the same name has written must be forgotten.
            let rows = table.rows();
            let columns = table.columns();
            let written = |column: &usize| columns.get(*column).is_some_and(|c| c.len() > rows);
            if self.tree.columns(step.enters).iter().any(written) {
                return None;
            }
        }
        Some((number, value))
    }

    /// Walks along the steps from the value of a step for as long as all is usual.
    ///
    /// There is no call in it and little else, so that what it works with stays in registers.
    /// Steps may look a little behind the record's end, where the next one is: whatever they make
    /// of it is noticed by [`Scanner::member`]. A record cut short is not valid, so nothing is lost.
    #[inline(never)]
    fn run(&mut self, table: &mut TableBuilder, number: u8, at: usize) -> Stop {
        let shape = &*self.shape;
        let data = self.data.get(..self.end + BEHIND).unwrap_or(self.data);
        let rows = table.rows();
        let columns = table.columns();
        let (mut number, mut at) = (number, at);
        let mut step = shape.step(number);
        let mut written = 0;
        let at_value = loop {
            let after = if step.op.has(Op::STRING) {
                string_value(step, columns, rows, data, at)
            } else if step.op.has(Op::NUMBER) {
                number_value(step, columns, rows, data, at)
            } else {
                None
            };
            let Some(after) = after else { break true };
            written += usize::from(step.op.has(Op::WRITE));
            at = after;
            let next = shape.step(step.next);
            if next.op.has(Op::END.and(Op::ENTER)) || !next.glue.is_at(data, at) {
                break false;
            }
            number = step.next;
            step = next;
            at += step.glue.length();
        };
        self.written += written;
        Stop { at, step: number, at_value }
    }

    /// Reads the value of a step in the general way.
    #[inline(never)]
    fn general_value(&mut self, table: &mut TableBuilder, number: u8, at: usize) -> Option<usize> {
        let step = self.shape.step(number);
        if step.op.has(Op::TIME) {
            let column = step.column as usize;
            if let Some(after) = self.time_value(table, column, at) {
                return Some(after);
            }
        }
        let step = self.shape.step(number);
        // There may be more space than where the glue was learned.
        let at = self.space(at - step.op.quote());
        match self.tree.key(step.node, step.key) {
            Some(key) => self.fields(table, &key.leaves, at),
            None => self.skip(at),
        }
    }

    /// Reads a time in quotation marks. `None` says nothing.
    #[inline]
    fn time_value(&mut self, table: &mut TableBuilder, column: usize, at: usize) -> Option<usize> {
        let rows = table.rows();
        let special = find_json_special(self.data, at, self.end);
        if self.byte(special) != b'"' {
            return None;
        }
        match (&self.columns.get(column)?.kind, table.columns().get_mut(column)?) {
            (Kind::Timestamp(format, naive), ColumnBuilder::Timestamp(builder))
                if builder.len() == rows =>
            {
                builder.push(format.parse(self.data.get(at..special)?, *naive)?);
                self.written += 1;
                Some(special + 1)
            }
            _ => None,
        }
    }

    /// Forgets what an earlier key of the same name has written in an object.
    #[inline(never)]
    fn enter(&mut self, table: &mut TableBuilder, node: u32) {
        for &column in self.tree.columns(node) {
            self.forget(table, column);
        }
    }

    /// Reads the next member of the record in the general way: from behind a value, or from the
    /// record's start, to behind the next value. Returns that and the step there; none at the
    /// record's end.
    #[inline(never)]
    fn member(
        &mut self,
        table: &mut TableBuilder,
        from: u32,
        start: usize,
    ) -> Option<(usize, u32)> {
        let (data, tree) = (self.data, self.tree);
        let mut node = self.shape.node(from);
        let mut at = start;
        let mut entered = NONE;
        // Whether the glue says all that has been done on the way.
        let mut plain = self.scratch.problems.is_empty();
        let mut opened = from == START;
        if opened {
            at += 1;
        }
        loop {
            at = self.space(at);
            match self.byte(at) {
                b'}' => {
                    at += 1;
                    opened = false;
                    plain &= entered == NONE;
                    if node == 0 {
                        if self.spaces(at) != self.end {
                            return None;
                        }
                        if let Some(glue) = data.get(start..self.end).and_then(glue)
                            && plain
                        {
                            self.shape.learn(from, Step::new(glue, Op::END, 0));
                        }
                        return Some((self.end, NONE));
                    }
                    node = tree.parent(node);
                    continue;
                }
                b',' if !opened => at = self.space(at + 1),
                _ if opened => {}
                _ => return None,
            }
            let name_at = at;
            if self.byte(at) != b'"' {
                return None;
            }
            let (text, name_end) = self.string(at)?;
            let name = text.unwrap_or(self.scratch.decoded.as_slice());
            let key = tree.find(node, name);
            at = self.space(name_end);
            if self.byte(at) != b':' {
                return None;
            }
            at = self.space(at + 1);
            let found = tree.key(node, key);
            let Some(child) = found.and_then(|key| key.child) else {
                let after = match found {
                    Some(key) => self.fields(table, &key.leaves, at)?,
                    None => self.skip(at)?,
                };
                if found.is_none() && node == 0 && self.unknown.is_some() {
                    self.keep_unknown(table, name_at..name_end, at..after);
                    plain = false;
                }
                let mut step = self.step(found.and_then(Key::only), found.is_none(), at);
                let learned = match data.get(start..at + step.op.quote()).and_then(glue) {
                    Some(glue) if plain && self.scratch.problems.is_empty() => {
                        step.glue = glue;
                        (step.node, step.key, step.enters) = (node, key, entered);
                        if entered != NONE {
                            step.op = step.op.and(Op::ENTER);
                        }
                        self.shape.learn(from, step)
                    }
                    _ => Shape::place(node),
                };
                return Some((after, learned));
            };
            self.enter(table, child);
            let leaves = found.map(|key| key.leaves.as_slice()).unwrap_or_default();
            if self.byte(at) != b'{' {
                let after = self.fields(table, leaves, at)?;
                return Some((after, Shape::place(node)));
            }
            if !leaves.is_empty() {
                self.fields(table, leaves, at)?;
                plain = false;
            }
            if entered == NONE {
                entered = child;
            }
            node = child;
            at += 1;
            opened = true;
        }
    }

    /// The step for the value at `at`, but for its place: of a key that fills `column` alone, or
    /// that is `unwanted`.
    fn step(&self, column: Option<usize>, unwanted: bool, at: usize) -> Step {
        let mut step = Step::new(Glue::never(), Op::GENERAL, 0);
        let quoted = self.byte(at) == b'"';
        let number = matches!(self.byte(at), b'-' | b'0'..=b'9');
        let index = column.unwrap_or_default();
        match column.and_then(|column| self.columns.get(column)) {
            None if unwanted && quoted => step.op = Op::STRING,
            None if unwanted && number => step.op = Op::NUMBER,
            Some(column) if !column.cleans => {
                let fits = match &column.kind {
                    Kind::Text => quoted,
                    Kind::Int64 | Kind::Float64 => number,
                    Kind::Timestamp(format, _) => match format.epoch_scale() {
                        Some(scale) => {
                            step.epoch = scale;
                            number
                        }
                        None => quoted,
                    },
                    Kind::Boolean | Kind::Json => false,
                };
                if fits {
                    step.op = match (&column.kind, quoted) {
                        (Kind::Timestamp(..), true) => Op::TIME,
                        (_, true) => Op::WRITE.and(Op::STRING),
                        (_, false) => Op::WRITE.and(Op::NUMBER),
                    };
                    step.column = u32::try_from(index).unwrap_or(NONE);
                }
            }
            _ => {}
        }
        step
    }

    fn forget(&mut self, table: &mut TableBuilder, column: usize) {
        self.general = true;
        slot(table, column);
        if !self.scratch.problems.is_empty() {
            self.scratch.problems.retain(|(at, _)| *at != column);
        }
    }

    /// Reads the value at `at` and writes it to its columns; returns where it ends.
    fn fields(&mut self, table: &mut TableBuilder, leaves: &[usize], at: usize) -> Option<usize> {
        self.general = true;
        let data = self.data;
        let (value, end) = match self.byte(at) {
            b'"' => {
                let (text, end) = self.string(at)?;
                match text {
                    Some(text) => (Value::Text(text), end),
                    None => {
                        let decoded = core::mem::take(&mut self.scratch.decoded);
                        for &column in leaves {
                            self.write(table, column, Value::Text(&decoded), (at, end));
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
            _ => (Value::Container, self.skip(at)?),
        };
        for &column in leaves {
            self.write(table, column, value, (at, end));
        }
        Some(end)
    }

    #[inline]
    fn write(
        &mut self,
        table: &mut TableBuilder,
        index: usize,
        value: Value<'_>,
        span: (usize, usize),
    ) {
        let Some(column) = self.columns.get(index) else { return };
        let Some(builder) = slot(table, index) else { return };
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
            _ => self.write_rarely(table, column, index, value, span),
        };
        if let Err(problem) = column.settle(result) {
            self.scratch.problems.push((index, problem));
        }
    }

    /// Values that are cleaned, and those that do not fit.
    #[cold]
    fn write_rarely(
        &mut self,
        table: &mut TableBuilder,
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
                if fits { column.convert(index, text, table) } else { Err(Problem::WrongType) }
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
    fn skip(&mut self, at: usize) -> Option<usize> {
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

    fn keep_unknown(&mut self, table: &mut TableBuilder, name: Range<usize>, value: Range<usize>) {
        let data = self.data;
        if let Some(ColumnBuilder::Text(column)) =
            self.unknown.and_then(|index| table.columns().get_mut(index))
        {
            column.append(if column.pending().is_empty() { b"{" } else { b"," });
            column.append(data.get(name).unwrap_or_default());
            column.append(b":");
            column.append(data.get(value).unwrap_or_default());
        }
    }

    #[inline]
    fn close_unknown(&mut self, table: &mut TableBuilder) {
        if let Some(ColumnBuilder::Text(column)) =
            self.unknown.and_then(|index| table.columns().get_mut(index))
            && !column.pending().is_empty()
        {
            column.append(b"}");
            column.end();
        }
    }
}
