//! Rules: history across the edge of a call, state, timers, migration.

use millstream_sdk::bindings::rule::{Outcome, RuleCall};
use millstream_sdk::bindings::types::{Table, TextBuffer};
use millstream_sdk::prelude::*;
use millstream_sdk::rule::{RuleHost, migrate};
use millstream_sdk::testing;
use serde_json::{Value as Json, json};

/// Sums `x`, annotates rows with the history it saw, and alerts when its timer comes due.
struct Sum {
    x: ColumnRef,
    history: u32,
}

#[derive(Deserialize)]
struct Config {
    history: u32,
}

#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct State {
    sum: i64,
}

impl Rule for Sum {
    const NAME: &'static str = "sum";
    const SUMMARY: &'static str = "a sum";
    const CONFIG_SCHEMA: &'static str = "{}";
    const STATE_VERSION: Option<u32> = Some(2);
    type Config = Config;
    type State = State;

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        Ok(Self { x: input.number("x")?, history: config.history })
    }

    fn plan(&self) -> RulePlan {
        RulePlan {
            attributes: vec![Field::int64("sum"), Field::text("seen")],
            history: self.history,
            history_columns: vec!["x".into()],
        }
    }

    fn on_row(&self, state: &mut State, row: Row<'_>, history: History<'_>, out: &mut Output<'_>) {
        let x = row.i64(self.x).unwrap_or(0);
        state.sum += x;
        let seen: Vec<String> = history.numbers(self.x).map(|v| v.to_string()).collect();
        out.annotate(&[state.sum.into(), (&seen.join(" ")).into()]);
        if x == 0 {
            out.clear_state();
        } else {
            out.set_timer(state.sum * 10);
        }
    }

    fn on_timer(&self, state: &mut State, at_us: i64, out: &mut Output<'_>) {
        out.alert(Severity::Critical, &format!("{at_us}: {}", state.sum), &[]);
    }

    fn migrate(from: u32, state: &[u8]) -> Result<State, Fault> {
        Ok(State { sum: i64::from(from) + i64::from(state.first().copied().unwrap_or(0)) })
    }
}

fn schema() -> Schema {
    vec![Field::text("name"), Field::int64("x")]
}

fn table(values: &[i64]) -> Table {
    let rows: Vec<Json> = values.iter().map(|x| json!({"name": "n", "x": x})).collect();
    testing::table(&schema(), &rows).expect("a table")
}

fn x_table(values: &[i64]) -> Table {
    let rows: Vec<Json> = values.iter().map(|x| json!({"x": x})).collect();
    testing::table(&[Field::int64("x")], &rows).expect("a table")
}

fn run(history: u32, call: &RuleCall) -> Outcome {
    RuleHost::<Sum>::configure(&format!("{{\"history\": {history}}}"), schema())
        .expect("configures")
        .evaluate(call)
        .expect("evaluates")
}

/// Key 0: rows 1, 2, 3 after 8, 9; key 1: only a timer; key 2: row 0 (clears); key 3: row 5.
fn call() -> RuleCall {
    RuleCall {
        rows: table(&[1, 2, 3, 0, 5]),
        key_offsets: vec![0, 3, 3, 4, 5],
        states: TextBuffer {
            offsets: vec![0, 1, 2, 3, 3],
            // Zigzag: 10, 20, 30.
            data: vec![20, 40, 60],
        },
        has_state: vec![0b0111],
        history: x_table(&[8, 9, 7]),
        history_offsets: vec![0, 2, 2, 3, 3],
        timer_keys: vec![1],
        timers_us: vec![77],
        watermark_us: 100,
    }
}

#[test]
fn history_is_that_of_the_host_and_then_rows_of_the_call() {
    for (history, expected) in [
        (0, ["", "", "", "", ""]),
        (1, ["9", "1", "2", "7", ""]),
        (2, ["8 9", "9 1", "1 2", "7", ""]),
        (9, ["8 9", "8 9 1", "8 9 1 2", "7", ""]),
    ] {
        let outcome = run(history, &call());
        let attributes = [Field::int64("sum"), Field::text("seen")];
        let seen: Vec<Json> = testing::rows(&attributes, &outcome.annotations.attributes)
            .iter()
            .take(5)
            .map(|row| row["seen"].clone())
            .collect();
        assert_eq!(seen, expected, "history = {history}");
    }
}

#[test]
fn state_is_written_when_it_changes_and_dropped_when_cleared() {
    let outcome = run(1, &call());
    assert_eq!(outcome.state_keys, [0, 3]);
    assert_eq!(outcome.states.data, [32, 10], "10 + 6 and 5, zigzag");
    assert_eq!(outcome.states.offsets, [0, 1, 2]);
    assert_eq!(outcome.dropped_keys, [2]);
}

#[test]
fn timers_are_set_by_key_and_their_alerts_stand_behind_the_rows() {
    let outcome = run(1, &call());
    assert_eq!(outcome.timer_keys, [0, 3]);
    assert_eq!(outcome.timers_us, [160, 50]);
    assert_eq!(outcome.annotations.rows, [0, 1, 2, 3, 4, 5 + 1]);
    assert_eq!(outcome.annotations.is_alert, [0b0010_0000]);
    assert_eq!(outcome.annotations.messages.data, b"77: 20");
}

#[test]
fn broken_state_is_a_fault_not_a_panic() {
    let mut call = call();
    call.states.data = vec![255, 255, 255];
    let host = RuleHost::<Sum>::configure("{\"history\": 0}", schema()).expect("configures");
    let Err(Fault::Internal(message)) = host.evaluate(&call) else { panic!("no fault") };
    assert!(message.contains("state of key 0"), "{message}");
}

#[test]
fn offsets_that_do_not_fit_are_no_panic() {
    let mut call = call();
    call.key_offsets = vec![9, 3, 700, 4, 5];
    call.history_offsets = vec![5, 2];
    call.timer_keys = vec![99];
    let _ = run(3, &call);
}

#[test]
fn states_migrate_one_by_one() {
    let old = TextBuffer { offsets: vec![0, 1, 2], data: vec![3, 4] };
    let new = migrate::<Sum>(1, &old).expect("migrates");
    assert_eq!(new.data, [8, 10], "1 + 3 and 1 + 4, zigzag");
}

#[test]
fn an_unknown_column_names_those_there_are() {
    let fault = RuleHost::<Sum>::configure("{\"history\": 0}", vec![Field::text("y")])
        .map(|_| ())
        .expect_err("no x");
    assert_eq!(fault, Fault::Config("the input has no column `x`; it has y".into()));
}
