//! Our own scalar functions.
//!
//! | function | result |
//! | --- | --- |
//! | `to_unix_ms(t)`, `to_unix_us(t)` | milliseconds (rounded down), microseconds since the Unix epoch |
//! | `from_unix_ms(n)`, `from_unix_us(n)` | the timestamp; too large: null, counted |
//! | `to_timestamp(x)` | text in RFC 3339 (other text fails the row), or a number of seconds |
//! | `split(text, separator)` | the parts as a list; an empty separator: each character |

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListBuilder, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::FormatOptions;
use datafusion_common::{Result, internal_err, plan_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::normalize::{is_decimal, is_text, list_of, type_name};
use super::safe::on_arrays;
use crate::data::timestamp_type;

/// Returns the functions on time.
pub(super) fn time() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(Kind::ToUnixMs),
        function(Kind::ToUnixUs),
        function(Kind::FromUnixMs),
        function(Kind::FromUnixUs),
        function(Kind::ToTimestamp),
    ]
}

/// Returns the functions on text.
pub(super) fn text() -> Vec<Arc<ScalarUDF>> {
    vec![function(Kind::Split)]
}

fn function(kind: Kind) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Function { kind, signature }))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    ToUnixMs,
    ToUnixUs,
    FromUnixMs,
    FromUnixUs,
    ToTimestamp,
    Split,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.kind {
            Kind::ToUnixMs => "to_unix_ms",
            Kind::ToUnixUs => "to_unix_us",
            Kind::FromUnixMs => "from_unix_ms",
            Kind::FromUnixUs => "from_unix_us",
            Kind::ToTimestamp => "to_timestamp",
            Kind::Split => "split",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let wanted = if self.kind == Kind::Split { 2 } else { 1 };
        if arg_types.len() != wanted {
            return plan_err!("`{name}` takes {wanted} argument(s), not {}", arg_types.len());
        }
        arg_types
            .iter()
            .map(|found| match self.kind {
                Kind::ToUnixMs | Kind::ToUnixUs => match found {
                    DataType::Timestamp(..) | DataType::Date32 | DataType::Null => {
                        Ok(timestamp_type())
                    }
                    _ => plan_err!("`{name}` takes a timestamp, not {}", type_name(found)),
                },
                Kind::FromUnixMs | Kind::FromUnixUs => match found {
                    found if found.is_integer() || found.is_null() => Ok(DataType::Int64),
                    _ => plan_err!("`{name}` takes an integer, not {}", type_name(found)),
                },
                Kind::ToTimestamp => match found {
                    found if is_text(found) || found.is_null() => Ok(DataType::Utf8),
                    found if found.is_integer() => Ok(DataType::Int64),
                    found if found.is_floating() || is_decimal(found) => Ok(DataType::Float64),
                    DataType::Timestamp(..) | DataType::Date32 => Ok(timestamp_type()),
                    _ => plan_err!("`{name}` takes text or seconds, not {}", type_name(found)),
                },
                Kind::Split => match found {
                    found if is_text(found) || found.is_null() => Ok(DataType::Utf8),
                    _ => plan_err!("`{name}` takes text, not {}", type_name(found)),
                },
            })
            .collect()
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::ToUnixMs | Kind::ToUnixUs => DataType::Int64,
            Kind::FromUnixMs | Kind::FromUnixUs | Kind::ToTimestamp => timestamp_type(),
            Kind::Split => list_of(DataType::Utf8),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        on_arrays(&args, |arrays| match (self.kind, arrays) {
            (Kind::ToUnixMs, [array]) => Ok((to_unix(array, 1000)?, 0)),
            (Kind::ToUnixUs, [array]) => Ok((to_unix(array, 1)?, 0)),
            (Kind::FromUnixMs, [array]) => from_unix(array, 1000),
            (Kind::FromUnixUs, [array]) => from_unix(array, 1),
            (Kind::ToTimestamp, [array]) => to_timestamp(array),
            (Kind::Split, [text, separator]) => Ok((split(text, separator)?, 0)),
            _ => internal_err!("{} got {} arguments", self.name(), arrays.len()),
        })
    }
}

fn to_unix(array: &ArrayRef, unit: i64) -> Result<ArrayRef> {
    let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() else {
        return internal_err!("a timestamp is {}", array.data_type());
    };
    let values: Int64Array = times.unary(|us| us.div_euclid(unit));
    Ok(Arc::new(values))
}

fn from_unix(array: &ArrayRef, unit: i64) -> Result<(ArrayRef, usize)> {
    let Some(numbers) = array.as_primitive_opt::<Int64Type>() else {
        return internal_err!("a number is {}", array.data_type());
    };
    let times = numbers.unary_opt::<_, TimestampMicrosecondType>(|number| number.checked_mul(unit));
    let made_null = times.null_count().saturating_sub(numbers.null_count());
    Ok((Arc::new(times), made_null))
}

fn to_timestamp(array: &ArrayRef) -> Result<(ArrayRef, usize)> {
    match array.data_type() {
        DataType::Int64 => from_unix(array, 1_000_000),
        DataType::Float64 => {
            let seconds = array.as_primitive::<Float64Type>();
            let times = seconds.unary_opt::<_, TimestampMicrosecondType>(microseconds);
            let made_null = times.null_count().saturating_sub(seconds.null_count());
            Ok((Arc::new(times), made_null))
        }
        _ => {
            let options = CastOptions { safe: false, format_options: FormatOptions::default() };
            Ok((cast_with_options(array, &timestamp_type(), &options)?, 0))
        }
    }
}

/// Returns `seconds` as microseconds, rounded, when they fit.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn microseconds(seconds: f64) -> Option<i64> {
    let us = (seconds * 1e6).round();
    // 2^63 as a double; the largest double below it fits.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&us).then_some(us as i64)
}

fn split(text: &ArrayRef, separator: &ArrayRef) -> Result<ArrayRef> {
    let (Some(texts), Some(separators)) =
        (text.as_string_opt::<i32>(), separator.as_string_opt::<i32>())
    else {
        return internal_err!("text is {} and {}", text.data_type(), separator.data_type());
    };
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (text, separator) in texts.iter().zip(separators.iter()) {
        match (text, separator) {
            (Some(text), Some("")) => {
                for char in text.chars() {
                    lists.values().append_value(char.encode_utf8(&mut [0; 4]));
                }
                lists.append(true);
            }
            (Some(text), Some(separator)) => {
                for part in text.split(separator) {
                    lists.values().append_value(part);
                }
                lists.append(true);
            }
            _ => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}
