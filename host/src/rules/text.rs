//! Values as text in messages: ISO times in UTC, the shortest form of doubles.

use std::fmt::{self, Write};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::data::timestamp_type;
use crate::time::format_timestamp_us;

/// Returns true for types that `:.N` works on.
pub(super) fn can_have_precision(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// Writes the values of one column.
pub(super) enum Formatter<'a> {
    Double(Float64Array, Option<usize>),
    Time(Int64Array),
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

/// Null is spelt out; everything else as its type has it.
const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_null("null");

impl<'a> Formatter<'a> {
    /// Returns a formatter; `precision` makes any number a double with that many digits.
    pub(super) fn new(array: &'a ArrayRef, precision: Option<usize>) -> Result<Self, ArrowError> {
        let data_type = array.data_type();
        if precision.is_some() || data_type.is_floating() {
            let doubles = cast(array, &DataType::Float64)?;
            return Ok(Self::Double(doubles.as_primitive::<Float64Type>().clone(), precision));
        }
        if matches!(data_type, DataType::Timestamp(_, _)) {
            let micros = cast(&cast(array, &timestamp_type())?, &DataType::Int64)?;
            return Ok(Self::Time(micros.as_primitive::<Int64Type>().clone()));
        }
        Ok(Self::Other(array, ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?))
    }

    /// Writes the value of `row`, which must be a row of the column.
    pub(super) fn write(&self, row: usize, out: &mut impl Write) -> fmt::Result {
        match self {
            Self::Double(array, _) if array.is_null(row) => out.write_str("null"),
            Self::Time(array) if array.is_null(row) => out.write_str("null"),
            Self::Double(array, Some(digits)) => write!(out, "{:.*}", *digits, array.value(row)),
            Self::Double(array, None) => double(array.value(row), out),
            Self::Time(array) => out.write_str(&format_timestamp_us(array.value(row))),
            Self::Other(array, formatter) if row < array.len() => {
                write!(out, "{}", formatter.value(row))
            }
            Self::Other(_, _) => Err(fmt::Error),
        }
    }
}

/// Writes the shortest text that reads back as the same double.
fn double(value: f64, out: &mut impl Write) -> fmt::Result {
    let size = value.abs();
    if value == 0.0 || (1e-5..1e17).contains(&size) || !value.is_finite() {
        write!(out, "{value}")
    } else {
        write!(out, "{value:e}")
    }
}
