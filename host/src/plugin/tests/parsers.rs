//! Records that make a parser fail, and their neighbours.

use arrow::array::{AsArray, RecordBatch};

use proptest::prelude::*;

use super::guests::load;
use crate::plugin::{ParseOutcome, ParserInstance, RecordsRef};

struct Records {
    data: Vec<u8>,
    offsets: Vec<i32>,
    received_us: Vec<i64>,
}

fn records(texts: &[&str]) -> Records {
    let mut records =
        Records { data: Vec::new(), offsets: vec![0], received_us: vec![0; texts.len()] };
    for text in texts {
        records.data.extend_from_slice(text.as_bytes());
        records.offsets.push(i32::try_from(records.data.len()).unwrap());
    }
    records
}

impl Records {
    fn all(&self) -> RecordsRef<'_> {
        RecordsRef { data: &self.data, offsets: &self.offsets, received_us: &self.received_us }
    }
}

fn parser() -> ParserInstance {
    load("hostile_parser").parser("{}").unwrap().instance()
}

fn parse(parser: &mut ParserInstance, texts: &[&str]) -> ParseOutcome {
    parser.parse(records(texts).all()).unwrap()
}

fn texts(rows: &RecordBatch) -> Vec<&str> {
    rows.column(0).as_string::<i32>().iter().map(Option::unwrap).collect()
}

#[test]
fn good_records_come_through_whole() {
    let mut parser = parser();
    let outcome = parse(&mut parser, &["a", "größe", ""]);
    assert_eq!(texts(&outcome.rows), ["a", "größe", ""]);
    assert_eq!((outcome.source, outcome.rejects, outcome.poison.len()), (None, vec![], 0));
    let outcome = parse(&mut parser, &["a", "REJECT", "c"]);
    assert_eq!(texts(&outcome.rows), ["a", "c"]);
    assert_eq!((outcome.source, outcome.rejects), (None, vec![(1, 0)]));
    let outcome = parse(&mut parser, &["TWICE", "b"]);
    assert_eq!(texts(&outcome.rows), ["TWICE", "TWICE", "b"]);
    assert_eq!(outcome.source, Some(vec![0, 0, 1]));
    let outcome = parse(&mut parser, &[]);
    assert_eq!(outcome.rows.num_rows(), 0);
    let meter = parser.plugin().version().meter();
    assert_eq!((meter.calls(), meter.failures(), meter.poison()), (3, 0, 0));
}

#[test]
fn one_poison_record_is_found_and_its_neighbours_come_through() {
    let mut parser = parser();
    for (word, expected) in [
        ("TRAP", "trap: unreachable"),
        ("PANIC", "trap: unreachable"),
        ("LOOP", "deadline"),
        ("ALLOC", "memory"),
        ("STACK", "trap: stack overflow"),
        ("FAULT", "fault: met FAULT"),
        ("HUGE", "output-limit"),
        ("BADOFFSETS", "bad-output: column text: the first offset is not 0"),
        ("FALLING", "bad-output: column text: offsets fall"),
        ("BEYOND", "bad-output: column text: offsets go beyond the 6 bytes of data"),
        ("NONUTF8", "bad-output: column text: Invalid argument error: Encountered non UTF-8 data"),
        ("WRONGLEN", "bad-output: column length: 0 values for 1 rows"),
        ("WRONGROWS", "bad-output: column text: 2 offsets for 4294967295 values"),
        ("WRONGTYPE", "bad-output: column text: a float64 buffer where Utf8 was announced"),
        ("MISSING", "bad-output: 1 columns where 2 were announced"),
        ("NULLS", "bad-output: column text: nulls where none were announced"),
        ("SHORTBITMAP", "bad-output: column text: a bitmap of 0 bytes for 1 values"),
        ("BADCODE", "bad-output: column text: code 1 of a dictionary of 1 values"),
        ("BADSOURCE", "bad-output: sources go up to 4294967295, where there are 1"),
        ("BADREJECT", "bad-output: reject code 99, where there are 2"),
    ] {
        let outcome = parse(&mut parser, &["a", "b", "REJECT", word, "c", "TWICE"]);
        assert_eq!(texts(&outcome.rows), ["a", "b", "c", "TWICE", "TWICE"], "{word}");
        assert_eq!(outcome.source, Some(vec![0, 1, 4, 5, 5]), "{word}");
        assert_eq!(outcome.rejects, [(2, 0)], "{word}");
        let [poison] = &outcome.poison[..] else { panic!("{word}: {:?}", outcome.poison) };
        assert_eq!((poison.record, poison.error.call), (3, "parse"), "{word}");
        let failure = poison.error.failure.to_string();
        assert!(failure.starts_with(expected), "{word}: {failure}");
        assert_eq!(poison.error.plugin.version, "1.2.3");
        let trapped =
            !matches!(poison.error.failure.label(), "bad-output" | "output-limit" | "fault");
        assert_eq!(
            !poison.error.backtrace.is_empty(),
            trapped,
            "{word}: {}",
            poison.error.backtrace
        );
    }
    // And the instance works on.
    assert_eq!(texts(&parse(&mut parser, &["x"]).rows), ["x"]);
}

#[test]
fn a_batch_of_nothing_but_poison() {
    let mut parser = parser();
    let outcome = parse(&mut parser, &["TRAP", "NONUTF8"]);
    assert_eq!((outcome.rows.num_rows(), outcome.source), (0, Some(vec![])));
    let poison: Vec<_> = outcome.poison.iter().map(|p| p.record).collect();
    assert_eq!(poison, [0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a batch fails, it gives what its records would have given one by one.
    #[test]
    fn a_batch_is_the_sum_of_its_records(
        words in prop::collection::vec(
            prop::sample::select(&["a", "größe", "REJECT", "TWICE", "TRAP", "FALLING"][..]),
            0..24,
        ),
    ) {
        let outcome = parse(&mut parser(), &words);
        let (mut rows, mut source, mut rejects, mut poison) = (vec![], vec![], vec![], vec![]);
        for (record, word) in (0..).zip(&words) {
            match *word {
                "REJECT" => rejects.push((record, 0)),
                "TRAP" | "FALLING" => poison.push(record),
                _ => {
                    for _ in 0..if *word == "TWICE" { 2 } else { 1 } {
                        rows.push(*word);
                        source.push(record);
                    }
                }
            }
        }
        prop_assert_eq!(texts(&outcome.rows), rows);
        prop_assert_eq!(outcome.rejects, rejects);
        prop_assert_eq!(outcome.poison.iter().map(|p| p.record).collect::<Vec<_>>(), poison);
        if let Some(found) = outcome.source {
            prop_assert_eq!(found, source);
        } else {
            prop_assert!(outcome.poison.is_empty() && !words.contains(&"TWICE"));
        }
    }
}

#[test]
fn many_poison_records_in_a_large_batch() {
    let mut parser = parser();
    let mut all: Vec<String> = (0..1000).map(|i| format!("record {i}")).collect();
    let bad = [0, 1, 500, 998, 999];
    for index in bad {
        all[index] = "TRAP".into();
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let outcome = parse(&mut parser, &all);
    let good: Vec<&str> = all.iter().copied().filter(|text| *text != "TRAP").collect();
    assert_eq!(texts(&outcome.rows), good);
    let poison: Vec<_> = outcome.poison.iter().map(|p| p.record as usize).collect();
    assert_eq!(poison, bad);
    let meter = parser.plugin().version().meter();
    assert_eq!(meter.poison(), 5);
    assert!(meter.calls() < 100, "{} calls", meter.calls());
}

#[test]
fn what_is_too_much_at_once_is_split_without_loss() {
    let mut parser = parser();
    let outcome = parse(&mut parser, &["BOMB", "BOMB", "BOMB", "BOMB"]);
    assert_eq!((outcome.rows.num_rows(), outcome.poison.len()), (4, 0));
    assert_eq!(outcome.source, Some(vec![0, 1, 2, 3]));
}

#[test]
fn a_leak_is_recycled_before_it_hurts() {
    let mut parser = parser();
    for _ in 0..40 {
        let outcome = parse(&mut parser, &["LEAK"]);
        assert!(outcome.poison.is_empty(), "{:?}", outcome.poison);
    }
    let meter = parser.plugin().version().meter();
    assert!(meter.recycles() >= 4, "{meter:?}");
}

#[test]
fn talk_and_work_are_no_failures() {
    let mut parser = parser();
    let outcome = parse(&mut parser, &["LOG", "BURN"]);
    assert!(outcome.poison.is_empty(), "{:?}", outcome.poison);
    assert!(outcome.cpu_ns > 1_000_000, "{} ns", outcome.cpu_ns);
}

#[test]
fn a_part_of_a_chunk_can_be_parsed() {
    let mut parser = parser();
    let all = records(&["aa", "b", "cc", "d"]);
    let part = RecordsRef {
        data: &all.data,
        offsets: &all.offsets[1..4],
        received_us: &all.received_us[1..3],
    };
    assert_eq!(texts(&parser.parse(part).unwrap().rows), ["b", "cc"]);
    for offsets in [&[0, 5, 3][..], &[0, 1, 99], &[-1, 0, 1], &[0, 1], &[]] {
        let bad = RecordsRef { offsets, ..part };
        parser.parse(bad).unwrap_err();
    }
}
