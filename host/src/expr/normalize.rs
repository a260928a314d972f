//! Which types leave an expression, and what people call them.
//!
//! Edges of the pipeline know few types, so that windows, rules and sinks need to know few.
//!
//! | an expression's type | on the edge |
//! | --- | --- |
//! | boolean | Boolean |
//! | integers of any size | Int64 (too large: null) |
//! | float32, float64, decimals | Float64 |
//! | text of any layout, times of day | Utf8 |
//! | timestamps of any unit or zone, dates | Timestamp(Microsecond), UTC |
//! | durations | Int64, microseconds |
//! | bytes of any layout | Binary |
//! | lists of those | List, items nullable |
//! | a bare `null` | Utf8 |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::error::SqlError;
use crate::data::timestamp_type;

/// Returns the type on the edge for an expression of type `from`.
pub(super) fn edge_type(from: &DataType) -> Result<DataType, SqlError> {
    Ok(match from {
        DataType::Boolean => DataType::Boolean,
        from if from.is_integer() => DataType::Int64,
        from if from.is_floating() || is_decimal(from) => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            DataType::Utf8
        }
        DataType::Time32(_) | DataType::Time64(_) => DataType::Utf8,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 => timestamp_type(),
        DataType::Duration(_) => DataType::Int64,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => edge_type(values)?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => list_of(edge_type(item.data_type())?),
        DataType::Interval(_) => {
            return Err(SqlError::new("the result is an interval, which is not a column type")
                .help("add it to a timestamp, or write the number of seconds"));
        }
        other => {
            return Err(SqlError::new(format!(
                "the result is a {}, which is not a column type",
                type_name(other)
            )));
        }
    })
}

/// Returns the type of lists whose items are of type `item`.
pub(super) fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// Returns whether `data_type` is a decimal.
pub(super) fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    )
}

/// Returns whether `data_type` holds text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Returns a type's name as pipeline files and messages write it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int64 => "int64".into(),
        DataType::Float64 => "float64".into(),
        DataType::Null => "null".into(),
        from if is_text(from) => "text".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time of day".into(),
        DataType::Duration(_) => "duration".into(),
        DataType::Interval(_) => "interval".into(),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytes".into(),
        from if is_decimal(from) => "decimal".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("list of {}", type_name(item.data_type()))
        }
        other => other.to_string().to_lowercase(),
    }
}
