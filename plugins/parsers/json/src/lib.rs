//! The parser `json`: one JSON object a record, to typed columns.
//!
//! It does not build a document. One pass looks for the configured keys and writes their values
//! to columns; everything else is only checked, so that a record that is not valid JSON is
//! refused whatever the columns.

mod scan;
mod shape;
mod tree;

use core::cell::RefCell;

use millstream_parser_common::columns::{
    Column, ColumnEntry, Kind, OnError, Ordered, PROBLEMS, check_names,
};
use millstream_parser_common::scan::is_ascii;
use millstream_sdk::column::ColumnBuilder;
use millstream_sdk::prelude::*;

use scan::Scanner;
use shape::Shape;
use tree::Tree;

/// The record is not valid JSON in UTF-8.
const INVALID_JSON: Reject = Reject(0);
/// The record is valid JSON, but not an object.
const NOT_AN_OBJECT: Reject = Reject(1);
/// Where the codes of typed columns start.
const FIRST_PROBLEM: u16 = 2;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    columns: Ordered<ColumnEntry>,
    /// A column for the keys that no column names, as one JSON object.
    unknown: Option<String>,
    /// What becomes of fields of a wrong type, where the column does not say.
    #[serde(default)]
    on_type_error: OnError,
}

/// The parser.
#[derive(Debug)]
pub struct Json {
    columns: Vec<Column>,
    /// The columns that have something to do at the end of a record.
    completing: Vec<usize>,
    unknown: Option<String>,
    /// Columns in the schema.
    width: usize,
    tree: Tree,
    work: RefCell<Work>,
}

/// What is reused from record to record: the shape learned, and scratch space.
#[derive(Debug)]
struct Work {
    shape: Shape,
    scratch: scan::Scratch,
}

impl Json {
    /// What reads the records in `data`.
    fn scanner<'a>(&'a self, work: &'a mut Work, data: &'a [u8]) -> Scanner<'a> {
        let Work { shape, scratch } = work;
        Scanner {
            data,
            end: 0,
            columns: &self.columns,
            tree: &self.tree,
            unknown: self.unknown.is_some().then_some(self.columns.len()),
            shape,
            scratch,
            written: 0,
            general: false,
        }
    }

    /// Parses the record at `start .. end` into the current row of `table`. Its bytes are known
    /// to be UTF-8. Returns whether every column has been written.
    #[inline]
    fn record(
        &self,
        scanner: &mut Scanner<'_>,
        start: usize,
        end: usize,
        table: &mut TableBuilder,
    ) -> Result<bool, Reject> {
        scanner.end = end;
        scanner.written = 0;
        scanner.general = false;
        let result = scanner.record(start, table);
        if result.is_ok() && scanner.scratch.problems.is_empty() {
            let full = scanner.written == self.width && !scanner.general;
            if full || self.completing.is_empty() {
                return Ok(full);
            }
        }
        self.finish(result, scanner, table).map(|()| false)
    }

    fn finish(
        &self,
        result: Result<(), Reject>,
        scanner: &mut Scanner<'_>,
        table: &mut TableBuilder,
    ) -> Result<(), Reject> {
        let problems = core::mem::take(&mut scanner.scratch.problems);
        let result = result.and_then(|()| {
            for &index in &self.completing {
                let Some(column) = self.columns.get(index) else { continue };
                if !problems.iter().any(|(at, _)| *at == index)
                    && let Err(problem) = column.complete(index, table)
                {
                    return Err(problem.reject(FIRST_PROBLEM));
                }
            }
            match problems.iter().min_by_key(|(at, _)| *at) {
                Some((_, problem)) => Err(problem.reject(FIRST_PROBLEM)),
                None => Ok(()),
            }
        });
        scanner.scratch.problems = problems;
        scanner.scratch.problems.clear();
        if result.is_err()
            && let Some(ColumnBuilder::Text(column)) =
                scanner.unknown.and_then(|index| table.columns().get_mut(index))
        {
            column.abandon();
        }
        result
    }
}

impl Parser for Json {
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "one JSON object a record, to typed columns";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const REJECTS: &'static [RejectCode] = &[
        RejectCode::new("invalid_json", "the record is not valid JSON in UTF-8"),
        RejectCode::new("not_an_object", "the record is valid JSON, but not an object"),
        PROBLEMS[0],
        PROBLEMS[1],
        PROBLEMS[2],
        PROBLEMS[3],
        PROBLEMS[4],
    ];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        let mut columns = Vec::new();
        let mut paths = Vec::new();
        for (name, ColumnEntry(column)) in config.columns.0 {
            paths.push(match &column.path {
                Some(path) if path.0.is_empty() || path.0.iter().any(String::is_empty) => {
                    return Err(Fault::Config(format!(
                        "column `{name}`: the path has an empty key"
                    )));
                }
                Some(path) => path.0.clone(),
                None => vec![name.clone()],
            });
            columns.push(Column::compile(&name, column, config.on_type_error)?);
        }
        check_names(&columns)?;
        if let Some(unknown) = &config.unknown
            && (unknown.is_empty() || columns.iter().any(|c| c.name == *unknown))
        {
            return Err(Fault::Config(format!(
                "`unknown` must be a name of its own, not `{unknown}`"
            )));
        }
        let completing = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.must_complete())
            .map(|(index, _)| index)
            .collect();
        let tree = Tree::new(&paths);
        let shape = Shape::new();
        Ok(Self {
            tree,
            work: RefCell::new(Work { shape, scratch: scan::Scratch::default() }),
            width: columns.len() + usize::from(config.unknown.is_some()),
            columns,
            completing,
            unknown: config.unknown,
        })
    }

    fn schema(&self) -> Schema {
        let mut schema: Schema = self.columns.iter().map(Column::field).collect();
        schema.extend(self.unknown.iter().map(|name| Field::text(name).logical("json")));
        schema
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        if core::str::from_utf8(record).is_err() {
            return Err(INVALID_JSON);
        }
        let mut work = self.work.borrow_mut();
        let mut scanner = self.scanner(&mut work, record);
        self.record(&mut scanner, 0, record.len(), row.table()).map(drop)
    }

    fn parse_batch(&self, records: Records<'_>, out: &mut BatchBuilder) -> Result<(), Fault> {
        let mut work = self.work.borrow_mut();
        let data = records.data();
        let ascii = is_ascii(data);
        let utf8 = ascii || core::str::from_utf8(data).is_ok();
        let mut scanner = self.scanner(&mut work, data);
        for index in 0..records.len() {
            let (start, end) = records.range(index);
            let valid = ascii
                || if utf8 {
                    is_boundary(data, start) && is_boundary(data, end)
                } else {
                    core::str::from_utf8(records.get(index)).is_ok()
                };
            let result = if valid {
                self.record(&mut scanner, start, end, &mut out.table)
            } else {
                Err(INVALID_JSON)
            };
            match result {
                Ok(true) => out.emit_full(index),
                Ok(false) => out.emit(index),
                Err(reject) => out.reject(index, reject),
            }
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        let config = r#"{"columns": {
            "timestamp": {"type": "timestamp", "required": true},
            "service": "text", "took": {"type": "float64", "path": "http.took"}, "status": "int64"
        }, "unknown": "extra"}"#;
        vec![
            Sample::new(
                "nested, escaped, and a key that no column names",
                config,
                r#"{"timestamp": "2025-09-12T12:00:00.5Z", "service": "caf\u00e9",
                    "http": {"took": 12}, "status": 2e2, "user": [1]}"#,
                r#"[{"timestamp": 1757678400500000, "service": "café", "took": 12.0, "status": 200,
                     "extra": "{\"user\":[1]}"}]"#,
            ),
            Sample::new("cut short", config, r#"{"service": "a""#, r#"{"reject": "invalid_json"}"#),
            Sample::new(
                "no time",
                config,
                r#"{"timestamp": null}"#,
                r#"{"reject": "missing_field"}"#,
            ),
            Sample::new(
                "a status in words",
                config,
                r#"{"status": "ok", "timestamp": "2025-09-12T12:00:00Z"}"#,
                r#"{"reject": "wrong_type"}"#,
            ),
        ]
    }
}

/// Whether no character straddles `at`, given that the whole is UTF-8.
fn is_boundary(data: &[u8], at: usize) -> bool {
    data.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

/// Whether a column takes text as it is.
fn takes_text(column: &Column) -> bool {
    matches!(column.kind, Kind::Text | Kind::Timestamp(..)) || column.parse_text
}

millstream_sdk::export_parser!(Json);
