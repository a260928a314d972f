//! The few types that keys and aggregates work on.
//!
//! Every column is brought to one of five kinds (`canonical`) before it is looked at, and results
//! are brought back to the type that was asked for (`restore`). Integers, times, doubles and
//! booleans are also seen as ordered 64-bit words, so that one loop serves all of them.

#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "bits of doubles are moved between signed and unsigned words"
)]

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Float64Array, Int64Array,
    StringArray, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;

/// What a column is to keys and aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Integers and all times.
    Int,
    /// Doubles.
    Float,
    /// True and false.
    Bool,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
}

impl Kind {
    /// Returns the kind of a type, or nothing when keys and aggregates don't know it.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Timestamp(_, _)
            | DataType::Date32
            | DataType::Date64
            | DataType::Duration(_) => Self::Int,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Boolean => Self::Bool,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::Dictionary(_, value) => Self::of(value)?,
            _ => return None,
        })
    }

    /// Returns the one type that stands for the kind.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Bytes => DataType::Binary,
        }
    }

    /// Returns true for kinds that are seen as 64-bit words.
    pub(crate) fn is_word(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Bool)
    }
}

/// Returns the column in the type of its kind.
///
/// # Errors
/// When the type has no kind.
pub(crate) fn canonical(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Int64
        | DataType::Float64
        | DataType::Boolean
        | DataType::Utf8
        | DataType::Binary => Ok(Arc::clone(array)),
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>();
            let words = ScalarBuffer::<i64>::from(values.values().inner().clone());
            Ok(Arc::new(Int64Array::new(words, values.nulls().cloned())))
        }
        other => match Kind::of(other) {
            Some(kind) => cast(array, &kind.data_type()),
            None => Err(ArrowError::CastError(format!("a {other} column has no kind"))),
        },
    }
}

/// Returns a canonical column in the type that was asked for.
///
/// # Errors
/// When it cannot be cast.
pub(crate) fn restore(array: ArrayRef, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == wanted {
        return Ok(array);
    }
    match (array.as_primitive_opt::<Int64Type>(), wanted) {
        (Some(values), DataType::UInt64) => {
            let words = ScalarBuffer::<u64>::from(values.values().inner().clone());
            Ok(Arc::new(UInt64Array::new(words, values.nulls().cloned())))
        }
        _ => cast(&array, wanted),
    }
}

/// Maps a double to a word of the same total order (−NaN < −∞ < −0 < 0 < ∞ < NaN).
///
/// From `f64::total_cmp` of the standard library. The map is its own inverse on the bits.
pub(crate) fn float_to_word(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The inverse of `float_to_word`.
pub(crate) fn word_to_float(word: i64) -> f64 {
    f64::from_bits((word ^ (((word >> 63) as u64) >> 1) as i64) as u64)
}

/// Returns the words of a canonical column of a word kind, garbage where it is null.
pub(crate) fn words(array: &ArrayRef) -> Option<Cow<'_, [i64]>> {
    if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
        return Some(Cow::Borrowed(ints.values()));
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return Some(Cow::Owned(floats.values().iter().map(|v| float_to_word(*v)).collect()));
    }
    let bools = array.as_boolean_opt()?;
    Some(Cow::Owned(bools.values().iter().map(i64::from).collect()))
}

/// Builds the canonical column of a word kind.
pub(crate) fn from_words(kind: Kind, words: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    match kind {
        Kind::Float => Arc::new(words.map(|w| w.map(word_to_float)).collect::<Float64Array>()),
        Kind::Bool => Arc::new(words.map(|w| w.map(|v| v != 0)).collect::<BooleanArray>()),
        _ => Arc::new(words.collect::<Int64Array>()),
    }
}

/// Builds the canonical column of a byte kind. Text that is not UTF-8 gets replacement characters.
pub(crate) fn from_bytes<'a>(
    kind: Kind,
    values: impl Iterator<Item = Option<&'a [u8]>> + Clone,
) -> ArrayRef {
    let (mut rows, mut length) = (0, 0);
    for value in values.clone() {
        rows += 1;
        length += value.map_or(0, <[u8]>::len);
    }
    let mut bytes = BinaryBuilder::with_capacity(rows, length);
    values.for_each(|value| bytes.append_option(value));
    let bytes = bytes.finish();
    if kind != Kind::Text {
        return Arc::new(bytes);
    }
    let (offsets, data, nulls) = bytes.into_parts();
    // One check over all of it.
    match StringArray::try_new(offsets.clone(), data.clone(), nulls.clone()) {
        Ok(text) => Arc::new(text),
        Err(_) => {
            let bytes = BinaryArray::new(offsets, data, nulls);
            let text = bytes.iter().map(|value| value.map(String::from_utf8_lossy));
            Arc::new(text.collect::<StringArray>())
        }
    }
}

/// The bytes of a canonical column of a byte kind.
pub(crate) enum ByteColumn<'a> {
    /// Text.
    Text(&'a StringArray),
    /// Bytes.
    Bytes(&'a BinaryArray),
}

impl<'a> ByteColumn<'a> {
    /// Views a column, or nothing when it is of another kind.
    pub(crate) fn of(array: &'a ArrayRef) -> Option<Self> {
        if let Some(text) = array.as_string_opt::<i32>() {
            return Some(Self::Text(text));
        }
        array.as_binary_opt::<i32>().map(Self::Bytes)
    }

    /// Returns the bytes of a row.
    pub(crate) fn value(&self, row: usize) -> &'a [u8] {
        match self {
            Self::Text(text) => text.value(row).as_bytes(),
            Self::Bytes(bytes) => bytes.value(row),
        }
    }

    /// Returns offsets and bytes.
    pub(crate) fn parts(&self) -> (&'a [i32], &'a [u8]) {
        match self {
            Self::Text(text) => (text.value_offsets(), text.value_data()),
            Self::Bytes(bytes) => (bytes.value_offsets(), bytes.value_data()),
        }
    }
}

/// Returns which rows count: those whose argument is not null and that pass the filter.
/// Nothing when all do.
pub(crate) fn mask(
    argument: Option<&ArrayRef>,
    filter: Option<&BooleanArray>,
) -> Option<BooleanBuffer> {
    let valid = argument.and_then(|a| a.logical_nulls()).filter(|n| n.null_count() > 0);
    let passed = filter.map(|f| match f.nulls().filter(|n| n.null_count() > 0) {
        Some(nulls) => f.values() & nulls.inner(),
        None => f.values().clone(),
    });
    match (valid, passed) {
        (None, None) => None,
        (Some(valid), None) => Some(valid.into_inner()),
        (None, Some(passed)) => Some(passed),
        (Some(valid), Some(passed)) => Some(valid.inner() & &passed),
    }
}
