//! Rows that make a transform fail, and their neighbours.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};

use super::guests::load;

fn batch(texts: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter([("text", column)]).unwrap()
}

#[test]
fn rows_come_through_around_poison() {
    let version = load("hostile_transform");
    let plugin = version.transform("{}", &batch(&[]).schema()).unwrap();
    let mut transform = plugin.instance();
    let outcome = transform.apply(&batch(&["a", "TWICE", "REJECT", "TRAP", "b"])).unwrap();
    let upper: Vec<_> = outcome.rows.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(upper, ["A", "TWICE", "TWICE", "B"]);
    assert_eq!(outcome.source, Some(vec![0, 1, 1, 4]));
    assert_eq!(outcome.rejects, [(2, 0)]);
    let poison: Vec<_> =
        outcome.poison.iter().map(|p| (p.record, p.error.failure.to_string())).collect();
    assert_eq!(poison, [(3, "trap: unreachable".to_owned())]);

    // A slice of a batch, and another schema than the one configured.
    let outcome = transform.apply(&batch(&["a", "b", "c"]).slice(1, 1)).unwrap();
    assert_eq!(outcome.rows.column(0).as_string::<i32>().value(0), "B");
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("text", number)]).unwrap();
    transform.apply(&other).unwrap_err();
    let error = version.transform("{}", &other.schema()).unwrap_err();
    assert!(error.to_string().ends_with("the first column must be text"), "{error}");
}
