//! Arrow columns to the contract's, for the guest to read. Copies nothing that is in order already.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder};
use arrow::buffer::{BooleanBuffer, Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType as Arrow, FieldRef, Float64Type, Int64Type, Schema, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

use crate::data::timestamp_type;

use super::bindings::millstream::plugin::types::{
    BufferParam, ColumnParam, DataType, FieldParam, TableParam, TextBufferParam,
};
use super::error::PluginError;
use super::schema::LOGICAL;

/// How the columns of one input are handed over. Made once for each configured plugin.
#[derive(Debug)]
pub(super) struct InputShape {
    columns: Vec<InputColumn>,
}

#[derive(Debug)]
struct InputColumn {
    name: String,
    data_type: DataType,
    nullable: bool,
    logical: Option<String>,
    change: Change,
}

/// What must happen to a column first.
#[derive(Debug)]
enum Change {
    Nothing,
    Cast(Arrow),
    /// Lists and structs cross as JSON text.
    Json(FieldRef),
}

impl InputShape {
    /// Returns how rows of `schema` are handed to the plugin `name`.
    pub(super) fn new(name: &str, schema: &Schema) -> Result<Self, PluginError> {
        let columns = schema.fields().iter().map(|field| {
            let (data_type, change) = match field.data_type() {
                Arrow::Boolean => (DataType::Boolean, Change::Nothing),
                Arrow::Int64 => (DataType::Int64, Change::Nothing),
                Arrow::Float64 => (DataType::Float64, Change::Nothing),
                Arrow::Utf8 => (DataType::Text, Change::Nothing),
                Arrow::Binary => (DataType::Bytes, Change::Nothing),
                same if *same == timestamp_type() => (DataType::TimestampUs, Change::Nothing),
                Arrow::Int8
                | Arrow::Int16
                | Arrow::Int32
                | Arrow::UInt8
                | Arrow::UInt16
                | Arrow::UInt32
                | Arrow::UInt64 => (DataType::Int64, Change::Cast(Arrow::Int64)),
                Arrow::Float16 | Arrow::Float32 | Arrow::Decimal128(..) | Arrow::Decimal256(..) => {
                    (DataType::Float64, Change::Cast(Arrow::Float64))
                }
                Arrow::Timestamp(..) | Arrow::Date32 | Arrow::Date64 => {
                    (DataType::TimestampUs, Change::Cast(timestamp_type()))
                }
                Arrow::LargeUtf8 | Arrow::Utf8View | Arrow::Null => {
                    (DataType::Text, Change::Cast(Arrow::Utf8))
                }
                Arrow::Dictionary(_, values)
                    if matches!(**values, Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View) =>
                {
                    (DataType::Text, Change::Cast(Arrow::Utf8))
                }
                Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_) => {
                    (DataType::Bytes, Change::Cast(Arrow::Binary))
                }
                Arrow::List(_)
                | Arrow::LargeList(_)
                | Arrow::FixedSizeList(..)
                | Arrow::Struct(_)
                | Arrow::Map(..) => (DataType::Text, Change::Json(Arc::clone(field))),
                other => {
                    return Err(PluginError::InputType {
                        name: name.to_owned(),
                        column: field.name().clone(),
                        data_type: other.to_string(),
                    });
                }
            };
            let logical = match &change {
                Change::Json(_) => Some("json".to_owned()),
                _ => field.metadata().get(LOGICAL).cloned(),
            };
            // A cast that does not fit (a huge unsigned number) gives null.
            let nullable = field.is_nullable() || matches!(change, Change::Cast(_));
            Ok(InputColumn { name: field.name().clone(), data_type, nullable, logical, change })
        });
        Ok(Self { columns: columns.collect::<Result<_, _>>()? })
    }

    /// Returns the schema as `configure` gets it.
    pub(super) fn fields(&self) -> Vec<FieldParam<'_>> {
        self.columns
            .iter()
            .map(|column| FieldParam {
                name: &column.name,
                data_type: column.data_type,
                nullable: column.nullable,
                logical: column.logical.as_deref(),
            })
            .collect()
    }

    /// Returns the names of the columns.
    pub(super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    /// Returns the columns of `batch` in the guest's layout.
    ///
    /// # Errors
    /// When the batch is not of the schema that this shape was made for.
    pub(super) fn hold(&self, batch: &RecordBatch) -> Result<Held, ArrowError> {
        if batch.num_columns() != self.columns.len() {
            return Err(ArrowError::SchemaError(format!(
                "{} columns where {} were announced",
                batch.num_columns(),
                self.columns.len()
            )));
        }
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| ArrowError::InvalidArgumentError("too many rows for one call".into()))?;
        let columns = self.columns.iter().zip(batch.columns()).map(|(column, array)| {
            let array = match &column.change {
                Change::Nothing => Arc::clone(array),
                Change::Cast(to) => cast(array, to)?,
                Change::Json(field) => json(field, array)?,
            };
            let values = values(column, array.as_ref())?;
            let validity = array.nulls().filter(|nulls| nulls.null_count() > 0);
            Ok(HeldColumn { validity: validity.map(|nulls| bits(nulls.inner())), values })
        });
        Ok(Held { rows, columns: columns.collect::<Result<_, ArrowError>>()? })
    }
}

/// Columns in the guest's layout, still in Arrow's buffers.
pub(super) struct Held {
    rows: u32,
    columns: Vec<HeldColumn>,
}

struct HeldColumn {
    validity: Option<Buffer>,
    values: Values,
}

enum Values {
    Boolean(Buffer),
    Int64(ScalarBuffer<i64>),
    Float64(ScalarBuffer<f64>),
    Text(HeldText),
    Bytes(HeldText),
}

/// Values of varying length whose first offset is 0.
pub(super) struct HeldText {
    offsets: ScalarBuffer<i32>,
    data: Buffer,
}

impl HeldText {
    /// Returns a part of an Arrow array in the guest's layout.
    pub(super) fn new(offsets: &OffsetBuffer<i32>, data: &Buffer) -> Result<Self, ArrowError> {
        let first = offsets.first().copied().unwrap_or(0);
        let last = offsets.last().copied().unwrap_or(0);
        let (Ok(from), Ok(length)) =
            (usize::try_from(first), usize::try_from(last.saturating_sub(first)))
        else {
            return Err(ArrowError::InvalidArgumentError("negative offset".into()));
        };
        let data = data.slice_with_length(from, length);
        let offsets = if first == 0 {
            offsets.inner().clone()
        } else {
            offsets.iter().map(|offset| offset.saturating_sub(first)).collect()
        };
        Ok(Self { offsets, data })
    }

    pub(super) fn param(&self) -> TextBufferParam<'_> {
        TextBufferParam { offsets: &self.offsets, data: self.data.as_slice() }
    }
}

impl Held {
    /// Returns the columns as the call takes them.
    pub(super) fn columns(&self) -> Vec<ColumnParam<'_>> {
        self.columns
            .iter()
            .map(|column| ColumnParam {
                validity: column.validity.as_ref().map(Buffer::as_slice),
                values: match &column.values {
                    Values::Boolean(bits) => BufferParam::Boolean(bits.as_slice()),
                    Values::Int64(values) => BufferParam::Int64(values),
                    Values::Float64(values) => BufferParam::Float64(values),
                    Values::Text(text) => BufferParam::Text(text.param()),
                    Values::Bytes(text) => BufferParam::Bytes(text.param()),
                },
            })
            .collect()
    }

    /// Returns the table whose columns `columns` returned.
    pub(super) fn table<'a>(&self, columns: &'a [ColumnParam<'a>]) -> TableParam<'a> {
        TableParam { rows: self.rows, columns }
    }
}

fn values(column: &InputColumn, array: &dyn Array) -> Result<Values, ArrowError> {
    let values = match column.data_type {
        DataType::Boolean => {
            array.as_boolean_opt().map(|array| Values::Boolean(bits(array.values())))
        }
        DataType::Int64 => {
            array.as_primitive_opt::<Int64Type>().map(|array| Values::Int64(array.values().clone()))
        }
        DataType::Float64 => array
            .as_primitive_opt::<Float64Type>()
            .map(|array| Values::Float64(array.values().clone())),
        DataType::TimestampUs => array
            .as_primitive_opt::<TimestampMicrosecondType>()
            .map(|array| Values::Int64(array.values().clone())),
        DataType::Text => match array.as_string_opt::<i32>() {
            Some(array) => Some(Values::Text(HeldText::new(array.offsets(), array.values())?)),
            None => None,
        },
        DataType::Bytes => match array.as_binary_opt::<i32>() {
            Some(array) => Some(Values::Bytes(HeldText::new(array.offsets(), array.values())?)),
            None => None,
        },
    };
    values.ok_or_else(|| {
        ArrowError::SchemaError(format!(
            "column {} has type {}, which is not what was announced",
            column.name,
            array.data_type()
        ))
    })
}

/// Returns the bits from the first one on, as many bytes as they need.
pub(super) fn bits(bits: &BooleanBuffer) -> Buffer {
    bits.sliced().slice_with_length(0, bits.len().div_ceil(8))
}

/// Returns a column of lists or structs as JSON text.
fn json(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default();
    let mut encoder = make_encoder(field, array.as_ref(), &options)?;
    let mut text = StringBuilder::new();
    let mut scratch = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            text.append_null();
            continue;
        }
        scratch.clear();
        encoder.encode(row, &mut scratch);
        let value = std::str::from_utf8(&scratch)
            .map_err(|error| ArrowError::JsonError(error.to_string()))?;
        text.append_value(value);
    }
    Ok(Arc::new(text.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, StringArray,
        StringViewArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Int32Type};

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn shape(batch: &RecordBatch) -> InputShape {
        InputShape::new("p", &batch.schema()).unwrap()
    }

    #[test]
    fn a_slice_starts_at_zero() {
        let text: StringArray = (0..20).map(|i| Some(format!("value {i}"))).collect();
        let flags: BooleanArray = (0..20).map(|i| (i % 4 != 3).then_some(i % 2 == 0)).collect();
        let whole = batch(vec![("t", Arc::new(text)), ("b", Arc::new(flags))]);
        let part = whole.slice(5, 3);
        let held = shape(&part).hold(&part).unwrap();
        let columns = held.columns();
        let BufferParam::Text(text) = &columns[0].values else { panic!() };
        assert_eq!(text.offsets, [0, 7, 14, 21]);
        assert_eq!(text.data, b"value 5value 6value 7");
        let BufferParam::Boolean(bits) = columns[1].values else { panic!() };
        assert_eq!((bits.len(), bits[0] & 0b11), (1, 0b10));
        assert_eq!(columns[1].validity.unwrap()[0] & 0b111, 0b011);
        assert!(columns[0].validity.is_none());
    }

    #[test]
    fn other_types_are_brought_into_the_contracts() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
        ]);
        let dictionary: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
        let batch = batch(vec![
            ("i", Arc::new(Int32Array::from(vec![1, -2]))),
            ("u", Arc::new(UInt64Array::from(vec![7, u64::MAX]))),
            ("v", Arc::new(StringViewArray::from(vec!["a", "bc"]))),
            ("d", Arc::new(dictionary)),
            ("l", Arc::new(list)),
        ]);
        let shape = shape(&batch);
        let fields = shape.fields();
        assert_eq!(fields[4].logical, Some("json"));
        let held = shape.hold(&batch).unwrap();
        let columns = held.columns();
        let BufferParam::Int64(values) = columns[0].values else { panic!() };
        assert_eq!(values, [1, -2]);
        assert_eq!(columns[1].validity.unwrap()[0] & 0b11, 0b01);
        let BufferParam::Text(text) = &columns[4].values else { panic!() };
        assert_eq!(text.data, b"[1,null]");
        assert_eq!(text.offsets, [0, 8, 8]);
    }

    #[test]
    fn what_cannot_cross_is_named() {
        let schema = Schema::new(vec![Field::new(
            "d",
            Arrow::Duration(arrow::datatypes::TimeUnit::Second),
            true,
        )]);
        let error = InputShape::new("p", &schema).unwrap_err();
        assert_eq!(error.to_string(), "column d of type Duration(s) cannot be handed to plugin p");
        let numbers = batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]);
        let texts = batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))]);
        assert!(shape(&numbers).hold(&texts).is_err());
    }
}
