//! Rows as an aligned table for people, in the manner of Spark's console sink.

use arrow::array::RecordBatch;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::column::{Column, Value};
use super::error::EncodeError;
use super::plain::{hex_digit, write_plain};

/// How a table looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStyle {
    /// Longest text of a cell, in columns of the terminal; 0: no limit. Names are never cut.
    pub truncate: usize,
    /// Use the terminal's colours.
    pub colour: bool,
}

const ELLIPSIS: &str = "...";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// Appends all rows of batches of one schema as a table with borders.
///
/// Numbers stand to the right. Control characters are shown as `\n` or `\x1b`, so that data
/// cannot steer the terminal.
///
/// # Errors
/// When a column's type has no text form. Nothing was appended then.
pub fn write_table(
    batches: &[RecordBatch],
    style: TableStyle,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let Some(first) = batches.first() else { return Ok(()) };
    let mut printed: Vec<_> =
        first.schema_ref().fields().iter().map(|field| PrintedColumn::new(field.name())).collect();
    for batch in batches {
        for (printed, column) in printed.iter_mut().zip(&Column::of_batch(batch)?) {
            printed.add(column, batch.num_rows(), style);
        }
    }
    let mut writer = Writer { out, colour: style.colour };
    writer.border(&printed);
    writer.line(&printed, |column| (&column.name, BOLD));
    writer.border(&printed);
    for row in 0..batches.iter().map(RecordBatch::num_rows).sum::<usize>() {
        writer.line(&printed, |column| column.cell(row));
    }
    writer.border(&printed);
    Ok(())
}

/// A text and the columns it takes on a terminal.
#[derive(Default)]
struct Cell {
    text: String,
    width: usize,
    null: bool,
}

impl Cell {
    fn new(text: String, truncate: usize) -> Self {
        let width = text.width();
        if truncate == 0 || width <= truncate {
            return Self { text, width, null: false };
        }
        // Like Spark: too narrow for an ellipsis, the text is just cut.
        let ellipsis = if truncate > ELLIPSIS.len() { ELLIPSIS } else { "" };
        let room = truncate - ellipsis.len();
        let (mut kept, mut width) = (String::new(), 0);
        for character in text.chars() {
            let wide = character.width().unwrap_or(0);
            if width + wide > room {
                break;
            }
            kept.push(character);
            width += wide;
        }
        kept.push_str(ellipsis);
        Self { width: kept.as_str().width(), text: kept, null: false }
    }
}

struct PrintedColumn {
    name: Cell,
    cells: Vec<Cell>,
    width: usize,
    right: bool,
    severity: bool,
}

impl PrintedColumn {
    fn new(name: &str) -> Self {
        let severity = name == "severity";
        let name = Cell::new(printable(name), 0);
        let width = name.width;
        Self { name, cells: Vec::new(), width, right: false, severity }
    }

    /// Appends the cells of a column.
    fn add(&mut self, column: &Column, rows: usize, style: TableStyle) {
        let mut scratch = Vec::new();
        for row in 0..rows {
            let cell = match column.value(row) {
                Value::Null => Cell { text: "null".into(), width: 4, null: true },
                value => {
                    scratch.clear();
                    write_plain(&mut scratch, value);
                    Cell::new(printable(&String::from_utf8_lossy(&scratch)), style.truncate)
                }
            };
            self.width = self.width.max(cell.width);
            self.cells.push(cell);
        }
        self.right = column.is_number();
    }

    /// Returns the cell in `row` and its colour.
    fn cell(&self, row: usize) -> (&Cell, &'static str) {
        static NONE: Cell = Cell { text: String::new(), width: 0, null: true };
        let cell = self.cells.get(row).unwrap_or(&NONE);
        let colour = match cell.text.as_str() {
            _ if cell.null => DIM,
            text if self.severity => severity_colour(text),
            _ => "",
        };
        (cell, colour)
    }
}

/// Returns the colour of a severity, or nothing.
pub(super) fn severity_colour(severity: &str) -> &'static str {
    match severity {
        "critical" => RED,
        "warning" => YELLOW,
        _ => "",
    }
}

/// Returns `text` with its control characters made visible.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if character.is_control() => {
                let byte = u8::try_from(u32::from(character)).unwrap_or(b'?');
                shown.push_str("\\x");
                shown.push(char::from(hex_digit(byte >> 4)));
                shown.push(char::from(hex_digit(byte & 0x0f)));
            }
            _ => shown.push(character),
        }
    }
    shown
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    colour: bool,
}

impl Writer<'_> {
    fn border(&mut self, columns: &[PrintedColumn]) {
        self.colour(DIM);
        for column in columns {
            self.text("+");
            self.repeat(b'-', column.width + 2);
        }
        self.text("+");
        self.reset(DIM);
        self.text("\n");
    }

    fn line<'c>(
        &mut self,
        columns: &'c [PrintedColumn],
        cell: impl Fn(&'c PrintedColumn) -> (&'c Cell, &'static str),
    ) {
        for column in columns {
            let (cell, colour) = cell(column);
            let room = column.width.saturating_sub(cell.width);
            self.bar();
            self.repeat(b' ', if column.right { room + 1 } else { 1 });
            self.colour(colour);
            self.text(&cell.text);
            self.reset(colour);
            self.repeat(b' ', if column.right { 1 } else { room + 1 });
        }
        self.bar();
        self.text("\n");
    }

    fn bar(&mut self) {
        self.colour(DIM);
        self.text("|");
        self.reset(DIM);
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn repeat(&mut self, byte: u8, times: usize) {
        self.out.resize(self.out.len() + times, byte);
    }

    fn colour(&mut self, colour: &str) {
        if self.colour {
            self.text(colour);
        }
    }

    fn reset(&mut self, colour: &str) {
        if self.colour && !colour.is_empty() {
            self.text(RESET);
        }
    }
}
