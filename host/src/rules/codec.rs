//! Rows as bytes and back: keys and history in a stable, compact form.
//!
//! One value is a tag (0 = null, 1 = present) and, when present, its payload: a boolean is one
//! byte; integers, times (microseconds) and doubles are eight bytes, little endian; text and bytes
//! are a 4-byte length and the data. A row is its values one after the other. The encoding of a key
//! is hashed into alert ids, so it never changes within a format version.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    Float64Array, Float64Builder, Int64Array, Int64Builder, StringArray, StringBuilder,
    UInt64Array, UInt64Builder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::error::RuleError;
use crate::data::timestamp_type;

/// How values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Int64,
    UInt64,
    Float64,
    Timestamp,
    Text,
    Bytes,
    /// Lists and structs, as JSON text.
    Json,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32 => Self::Int64,
            DataType::UInt64 => Self::UInt64,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float64,
            DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => Self::Timestamp,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::Dictionary(_, value) => Self::of(value)?,
            DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(_, _)
            | DataType::Struct(_)
            | DataType::Map(_, _) => Self::Json,
            _ => return None,
        })
    }

    fn canonical(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::UInt64 => DataType::UInt64,
            Self::Float64 => DataType::Float64,
            Self::Timestamp => timestamp_type(),
            Self::Text | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
        }
    }
}

/// Encodes and decodes rows of a fixed list of columns.
#[derive(Clone, Debug)]
pub(super) struct RowCodec {
    kinds: Vec<Kind>,
    fields: Vec<FieldRef>,
    /// Doubles that compare equal are written alike.
    key: bool,
}

impl RowCodec {
    /// Returns a codec for columns that make a key: no lists or structs.
    pub(super) fn for_key(fields: &[FieldRef]) -> Result<Self, RuleError> {
        Self::new(fields, true)
    }

    /// Returns a codec for any columns; lists and structs come back as JSON text.
    pub(super) fn for_rows(fields: &[FieldRef]) -> Result<Self, RuleError> {
        Self::new(fields, false)
    }

    fn new(fields: &[FieldRef], key: bool) -> Result<Self, RuleError> {
        let mut kinds = Vec::with_capacity(fields.len());
        let mut decoded = Vec::with_capacity(fields.len());
        for field in fields {
            let kind = Kind::of(field.data_type()).filter(|kind| !key || *kind != Kind::Json);
            let Some(kind) = kind else {
                return Err(RuleError::ColumnType {
                    column: field.name().clone(),
                    data_type: field.data_type().clone(),
                });
            };
            kinds.push(kind);
            decoded.push(if kind == Kind::Json {
                Arc::new(Field::new(field.name(), DataType::Utf8, field.is_nullable()))
            } else {
                Arc::clone(field)
            });
        }
        Ok(Self { kinds, fields: decoded, key })
    }

    /// Returns the fields of decoded rows.
    pub(super) fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// Returns `columns` ready to be encoded row by row.
    pub(super) fn view(&self, columns: &[ArrayRef]) -> Result<RowView, ArrowError> {
        let mut cells = Vec::with_capacity(columns.len());
        for (kind, column) in self.kinds.iter().zip(columns) {
            cells.push(Cells::of(*kind, column, self.key)?);
        }
        Ok(RowView { cells })
    }

    /// Returns a decoder for about `rows` rows.
    pub(super) fn decoder(&self, rows: usize) -> Decoder<'_> {
        let builders = self.kinds.iter().map(|kind| Builder::new(*kind, rows)).collect();
        Decoder { codec: self, builders }
    }
}

/// Columns of one batch in the types the encoding knows.
pub(super) struct RowView {
    cells: Vec<Cells>,
}

impl RowView {
    /// Appends the encoding of row `row` to `out`. `row` must be a row of the batch.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) {
        for cell in &self.cells {
            cell.encode(row, out);
        }
    }
}

enum Cells {
    Boolean(BooleanArray),
    Int64(Int64Array),
    UInt64(UInt64Array),
    Float64(Float64Array),
    Text(StringArray),
    Bytes(BinaryArray),
}

impl Cells {
    fn of(kind: Kind, column: &ArrayRef, key: bool) -> Result<Self, ArrowError> {
        if kind == Kind::Json {
            return Ok(Self::Text(json_text(column)?));
        }
        let column = cast(column, &kind.canonical())?;
        Ok(match kind {
            Kind::Boolean => Self::Boolean(column.as_boolean().clone()),
            Kind::Int64 => Self::Int64(column.as_primitive::<Int64Type>().clone()),
            Kind::Timestamp => {
                Self::Int64(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            Kind::UInt64 => Self::UInt64(column.as_primitive::<UInt64Type>().clone()),
            Kind::Float64 => {
                let doubles = column.as_primitive::<Float64Type>();
                Self::Float64(if key { doubles.unary(canonical) } else { doubles.clone() })
            }
            Kind::Text | Kind::Json => Self::Text(column.as_string::<i32>().clone()),
            Kind::Bytes => Self::Bytes(column.as_binary::<i32>().clone()),
        })
    }

    fn encode(&self, row: usize, out: &mut Vec<u8>) {
        let array: &dyn Array = match self {
            Self::Boolean(a) => a,
            Self::Int64(a) => a,
            Self::UInt64(a) => a,
            Self::Float64(a) => a,
            Self::Text(a) => a,
            Self::Bytes(a) => a,
        };
        if array.is_null(row) {
            out.push(0);
            return;
        }
        out.push(1);
        match self {
            Self::Boolean(a) => out.push(u8::from(a.value(row))),
            Self::Int64(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
            Self::UInt64(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
            Self::Float64(a) => out.extend_from_slice(&a.value(row).to_le_bytes()),
            Self::Text(a) => put_bytes(out, a.value(row).as_bytes()),
            Self::Bytes(a) => put_bytes(out, a.value(row)),
        }
    }
}

/// Makes doubles that compare equal have equal bits: one zero, one NaN.
fn canonical(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}

/// Appends a length and the bytes. Arrow's 32-bit offsets keep a value below 2 GiB.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn json_text(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let field: FieldRef = Arc::new(Field::new("value", column.data_type().clone(), true));
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(&field, column.as_ref(), &options)?;
    let mut texts = StringBuilder::with_capacity(column.len(), 0);
    let mut text = Vec::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(texts.finish())
}

/// Collects encoded rows into columns.
pub(super) struct Decoder<'a> {
    codec: &'a RowCodec,
    builders: Vec<Builder>,
}

impl Decoder<'_> {
    /// Appends one row.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<(), RuleError> {
        let mut rest = row;
        for builder in &mut self.builders {
            builder.push(&mut rest).ok_or(RuleError::Encoding)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(RuleError::Encoding) }
    }

    /// Returns the columns, in the types the codec was made for.
    pub(super) fn finish(self) -> Result<Vec<ArrayRef>, ArrowError> {
        let columns = self.builders.into_iter().zip(&self.codec.fields);
        columns.map(|(builder, field)| cast(&builder.finish()?, field.data_type())).collect()
    }
}

enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    Timestamp(Int64Builder),
    UInt64(UInt64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            Kind::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Kind::Timestamp => Self::Timestamp(Int64Builder::with_capacity(rows)),
            Kind::UInt64 => Self::UInt64(UInt64Builder::with_capacity(rows)),
            Kind::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            Kind::Text | Kind::Json => Self::Text(StringBuilder::with_capacity(rows, 0)),
            Kind::Bytes => Self::Bytes(BinaryBuilder::with_capacity(rows, 0)),
        }
    }

    /// Takes one value off `rest`. None: the bytes are not ours.
    fn push(&mut self, rest: &mut &[u8]) -> Option<()> {
        let (tag, after) = rest.split_first()?;
        *rest = after;
        match (self, tag) {
            (Self::Boolean(b), 0) => b.append_null(),
            (Self::Int64(b) | Self::Timestamp(b), 0) => b.append_null(),
            (Self::UInt64(b), 0) => b.append_null(),
            (Self::Float64(b), 0) => b.append_null(),
            (Self::Text(b), 0) => b.append_null(),
            (Self::Bytes(b), 0) => b.append_null(),
            (Self::Boolean(b), _) => b.append_value(take::<1>(rest)? != [0]),
            (Self::Int64(b) | Self::Timestamp(b), _) => {
                b.append_value(i64::from_le_bytes(take::<8>(rest)?));
            }
            (Self::UInt64(b), _) => b.append_value(u64::from_le_bytes(take::<8>(rest)?)),
            (Self::Float64(b), _) => b.append_value(f64::from_le_bytes(take::<8>(rest)?)),
            (Self::Text(b), _) => b.append_value(std::str::from_utf8(take_bytes(rest)?).ok()?),
            (Self::Bytes(b), _) => b.append_value(take_bytes(rest)?),
        }
        Some(())
    }

    fn finish(self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(mut b) => Arc::new(b.finish()),
            Self::Int64(mut b) => Arc::new(b.finish()),
            Self::Timestamp(mut b) => cast(&b.finish(), &timestamp_type())?,
            Self::UInt64(mut b) => Arc::new(b.finish()),
            Self::Float64(mut b) => Arc::new(b.finish()),
            Self::Text(mut b) => Arc::new(b.finish()),
            Self::Bytes(mut b) => Arc::new(b.finish()),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

/// Takes a length and that many bytes off `rest`.
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(u32::from_le_bytes(take::<4>(rest)?)).ok()?;
    let (head, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(head)
}
