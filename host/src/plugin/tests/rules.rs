//! Rows, keys and timers that make a rule fail, and their neighbours.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;

use super::guests::load;
use crate::config::model::Severity;
use crate::plugin::{PluginError, RuleCall, RuleInstance, RuleOutcome};

fn batch(texts: &[&str]) -> RecordBatch {
    let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    RecordBatch::try_from_iter([("text", column)]).unwrap()
}

fn rule() -> RuleInstance {
    load("hostile_rule").rule("{}", &batch(&[]).schema()).unwrap().instance()
}

/// One key: its state (a count), history and rows.
type Key<'a> = (Option<i64>, &'a [&'a str], &'a [&'a str]);

fn offsets(lengths: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets.last().unwrap() + u32::try_from(length).unwrap());
    }
    offsets
}

fn evaluate(rule: &mut RuleInstance, keys: &[Key<'_>], timers: &[(u32, i64)]) -> RuleOutcome {
    let rows: Vec<&str> = keys.iter().flat_map(|key| key.2.iter().copied()).collect();
    let history: Vec<&str> = keys.iter().flat_map(|key| key.1.iter().copied()).collect();
    let states: Vec<Option<[u8; 8]>> = keys.iter().map(|k| k.0.map(i64::to_le_bytes)).collect();
    let states: Vec<Option<&[u8]>> = states.iter().map(|s| s.as_ref().map(|s| &s[..])).collect();
    let (timer_keys, timers_us): (Vec<_>, Vec<_>) = timers.iter().copied().unzip();
    let call = RuleCall {
        rows: &batch(&rows),
        key_offsets: &offsets(keys.iter().map(|key| key.2.len())),
        states: &BinaryArray::from(states),
        history: &batch(&history),
        history_offsets: &offsets(keys.iter().map(|key| key.1.len())),
        timer_keys: &timer_keys,
        timers_us: &timers_us,
        watermark_us: 1000,
    };
    rule.evaluate(call).unwrap()
}

/// Returns entries as (row, message, rows seen), states as (key, count), and poison.
#[derive(Debug, PartialEq)]
struct Said {
    entries: Vec<(u32, String, i64)>,
    states: Vec<(u32, i64)>,
    dropped: Vec<u32>,
    timers: Vec<(u32, i64)>,
    poison: Vec<u32>,
}

fn said(outcome: &RuleOutcome) -> Said {
    let seen = outcome.attributes.column(1).as_primitive::<Int64Type>();
    let messages = outcome.messages.iter().map(|message| message.unwrap().to_owned());
    let states = outcome.states.iter();
    let states = states.map(|state| i64::from_le_bytes(state.unwrap().try_into().unwrap()));
    for (alert, severity) in outcome.is_alert.iter().zip(&outcome.severities) {
        assert_eq!(*severity, if alert { Severity::Critical } else { Severity::Info });
    }
    Said {
        entries: (outcome.rows.iter().copied().zip(messages))
            .zip(seen.values())
            .map(|((row, message), seen)| (row, message, *seen))
            .collect(),
        states: outcome.state_keys.iter().copied().zip(states).collect(),
        dropped: outcome.dropped_keys.clone(),
        timers: outcome.timer_keys.iter().copied().zip(outcome.timers_us.iter().copied()).collect(),
        poison: outcome.poison.iter().map(|poison| poison.record).collect(),
    }
}

fn entry(row: u32, message: &str, seen: i64) -> (u32, String, i64) {
    (row, message.to_owned(), seen)
}

#[test]
fn state_history_and_timers_cross() {
    let mut rule = rule();
    assert_eq!((rule.plugin().history(), rule.plugin().history_columns()), (2, &[0][..]));
    let outcome = evaluate(
        &mut rule,
        &[
            (None, &[], &["a", "!b"]),
            (Some(7), &["h"], &["c", "d", "TIMER"]),
            (Some(1), &[], &[]),
            (Some(2), &[], &["DROP"]),
        ],
        &[(2, 900)],
    );
    assert_eq!(
        said(&outcome),
        Said {
            entries: vec![
                entry(0, "1:a", 0),
                entry(1, "2:!b", 1),
                entry(2, "8:c", 1),
                entry(3, "9:d", 2),
                entry(4, "10:TIMER", 2),
                entry(5, "0:DROP", 0),
                entry(8, "timer 900", 0),
            ],
            states: vec![(0, 2), (1, 10)],
            dropped: vec![3],
            timers: vec![(1, 1010)],
            poison: vec![],
        }
    );
}

#[test]
fn a_poison_row_leaves_its_key_as_if_it_had_not_been_there() {
    let mut rule = rule();
    for (word, failure) in [
        ("TRAP", "trap: unreachable"),
        ("LOOP", "deadline: it used up its CPU time"),
        ("ALLOC", "memory: it wanted more than it may have"),
        ("BADROW", "bad-output: annotated rows go up to 4294967295, where there are 2"),
        ("BADSTATE", "bad-output: keys of states go up to 77, where there are 1"),
        ("BADDROP", "bad-output: dropped keys go up to 77, where there are 1"),
        ("BADTIMER", "bad-output: 1 timers that do not fit 1 keys"),
        ("BADBITS", "bad-output: a bitmap of 2 bytes for 1 values"),
    ] {
        let outcome = evaluate(
            &mut rule,
            &[
                (Some(5), &["h"], &["a", "b"]),
                (Some(1), &["x", "y"], &["c", word, "!d", "TIMER", "e"]),
                (None, &[], &["f"]),
            ],
            &[(0, 10), (1, 20)],
        );
        assert_eq!(
            said(&outcome),
            Said {
                entries: vec![
                    entry(0, "6:a", 1),
                    entry(1, "7:b", 2),
                    entry(2, "2:c", 2),
                    entry(4, "3:!d", 2),
                    entry(5, "4:TIMER", 2),
                    entry(6, "5:e", 2),
                    entry(7, "1:f", 0),
                    entry(8, "timer 10", 0),
                    entry(9, "timer 20", 0),
                ],
                states: vec![(0, 7), (1, 5), (2, 1)],
                dropped: vec![],
                timers: vec![(1, 1004)],
                poison: vec![3],
            },
            "{word}"
        );
        let error = &outcome.poison[0].error;
        assert_eq!((error.call, error.failure.to_string().as_str()), ("evaluate", failure));
    }
}

#[test]
fn history_within_a_split_key_is_what_the_rows_before_left() {
    let mut rule = rule();
    let outcome = evaluate(&mut rule, &[(None, &[], &["TRAP", "a", "TRAP", "b", "c", "d"])], &[]);
    let said = said(&outcome);
    let seen: Vec<_> = said.entries.iter().map(|(row, _, seen)| (*row, *seen)).collect();
    assert_eq!(seen, [(1, 0), (3, 1), (4, 2), (5, 2)]);
    assert_eq!((said.states, said.poison), (vec![(0, 4)], vec![0, 2]));
}

#[test]
fn a_poison_timer_is_named_after_its_key() {
    let mut rule = rule();
    let outcome = evaluate(
        &mut rule,
        &[(None, &[], &["a"]), (Some(3), &[], &["b", "DROP"]), (Some(4), &[], &[])],
        &[(1, -13), (2, 5)],
    );
    let said = said(&outcome);
    assert_eq!(said.poison, [4]);
    let entries: Vec<_> = said.entries.iter().map(|(row, m, _)| (*row, m.as_str())).collect();
    assert_eq!(entries, [(0, "1:a"), (1, "4:b"), (2, "0:DROP"), (5, "timer 5")]);
    assert_eq!((said.states, said.dropped), (vec![(0, 1)], vec![1]));
}

#[test]
fn malformed_calls_and_plans_are_refused() {
    let mut rule = rule();
    let none = batch(&[]);
    let states = BinaryArray::new_null(1);
    let good = RuleCall {
        rows: &none,
        key_offsets: &[0, 0],
        states: &states,
        history: &none,
        history_offsets: &[0, 0],
        timer_keys: &[],
        timers_us: &[],
        watermark_us: 0,
    };
    assert!(rule.evaluate(good).unwrap().rows.is_empty());
    for bad in [
        RuleCall { key_offsets: &[0, 1], ..good },
        RuleCall { key_offsets: &[0], ..good },
        RuleCall { history_offsets: &[], ..good },
        RuleCall { timer_keys: &[1], timers_us: &[0], ..good },
        RuleCall { timer_keys: &[0], ..good },
    ] {
        assert!(matches!(rule.evaluate(bad), Err(PluginError::Caller { .. })));
    }
    let version = load("hostile_rule");
    let error = version.rule("NOCOLUMN", &none.schema()).unwrap_err();
    assert!(matches!(error, PluginError::HistoryColumn { .. }), "{error}");
    let error = version.rule("LOOP", &none.schema()).unwrap_err();
    assert!(matches!(error, PluginError::Call { .. }), "{error}");
}
