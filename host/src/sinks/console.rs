//! Rows for people, or for the next program in a pipe.
//!
//! `format = "table"`: a heading for each delivery and an aligned table. `format = "jsonl"`: one
//! object a line, with a key `node` in front when the sink has several inputs. Output is gathered
//! until the commit, but what exceeds a megabyte is written at once and cannot be taken back.

use std::fmt;
use std::io::Write;
use std::path::Path;

use super::build::ConsoleOutput;
use super::discard::rows;
use super::file::{Encoders, SPILL_BYTES};
use super::{CommitInfo, Delivery, Sink, SinkError, SinkInput, SinkSummary};
use crate::config::model::{self, ConsoleFormat, FileFormat, OutputMode};
use crate::data::NO_TIME;
use crate::encode::{TableStyle, write_table};
use crate::time::write_timestamp;

/// What messages call the console.
const TARGET: &str = "standard output";

/// Shows rows as tables or JSON lines.
pub struct ConsoleSink {
    output: ConsoleOutput,
    shape: Shape,
    buffer: Vec<u8>,
    pending: SinkSummary,
    committed: SinkSummary,
}

enum Shape {
    Table { style: TableStyle, max_rows: usize },
    Lines(Encoders),
}

impl fmt::Debug for ConsoleSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleSink").field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl ConsoleSink {
    /// Returns a console for rows of `inputs`.
    ///
    /// # Errors
    /// When a column's type has no text form.
    pub fn new(
        config: &model::ConsoleSink,
        inputs: &[SinkInput],
        output: ConsoleOutput,
    ) -> Result<Self, SinkError> {
        let shape = match config.format {
            ConsoleFormat::Table => Shape::Table {
                style: TableStyle { truncate: config.truncate, colour: output.colour },
                max_rows: config.max_rows,
            },
            ConsoleFormat::Jsonl => Shape::Lines(Encoders::new(FileFormat::Jsonl, inputs)?),
        };
        let (pending, committed) = (SinkSummary::default(), SinkSummary::default());
        Ok(Self { output, shape, buffer: Vec::new(), pending, committed })
    }

    fn write_out(&mut self) -> Result<(), SinkError> {
        let written = self.output.writer.write_all(&self.buffer);
        // Even after an error: what was partly shown must not be shown again.
        self.buffer.clear();
        written.map_err(SinkError::io("write to", Path::new(TARGET)))
    }
}

impl Sink for ConsoleSink {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        if input.batch.num_rows() == 0 {
            return Ok(());
        }
        let start = self.buffer.len();
        match &self.shape {
            Shape::Lines(encoders) => encoders.encode(input, &mut self.buffer)?,
            Shape::Table { style, max_rows } => {
                write_heading(&mut self.buffer, input, style.colour);
                let shown = input.batch.slice(0, input.batch.num_rows().min(*max_rows));
                if let Err(error) = write_table(&shown, *style, &mut self.buffer) {
                    self.buffer.truncate(start);
                    return Err(error.into());
                }
                write_rest(&mut self.buffer, input.batch.num_rows() - shown.num_rows());
            }
        }
        self.pending.rows += rows(input.batch.num_rows());
        self.pending.bytes += rows(self.buffer.len() - start);
        if self.buffer.len() >= SPILL_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        self.write_out()?;
        self.output.writer.flush().map_err(SinkError::io("write to", Path::new(TARGET)))?;
        let pending = std::mem::take(&mut self.pending);
        self.committed.rows += pending.rows;
        self.committed.bytes += pending.bytes;
        Ok(CommitInfo { rows: pending.rows, bytes: pending.bytes, state: None })
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.buffer.clear();
        self.pending = SinkSummary::default();
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.abort()?;
        Ok(self.committed)
    }
}

/// Appends `error_rate · epoch 12 · watermark 2025-09-12T12:00:00Z · 5 rows`.
fn write_heading(out: &mut Vec<u8>, input: &Delivery<'_>, colour: bool) {
    let count = input.batch.num_rows();
    let (bold, reset) = if colour { ("\x1b[1;36m", "\x1b[0m") } else { ("", "") };
    let mut heading = format!("{bold}{}{reset} · epoch {} · ", input.node, input.epoch);
    match input.watermark_us {
        NO_TIME => heading.push_str("no watermark yet"),
        i64::MAX => heading.push_str("end of input"),
        _ => heading.push_str("watermark "),
    }
    out.extend_from_slice(heading.as_bytes());
    if !matches!(input.watermark_us, NO_TIME | i64::MAX) {
        write_timestamp(out, input.watermark_us);
    }
    let mut tail = match input.mode {
        OutputMode::Append => String::new(),
        OutputMode::Update => " · update".to_owned(),
        OutputMode::Complete => " · complete".to_owned(),
    };
    if input.revision > 0 {
        tail.push_str(&format!(" · revision {}", input.revision));
    }
    let plural = if count == 1 { "" } else { "s" };
    tail.push_str(&format!(" · {count} row{plural}\n"));
    out.extend_from_slice(tail.as_bytes());
}

fn write_rest(out: &mut Vec<u8>, more: usize) {
    if more > 0 {
        let plural = if more == 1 { "" } else { "s" };
        out.extend_from_slice(format!("… {more} more row{plural}\n").as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use super::*;
    use crate::sinks::tests::{delivery, input};

    /// A terminal that can be looked at, and whose cable can be cut after some bytes.
    #[derive(Clone, Default)]
    struct Screen {
        shown: Arc<Mutex<Vec<u8>>>,
        fails_after: Option<usize>,
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut shown = self.shown.lock().unwrap();
            let room = self.fails_after.map_or(bytes.len(), |limit| limit - shown.len());
            if room == 0 && !bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
            let taken = bytes.len().min(room);
            shown.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn text(&self) -> String {
            String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
        }
    }

    fn rows(values: &[i64]) -> RecordBatch {
        let names: StringArray = values.iter().map(|v| Some(format!("s{v}"))).collect();
        RecordBatch::try_from_iter([
            ("service", Arc::new(names) as ArrayRef),
            ("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef),
        ])
        .unwrap()
    }

    fn sink(format: ConsoleFormat, nodes: &[&str], screen: &Screen, colour: bool) -> ConsoleSink {
        let config = model::ConsoleSink { format, truncate: 20, max_rows: 2 };
        let inputs: Vec<_> = nodes.iter().map(|node| input(node, &rows(&[]))).collect();
        let output = ConsoleOutput { writer: Box::new(screen.clone()), colour };
        ConsoleSink::new(&config, &inputs, output).unwrap()
    }

    #[test]
    fn tables_with_headings() {
        let screen = Screen::default();
        let mut sink = sink(ConsoleFormat::Table, &["error_rate"], &screen, false);
        let (first, second, none) = (rows(&[1, 20, 3]), rows(&[4]), rows(&[]));
        sink.write(&delivery("error_rate", &first)).unwrap();
        sink.write(&delivery("error_rate", &none)).unwrap();
        sink.write(&Delivery {
            revision: 2,
            watermark_us: 1_757_678_400_000_000,
            epoch: 12,
            mode: OutputMode::Update,
            ..delivery("error_rate", &second)
        })
        .unwrap();
        assert_eq!(screen.text(), "");
        let info = sink.commit(0).unwrap();
        let expected = "\
error_rate · epoch 1 · no watermark yet · 3 rows
+---------+----+
| service |  n |
+---------+----+
| s1      |  1 |
| s20     | 20 |
+---------+----+
… 1 more row

error_rate · epoch 12 · watermark 2025-09-12T12:00:00Z · update · revision 2 · 1 row
+---------+---+
| service | n |
+---------+---+
| s4      | 4 |
+---------+---+

";
        assert_eq!(screen.text(), expected);
        let bytes = u64::try_from(expected.len()).unwrap();
        assert_eq!(info, CommitInfo { rows: 4, bytes, state: None });
        let summary = sink.close(0).unwrap();
        assert_eq!(summary, SinkSummary { rows: 4, bytes, files: 0, checksum: None });
    }

    #[test]
    fn colour_is_in_the_heading_too() {
        let screen = Screen::default();
        let mut sink = sink(ConsoleFormat::Table, &["a"], &screen, true);
        sink.write(&delivery("a", &rows(&[1]))).unwrap();
        sink.commit(0).unwrap();
        assert!(screen.text().starts_with("\x1b[1;36ma\x1b[0m · epoch 1"));
    }

    #[test]
    fn json_lines_name_the_node_only_among_several() {
        for (nodes, expected) in [
            (&["a"][..], "{\"service\":\"s1\",\"n\":1}\n"),
            (&["a", "b"][..], "{\"node\":\"a\",\"service\":\"s1\",\"n\":1}\n"),
        ] {
            let screen = Screen::default();
            let mut sink = sink(ConsoleFormat::Jsonl, nodes, &screen, false);
            sink.write(&delivery("a", &rows(&[1]))).unwrap();
            sink.commit(0).unwrap();
            assert_eq!(screen.text(), expected);
        }
    }

    #[test]
    fn an_abort_shows_nothing() {
        let screen = Screen::default();
        let mut sink = sink(ConsoleFormat::Jsonl, &["a"], &screen, false);
        sink.write(&delivery("a", &rows(&[1]))).unwrap();
        sink.abort().unwrap();
        sink.write(&delivery("a", &rows(&[2]))).unwrap();
        assert_eq!(sink.commit(0).unwrap().rows, 1);
        assert_eq!(screen.text(), "{\"service\":\"s2\",\"n\":2}\n");
    }

    #[test]
    fn a_broken_pipe_is_not_a_failure() {
        let screen = Screen { fails_after: Some(10), ..Screen::default() };
        let mut sink = sink(ConsoleFormat::Jsonl, &["a"], &screen, false);
        sink.write(&delivery("a", &rows(&[1]))).unwrap();
        let error = sink.commit(0).unwrap_err();
        assert!(error.is_closed(), "{error}");
        assert_eq!(error.to_string(), "the reader of standard output has gone away");
        sink.abort().unwrap();
        assert_eq!(sink.close(0).unwrap(), SinkSummary::default());
    }

    #[test]
    fn rows_of_a_stranger_are_our_bug() {
        let mut sink = sink(ConsoleFormat::Jsonl, &["a"], &Screen::default(), false);
        let error = sink.write(&delivery("z", &rows(&[1]))).unwrap_err();
        assert_eq!(error.to_string(), "rows of node `z`, which is none of the sink's inputs");
    }
}
