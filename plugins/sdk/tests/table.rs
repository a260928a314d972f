//! Tables: rows taken back, nulls, several rows for one record.

use millstream_sdk::prelude::*;
use millstream_sdk::testing::{self, parse};
use serde_json::json;

/// Records are programs: `1` emits a row, `w` writes, `0` skips, `!` rejects.
struct Program;

#[derive(Deserialize)]
struct Config {}

impl Parser for Program {
    const NAME: &'static str = "program";
    const SUMMARY: &'static str = "for tests";
    const CONFIG_SCHEMA: &'static str = "{}";
    const REJECTS: &'static [RejectCode] = &[RejectCode::new("asked", "the record asked for it")];
    type Config = Config;

    fn configure(_: Config) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn schema(&self) -> Schema {
        vec![
            Field::int64("n"),
            Field::text("t"),
            Field::boolean("b"),
            Field::float64("f"),
            Field::timestamp("at"),
            Field::bytes("raw"),
        ]
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        for (&step, n) in record.iter().zip(0_i64..) {
            match step {
                b'w' => {
                    row.set(0, n);
                    row.set(1, "text");
                    row.set(2, n % 2 == 0);
                    row.set(3, n);
                    row.set_timestamp(4, n);
                    row.set(5, &b"\xff"[..]);
                }
                b't' => row.set(1, "a longer text that does not fit in a block"),
                b'1' => row.emit(),
                b'0' => row.skip(),
                b'?' => row.set(0, "text"),
                b'9' => row.set(9, 1_i64),
                _ => return Err(Reject(0)),
            }
        }
        Ok(())
    }
}

#[test]
fn rows_of_a_record() {
    let full = |n: i64, b: bool, t: &str| json!({"n": n, "t": t, "b": b, "f": n as f64, "at": n, "raw": "\u{fffd}"});
    let none = json!({"n": null, "t": null, "b": null, "f": null, "at": null, "raw": null});
    for (records, rows, source, rejects) in [
        (vec!["w"], vec![full(0, true, "text")], vec![0], vec![]),
        (vec!["", "w"], vec![none.clone(), full(0, true, "text")], vec![0, 1], vec![]),
        // A second write replaces the first.
        (
            vec!["wtw", "tw"],
            vec![full(2, true, "text"), full(1, false, "text")],
            vec![0, 1],
            vec![],
        ),
        // Rows before a reject are taken back, and half a row too.
        (
            vec!["w", "w1w!", "w"],
            vec![full(0, true, "text"), full(0, true, "text")],
            vec![0, 2],
            vec![1],
        ),
        // Several, none, and the rest after the last emit.
        (
            vec!["w", "!", "w1w1w", "w0", "1"],
            vec![full(0, true, "text"), full(0, true, "text"), full(2, true, "text"), none.clone()],
            vec![0, 2, 2, 4],
            vec![1],
        ),
    ] {
        let bytes: Vec<&[u8]> = records.iter().map(|r| r.as_bytes()).collect();
        let parsed = parse::<Program>("{}", &bytes).expect("parses");
        assert_eq!(parsed.rows, rows, "{records:?}");
        assert_eq!(parsed.source, source, "{records:?}");
        let refused: Vec<u32> = parsed.rejects.iter().map(|r| r.0).collect();
        assert_eq!(refused, rejects, "{records:?}");
    }
}

#[test]
fn values_of_a_wrong_type_are_a_fault() {
    for record in ["?", "9"] {
        let fault = parse::<Program>("{}", &[record.as_bytes()]).expect_err("a fault");
        assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
    }
}

#[test]
fn text_of_every_length_survives() {
    let schema = [Field::text("t")];
    let text = "0123456789".repeat(60);
    let mut table = TableBuilder::new(&schema, 0);
    for length in 0..text.len() {
        table.set(0, &text[..length]);
        table.finish_row();
    }
    let table = table.finish(&schema).expect("a table");
    for (length, row) in testing::rows(&schema, &table).iter().enumerate() {
        assert_eq!(row["t"], text[..length]);
    }
}

#[test]
fn nulls_are_marked_across_bytes_of_the_bitmap() {
    let schema = [Field::int64("n"), Field::boolean("b")];
    let mut table = TableBuilder::new(&schema, 0);
    let value = |i: i64| (i % 3 != 0).then_some(i);
    for i in 0..100 {
        table.set(0, value(i + 20));
        table.set(1, value(i + 20).map(|v| v % 2 == 0));
        table.finish_row();
        table.set(0, Value::Null);
        table.undo_row();
    }
    let table = table.finish(&schema).expect("a table");
    for (row, i) in testing::rows(&schema, &table).iter().zip(20..) {
        assert_eq!(*row, json!({"n": value(i), "b": value(i).map(|v| v % 2 == 0)}));
    }
}

#[test]
fn a_required_column_must_not_be_null() {
    let schema = [Field::int64("n").required()];
    let mut table = TableBuilder::new(&schema, 0);
    table.finish_row();
    assert!(matches!(table.finish(&schema), Err(Fault::Internal(_))));
}
