//! Rows for people, or for the next program in a pipe.
//!
//! `format = "table"`: a heading and an aligned table for what an epoch made of a node, such as all
//! windows that closed; an empty line between two. `format = "jsonl"`: one object a line, with a key
//! `node` in front when the sink has several inputs. `format = "alerts"`: time, severity, rule and
//! message of each alert, a line each, those of an epoch in order of time. Output is gathered until the
//! commit, but what exceeds a megabyte is written at once and cannot be taken back.

use std::fmt;
use std::io::Write;
use std::path::Path;

use arrow::array::RecordBatch;

use super::build::ConsoleOutput;
use super::discard::rows;
use super::file::{Encoders, SPILL_BYTES};
use super::{CommitInfo, Delivery, Sink, SinkError, SinkInput, SinkSummary};
use crate::config::model::{self, ConsoleFormat, FileFormat, OutputMode};
use crate::data::NO_TIME;
use crate::encode::{AlertLine, TableStyle, alert_lines, write_table};
use crate::time::write_timestamp;

/// So many rows of tables, or alerts, are shown before the epoch ends.
const GATHERED_ROWS: usize = 8_192;

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
    Tables { gathered: Vec<Table>, max_rows: usize, style: TableStyle, any: bool },
    Lines(Encoders),
    Alerts { gathered: Vec<AlertLine>, rule_width: usize, colour: bool },
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
            ConsoleFormat::Table => Shape::Tables {
                gathered: Vec::new(),
                max_rows: config.max_rows,
                style: TableStyle { truncate: config.truncate, colour: output.colour },
                any: false,
            },
            ConsoleFormat::Jsonl => Shape::Lines(Encoders::new(FileFormat::Jsonl, inputs)?),
            ConsoleFormat::Alerts => Shape::Alerts {
                gathered: Vec::new(),
                rule_width: inputs.iter().map(|input| input.node.len()).max().unwrap_or(0),
                colour: output.colour,
            },
        };
        let (pending, committed) = (SinkSummary::default(), SinkSummary::default());
        Ok(Self { output, shape, buffer: Vec::new(), pending, committed })
    }

    fn write_out(&mut self) -> Result<(), SinkError> {
        self.pending.bytes += rows(self.buffer.len());
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
        match &mut self.shape {
            Shape::Lines(encoders) => encoders.encode(input, &mut self.buffer)?,
            Shape::Alerts { gathered, rule_width, colour } => {
                gathered.extend(alert_lines(input.batch, *rule_width, *colour)?);
                if gathered.len() >= GATHERED_ROWS {
                    write_alerts(gathered, &mut self.buffer);
                }
            }
            Shape::Tables { gathered, max_rows, style, any } => {
                gather(gathered, input, *max_rows);
                if gathered.iter().map(|table| table.shown).sum::<usize>() >= GATHERED_ROWS {
                    write_tables(gathered, *style, any, &mut self.buffer)?;
                }
            }
        }
        self.pending.rows += rows(input.batch.num_rows());
        if self.buffer.len() >= SPILL_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        match &mut self.shape {
            Shape::Tables { gathered, style, any, .. } => {
                write_tables(gathered, *style, any, &mut self.buffer)?;
            }
            Shape::Alerts { gathered, .. } => write_alerts(gathered, &mut self.buffer),
            Shape::Lines(_) => {}
        }
        self.write_out()?;
        self.output.writer.flush().map_err(SinkError::io("write to", Path::new(TARGET)))?;
        let pending = std::mem::take(&mut self.pending);
        self.committed.rows += pending.rows;
        self.committed.bytes += pending.bytes;
        Ok(CommitInfo { rows: pending.rows, bytes: pending.bytes, ..CommitInfo::default() })
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.buffer.clear();
        match &mut self.shape {
            Shape::Tables { gathered, .. } => gathered.clear(),
            Shape::Alerts { gathered, .. } => gathered.clear(),
            Shape::Lines(_) => {}
        }
        self.pending = SinkSummary::default();
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.abort()?;
        Ok(self.committed)
    }
}

/// A table that is not complete yet.
struct Table {
    node: String,
    epoch: u64,
    watermark_us: i64,
    revision: u32,
    mode: OutputMode,
    /// The rows to show.
    parts: Vec<RecordBatch>,
    shown: usize,
    /// All rows, shown or not.
    count: usize,
}

impl Table {
    fn new(input: &Delivery<'_>) -> Self {
        Self {
            node: input.node.to_owned(),
            epoch: input.epoch,
            watermark_us: input.watermark_us,
            revision: input.revision,
            mode: input.mode,
            parts: Vec::new(),
            shown: 0,
            count: 0,
        }
    }

    /// Returns whether a delivery's rows belong into this table. Outputs of `update` and `complete`
    /// stand for themselves.
    fn takes(&self, input: &Delivery<'_>) -> bool {
        self.mode == OutputMode::Append
            && input.mode == OutputMode::Append
            && (self.epoch, self.revision) == (input.epoch, input.revision)
            && self.node == input.node
    }
}

/// Adds rows to the node's table.
fn gather(tables: &mut Vec<Table>, input: &Delivery<'_>, max_rows: usize) {
    let place = tables.iter().position(|table| table.takes(input)).unwrap_or_else(|| {
        tables.push(Table::new(input));
        tables.len() - 1
    });
    let Some(table) = tables.get_mut(place) else { return };
    let room = input.batch.num_rows().min(max_rows.saturating_sub(table.shown));
    if room > 0 {
        table.parts.push(input.batch.slice(0, room));
        table.shown += room;
    }
    table.count += input.batch.num_rows();
}

/// Appends all tables, with an empty line before each but the first `any`. None is left, also after
/// an error.
fn write_tables(
    tables: &mut Vec<Table>,
    style: TableStyle,
    any: &mut bool,
    out: &mut Vec<u8>,
) -> Result<(), SinkError> {
    for table in std::mem::take(tables) {
        if std::mem::replace(any, true) {
            out.push(b'\n');
        }
        write_heading(out, &table, style.colour);
        write_table(&table.parts, style, out)?;
        write_rest(out, table.count - table.shown);
    }
    Ok(())
}

/// Appends all alerts in order of time; those of one moment stay in the order of the rules.
fn write_alerts(alerts: &mut Vec<AlertLine>, out: &mut Vec<u8>) {
    alerts.sort_by_key(|alert| alert.time_us);
    for alert in alerts.drain(..) {
        out.extend_from_slice(&alert.text);
    }
}

/// Appends `error_rate · epoch 12 · watermark 2025-09-12T12:00:00Z · 5 rows`.
fn write_heading(out: &mut Vec<u8>, input: &Table, colour: bool) {
    let count = input.count;
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
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

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
        let (first, second, none) = (rows(&[1]), rows(&[4]), rows(&[]));
        sink.write(&delivery("error_rate", &first)).unwrap();
        sink.write(&delivery("error_rate", &rows(&[20, 3]))).unwrap();
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
        assert_eq!((info.rows, info.bytes, info.state), (4, bytes, None));
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

    /// Alerts of a rule: event time, severity, message.
    fn alerts(rule: &str, rows: &[(Option<i64>, &str, &str)]) -> RecordBatch {
        let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let times: TimestampMicrosecondArray = rows.iter().map(|row| row.0).collect();
        RecordBatch::try_from_iter([
            ("rule", text(vec![rule; rows.len()])),
            ("severity", text(rows.iter().map(|row| row.1).collect())),
            ("message", text(rows.iter().map(|row| row.2).collect())),
            ("event_time", Arc::new(times.with_timezone("UTC")) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn alerts_are_a_line_each_in_order_of_time() {
        let late = (Some(1_757_678_519_000_000), "critical", "again");
        let early = (Some(1_757_678_459_999_999), "critical", "10.0.0.1 sent\n7");
        let flood = alerts("flood", &[late, early]);
        let longer = alerts("a_longer", &[(early.0, "warning", "slow"), (None, "info", "quiet")]);
        for (colour, critical, warning) in [
            (false, "critical", "warning"),
            (true, "\x1b[31mcritical\x1b[0m", "\x1b[33mwarning\x1b[0m"),
        ] {
            let screen = Screen::default();
            let mut sink = sink(ConsoleFormat::Alerts, &["flood", "a_longer"], &screen, colour);
            sink.write(&delivery("flood", &flood)).unwrap();
            sink.write(&delivery("a_longer", &longer)).unwrap();
            assert_eq!(screen.text(), "");
            sink.commit(0).unwrap();
            let expected = format!(
                "-                     info      a_longer  quiet\n\
                 2025-09-12T12:00:59Z  {critical}  flood     10.0.0.1 sent\\n7\n\
                 2025-09-12T12:00:59Z  {warning}   a_longer  slow\n\
                 2025-09-12T12:01:59Z  {critical}  flood     again\n"
            );
            assert_eq!(screen.text(), expected);
        }
    }

    #[test]
    fn an_abort_shows_nothing() {
        let (first, second) = (rows(&[31]), rows(&[42]));
        let (aborted, shown) =
            (alerts("a", &[(None, "", "s31")]), alerts("a", &[(None, "", "s42")]));
        for (format, first, second) in [
            (ConsoleFormat::Jsonl, &first, &second),
            (ConsoleFormat::Table, &first, &second),
            (ConsoleFormat::Alerts, &aborted, &shown),
        ] {
            let screen = Screen::default();
            let mut sink = sink(format, &["a"], &screen, false);
            sink.write(&delivery("a", first)).unwrap();
            sink.abort().unwrap();
            sink.write(&delivery("a", second)).unwrap();
            assert_eq!(sink.commit(0).unwrap().rows, 1);
            let text = screen.text();
            assert!(text.contains("s42") && !text.contains("s31"), "{format:?}: {text}");
        }
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
