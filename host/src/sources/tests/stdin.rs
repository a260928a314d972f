//! Streams that can be read once.

use std::io::{self, Cursor, Read};

use crossbeam_channel::{Receiver, unbounded};

use super::*;

/// Gives what is sent to it, and ends when nobody can send any more.
struct Channel(Receiver<io::Result<Vec<u8>>>);

impl Read for Channel {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Ok(bytes) = self.0.recv() else { return Ok(0) };
        let bytes = bytes?;
        into[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// Waits, in the source, until something comes; far longer than it should ever take.
fn next(source: &mut StdinSource, rows: usize) -> (Vec<String>, ReadState) {
    let budget = ReadBudget { wait: Duration::from_secs(60), ..budget(rows) };
    let mut out = ReadOutput::default();
    let state = source.read(&budget, 0, &mut out).unwrap();
    (texts(&records(&out, &budget)), state)
}

#[test]
fn reads_to_the_end_whatever_the_budget() {
    let text: String = (0..50_000).map(|row| format!("row {row}\n")).collect();
    for rows in [999, 8192, 100_000] {
        let mut source =
            StdinSource::new(SourceId(0), Box::new(Cursor::new(text.clone().into_bytes())));
        let mut all = Vec::new();
        loop {
            let (mut records, state) = next(&mut source, rows);
            all.append(&mut records);
            if state == ReadState::Ended {
                break;
            }
        }
        assert_eq!(all.len(), 50_000);
        assert!(all.iter().enumerate().all(|(row, text)| *text == format!("row {row}")));
        let end = &source.partitions()[0];
        assert!(end.finished);
        assert_eq!(end.position, i64::try_from(text.len()).unwrap());
    }
}

#[test]
fn a_silent_writer_does_not_hold_an_epoch() {
    let (sender, receiver) = unbounded();
    let mut source = StdinSource::new(SourceId(0), Box::new(Channel(receiver)));
    assert_eq!(step(&mut source, 9, 0), (vec![], ReadState::Idle));
    sender.send(Ok(b"a\nb".to_vec())).unwrap();
    assert_eq!(next(&mut source, 9), (vec!["a".into()], ReadState::Idle));
    assert_eq!(step(&mut source, 9, 0), (vec![], ReadState::Idle));
    assert_eq!(source.partitions()[0].position, 2);
    source.seek(Partition(0), 2).unwrap();
    assert!(matches!(source.seek(Partition(0), 0), Err(SourceError::Gone { .. })));
    drop(sender);
    assert_eq!(next(&mut source, 9), (vec!["b".into()], ReadState::Ended));
}

#[test]
fn a_failing_input_is_an_error() {
    let (sender, receiver) = unbounded();
    sender.send(Ok(b"a\n".to_vec())).unwrap();
    let mut source = StdinSource::new(SourceId(0), Box::new(Channel(receiver)));
    assert_eq!(next(&mut source, 1), (vec!["a".into()], ReadState::More));
    sender.send(Err(io::Error::other("gone"))).unwrap();
    let budget = ReadBudget { wait: Duration::from_secs(60), ..budget(9) };
    let error = source.read(&budget, 0, &mut ReadOutput::default()).unwrap_err();
    assert!(matches!(error, SourceError::Stdin(_)));
}
