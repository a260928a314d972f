use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::columns::Columns;

fn batch() -> RecordBatch {
    let text = |values: &[Option<&str>]| {
        Arc::new(values.iter().copied().collect::<StringArray>()) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("alert_id", text(&[Some("a1"), Some("a2")])),
        ("service", text(&[Some("auth \"x\""), None])),
        ("n", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn keys_are_one_value_as_text_or_several_as_json() {
    let batch = batch();
    for (key, expected) in [
        (&[][..], [None, None]),
        (&["service"][..], [Some("auth \"x\""), None]),
        (&["n"][..], [Some("7"), Some("8")]),
        (&["service", "n"][..], [Some(r#"["auth \"x\"",7]"#), Some("[null,8]")]),
    ] {
        let columns = Columns::find(batch.schema_ref(), key, None);
        let rows = columns.of_batch(&batch).unwrap();
        for (row, expected) in expected.iter().enumerate() {
            let mut out = Vec::new();
            let found = rows.key(row, &mut out).then_some(out);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{key:?}, row {row}");
        }
    }
}

#[test]
fn topics_and_headers_come_from_columns() {
    let batch = batch();
    let columns = Columns::find(batch.schema_ref(), &[], Some("service"));
    let rows = columns.of_batch(&batch).unwrap();
    assert_eq!((rows.topic(0), rows.topic(1)), (Some("auth \"x\""), None));
    let mut headers = Vec::new();
    rows.headers(1, &mut headers);
    assert_eq!(headers, [(Arc::from("alert_id"), b"a2".as_slice())]);
}
