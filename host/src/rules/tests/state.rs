//! State as columns: all types come back, misfits are refused.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Int32Array, ListArray,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};

use super::native::*;
use crate::config::model::RowOrder;
use crate::rules::codec::RowCodec;
use crate::rules::*;

#[test]
fn every_type_survives_its_encoding() {
    let dictionary: arrow::array::DictionaryArray<Int32Type> =
        vec![Some("x"), None, Some("x")].into_iter().collect();
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
        Arc::new(Float32Array::from(vec![Some(1.5), None, Some(f32::INFINITY)])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1)])),
        Arc::new(Date32Array::from(vec![Some(1), None, Some(-1)])),
        Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
        Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None, Some(b"")])),
        Arc::new(dictionary),
        Arc::new(list),
    ];
    let fields: Vec<_> = columns
        .iter()
        .map(|column| Arc::new(Field::new("c", column.data_type().clone(), true)))
        .collect();
    assert!(RowCodec::for_key(&fields).is_err(), "a list is no key");
    let codec = RowCodec::for_rows(&fields).unwrap();
    let view = codec.view(&columns).unwrap();
    let mut decoder = codec.decoder(3);
    for row in 0..3 {
        let mut bytes = Vec::new();
        view.encode(row, &mut bytes);
        decoder.push(&bytes).unwrap();
        let mut other = codec.decoder(1);
        assert!(other.push(&bytes[1..]).is_err() || row > 0, "cut bytes are refused");
    }
    let mut decoded = decoder.finish().unwrap();
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some("[1,null]"), None, Some("[]")]));
    assert_eq!(&decoded.pop().unwrap(), &json);
    assert_eq!(decoded, columns[..9]);
}

fn a_state() -> RuleState {
    let mut rule = KeyedRule::new(settings(RowOrder::Arrival)).unwrap();
    let mut sum = Sum { silence: Some(5), ..Sum::default() };
    let events = [(1, "b", 1.0), (2, "a", 12.0), (3, "b", 3.0), (3, "b", 4.0)];
    rule.push(&rows(0, 0, &events), RowClock::NEVER_LATE, &mut sum).unwrap();
    rule.state().unwrap()
}

#[test]
fn state_is_columns_sorted_by_key() {
    let state = a_state();
    assert_eq!(show(&state.keys, &["timer_us", "last_us", "name"]), ["7 2 a", "8 3 b"]);
    assert_eq!(show(&state.history, &[]), ["0 12.0", "1 3.0", "1 4.0"]);
    assert_eq!(state.alerts.num_rows(), 1);
    assert_eq!(state.held.num_rows(), 0);
}

#[test]
fn less_history_is_trimmed_and_misfits_are_refused() {
    let state = a_state();
    let mut shorter = settings(RowOrder::Arrival);
    shorter.plan.history = 1;
    let rule = KeyedRule::from_state(shorter, &state).unwrap();
    assert_eq!(show(&rule.state().unwrap().history, &[]), ["0 12.0", "1 4.0"]);

    let refused = |change: &dyn Fn(&mut KeyedSettings), state: &RuleState| {
        let mut settings = settings(RowOrder::Arrival);
        change(&mut settings);
        KeyedRule::from_state(settings, state).map(|_| ()).unwrap_err().to_string()
    };
    let other_key = refused(&|s| s.alerts.key = vec!["at".into()], &state);
    assert_eq!(other_key, "the stored state of rule `r` does not fit: its key has other columns");
    let other_history = refused(&|s| s.plan.history_columns = vec!["at".into()], &state);
    assert!(other_history.ends_with("its history lacks a column that is wanted now"));
    let empty =
        RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("x", DataType::Utf8, true)])));
    let other = refused(&|_| (), &RuleState { alerts: empty.clone(), ..state.clone() });
    assert!(other.ends_with("its alert counts have other columns"), "{other}");
    let other = refused(&|_| (), &RuleState { held: empty, ..state });
    assert!(other.ends_with("its held rows have other columns"), "{other}");
}
