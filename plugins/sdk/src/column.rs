//! Builders of single columns, in Arrow's layout.
//!
//! A builder grows by one value a row. `truncate` takes back what a refused row has written.

use crate::bindings::types::{Buffer, Column, DataType, TextBuffer};

/// Which values are present. Costs nothing until the first null.
#[derive(Debug, Default)]
struct Validity {
    bits: Option<Vec<u8>>,
}

impl Validity {
    #[inline(always)]
    fn push(&mut self, index: usize, present: bool) {
        if !present || self.bits.is_some() {
            self.push_bit(index, present);
        }
    }

    /// Notes a value that is present, where there is room for its bit.
    #[inline(always)]
    fn try_push(&mut self, index: usize) -> bool {
        match &mut self.bits {
            None => true,
            Some(bits) => match bits.get_mut(index / 8) {
                Some(byte) => {
                    *byte |= 1 << (index % 8);
                    true
                }
                None => false,
            },
        }
    }

    #[inline(never)]
    fn push_bit(&mut self, index: usize, present: bool) {
        if self.bits.is_none() {
            let mut bits = Vec::with_capacity(index / 8 + 64);
            bits.resize(index.div_ceil(8), 0xff);
            self.bits = Some(bits);
        }
        if let Some(bits) = &mut self.bits {
            let (byte, mask) = (index / 8, 1_u8 << (index % 8));
            if bits.len() <= byte {
                bits.resize(byte + 64, 0);
            }
            if let Some(byte) = bits.get_mut(byte) {
                if present {
                    *byte |= mask;
                } else {
                    *byte &= !mask;
                }
            }
        }
    }

    fn finish(self, len: usize) -> Option<Vec<u8>> {
        let mut bits = self.bits?;
        bits.resize(len.div_ceil(8), 0);
        // A null may have been taken back.
        clear_tail(&mut bits, len);
        let present = bits.iter().map(|byte| byte.count_ones()).sum::<u32>();
        (usize::try_from(present) != Ok(len)).then_some(bits)
    }
}

fn clear_tail(bits: &mut [u8], len: usize) {
    let used = len % 8;
    if used != 0
        && let Some(last) = bits.last_mut()
    {
        *last &= (1_u8 << used) - 1;
    }
}

/// Integers, times or doubles.
#[derive(Debug, Default)]
pub struct FixedColumn<T> {
    values: Vec<T>,
    validity: Validity,
}

impl<T: Copy + Default> FixedColumn<T> {
    fn with_capacity(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), validity: Validity::default() }
    }

    /// Values so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no value yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Appends a value.
    #[inline(always)]
    pub fn push(&mut self, value: T) {
        self.validity.push(self.values.len(), true);
        self.values.push(value);
    }

    /// Appends a value where no memory is needed for it. Returns whether it did.
    ///
    /// For the innermost loops: there is no call in it, so that a loop can keep what it works with
    /// in registers.
    #[inline(always)]
    #[must_use]
    pub fn try_push(&mut self, value: T) -> bool {
        let len = self.values.len();
        if len == self.values.capacity() || !self.validity.try_push(len) {
            return false;
        }
        self.values.push(value);
        true
    }

    /// Appends a null.
    #[inline]
    pub fn push_null(&mut self) {
        self.validity.push(self.values.len(), false);
        self.values.push(T::default());
    }

    /// Keeps the first `len` values.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn finish(self) -> (Option<Vec<u8>>, Vec<T>) {
        let len = self.values.len();
        (self.validity.finish(len), self.values)
    }
}

/// Booleans, one bit each.
#[derive(Debug, Default)]
pub struct BooleanColumn {
    bits: Vec<u8>,
    len: usize,
    validity: Validity,
}

impl BooleanColumn {
    /// Values so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn put(&mut self, value: bool) {
        let (byte, mask) = (self.len / 8, 1_u8 << (self.len % 8));
        if self.bits.len() <= byte {
            self.bits.resize(byte + 1, 0);
        }
        if let Some(byte) = self.bits.get_mut(byte) {
            if value {
                *byte |= mask;
            } else {
                *byte &= !mask;
            }
        }
        self.len += 1;
    }

    /// Appends a value.
    #[inline]
    pub fn push(&mut self, value: bool) {
        self.validity.push(self.len, true);
        self.put(value);
    }

    /// Appends a null.
    #[inline]
    pub fn push_null(&mut self) {
        self.validity.push(self.len, false);
        self.put(false);
    }

    /// Keeps the first `len` values.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    fn finish(mut self) -> (Option<Vec<u8>>, Vec<u8>) {
        self.bits.resize(self.len.div_ceil(8), 0);
        clear_tail(&mut self.bits, self.len);
        (self.validity.finish(self.len), self.bits)
    }
}

/// Spare bytes kept behind the text written so far, so that short values are copied in whole
/// blocks. A `memory.copy` of a few bytes costs a call out of the sandbox.
const SPARE: usize = 64;

/// Text or bytes.
#[derive(Debug)]
pub struct TextColumn {
    offsets: Vec<i32>,
    /// Longer than what is written: `used` says how far.
    data: Vec<u8>,
    used: usize,
    validity: Validity,
    too_long: bool,
}

impl TextColumn {
    fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            data: vec![0; bytes + SPARE],
            used: 0,
            validity: Validity::default(),
            too_long: false,
        }
    }

    /// Values so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no value yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a value. A text column must be given UTF-8: the host checks.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.append(value);
        self.end();
    }

    /// Appends the value `data[start..end]`. Faster than [`TextColumn::push`] for short values,
    /// because it may copy what stands behind them, to be overwritten by the next.
    #[inline(always)]
    pub fn push_span(&mut self, data: &[u8], start: usize, end: usize) {
        if !self.try_push_span(data, start, end) {
            self.push(data.get(start..end).unwrap_or_default());
        }
    }

    /// The same where no memory is needed for it. Returns whether it did.
    ///
    /// For the innermost loops: there is no call in it, so that a loop can keep what it works with
    /// in registers.
    #[inline(always)]
    #[must_use]
    pub fn try_push_span(&mut self, data: &[u8], start: usize, end: usize) -> bool {
        let used = self.used + end.wrapping_sub(start);
        let rows = self.len();
        let Ok(offset) = i32::try_from(used) else { return false };
        if start > end
            || self.data.len() < used + SPARE
            || self.offsets.len() == self.offsets.capacity()
            || !self.validity.try_push(rows)
        {
            return false;
        }
        let (mut from, mut to) = (start, self.used);
        loop {
            let Some(source) = data.get(from..).and_then(|d| d.first_chunk::<16>()) else {
                return false;
            };
            if let Some(target) = self.data.get_mut(to..).and_then(|d| d.first_chunk_mut::<16>()) {
                *target = *source;
            }
            (from, to) = (from + 16, to + 16);
            if from >= end {
                break;
            }
        }
        self.used = used;
        self.offsets.push(offset);
        true
    }

    /// Appends a null.
    #[inline]
    pub fn push_null(&mut self) {
        self.validity.push(self.len(), false);
        self.close();
    }

    /// Appends a piece of the value being written; [`TextColumn::end`] completes it.
    #[inline]
    pub fn append(&mut self, piece: &[u8]) {
        let end = self.used + piece.len();
        if self.data.len() < end + SPARE {
            self.grow(end);
        }
        if let Some(target) = self.data.get_mut(self.used..) {
            copy(target, piece);
        }
        self.used = end;
    }

    /// Completes a value that was written with [`TextColumn::append`].
    #[inline(always)]
    pub fn end(&mut self) {
        self.validity.push(self.len(), true);
        self.close();
    }

    /// The bytes of the value being written.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        let start = self.start();
        self.data.get(start..self.used).unwrap_or_default()
    }

    /// Forgets the value being written.
    pub fn abandon(&mut self) {
        self.used = self.start();
    }

    /// Keeps the first `len` values.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.used = self.start();
    }

    #[inline]
    fn start(&self) -> usize {
        self.offsets.last().and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0)
    }

    #[inline(always)]
    fn close(&mut self) {
        match i32::try_from(self.used) {
            Ok(offset) => self.offsets.push(offset),
            Err(_) => {
                self.too_long = true;
                self.used = self.start();
                let last = self.offsets.last().copied().unwrap_or(0);
                self.offsets.push(last);
            }
        }
    }

    #[cold]
    fn grow(&mut self, end: usize) {
        let wanted = (end + SPARE).max(self.data.len() * 2);
        self.data.resize(wanted, 0);
    }

    fn finish(mut self) -> (Option<Vec<u8>>, TextBuffer, bool) {
        let len = self.len();
        self.data.truncate(self.used);
        (
            self.validity.finish(len),
            TextBuffer { offsets: self.offsets, data: self.data },
            self.too_long,
        )
    }
}

/// Copies `piece` to the front of `target`, which has room for at least one block more.
#[inline]
fn copy(target: &mut [u8], piece: &[u8]) {
    let n = piece.len();
    if n > 256 {
        if let Some(target) = target.get_mut(..n) {
            target.copy_from_slice(piece);
        }
        return;
    }
    if n >= 16 {
        let mut at = 0;
        while at + 16 <= n {
            block::<16>(target, piece, at);
            at += 16;
        }
        // The last block overlaps the one before.
        block::<16>(target, piece, n - 16);
    } else if n >= 8 {
        block::<8>(target, piece, 0);
        block::<8>(target, piece, n - 8);
    } else if n >= 4 {
        block::<4>(target, piece, 0);
        block::<4>(target, piece, n - 4);
    } else {
        for (to, from) in target.iter_mut().zip(piece) {
            *to = *from;
        }
    }
}

#[inline]
fn block<const N: usize>(target: &mut [u8], piece: &[u8], at: usize) {
    if let Some(to) = target.get_mut(at..).and_then(|t| t.first_chunk_mut::<N>())
        && let Some(from) = piece.get(at..).and_then(|p| p.first_chunk::<N>())
    {
        *to = *from;
    }
}

/// One column of a table being built.
#[derive(Debug)]
pub enum ColumnBuilder {
    /// `boolean`.
    Boolean(BooleanColumn),
    /// `int64`.
    Int64(FixedColumn<i64>),
    /// `timestamp-us`.
    Timestamp(FixedColumn<i64>),
    /// `float64`.
    Float64(FixedColumn<f64>),
    /// `text`.
    Text(TextColumn),
    /// `bytes`.
    Bytes(TextColumn),
}

macro_rules! each {
    ($self:expr, $column:ident => $body:expr) => {
        match $self {
            ColumnBuilder::Boolean($column) => $body,
            ColumnBuilder::Int64($column) | ColumnBuilder::Timestamp($column) => $body,
            ColumnBuilder::Float64($column) => $body,
            ColumnBuilder::Text($column) | ColumnBuilder::Bytes($column) => $body,
        }
    };
}

impl ColumnBuilder {
    /// An empty column with room for `rows` values and, for text, `bytes` bytes.
    #[must_use]
    pub fn new(data_type: DataType, rows: usize, bytes: usize) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanColumn::default()),
            DataType::Int64 => Self::Int64(FixedColumn::with_capacity(rows)),
            DataType::TimestampUs => Self::Timestamp(FixedColumn::with_capacity(rows)),
            DataType::Float64 => Self::Float64(FixedColumn::with_capacity(rows)),
            DataType::Text => Self::Text(TextColumn::with_capacity(rows, bytes)),
            DataType::Bytes => Self::Bytes(TextColumn::with_capacity(rows, bytes)),
        }
    }

    /// The column's type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Int64(_) => DataType::Int64,
            Self::Timestamp(_) => DataType::TimestampUs,
            Self::Float64(_) => DataType::Float64,
            Self::Text(_) => DataType::Text,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    /// Values so far.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        each!(self, column => column.len())
    }

    /// Whether there is no value yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a null.
    #[inline]
    pub fn push_null(&mut self) {
        each!(self, column => column.push_null());
    }

    /// Keeps the first `len` values.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        each!(self, column => column.truncate(len));
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(column) | Self::Bytes(column) => column.used,
            _ => 0,
        }
    }

    /// The finished column; `None` when its text is longer than 2 GiB.
    pub(crate) fn finish(self) -> Option<Column> {
        let (validity, values) = match self {
            Self::Boolean(column) => {
                let (validity, bits) = column.finish();
                (validity, Buffer::Boolean(bits))
            }
            Self::Int64(column) | Self::Timestamp(column) => {
                let (validity, values) = column.finish();
                (validity, Buffer::Int64(values))
            }
            Self::Float64(column) => {
                let (validity, values) = column.finish();
                (validity, Buffer::Float64(values))
            }
            Self::Text(column) => {
                let (validity, text, too_long) = column.finish();
                if too_long {
                    return None;
                }
                (validity, Buffer::Text(text))
            }
            Self::Bytes(column) => {
                let (validity, text, too_long) = column.finish();
                if too_long {
                    return None;
                }
                (validity, Buffer::Bytes(text))
            }
        };
        Some(Column { validity, values })
    }
}
