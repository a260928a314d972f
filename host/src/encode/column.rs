//! Arrow columns as the few types that encoders know.

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::sync::Arc;

use super::error::EncodeError;

/// A column, downcast once. Cloning the arrays in here copies pointers, no values.
pub(crate) enum Column {
    /// A column of nothing but nulls.
    Null,
    Boolean(BooleanArray),
    Int64(Int64Array),
    Float64(Float64Array),
    Text(StringArray),
    /// Microseconds since the Unix epoch.
    Time(TimestampMicrosecondArray),
    Binary(BinaryArray),
    /// The list column and its elements' column.
    List(ListArray, Box<Column>),
}

/// One cell.
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    Float64(f64),
    Text(&'a str),
    /// Microseconds since the Unix epoch.
    Time(i64),
    Binary(&'a [u8]),
    List(List<'a>),
}

/// The elements of one list.
#[derive(Clone, Copy)]
pub(crate) struct List<'a> {
    values: &'a Column,
    from: usize,
    to: usize,
}

impl<'a> List<'a> {
    /// Returns the elements in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (self.from..self.to).map(move |row| self.values.value(row))
    }

    /// Returns the number of elements.
    pub(crate) fn len(self) -> usize {
        self.to - self.from
    }
}

impl Column {
    /// Returns the columns of a batch, cast where their type is none of ours.
    ///
    /// # Errors
    /// When a type has no text form, or a value does not fit.
    pub(crate) fn of_batch(batch: &RecordBatch) -> Result<Vec<Self>, EncodeError> {
        let fields = batch.schema_ref().fields().iter();
        fields.zip(batch.columns()).map(|(field, array)| Self::new(field.name(), array)).collect()
    }

    fn new(name: &str, array: &ArrayRef) -> Result<Self, EncodeError> {
        let unsupported = || EncodeError::UnsupportedType {
            column: name.to_owned(),
            data_type: array.data_type().clone(),
        };
        let target = text_type(array.data_type()).ok_or_else(unsupported)?;
        if target == *array.data_type() {
            return Self::downcast(array.as_ref()).ok_or_else(unsupported);
        }
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let cast = cast_with_options(array, &target, &strict).map_err(|source| {
            EncodeError::Value { column: name.to_owned(), target: target.clone(), source }
        })?;
        Self::downcast(cast.as_ref()).ok_or_else(unsupported)
    }

    fn downcast(array: &dyn Array) -> Option<Self> {
        let any = array.as_any();
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(any.downcast_ref::<BooleanArray>()?.clone()),
            DataType::Int64 => Self::Int64(any.downcast_ref::<Int64Array>()?.clone()),
            DataType::Float64 => Self::Float64(any.downcast_ref::<Float64Array>()?.clone()),
            DataType::Utf8 => Self::Text(any.downcast_ref::<StringArray>()?.clone()),
            DataType::Timestamp(..) => {
                Self::Time(any.downcast_ref::<TimestampMicrosecondArray>()?.clone())
            }
            DataType::Binary => Self::Binary(any.downcast_ref::<BinaryArray>()?.clone()),
            DataType::List(_) => {
                let list = any.downcast_ref::<ListArray>()?.clone();
                let values = Self::downcast(list.values().as_ref())?;
                Self::List(list, Box::new(values))
            }
            _ => return None,
        })
    }

    /// Returns the cell in `row`, which must be one of the column's.
    #[inline]
    pub(crate) fn value(&self, row: usize) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(a) if a.is_valid(row) => Value::Boolean(a.value(row)),
            Self::Int64(a) if a.is_valid(row) => Value::Int64(a.value(row)),
            Self::Float64(a) if a.is_valid(row) => Value::Float64(a.value(row)),
            Self::Text(a) if a.is_valid(row) => Value::Text(a.value(row)),
            Self::Time(a) if a.is_valid(row) => Value::Time(a.value(row)),
            Self::Binary(a) if a.is_valid(row) => Value::Binary(a.value(row)),
            Self::List(a, values) if a.is_valid(row) => {
                let offset = |row: usize| a.value_offsets().get(row).copied().unwrap_or(0);
                let from = usize::try_from(offset(row)).unwrap_or(0);
                let to = usize::try_from(offset(row + 1)).unwrap_or(0);
                Value::List(List { values, from, to: to.max(from) })
            }
            _ => Value::Null,
        }
    }

    /// Returns which cells are null, if any are.
    pub(crate) fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::Null => None,
            Self::Boolean(a) => a.nulls(),
            Self::Int64(a) => a.nulls(),
            Self::Float64(a) => a.nulls(),
            Self::Text(a) => a.nulls(),
            Self::Time(a) => a.nulls(),
            Self::Binary(a) => a.nulls(),
            Self::List(a, _) => a.nulls(),
        }
        .filter(|nulls| nulls.null_count() > 0)
    }

    /// Returns true for numbers, which are aligned to the right.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Int64(_) | Self::Float64(_))
    }
}

/// Checks that every column can be written as text.
///
/// # Errors
/// Names the first column that cannot.
pub fn check_schema(schema: &Schema) -> Result<(), EncodeError> {
    for field in schema.fields() {
        if text_type(field.data_type()).is_none() {
            return Err(EncodeError::UnsupportedType {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
            });
        }
    }
    Ok(())
}

/// Returns the type, of those encoders know, that values of `data_type` are written as.
fn text_type(data_type: &DataType) -> Option<DataType> {
    use DataType as D;
    let list = |element: &Arc<Field>| {
        let data_type = text_type(element.data_type())?;
        Some(D::List(Arc::new(element.as_ref().clone().with_data_type(data_type))))
    };
    match data_type {
        D::Null | D::Boolean | D::Int64 | D::Float64 | D::Utf8 | D::Binary => {
            Some(data_type.clone())
        }
        D::Int8 | D::Int16 | D::Int32 | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => {
            Some(D::Int64)
        }
        D::Float16 | D::Float32 => Some(D::Float64),
        D::Utf8View | D::LargeUtf8 | D::Date32 | D::Date64 => Some(D::Utf8),
        D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => Some(D::Binary),
        D::Timestamp(..) => Some(D::Timestamp(TimeUnit::Microsecond, None)),
        D::Dictionary(_, values) => text_type(values),
        D::List(element) | D::LargeList(element) | D::FixedSizeList(element, _) => list(element),
        _ => None,
    }
}
