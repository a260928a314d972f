//! Input tables, read by row.

use crate::bindings::types::{Buffer, Column, Table, TextBuffer};
use crate::schema::ColumnRef;

pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

pub(crate) fn text_at(buffer: &TextBuffer, index: usize) -> Option<&[u8]> {
    let start = usize::try_from(*buffer.offsets.get(index)?).ok()?;
    let end = usize::try_from(*buffer.offsets.get(index + 1)?).ok()?;
    buffer.data.get(start..end)
}

fn present(column: &Column, row: usize) -> bool {
    column.validity.as_ref().is_none_or(|validity| bit(validity, row))
}

/// One row of an input table. Reading a column as another type than its own gives `None`.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub(crate) table: &'a Table,
    pub(crate) row: usize,
    /// For a history that has fewer columns than the input: where each input column is.
    pub(crate) places: Option<&'a [Option<usize>]>,
}

impl<'a> Row<'a> {
    fn values(&self, column: ColumnRef) -> Option<&'a Buffer> {
        let place = match self.places {
            None => column.index,
            Some(places) => (*places.get(column.index)?)?,
        };
        let column = self.table.columns.get(place)?;
        present(column, self.row).then_some(&column.values)
    }

    /// Whether the column is null in this row.
    #[must_use]
    pub fn is_null(&self, column: ColumnRef) -> bool {
        self.values(column).is_none()
    }

    /// The number in a `float64` or `int64` column.
    #[must_use]
    pub fn f64(&self, column: ColumnRef) -> Option<f64> {
        match self.values(column)? {
            Buffer::Float64(values) => values.get(self.row).copied(),
            #[expect(clippy::cast_precision_loss, reason = "as SQL casts integers to doubles")]
            Buffer::Int64(values) => values.get(self.row).map(|&v| v as f64),
            _ => None,
        }
    }

    /// The integer, or the microseconds of a time.
    #[must_use]
    pub fn i64(&self, column: ColumnRef) -> Option<i64> {
        match self.values(column)? {
            Buffer::Int64(values) => values.get(self.row).copied(),
            _ => None,
        }
    }

    /// The time, in microseconds since the Unix epoch, UTC.
    #[must_use]
    pub fn timestamp(&self, column: ColumnRef) -> Option<i64> {
        self.i64(column)
    }

    /// The boolean.
    #[must_use]
    pub fn bool(&self, column: ColumnRef) -> Option<bool> {
        match self.values(column)? {
            Buffer::Boolean(bits) => Some(bit(bits, self.row)),
            _ => None,
        }
    }

    /// The bytes of a `text` or `bytes` column.
    #[must_use]
    pub fn bytes(&self, column: ColumnRef) -> Option<&'a [u8]> {
        match self.values(column)? {
            Buffer::Text(text) | Buffer::Bytes(text) => text_at(text, self.row),
            Buffer::Dictionary(dictionary) => {
                let code = usize::try_from(*dictionary.codes.get(self.row)?).ok()?;
                text_at(&dictionary.values, code)
            }
            _ => None,
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self, column: ColumnRef) -> Option<&'a str> {
        self.bytes(column).and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// The value as text for a message: numbers in their shortest form, null as `null`.
    #[must_use]
    pub fn display(&self, column: ColumnRef) -> String {
        match self.values(column) {
            None => "null".to_owned(),
            Some(Buffer::Boolean(bits)) => bit(bits, self.row).to_string(),
            Some(Buffer::Int64(values)) => {
                values.get(self.row).map(ToString::to_string).unwrap_or_default()
            }
            Some(Buffer::Float64(values)) => {
                values.get(self.row).map(ToString::to_string).unwrap_or_default()
            }
            Some(_) => self
                .bytes(column)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default(),
        }
    }
}

/// Records in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    data: &'a [u8],
    offsets: &'a [i32],
    received_us: &'a [i64],
}

impl<'a> Records<'a> {
    /// Wraps a buffer. Offsets that do not fit the data give empty records.
    #[must_use]
    pub fn new(buffer: &'a TextBuffer, received_us: &'a [i64]) -> Self {
        Self { data: &buffer.data, offsets: &buffer.offsets, received_us }
    }

    /// Number of records.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all records, one after the other.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Where record `index` starts and ends in [`Records::data`].
    #[must_use]
    #[inline]
    pub fn range(&self, index: usize) -> (usize, usize) {
        let at = |i: usize| {
            self.offsets.get(i).and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0)
        };
        let (start, end) = (at(index), at(index + 1));
        if start <= end && end <= self.data.len() { (start, end) } else { (0, 0) }
    }

    /// One record.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> &'a [u8] {
        let (start, end) = self.range(index);
        self.data.get(start..end).unwrap_or_default()
    }

    /// When the host received the record, in microseconds since the Unix epoch.
    #[must_use]
    pub fn received_us(&self, index: usize) -> i64 {
        self.received_us.get(index).copied().unwrap_or(0)
    }
}
