//! Sources that make their rows.

use super::*;
use crate::generate::{Generator, Settings};

const SECOND: i64 = 1_000_000;

#[test]
fn a_rate_follows_the_clock_it_is_given() {
    let config = model::RateSource { rows_per_second: 4, rows: Some(10), partitions: 1 };
    let mut source = RateSource::new(&config, SourceId(0));
    let start = 1_757_678_400 * SECOND;
    let (records, state) = step(&mut source, 100, start);
    assert_eq!(state, ReadState::Idle);
    assert_eq!(texts(&records), ["{\"timestamp\":\"2025-09-12T12:00:00.000000Z\",\"value\":0}"]);
    assert_eq!(step(&mut source, 100, start + 249_999).0, []);
    let (records, _) = step(&mut source, 100, start + SECOND);
    assert_eq!(records.len(), 4);
    assert_eq!(records[0].text(), "{\"timestamp\":\"2025-09-12T12:00:00.250000Z\",\"value\":1}");
    // A clock that goes back brings nothing; a long pause is caught up with, within the budget.
    assert_eq!(step(&mut source, 100, start).0, []);
    let (records, state) = step(&mut source, 3, start + 100 * SECOND);
    assert_eq!((records.len(), state), (3, ReadState::More));
    let (records, state) = step(&mut source, 3, start + 100 * SECOND);
    assert_eq!((records.len(), state), (2, ReadState::Ended));
    assert_eq!(source.progress(), Progress { done: 10, total: Some(10), unit: ProgressUnit::Rows });
    // Again from the middle: the same bytes.
    source.seek(Partition(0), 8).unwrap();
    assert_eq!(step(&mut source, 9, start + 100 * SECOND).0, records);
}

#[test]
fn a_rate_deals_its_rows_to_the_partitions() {
    let config = model::RateSource { rows_per_second: 10, rows: None, partitions: 3 };
    let mut source = RateSource::new(&config, SourceId(0));
    step(&mut source, 0, 0);
    let (records, state) = step(&mut source, 100, SECOND);
    assert_eq!(state, ReadState::Idle);
    let mut values: Vec<_> = records
        .iter()
        .map(|record| {
            let json: serde_json::Value = serde_json::from_slice(&record.bytes).unwrap();
            let value = json["value"].as_u64().unwrap();
            assert_eq!(u64::from(record.partition), value % 3);
            value
        })
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..=10).collect::<Vec<_>>());
    let none = model::RateSource { rows_per_second: 0, rows: None, partitions: 1 };
    let mut source = RateSource::new(&none, SourceId(0));
    step(&mut source, 9, 0);
    assert_eq!(step(&mut source, 9, i64::MAX).1, ReadState::Idle);
}

fn generator(partitions: u32, rows_per_second: Option<u64>) -> GeneratorSource {
    let config = model::GeneratorSource {
        settings: serde_json::json!({ "rows": 1000, "seed": 5, "late": 0.1 }),
        rows_per_second,
        partitions,
    };
    GeneratorSource::new(&config, SourceId(0)).unwrap()
}

#[test]
fn generated_rows_are_the_same_for_any_partitions_and_cuts() {
    let settings = Settings { rows: Some(1000), seed: Some(5), late: Some(0.1), ..<_>::default() };
    let mut text = Vec::new();
    assert_eq!(Generator::new(&settings).unwrap().fill(&mut text, 2000), 1000);
    let expected: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    for partitions in [1, 3] {
        for rows in [1, 7, 4096] {
            let mut source = generator(partitions, None);
            let records = drain(&mut source, rows);
            assert_eq!(records.len(), 1000);
            for record in &records {
                let number = record.position * i64::from(partitions) + i64::from(record.partition);
                let line = expected[usize::try_from(number).unwrap()];
                assert_eq!(record.bytes, line[..line.len() - 1]);
            }
            // Back to a position of one partition.
            source.seek(Partition(partitions - 1), 100).unwrap();
            let again = drain(&mut source, rows);
            let rest: Vec<_> = records
                .into_iter()
                .filter(|r| r.partition == partitions - 1 && r.position >= 100)
                .collect();
            assert_eq!(again, rest);
        }
    }
}

#[test]
fn a_generator_may_keep_to_a_clock() {
    let mut source = generator(2, Some(100));
    step(&mut source, 0, 0);
    let (records, state) = step(&mut source, 5000, SECOND);
    assert_eq!((records.len(), state), (101, ReadState::Idle));
    let (records, state) = step(&mut source, 5000, 20 * SECOND);
    assert_eq!((records.len(), state), (899, ReadState::Ended));
}
