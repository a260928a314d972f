//! Tests of the room, and what they share.

mod budget;
mod directory;
mod errors;
mod follow;
mod framing;
mod made;
mod resume;
mod resume_folders;
mod resume_follow;
mod stdin;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::config::model::{self, Located};

/// A record with where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    partition: u32,
    position: i64,
    bytes: Vec<u8>,
}

impl Record {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

fn budget(rows: usize) -> ReadBudget {
    ReadBudget { rows, bytes: 64 << 20, chunk_rows: 8192, wait: Duration::ZERO }
}

fn located(path: impl Into<PathBuf>) -> Located<PathBuf> {
    Located { value: path.into(), span: 0..0 }
}

fn file_config(paths: &[&str], follow: bool) -> model::FileSource {
    model::FileSource {
        paths: paths.iter().map(located).collect(),
        follow,
        max_record_bytes: 1 << 20,
    }
}

fn open_file(folder: &Path, paths: &[&str], follow: bool) -> FileSource {
    FileSource::open(&file_config(paths, follow), SourceId(3), folder).unwrap()
}

/// Checks the chunks of a read against the promises of `Chunk`, and returns their records.
fn records(out: &ReadOutput, budget: &ReadBudget) -> Vec<Record> {
    let mut all = Vec::new();
    for chunk in &out.chunks {
        assert!(!chunk.is_empty() && chunk.len() <= budget.chunk_rows);
        assert_eq!(chunk.offsets.len(), chunk.len() + 1);
        assert_eq!(chunk.received_us.len(), chunk.len());
        assert_eq!(chunk.offsets[0], 0);
        assert_eq!(usize::try_from(*chunk.offsets.last().unwrap()).unwrap(), chunk.data.len());
        assert!(chunk.positions.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(chunk.end_position > *chunk.positions.last().unwrap());
        for index in 0..chunk.len() {
            all.push(Record {
                partition: chunk.from.partition.0,
                position: chunk.positions[index],
                bytes: chunk.record(index).unwrap().to_vec(),
            });
        }
    }
    assert_eq!(out.rows, all.len() + out.oversized.len());
    assert_eq!(out.bytes, all.iter().map(|record| record.bytes.len()).sum::<usize>());
    assert!(out.rows <= budget.rows);
    assert!(out.bytes <= budget.bytes || out.rows == 1);
    all
}

/// Reads once.
fn step(source: &mut dyn Source, rows: usize, now_us: i64) -> (Vec<Record>, ReadState) {
    let budget = budget(rows);
    let mut out = ReadOutput::default();
    let state = source.read(&budget, now_us, &mut out).unwrap();
    (records(&out, &budget), state)
}

/// Reads until there is nothing more, `rows` at a time.
fn drain(source: &mut dyn Source, rows: usize) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let (mut records, state) = step(source, rows, 0);
        all.append(&mut records);
        match state {
            ReadState::More => {}
            ReadState::NextEpoch => source.begin_epoch(),
            ReadState::Idle | ReadState::Ended => return all,
        }
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::text).collect()
}

/// Returns what a checkpoint would keep of a source, as it comes back from JSON.
fn state_of(source: &dyn Source) -> SourceState {
    state_at(source.partitions(), source)
}

/// The same with positions of an earlier time.
fn state_at(partitions: &[PartitionInfo], source: &dyn Source) -> SourceState {
    let partition = |info: &PartitionInfo| PartitionState {
        name: info.name.to_string(),
        position: info.position,
        finished: info.finished,
    };
    let partitions = partitions.iter().map(partition).collect();
    let state = SourceState { partitions, detail: source.detail() };
    let text = serde_json::to_string(&state).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Checks that a source has the partitions of a checkpoint, and whatever joined behind them.
fn expect_partitions(source: &dyn Source, state: &SourceState) {
    for (info, recorded) in source.partitions().iter().zip(&state.partitions) {
        assert_eq!(info.name.to_string(), recorded.name);
        assert_eq!((info.position, info.finished), (recorded.position, recorded.finished));
    }
    assert!(source.partitions().len() >= state.partitions.len());
}

/// Brings records of several reads into one order.
fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| (record.partition, record.position));
    records
}
