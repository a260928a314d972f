//! Keys, history, state, time-to-live, timers, order, poison, revisions.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::native::*;
use crate::config::model::RowOrder;
use crate::data::{NO_TIME, Rows, timestamp_type};
use crate::rules::*;

const CLOCK: RowClock = RowClock { max_before_us: NO_TIME, delay_us: 0 };

fn rule(change: impl FnOnce(&mut KeyedSettings)) -> KeyedRule {
    let mut settings = settings(RowOrder::Arrival);
    change(&mut settings);
    KeyedRule::new(settings).unwrap()
}

#[test]
fn rows_keep_their_order_and_keys_their_state_and_history() {
    let mut rule = rule(|_| ());
    let mut sum = Sum::default();
    let first = [(1, "a", 1.0), (2, "b", 5.0), (3, "a", 2.0), (4, "a", 11.0)];
    let output = rule.push(&rows(0, 0, &first), CLOCK, &mut sum).unwrap();
    assert_eq!(
        show(&output.rows.batch, &[]),
        [
            "1 a 1.0 1 1.0 0.0 false",
            "2 b 5.0 1 5.0 0.0 false",
            "3 a 2.0 2 3.0 1.0 false",
            "4 a 11.0 3 14.0 3.0 true"
        ]
    );
    let columns =
        ["rule", "severity", "message", "event_time", "name", "revision", "sum", "plugin_version"];
    assert_eq!(
        show(&output.alerts.batch, &columns),
        ["r warning high 1970-01-01T00:00:00.000004 a 0 14.0 sum 1.0.0"]
    );
    let second = [(5, "b", 20.0), (6, "a", -1.0), (7, "a", 1.0)];
    let output = rule.push(&rows(0, 4, &second), CLOCK, &mut sum).unwrap();
    assert_eq!(
        show(&output.rows.batch, &[]),
        ["5 b 20.0 2 25.0 5.0 true", "6 a -1.0 4 13.0 13.0 false", "7 a 1.0 1 1.0 10.0 false"]
    );
    assert_eq!(
        show(&output.alerts.batch, &["severity", "message"]),
        ["warning high", "critical very high"]
    );
    assert_eq!(sum.calls, 2);
    assert_eq!(rule.keys(), 2);
    assert!(rule.memory_bytes() > 100);
}

#[test]
fn a_rule_that_keeps_nothing_takes_no_memory() {
    let mut rule = rule(|settings| settings.plan.history = 2);
    let mut sum = Sum::default();
    rule.push(&rows(0, 0, &[(1, "a", -1.0)]), CLOCK, &mut sum).unwrap();
    assert_eq!(rule.keys(), 1, "its history");
    let mut bare = KeyedRule::new(KeyedSettings {
        plan: RulePlan { history: 0, ..settings(RowOrder::Arrival).plan },
        ..settings(RowOrder::Arrival)
    })
    .unwrap();
    struct Nothing;
    impl Evaluator for Nothing {
        fn evaluate(&mut self, _: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError> {
            Ok(RuleOutcome::nothing(attributes()))
        }
    }
    let output = bare.push(&rows(0, 0, &[(1, "a", 1.0)]), CLOCK, &mut Nothing).unwrap();
    assert_eq!(bare.keys(), 0);
    assert_eq!(show(&output.rows.batch, &[]), ["1 a 1.0 - - - false"]);
}

#[test]
fn state_is_gone_after_its_time_to_live() {
    let mut rule = rule(|settings| settings.state_ttl_us = Some(10));
    let mut sum = Sum::default();
    let events = [(0, "a", 1.0), (10, "a", 1.0), (21, "a", 1.0), (22, "b", 1.0)];
    let output = rule.push(&rows(0, 0, &events), CLOCK, &mut sum).unwrap();
    assert_eq!(show(&output.rows.batch, &["rows"]), ["1", "2", "1", "1"]);
    rule.advance(31, &mut sum).unwrap();
    assert_eq!(rule.keys(), 2);
    rule.advance(100, &mut sum).unwrap();
    assert_eq!(rule.keys(), 0);
}

#[test]
fn timers_fire_at_the_watermark_by_time_then_key() {
    let mut rule = rule(|_| ());
    let mut sum = Sum { silence: Some(10), ..Sum::default() };
    let events = [(5, "b", 1.0), (5, "a", 1.0), (4, "c", 1.0), (9, "d", 1.0), (1, "d", 1.0)];
    rule.push(&rows(0, 0, &events), CLOCK, &mut sum).unwrap();
    assert!(rule.advance(10, &mut sum).unwrap().alerts.is_empty());
    let output = rule.advance(15, &mut sum).unwrap();
    assert_eq!(
        show(&output.alerts.batch, &["message", "name", "rows"]),
        ["silent at 11 d 2", "silent at 14 c 1", "silent at 15 a 1", "silent at 15 b 1"]
    );
    assert!(rule.advance(i64::MAX, &mut sum).unwrap().alerts.is_empty());
}

#[test]
fn timers_that_set_timers_catch_up_and_end_with_the_source() {
    let mut rule = rule(|_| ());
    let mut sum = Sum { silence: Some(10), again: true, ..Sum::default() };
    rule.push(&rows(0, 0, &[(0, "a", 1.0)]), CLOCK, &mut sum).unwrap();
    let fired = |output: RuleOutput| show(&output.alerts.batch, &["message"]).len();
    assert_eq!(fired(rule.advance(35, &mut sum).unwrap()), 3);
    assert_eq!(fired(rule.advance(i64::MAX, &mut sum).unwrap()), 1);
}

#[test]
fn a_rule_whose_timers_never_end_is_stopped() {
    let mut rule = rule(|_| ());
    let mut sum = Sum { silence: Some(0), again: true, ..Sum::default() };
    rule.push(&rows(0, 0, &[(0, "a", 1.0)]), CLOCK, &mut sum).unwrap();
    let error = rule.advance(2_000_000_000, &mut sum).unwrap_err();
    assert!(matches!(error, RuleError::TimerLoop { .. }), "{error}");
}

#[test]
fn event_time_order_holds_rows_until_the_watermark_is_beyond_them() {
    let mut rule = rule(|settings| settings.order = RowOrder::EventTime);
    let mut sum = Sum::default();
    let clock = RowClock { max_before_us: NO_TIME, delay_us: 5 };
    let output = rule.push(&rows(1, 0, &[(8, "a", 1.0), (3, "a", 2.0)]), clock, &mut sum).unwrap();
    assert!(output.rows.is_empty());
    rule.push(&rows(0, 0, &[(3, "a", 3.0), (9, "a", 4.0)]), clock, &mut sum).unwrap();
    assert_eq!(rule.held_rows(), 4);
    let output = rule.advance(8, &mut sum).unwrap();
    assert_eq!(show(&output.rows.batch, &["at", "x"]), ["3 3.0", "3 2.0"]);
    assert_eq!(output.rows.from, None, "of two partitions");
    // 4 is late in its partition: it counts as of that partition's watermark, 9 - 5, and as the
    // rows before 8 have left, it comes first among those from 8 on.
    let late = RowClock { max_before_us: 9, delay_us: 5 };
    rule.push(&rows(0, 2, &[(4, "a", 5.0)]), late, &mut sum).unwrap();
    let output = rule.advance(i64::MAX, &mut sum).unwrap();
    assert_eq!(show(&output.rows.batch, &["at", "x", "rows"]), ["4 5.0 3", "8 1.0 4", "9 4.0 5"]);
}

#[test]
fn in_event_time_order_timers_fire_between_the_rows_they_fall_between() {
    let mut rule = rule(|settings| settings.order = RowOrder::EventTime);
    let mut sum = Sum { silence: Some(10), ..Sum::default() };
    let events =
        [(0, "a", 10.0), (5, "a", 10.0), (15, "a", 10.0), (20, "b", 10.0), (40, "a", 10.0)];
    rule.push(&rows(0, 0, &events), CLOCK, &mut sum).unwrap();
    let output = rule.advance(41, &mut sum).unwrap();
    assert_eq!(
        show(&output.alerts.batch, &["message", "name", "rows"]),
        [
            "high a 1",
            "high a 2",
            "silent at 15 a 2",
            "high a 3",
            "high b 1",
            "silent at 25 a 3",
            "silent at 30 b 1",
            "high a 4"
        ]
    );
}

#[test]
fn poison_rows_are_named_and_leave_no_trace() {
    let mut rule = rule(|_| ());
    let mut sum = Sum::default();
    let events = [(1, "a", 1.0), (2, "a", -99.0), (3, "b", 1.0), (4, "a", 2.0)];
    let output = rule.push(&rows(3, 70, &events), CLOCK, &mut sum).unwrap();
    let poison = PoisonRow {
        from: Some(partition(3)),
        position: 71,
        time_us: 2,
        row: Some(r#"{"at":2,"name":"a","x":-99.0}"#.into()),
        reason: "trap",
        message: "-99".into(),
    };
    assert_eq!(output.poison, [poison]);
    assert_eq!(show(&output.rows.batch, &["at", "sum"]), ["1 1.0", "3 1.0", "4 3.0"]);
    let output = rule.push(&rows(3, 74, &[(5, "a", 0.0)]), CLOCK, &mut sum).unwrap();
    assert_eq!(show(&output.rows.batch, &["recent"]), ["3.0"]);
}

#[test]
fn a_poison_timer_is_told_and_goes_off_once() {
    let mut rule = rule(|_| ());
    let mut sum = Sum { silence: Some(10), hates_timers: true, ..Sum::default() };
    rule.push(&rows(0, 0, &[(1, "a", 1.0)]), CLOCK, &mut sum).unwrap();
    let output = rule.advance(11, &mut sum).unwrap();
    let poison = PoisonRow {
        from: None,
        position: 0,
        time_us: 11,
        row: None,
        reason: "trap",
        message: "-99".into(),
    };
    assert_eq!(output.poison, [poison]);
    assert!(rule.advance(i64::MAX, &mut sum).unwrap().poison.is_empty());
    let output = rule.push(&rows(0, 1, &[(30, "a", 2.0)]), CLOCK, &mut sum).unwrap();
    assert_eq!(show(&output.rows.batch, &["rows"]), ["2"]);
}

#[test]
fn an_answer_about_other_rows_is_an_error() {
    struct Wrong(RuleOutcome);
    impl Evaluator for Wrong {
        fn evaluate(&mut self, _: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError> {
            Ok(self.0.clone())
        }
    }
    let nothing = || RuleOutcome::nothing(attributes());
    let cases = [
        ("a state of a key that was not in the call", {
            let mut outcome = nothing();
            outcome.state.push((1, None));
            outcome
        }),
        ("entries of different lengths", {
            let mut outcome = nothing();
            outcome.rows.push(0);
            outcome
        }),
        ("a timer of a key that was not in the call", {
            let mut outcome = nothing();
            outcome.timers.push((7, 0));
            outcome
        }),
        ("a poison row that was not in the call", {
            let mut outcome = nothing();
            outcome.poison.push(poison(2));
            outcome
        }),
    ];
    for (expected, outcome) in cases {
        let mut wrong = Wrong(outcome);
        let error = rule(|_| ()).push(&rows(0, 0, &[(1, "a", 1.0)]), CLOCK, &mut wrong);
        let message = error.map(|_| ()).unwrap_err().to_string();
        assert_eq!(message, format!("rule `r` returned {expected}"));
    }
}

/// Rows as windows make them: no partition, window columns, a revision.
pub(super) fn window_rows(windows: &[(i64, i64, &'static str, f64, i64)]) -> Rows {
    let events: Vec<Event> = windows.iter().map(|w| (w.1 - 1, w.2, w.3)).collect();
    let plain = rows(0, 0, &events);
    let mut fields: Vec<Field> = input().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("window_start", timestamp_type(), false));
    fields.push(Field::new("window_end", timestamp_type(), false));
    fields.push(Field::new("revision", DataType::Int64, false));
    let mut columns = plain.batch.columns().to_vec();
    let times = |read: fn(&(i64, i64, &'static str, f64, i64)) -> i64| {
        Arc::new(TimestampMicrosecondArray::from_iter_values(windows.iter().map(read)))
    };
    columns.push(times(|w| w.0));
    columns.push(times(|w| w.1));
    columns.push(Arc::new(Int64Array::from_iter_values(windows.iter().map(|w| w.4))));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    Rows { from: None, batch, ..plain }
}

#[test]
fn revisions_are_passed_on_unevaluated_unless_asked_for() {
    let windows = [(0, 10, "a", 10.0, 0), (0, 10, "a", 12.0, 1)];
    for (revisions, expected) in
        [(false, vec!["10.0 0 1", "12.0 1 -"]), (true, vec!["10.0 0 1", "12.0 1 2"])]
    {
        let mut sum = Sum::default();
        let rows = window_rows(&windows);
        let mut rule = rule(|settings| {
            settings.alerts.input = rows.batch.schema();
            settings.revisions = revisions;
        });
        let output = rule.push(&rows, RowClock::NEVER_LATE, &mut sum).unwrap();
        assert_eq!(show(&output.rows.batch, &["x", "revision", "rows"]), expected);
        let ids = show(&output.alerts.batch, &["alert_id"]);
        assert!(ids.iter().all(|id| *id == ids[0]), "a revision keeps the id");
        let numbers = show(&output.alerts.batch, &["revision"]);
        assert_eq!(numbers, if revisions { vec!["0", "1"] } else { vec!["0"] });
    }
}

#[test]
fn calls_are_no_larger_than_allowed() {
    struct Counting(Sum, Vec<usize>);
    impl Evaluator for Counting {
        fn evaluate(&mut self, call: RuleCall<'_>) -> Result<RuleOutcome, EvaluateError> {
            self.1.push(call.rows.num_rows());
            self.0.evaluate(call)
        }
    }
    let mut rule = rule(|settings| settings.call_rows = 3);
    let mut counting = Counting(Sum::default(), Vec::new());
    let events: Vec<Event> =
        (0..10).map(|n| (n, if n % 3 == 0 { "a" } else { "b" }, 1.0)).collect();
    let output = rule.push(&rows(0, 0, &events), CLOCK, &mut counting).unwrap();
    assert_eq!(counting.1, [3, 3, 3, 1]);
    let counts = show(&output.rows.batch, &["rows"]);
    assert_eq!(counts, ["1", "1", "2", "2", "3", "4", "3", "5", "6", "4"]);
}
