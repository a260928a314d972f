use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, ListArray, NullArray, RecordBatch,
    StringArray, StringViewArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema, TimeUnit};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn json_lines(batch: &RecordBatch, tag: Option<Tag<'_>>) -> String {
    let mut out = Vec::new();
    JsonEncoder::new(batch.schema_ref(), tag).unwrap().encode(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn csv_lines(batch: &RecordBatch, tag: Option<Tag<'_>>) -> String {
    let mut out = Vec::new();
    let encoder = CsvEncoder::new(batch.schema_ref(), tag).unwrap();
    out.extend_from_slice(encoder.header());
    encoder.encode(batch, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn table(batch: &RecordBatch, truncate: usize, colour: bool) -> String {
    let mut out = Vec::new();
    write_table(std::slice::from_ref(batch), TableStyle { truncate, colour }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn lists(values: Vec<Option<Vec<Option<i64>>>>) -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>(values)
}

/// One value of every type, and a null of every type.
fn every_type() -> RecordBatch {
    let texts = ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, true)),
        arrow::buffer::OffsetBuffer::from_lengths([2, 0]),
        Arc::new(StringArray::from(vec![Some("a\"b"), None])),
        Some(vec![true, false].into()),
    );
    batch(vec![
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("count", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("grün, 雪"), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_757_678_373_334_000), None]))),
        ("raw", Arc::new(BinaryArray::from(vec![Some(&b"ok\xff\n"[..]), None]))),
        ("list", Arc::new(lists(vec![Some(vec![Some(1), None, Some(-3)]), None]))),
        ("texts", Arc::new(texts)),
        ("nothing", Arc::new(NullArray::new(2))),
    ])
}

#[test]
fn every_type_as_json() {
    assert_eq!(
        json_lines(&every_type(), None),
        concat!(
            r#"{"flag":true,"count":-9223372036854775808,"ratio":0.1,"text":"grün, 雪","#,
            r#""at":"2025-09-12T11:59:33.334Z","raw":"ok\\xff\n","list":[1,null,-3],"#,
            r#""texts":["a\"b",null],"nothing":null}"#,
            "\n",
            r#"{"flag":null,"count":null,"ratio":null,"text":null,"at":null,"raw":null,"#,
            r#""list":null,"texts":null,"nothing":null}"#,
            "\n",
        )
    );
}

#[test]
fn every_type_as_csv() {
    assert_eq!(
        csv_lines(&every_type(), None),
        concat!(
            "flag,count,ratio,text,at,raw,list,texts,nothing\n",
            "true,-9223372036854775808,0.1,\"grün, 雪\",2025-09-12T11:59:33.334Z,\"ok\\xff\n\",",
            r#""[1,null,-3]","[""a\""b"",null]","#,
            "\n,,,,,,,,\n",
        )
    );
}

#[test]
fn every_type_as_table() {
    let rows = every_type().project(&[0, 1, 4, 5, 6, 7, 8]).unwrap();
    assert_eq!(
        table(&rows, 24, false),
        r#"
+------+----------------------+--------------------------+----------+-------------+---------------+---------+
| flag |                count | at                       | raw      | list        | texts         | nothing |
+------+----------------------+--------------------------+----------+-------------+---------------+---------+
| true | -9223372036854775808 | 2025-09-12T11:59:33.334Z | ok\xff\n | [1,null,-3] | ["a\"b",null] | null    |
| null |                 null | null                     | null     | null        | null          | null    |
+------+----------------------+--------------------------+----------+-------------+---------------+---------+
"#
        .trim_start()
    );
}

#[test]
fn json_strings_are_escaped() {
    for (text, expected) in [
        ("", r#""""#),
        ("plain", r#""plain""#),
        ("a\"b\\c", r#""a\"b\\c""#),
        ("\u{8}\t\n\u{c}\r", r#""\b\t\n\f\r""#),
        ("\u{0}\u{1f}\u{7f}", "\"\\u0000\\u001f\u{7f}\""),
        ("\"", r#""\"""#),
        ("日本\u{2028}🦀", "\"日本\u{2028}🦀\""),
        ("end\\", r#""end\\""#),
    ] {
        let mut out = Vec::new();
        write_json_string(&mut out, text);
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}

#[test]
fn doubles() {
    let values = [0.0, -0.0, 1.0, 1e21, 1.5e-7, f64::MIN_POSITIVE, f64::MAX, 100.0 / 3.0, f64::NAN];
    let values = [&values[..], &[f64::INFINITY, f64::NEG_INFINITY]].concat();
    let rows = batch(vec![("v", Arc::new(Float64Array::from(values.clone())))]);
    let lines = json_lines(&rows, None);
    for (line, value) in lines.lines().zip(&values) {
        let text = line.trim_start_matches(r#"{"v":"#).trim_end_matches('}');
        if value.is_finite() {
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{line}");
        } else {
            assert_eq!(text, "null");
        }
    }
    assert!(csv_lines(&rows, None).ends_with("NaN\ninf\n-inf\n"));
}

#[test]
fn a_tag_comes_first() {
    let rows = batch(vec![("n\"1", Arc::new(Int64Array::from(vec![7])))]);
    let tag = Some(Tag { key: "node", value: "error,rate" });
    assert_eq!(json_lines(&rows, tag), "{\"node\":\"error,rate\",\"n\\\"1\":7}\n");
    assert_eq!(csv_lines(&rows, tag), "node,\"n\"\"1\"\n\"error,rate\",7\n");
}

#[test]
fn rows_without_columns() {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(2));
    let schema = Arc::new(Schema::empty());
    let rows = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    assert_eq!(json_lines(&rows, None), "{}\n{}\n");
    assert_eq!(
        json_lines(&rows, Some(Tag { key: "node", value: "x" })),
        "{\"node\":\"x\"}\n{\"node\":\"x\"}\n"
    );
}

#[test]
fn csv_tells_null_from_empty() {
    let two = batch(vec![
        ("a", Arc::new(StringArray::from(vec![None, Some(""), Some("x\r\ny"), Some("\"q\"")]))),
        ("b", Arc::new(StringArray::from(vec![Some(""), None, None, None]))),
    ]);
    assert_eq!(csv_lines(&two, None), "a,b\n,\"\"\n\"\",\n\"x\r\ny\",\n\"\"\"q\"\"\",\n");
    let one = batch(vec![("a", Arc::new(Int64Array::from(vec![None, Some(1)])))]);
    assert_eq!(csv_lines(&one, None), "a\n\"\"\n1\n");
}

#[test]
fn foreign_types_are_cast() {
    let words: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
    let nanos = arrow::array::TimestampNanosecondArray::from(vec![1_500, -1]);
    let rows = batch(vec![
        ("i32", Arc::new(Int32Array::from(vec![1, -2]))),
        ("u64", Arc::new(UInt64Array::from(vec![1, 2]))),
        ("f32", Arc::new(Float32Array::from(vec![0.5, 2.0]))),
        ("view", Arc::new(StringViewArray::from(vec!["a", "b"]))),
        ("words", Arc::new(words)),
        ("at", Arc::new(nanos)),
        ("day", Arc::new(arrow::array::Date32Array::from(vec![0, 19_000]))),
    ]);
    let lines = json_lines(&rows, None);
    assert_eq!(
        lines.lines().next().unwrap(),
        concat!(
            r#"{"i32":1,"u64":1,"f32":0.5,"view":"a","words":"x","#,
            r#""at":"1970-01-01T00:00:00.000001Z","day":"1970-01-01"}"#
        )
    );
}

#[test]
fn what_cannot_be_written_is_named() {
    let decimal = batch(vec![("price", Arc::new(Decimal128Array::from(vec![1])))]);
    let error = JsonEncoder::new(decimal.schema_ref(), None).unwrap_err().to_string();
    assert!(error.starts_with("column `price` has type Decimal128"), "{error}");

    let large = batch(vec![("u", Arc::new(UInt64Array::from(vec![u64::MAX])))]);
    let mut out = b"kept".to_vec();
    let encoder = JsonEncoder::new(large.schema_ref(), None).unwrap();
    let error = encoder.encode(&large, &mut out).unwrap_err().to_string();
    assert!(error.contains("column `u` cannot be written as Int64"), "{error}");
    assert_eq!(out, b"kept");

    let error = encoder.encode(&every_type(), &mut out).unwrap_err().to_string();
    assert_eq!(error, "rows have 9 columns where 1 were announced");
}

#[test]
fn table_golden() {
    let rows = batch(vec![
        ("service", Arc::new(StringArray::from(vec![Some("api"), None, Some("日本語の店")]))),
        ("n", Arc::new(Int64Array::from(vec![Some(12), Some(-3_000), None]))),
        ("mean", Arc::new(Float64Array::from(vec![1.5, 22.25, 3.0]))),
        ("note", Arc::new(StringArray::from(vec!["a\nb\u{1b}[2J", "0123456789abcdef", ""]))),
    ]);
    assert_eq!(
        table(&rows, 10, false),
        "\
+------------+-------+-------+------------+
| service    |     n |  mean | note       |
+------------+-------+-------+------------+
| api        |    12 |   1.5 | a\\nb\\x1... |
| null       | -3000 | 22.25 | 0123456... |
| 日本語の店 |  null |   3.0 |            |
+------------+-------+-------+------------+
"
    );
    let narrow = table(&rows, 3, false);
    assert!(narrow.contains("| 012  |"), "{narrow}");
    let whole = table(&rows, 0, false);
    assert!(whole.contains("| 0123456789abcdef |"), "{whole}");
}

#[test]
fn colour_only_when_asked() {
    let severities = StringArray::from(vec![Some("critical"), Some("warning"), None]);
    let rows = batch(vec![("severity", Arc::new(severities))]);
    let plain = table(&rows, 0, false);
    assert!(!plain.contains('\x1b'));
    let coloured = table(&rows, 0, true);
    for part in ["\x1b[31mcritical\x1b[0m", "\x1b[33mwarning\x1b[0m", "\x1b[2mnull\x1b[0m"] {
        assert!(coloured.contains(part), "{coloured:?}");
    }
    let mut stripped = coloured;
    for code in ["\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"] {
        stripped = stripped.replace(code, "");
    }
    assert_eq!(stripped, plain);
}

#[test]
fn row_json_is_the_line() {
    let rows = every_type();
    for (row, line) in json_lines(&rows, None).lines().enumerate() {
        assert_eq!(row_json(&rows, row).unwrap(), serde_json::from_str::<Json>(line).unwrap());
    }
    assert_eq!(row_json(&rows, 2).unwrap(), Json::Null);
}

#[test]
fn a_slice_is_written_as_such() {
    let rows = every_type().slice(1, 1);
    assert_eq!(json_lines(&rows, None).lines().count(), 1);
    let values = lists(vec![Some(vec![Some(1)]), Some(vec![Some(2), Some(3)]), Some(vec![])]);
    let rows = batch(vec![("l", Arc::new(values))]).slice(1, 2);
    assert_eq!(json_lines(&rows, None), "{\"l\":[2,3]}\n{\"l\":[]}\n");
}

type Row = (Option<bool>, Option<i64>, Option<f64>, Option<String>, Option<i64>, Vec<Option<i64>>);

fn row() -> impl Strategy<Value = Row> {
    let text = prop_oneof![any::<String>(), "[a-c,\"\r\n\\\\]{0,6}".prop_map(String::from)];
    (
        any::<Option<bool>>(),
        any::<Option<i64>>(),
        proptest::option::of(proptest::num::f64::ANY),
        proptest::option::of(text),
        proptest::option::of(-60_000_000_000_000_000_i64..250_000_000_000_000_000),
        proptest::collection::vec(any::<Option<i64>>(), 0..3),
    )
}

fn rows_batch(rows: &[Row]) -> RecordBatch {
    let texts: StringArray = rows.iter().map(|r| r.3.as_deref()).collect();
    batch(vec![
        ("flag", Arc::new(rows.iter().map(|r| r.0).collect::<BooleanArray>())),
        ("count", Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>())),
        ("ratio", Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>())),
        ("text", Arc::new(texts)),
        ("at", Arc::new(rows.iter().map(|r| r.4).collect::<TimestampMicrosecondArray>())),
        ("list", Arc::new(lists(rows.iter().map(|r| Some(r.5.clone())).collect()))),
    ])
}

proptest! {
    #[test]
    fn json_lines_read_back(rows in proptest::collection::vec(row(), 0..20)) {
        let text = json_lines(&rows_batch(&rows), None);
        prop_assert_eq!(text.lines().count(), rows.len());
        for (line, row) in text.split_terminator('\n').zip(&rows) {
            let read: Json = serde_json::from_str(line).unwrap();
            let expected = json!({
                "flag": row.0, "count": row.1, "ratio": read["ratio"], "text": row.3,
                "at": row.4.map(|at| chrono::DateTime::from_timestamp_micros(at).unwrap()
                    .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
                "list": row.5,
            });
            prop_assert_eq!(&read, &expected);
            // serde_json's own reading of doubles may be off by the last bit.
            let finite = row.2.filter(|ratio| ratio.is_finite());
            let ratio = line.split("\"ratio\":").nth(1).unwrap().split(',').next().unwrap();
            prop_assert_eq!(
                ratio.parse::<f64>().ok().map(f64::to_bits), finite.map(f64::to_bits)
            );
        }
    }

    #[test]
    fn csv_reads_back(rows in proptest::collection::vec(row(), 1..20)) {
        let batch = rows_batch(&rows);
        let text = csv_lines(&batch.project(&[0, 1, 2, 3, 4]).unwrap(), None);
        let fields = vec![
            Field::new("flag", DataType::Boolean, true),
            Field::new("count", DataType::Int64, true),
            Field::new("ratio", DataType::Float64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ];
        let read = arrow::csv::ReaderBuilder::new(Arc::new(Schema::new(fields)))
            .with_header(true)
            .with_batch_size(100)
            .build(text.as_bytes()).unwrap().next().unwrap().unwrap();
        prop_assert_eq!(read.num_rows(), rows.len());
        for (index, row) in rows.iter().enumerate() {
            for column in [0, 1, 4] {
                let (read, written) = (read.column(column), batch.column(column));
                prop_assert_eq!(read.slice(index, 1).to_data(), written.slice(index, 1).to_data());
            }
            let ratio = read.column(2).as_primitive::<Float64Type>();
            let ratio = ratio.is_valid(index).then(|| ratio.value(index));
            prop_assert_eq!(
                ratio.filter(|r| !r.is_nan()).map(f64::to_bits),
                row.2.filter(|r| !r.is_nan()).map(f64::to_bits)
            );
            // arrow-csv reads an empty quoted field as null.
            let read_text = read.column(3).as_string::<i32>();
            let read_text = read_text.is_valid(index).then(|| read_text.value(index));
            prop_assert_eq!(read_text, row.3.as_deref().filter(|text| !text.is_empty()));
        }
    }
}
