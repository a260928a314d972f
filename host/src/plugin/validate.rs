//! Looks at everything a guest returns before anything uses it.
//!
//! A guest may return any bytes that fit the types of the contract. What comes out of here is
//! either a sound Arrow array, sharing the guest's returned buffers, or [`BadOutput`]. Nothing here
//! panics, whatever the input: Arrow's constructors that would are called behind checks.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::data::timestamp_type;

use super::bindings::millstream::plugin::types::{
    BufferResult, ColumnResult, DictionaryResult, TableResult, TextBufferResult,
};

/// What is wrong with a guest's output, in few words.
#[derive(Debug)]
pub(super) struct BadOutput(pub(super) String);

/// Returns the guest's table as a batch of `schema`.
///
/// `max_bytes` bounds what a dictionary may unfold to.
pub(super) fn table(
    schema: &SchemaRef,
    table: TableResult,
    max_bytes: usize,
) -> Result<RecordBatch, BadOutput> {
    let rows = size(table.rows);
    if table.columns.len() != schema.fields().len() {
        return Err(BadOutput(format!(
            "{} columns where {} were announced",
            table.columns.len(),
            schema.fields().len()
        )));
    }
    let mut left = max_bytes;
    let columns = table.columns.into_iter().zip(schema.fields()).map(|(values, field)| {
        column(field, values, rows, &mut left)
            .map_err(|bad| BadOutput(format!("column {}: {}", field.name(), bad.0)))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| BadOutput(error.to_string()))
}

/// Returns one column of `rows` values.
fn column(
    field: &Field,
    column: ColumnResult,
    rows: usize,
    left: &mut usize,
) -> Result<ArrayRef, BadOutput> {
    let nulls = match column.validity {
        None => None,
        Some(bytes) => Some(NullBuffer::new(bitmap(bytes, rows)?)).filter(|n| n.null_count() > 0),
    };
    if nulls.is_some() && !field.is_nullable() {
        return Err(BadOutput("nulls where none were announced".into()));
    }
    let array: ArrayRef = match (field.data_type(), column.values) {
        (DataType::Boolean, BufferResult::Boolean(bytes)) => {
            Arc::new(BooleanArray::new(bitmap(bytes, rows)?, nulls))
        }
        (DataType::Int64, BufferResult::Int64(values)) => {
            Arc::new(Int64Array::new(scalars(values, rows)?, nulls))
        }
        (DataType::Float64, BufferResult::Float64(values)) => {
            Arc::new(Float64Array::new(scalars(values, rows)?, nulls))
        }
        (time, BufferResult::Int64(values)) if *time == timestamp_type() => {
            Arc::new(TimestampMicrosecondArray::new(scalars(values, rows)?, nulls))
        }
        (DataType::Utf8, BufferResult::Text(values)) => Arc::new(text(values, rows, nulls)?),
        (DataType::Utf8, BufferResult::Dictionary(values)) => {
            Arc::new(unfold(values, rows, nulls, left)?)
        }
        (DataType::Binary, BufferResult::Bytes(values)) => Arc::new(bytes(values, rows, nulls)?),
        (announced, values) => {
            let found = match values {
                BufferResult::Boolean(_) => "boolean",
                BufferResult::Int64(_) => "int64",
                BufferResult::Float64(_) => "float64",
                BufferResult::Text(_) => "text",
                BufferResult::Bytes(_) => "bytes",
                BufferResult::Dictionary(_) => "dictionary",
            };
            return Err(BadOutput(format!("a {found} buffer where {announced} was announced")));
        }
    };
    Ok(array)
}

/// Returns `rows` bits.
pub(super) fn bitmap(bytes: Vec<u8>, rows: usize) -> Result<BooleanBuffer, BadOutput> {
    if bytes.len() != rows.div_ceil(8) {
        return Err(BadOutput(format!("a bitmap of {} bytes for {rows} values", bytes.len())));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(bytes), 0, rows))
}

fn scalars<T: arrow::datatypes::ArrowNativeType>(
    values: Vec<T>,
    rows: usize,
) -> Result<ScalarBuffer<T>, BadOutput> {
    if values.len() != rows {
        return Err(BadOutput(format!("{} values for {rows} rows", values.len())));
    }
    Ok(ScalarBuffer::from(values))
}

/// Returns `rows` texts. Arrow looks at the UTF-8, of the whole and at each offset.
pub(super) fn text(
    values: TextBufferResult,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<StringArray, BadOutput> {
    let offsets = offsets(values.offsets, rows, values.data.len())?;
    StringArray::try_new(offsets, Buffer::from_vec(values.data), nulls)
        .map_err(|error| BadOutput(super::log::clean(&error.to_string())))
}

/// Returns `rows` byte strings.
pub(super) fn bytes(
    values: TextBufferResult,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<BinaryArray, BadOutput> {
    let offsets = offsets(values.offsets, rows, values.data.len())?;
    BinaryArray::try_new(offsets, Buffer::from_vec(values.data), nulls)
        .map_err(|error| BadOutput(super::log::clean(&error.to_string())))
}

/// Checks offsets: one more than rows, from 0, never falling, within the data.
fn offsets(offsets: Vec<i32>, rows: usize, data: usize) -> Result<OffsetBuffer<i32>, BadOutput> {
    if offsets.len().checked_sub(1) != Some(rows) {
        return Err(BadOutput(format!("{} offsets for {rows} values", offsets.len())));
    }
    if offsets.first() != Some(&0) {
        return Err(BadOutput("the first offset is not 0".into()));
    }
    // Without a branch on each, as it is looked at for each text column of each batch.
    let later = offsets.get(1..).unwrap_or_default();
    if !offsets.iter().zip(later).fold(true, |rising, (a, b)| rising & (a <= b)) {
        return Err(BadOutput("offsets fall".into()));
    }
    let last = offsets.last().and_then(|last| usize::try_from(*last).ok());
    if last.is_none_or(|last| last > data) {
        return Err(BadOutput(format!("offsets go beyond the {data} bytes of data")));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

/// Returns a dictionary's values in place of its codes.
///
/// A few bytes of codes can stand for gigabytes of text, so the size is added up first.
fn unfold(
    dictionary: DictionaryResult,
    rows: usize,
    nulls: Option<NullBuffer>,
    left: &mut usize,
) -> Result<StringArray, BadOutput> {
    let entries = dictionary.values.offsets.len().saturating_sub(1);
    let values = text(dictionary.values, entries, None)?;
    if dictionary.codes.len() != rows {
        return Err(BadOutput(format!("{} codes for {rows} rows", dictionary.codes.len())));
    }
    let mut total = 0_usize;
    for &code in &dictionary.codes {
        let Some(length) = (size(code) < values.len()).then(|| values.value(size(code)).len())
        else {
            return Err(BadOutput(format!("code {code} of a dictionary of {entries} values")));
        };
        total = total.saturating_add(length);
    }
    if total > *left || i32::try_from(total).is_err() {
        return Err(BadOutput(format!("a dictionary that unfolds to {total} bytes")));
    }
    *left = left.saturating_sub(total);
    let mut data = String::with_capacity(total);
    let mut offsets = Vec::with_capacity(rows.saturating_add(1));
    offsets.push(0);
    for &code in &dictionary.codes {
        data.push_str(values.value(size(code)));
        offsets.push(i32::try_from(data.len()).unwrap_or(i32::MAX));
    }
    text(TextBufferResult { offsets, data: data.into_bytes() }, rows, nulls)
}

/// Checks the rows' sources: one a row, never falling, all of them inputs.
pub(super) fn source(source: &[u32], rows: usize, inputs: usize) -> Result<(), BadOutput> {
    if source.len() != rows {
        return Err(BadOutput(format!("{} sources for {rows} rows", source.len())));
    }
    never_falls(source, inputs, "sources")
}

/// Checks indices that may repeat.
pub(super) fn never_falls(indices: &[u32], below: usize, what: &str) -> Result<(), BadOutput> {
    if !indices.is_sorted() {
        return Err(BadOutput(format!("{what} are not in ascending order")));
    }
    in_range(indices.last(), below, what)
}

/// Checks indices of which none comes twice.
pub(super) fn rises(indices: &[u32], below: usize, what: &str) -> Result<(), BadOutput> {
    if !indices.is_sorted_by(|a, b| a < b) {
        return Err(BadOutput(format!("{what} are not in ascending order")));
    }
    in_range(indices.last(), below, what)
}

fn in_range(last: Option<&u32>, below: usize, what: &str) -> Result<(), BadOutput> {
    match last {
        Some(&last) if size(last) >= below => {
            Err(BadOutput(format!("{what} go up to {last}, where there are {below}")))
        }
        _ => Ok(()),
    }
}

/// Returns the refused inputs and why, when both are possible.
pub(super) fn rejects(
    records: Vec<u32>,
    codes: Vec<u16>,
    inputs: usize,
    known_codes: usize,
) -> Result<Vec<(u32, u16)>, BadOutput> {
    if records.len() != codes.len() {
        return Err(BadOutput(format!("{} reject codes for {}", codes.len(), records.len())));
    }
    rises(&records, inputs, "rejects")?;
    if let Some(code) = codes.iter().find(|code| usize::from(**code) >= known_codes) {
        return Err(BadOutput(format!("reject code {code}, where there are {known_codes}")));
    }
    Ok(records.into_iter().zip(codes).collect())
}

/// Checks that rows that come one for one, and rejects, make up all inputs.
pub(super) fn adds_up(rows: usize, rejects: usize, inputs: usize) -> Result<(), BadOutput> {
    if rows.checked_add(rejects) == Some(inputs) {
        return Ok(());
    }
    Err(BadOutput(format!("{rows} rows and {rejects} rejects of {inputs} inputs, without sources")))
}

/// Returns a count of the contract as a size. Lossless on the machines that wasmtime runs on.
pub(super) fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use proptest::prelude::*;

    fn schema(nullable: bool) -> SchemaRef {
        let types = [
            DataType::Boolean,
            DataType::Int64,
            DataType::Float64,
            timestamp_type(),
            DataType::Utf8,
            DataType::Binary,
            DataType::Utf8,
        ];
        let fields = types.into_iter().enumerate();
        let fields = fields.map(|(i, t)| Field::new(format!("c{i}"), t, nullable));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn strings(values: &[&str]) -> TextBufferResult {
        let mut offsets = vec![0];
        let mut data = Vec::new();
        for value in values {
            data.extend_from_slice(value.as_bytes());
            offsets.push(i32::try_from(data.len()).unwrap());
        }
        TextBufferResult { offsets, data }
    }

    fn good() -> TableResult {
        let column = |values| ColumnResult { validity: Some(vec![0b01]), values };
        TableResult {
            rows: 2,
            columns: vec![
                column(BufferResult::Boolean(vec![0b10])),
                column(BufferResult::Int64(vec![1, 2])),
                column(BufferResult::Float64(vec![1.5, f64::NAN])),
                column(BufferResult::Int64(vec![1, 2])),
                column(BufferResult::Text(strings(&["größe", "x"]))),
                column(BufferResult::Bytes(TextBufferResult {
                    offsets: vec![0, 1, 2],
                    data: vec![255, 254],
                })),
                column(BufferResult::Dictionary(DictionaryResult {
                    codes: vec![1, 0],
                    values: strings(&["zero", "one"]),
                })),
            ],
        }
    }

    #[test]
    fn good_tables_pass() {
        let batch = table(&schema(true), good(), 1000).unwrap();
        assert_eq!(batch.num_rows(), 2);
        let values = batch.column(6).as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!((values.value(0), values.is_null(1)), ("one", true));
    }

    #[test]
    fn bad_tables_are_named() {
        fn check(change: impl FnOnce(&mut TableResult), expected: &str) {
            let mut bad = good();
            change(&mut bad);
            let error = table(&schema(true), bad, 1000).unwrap_err();
            assert!(error.0.contains(expected), "{} does not contain {expected}", error.0);
        }
        let text = |offsets: &[i32], data: &[u8]| {
            BufferResult::Text(TextBufferResult { offsets: offsets.into(), data: data.into() })
        };
        let codes = |codes: &[u32], values| {
            BufferResult::Dictionary(DictionaryResult { codes: codes.into(), values })
        };
        let long = "x".repeat(600);
        check(|t| drop(t.columns.pop()), "6 columns where 7");
        check(|t| t.rows = 3, "2 values for 3 rows");
        check(|t| t.rows = u32::MAX, "a bitmap of 1 bytes");
        check(|t| t.columns[0].validity = Some(vec![]), "a bitmap of 0 bytes");
        check(|t| t.columns[0].values = BufferResult::Boolean(vec![0; 9]), "a bitmap of 9 bytes");
        check(
            |t| t.columns[1].values = BufferResult::Boolean(vec![0]),
            "a boolean buffer where Int64",
        );
        check(|t| t.columns[4].values = text(&[], b""), "0 offsets for 2");
        check(|t| t.columns[4].values = text(&[0, 1], b"x"), "2 offsets for 2");
        check(|t| t.columns[4].values = text(&[1, 1, 1], b"x"), "first offset");
        check(|t| t.columns[4].values = text(&[0, 2, 1], b"xx"), "offsets fall");
        check(|t| t.columns[4].values = text(&[0, -1, 1], b"xx"), "offsets fall");
        check(|t| t.columns[4].values = text(&[0, 1, i32::MAX], b"xx"), "beyond the 2 bytes");
        check(|t| t.columns[4].values = text(&[0, 1, 2], b"\xff\xfe"), "UTF");
        check(|t| t.columns[4].values = text(&[0, 1, 2], "ö".as_bytes()), "UTF");
        check(|t| t.columns[6].values = codes(&[0, 2], strings(&["a", "b"])), "code 2 of");
        check(|t| t.columns[6].values = codes(&[0, 0], strings(&[])), "code 0 of");
        check(|t| t.columns[6].values = codes(&[0], strings(&["a"])), "1 codes for 2");
        check(|t| t.columns[6].values = codes(&[0, 0], strings(&[&long])), "unfolds to 1200");
        let error = table(&schema(false), good(), 1000).unwrap_err();
        assert!(error.0.contains("nulls where none"), "{}", error.0);
    }

    #[test]
    fn indices_are_checked() {
        source(&[0, 0, 2], 3, 3).unwrap();
        source(&[0, 2, 1], 3, 3).unwrap_err();
        source(&[0, 3], 2, 3).unwrap_err();
        source(&[0], 2, 3).unwrap_err();
        assert_eq!(rejects(vec![0, 2], vec![1, 0], 3, 2).unwrap(), [(0, 1), (2, 0)]);
        rejects(vec![0, 0], vec![1, 0], 3, 2).unwrap_err();
        rejects(vec![0, 3], vec![1, 0], 3, 2).unwrap_err();
        rejects(vec![0], vec![2], 3, 2).unwrap_err();
        rejects(vec![0], vec![], 3, 2).unwrap_err();
        adds_up(2, 1, 3).unwrap();
        adds_up(2, 2, 3).unwrap_err();
        adds_up(usize::MAX, 1, 3).unwrap_err();
    }

    fn any_text() -> impl Strategy<Value = TextBufferResult> {
        (
            prop_oneof![
                prop::collection::vec(any::<i32>(), 0..6),
                prop::collection::vec(0_i32..8, 0..6).prop_map(|mut o| {
                    o.sort_unstable();
                    o.insert(0, 0);
                    o
                }),
            ],
            prop::collection::vec(any::<u8>(), 0..10),
        )
            .prop_map(|(offsets, data)| TextBufferResult { offsets, data })
    }

    fn any_buffer() -> impl Strategy<Value = BufferResult> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3).prop_map(BufferResult::Boolean),
            prop::collection::vec(any::<i64>(), 0..6).prop_map(BufferResult::Int64),
            prop::collection::vec(any::<f64>(), 0..6).prop_map(BufferResult::Float64),
            any_text().prop_map(BufferResult::Text),
            any_text().prop_map(BufferResult::Bytes),
            (prop::collection::vec(0_u32..5, 0..6), any_text()).prop_map(|(codes, values)| {
                BufferResult::Dictionary(DictionaryResult { codes, values })
            }),
        ]
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            rows in prop_oneof![0_u32..6, any::<u32>()],
            columns in prop::collection::vec(
                (prop::option::of(prop::collection::vec(any::<u8>(), 0..2)), any_buffer()),
                1,
            ),
            kind in 0_usize..7,
            nullable in any::<bool>(),
        ) {
            let schema = Arc::new(schema(nullable).project(&[kind]).unwrap());
            let columns = columns
                .into_iter()
                .map(|(validity, values)| ColumnResult { validity, values })
                .collect();
            if let Ok(batch) = table(&schema, TableResult { rows, columns }, 1000) {
                prop_assert_eq!(batch.num_rows(), size(rows));
                batch.column(0).to_data().validate_full().unwrap();
            }
        }

        #[test]
        fn garbage_indices_never_panic(
            a in prop::collection::vec(any::<u32>(), 0..6),
            b in prop::collection::vec(any::<u16>(), 0..6),
            n in 0_usize..8,
        ) {
            drop(source(&a, n, n));
            if let Ok(rejects) = rejects(a, b, n, n) {
                prop_assert!(rejects.iter().all(|(r, c)| size(*r) < n && usize::from(*c) < n));
            }
        }
    }
}
