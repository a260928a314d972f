//! Parsers: records in, rows out.

use core::cell::RefCell;

use serde::de::DeserializeOwned;

use crate::bindings::parser::{Parsed, Rejects};
use crate::bindings::types::{Fault, TextBuffer};
use crate::describe::{Description, Reject, RejectCode, Sample, read_config};
use crate::schema::Schema;
use crate::table::{RowBuilder, TableBuilder};
use crate::view::Records;

/// Turns records into rows. Implement [`Parser::parse`]; who wants the last bit of speed
/// implements [`Parser::parse_batch`] instead.
///
/// A parser is a pure function of its configuration and one record. It may keep caches; what it
/// returns must not depend on them.
pub trait Parser: Sized + 'static {
    /// The plugin's name.
    const NAME: &'static str;
    /// The plugin's version; `None`: that of its crate.
    const VERSION: Option<&'static str> = None;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// JSON Schema of its configuration.
    const CONFIG_SCHEMA: &'static str;
    /// The reasons for which it refuses records.
    const REJECTS: &'static [RejectCode] = &[];

    /// The `config` table of the pipeline file.
    type Config: DeserializeOwned;

    /// Checks the configuration. Called once, before any record.
    ///
    /// # Errors
    /// A configuration fault, in words for the person who wrote the pipeline file.
    fn configure(config: Self::Config) -> Result<Self, Fault>;

    /// The columns of the rows that it returns.
    fn schema(&self) -> Schema;

    /// Parses one record.
    ///
    /// # Errors
    /// The reason for which the record is refused.
    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject>;

    /// Parses a batch.
    ///
    /// # Errors
    /// An internal fault: the plugin cannot go on.
    fn parse_batch(&self, records: Records<'_>, out: &mut BatchBuilder) -> Result<(), Fault> {
        for index in 0..records.len() {
            let before = out.table.rows();
            let mut row = RowBuilder::new(&mut out.table);
            match self.parse(records.get(index), &mut row) {
                Ok(()) => {
                    row.close();
                    out.record_done(index, before);
                }
                Err(reject) => {
                    out.table.truncate(before);
                    out.reject(index, reject);
                }
            }
        }
        Ok(())
    }

    /// Inputs with what is expected of them.
    fn samples() -> Vec<Sample> {
        Vec::new()
    }
}

/// What a batch becomes: a table, and the records that were refused.
#[derive(Debug)]
pub struct BatchBuilder {
    /// The rows. Rows of record i stand before those of record i + 1.
    pub table: TableBuilder,
    source: Option<Vec<u32>>,
    rejects: Vec<u32>,
    codes: Vec<u16>,
}

impl BatchBuilder {
    pub(crate) fn new(table: TableBuilder) -> Self {
        Self { table, source: None, rejects: Vec::new(), codes: Vec::new() }
    }

    /// Finishes the current row as the only row of `record`.
    #[inline]
    pub fn emit(&mut self, record: usize) {
        self.table.finish_row();
        if self.source.is_some() {
            self.record_done(record, self.table.rows() - 1);
        }
    }

    /// The same when every column has been written.
    #[inline]
    pub fn emit_full(&mut self, record: usize) {
        self.table.finish_full_row();
        if self.source.is_some() {
            self.record_done(record, self.table.rows() - 1);
        }
    }

    /// Refuses `record`, and forgets what has been written of its row.
    #[cold]
    pub fn reject(&mut self, record: usize, reject: Reject) {
        self.table.undo_row();
        self.rejects.push(index(record));
        self.codes.push(reject.0);
    }

    /// Says that the rows from `first_row` on are those of `record`.
    #[inline]
    pub fn record_done(&mut self, record: usize, first_row: usize) {
        let count = self.table.rows() - first_row;
        if count != 1 && self.source.is_none() {
            self.write_sources(record);
        }
        if let Some(source) = &mut self.source {
            source.extend(core::iter::repeat_n(index(record), count));
        }
    }

    /// Until now each record that was not refused has had one row.
    #[cold]
    fn write_sources(&mut self, until: usize) {
        let mut refused = self.rejects.iter().peekable();
        let source =
            (0..index(until)).filter(|record| refused.next_if_eq(&record).is_none()).collect();
        self.source = Some(source);
    }
}

fn index(record: usize) -> u32 {
    u32::try_from(record).unwrap_or(u32::MAX)
}

/// A configured parser, as the host sees it.
#[derive(Debug)]
pub struct ParserHost<P> {
    parser: P,
    schema: Schema,
    hints: RefCell<(usize, Vec<usize>)>,
}

impl<P: Parser> ParserHost<P> {
    /// Configures a parser.
    ///
    /// # Errors
    /// The configuration fault.
    pub fn configure(config: &str) -> Result<Self, Fault> {
        let parser = P::configure(read_config(config)?)?;
        let schema = parser.schema();
        Ok(Self { parser, schema, hints: RefCell::new((0, Vec::new())) })
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Parses a batch.
    ///
    /// # Errors
    /// The parser's fault, or that of a table that does not fit its schema.
    pub fn parse(&self, records: &TextBuffer, received_us: &[i64]) -> Result<Parsed, Fault> {
        let records = Records::new(records, received_us);
        let mut hints = self.hints.borrow_mut();
        let (rows, bytes) = &mut *hints;
        // The text of the last batch says how much room this one needs, when they are alike.
        let alike = *rows / 2 <= records.len() && records.len() <= *rows + *rows / 8;
        let table =
            TableBuilder::with_hints(&self.schema, records.len(), if alike { bytes } else { &[] });
        let mut out = BatchBuilder::new(table);
        self.parser.parse_batch(records, &mut out)?;
        *rows = records.len();
        out.table.hints(bytes);
        Ok(Parsed {
            output: out.table.finish(&self.schema)?,
            source: out.source,
            rejects: Rejects { records: out.rejects, codes: out.codes },
        })
    }
}

/// The description of a parser; `version` is that of its crate.
#[must_use]
pub fn describe<P: Parser>(version: &'static str) -> Description {
    Description {
        name: P::NAME,
        version: P::VERSION.unwrap_or(version),
        summary: P::SUMMARY,
        config_schema: P::CONFIG_SCHEMA,
        rejects: P::REJECTS,
        state_version: None,
        samples: P::samples(),
    }
}
