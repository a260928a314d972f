//! The parser `csv`: one record a line, fields by position, to typed columns.
//!
//! Quoting is that of RFC 4180: a field may stand between quotation marks, and a doubled mark
//! means one. A line break inside quotation marks does not reach a parser, which sees one line.

use core::cell::RefCell;

use millstream_parser_common::columns::{
    Column, ColumnEntry, OnError, Ordered, PROBLEMS, check_names,
};
use millstream_parser_common::scan::{find, find_either};
use millstream_sdk::prelude::*;

const MALFORMED: Reject = Reject(0);
const FIELD_COUNT: Reject = Reject(1);
const FIRST_PROBLEM: u16 = 2;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The columns, in the order of the fields unless `header` says another.
    columns: Ordered<ColumnEntry>,
    /// The names of the fields, in order. A line that equals them is left out.
    #[serde(default)]
    header: Vec<String>,
    #[serde(default = "comma")]
    delimiter: String,
    #[serde(default = "quotation_mark")]
    quote: String,
    /// Whether lines may have fewer fields (the rest is null) or more (left out).
    #[serde(default)]
    flexible: bool,
    /// What an empty field without quotation marks means.
    #[serde(default = "yes")]
    empty_is_null: bool,
    #[serde(default)]
    on_type_error: OnError,
}

fn comma() -> String {
    ",".to_owned()
}

fn quotation_mark() -> String {
    "\"".to_owned()
}

fn yes() -> bool {
    true
}

/// The parser.
#[derive(Debug)]
pub struct Csv {
    columns: Vec<Column>,
    /// For each field the column it goes to.
    fields: Vec<Option<usize>>,
    header: Vec<String>,
    delimiter: u8,
    quote: Option<u8>,
    flexible: bool,
    empty_is_null: bool,
    work: RefCell<Work>,
}

#[derive(Debug, Default)]
struct Work {
    unquoted: Vec<u8>,
    lower: Vec<u8>,
}

/// A single ASCII character of the configuration.
fn one_byte(name: &str, text: &str) -> Result<u8, Fault> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(Fault::Config(format!("`{name}` must be one ASCII character, not `{text}`"))),
    }
}

/// A field as it stands in the line.
enum Piece<'a> {
    Plain(&'a [u8]),
    /// Between quotation marks; with doubled ones inside, or not.
    Quoted(&'a [u8], bool),
}

impl Csv {
    /// The field at `at`, and where it ends; `None` for broken quoting.
    #[inline]
    fn field<'a>(&self, line: &'a [u8], at: usize) -> Option<(Piece<'a>, usize)> {
        let end = line.len();
        if let Some(quote) = self.quote
            && line.get(at) == Some(&quote)
        {
            let mut doubled = false;
            let mut from = at + 1;
            loop {
                let close = find(line, from, end, quote);
                match line.get(close + 1) {
                    _ if close == end => return None,
                    Some(next) if *next == quote => {
                        doubled = true;
                        from = close + 2;
                    }
                    None => {
                        return Some((Piece::Quoted(line.get(at + 1..close)?, doubled), close + 1));
                    }
                    Some(next) if *next == self.delimiter => {
                        return Some((Piece::Quoted(line.get(at + 1..close)?, doubled), close + 1));
                    }
                    Some(_) => return None,
                }
            }
        }
        let stop = match self.quote {
            Some(quote) => find_either(line, at, end, self.delimiter, quote),
            None => find(line, at, end, self.delimiter),
        };
        if stop < end && line.get(stop) != Some(&self.delimiter) {
            // A quotation mark inside a plain field is part of it.
            let stop = find(line, stop, end, self.delimiter);
            return Some((Piece::Plain(line.get(at..stop)?), stop));
        }
        Some((Piece::Plain(line.get(at..stop)?), stop))
    }

    fn is_header(&self, line: &[u8]) -> bool {
        if self.header.is_empty() {
            return false;
        }
        let mut at = 0;
        for (index, name) in self.header.iter().enumerate() {
            if index > 0 && at >= line.len() {
                return false;
            }
            let Some((Piece::Plain(text) | Piece::Quoted(text, false), end)) = self.field(line, at)
            else {
                return false;
            };
            if text.trim_ascii() != name.as_bytes() {
                return false;
            }
            let last = index + 1 == self.header.len();
            if last {
                return end == line.len();
            }
            if end >= line.len() {
                return false;
            }
            at = end + 1;
        }
        false
    }
}

impl Parser for Csv {
    const NAME: &'static str = "csv";
    const SUMMARY: &'static str = "separated values, one record a line, to typed columns";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const REJECTS: &'static [RejectCode] = &[
        RejectCode::new("malformed_line", "quotation marks do not match"),
        RejectCode::new("field_count", "there are more or fewer fields than columns"),
        PROBLEMS[0],
        PROBLEMS[1],
        PROBLEMS[2],
        PROBLEMS[3],
        PROBLEMS[4],
    ];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        let mut columns = Vec::new();
        for (name, ColumnEntry(column)) in config.columns.0 {
            if column.path.is_some() {
                return Err(Fault::Config(format!("column `{name}`: `path` is for JSON")));
            }
            columns.push(Column::compile(&name, column, config.on_type_error)?);
        }
        check_names(&columns)?;
        let fields = if config.header.is_empty() {
            (0..columns.len()).map(Some).collect()
        } else {
            for column in &columns {
                if !config.header.contains(&column.name) {
                    return Err(Fault::Config(format!(
                        "column `{}` is not in the header; it has {}",
                        column.name,
                        config.header.join(", ")
                    )));
                }
            }
            config
                .header
                .iter()
                .map(|name| columns.iter().position(|column| column.name == *name))
                .collect()
        };
        let delimiter = one_byte("delimiter", &config.delimiter)?;
        let quote = match config.quote.as_str() {
            "" => None,
            quote => Some(one_byte("quote", quote)?),
        };
        if quote == Some(delimiter) {
            return Err(Fault::Config("`quote` and `delimiter` are the same".into()));
        }
        Ok(Self {
            columns,
            fields,
            header: config.header,
            delimiter,
            quote,
            flexible: config.flexible,
            empty_is_null: config.empty_is_null,
            work: RefCell::default(),
        })
    }

    fn schema(&self) -> Schema {
        self.columns.iter().map(Column::field).collect()
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        let line = record.strip_suffix(b"\r").unwrap_or(record);
        if self.is_header(line) {
            row.skip();
            return Ok(());
        }
        let mut work = self.work.borrow_mut();
        let Work { unquoted, lower } = &mut *work;
        let mut at = 0;
        let mut count = 0;
        let mut problem = None;
        loop {
            let (field, end) = self.field(line, at).ok_or(MALFORMED)?;
            if let Some(Some(index)) = self.fields.get(count)
                && let Some(column) = self.columns.get(*index)
            {
                let text = match field {
                    Piece::Plain([]) if self.empty_is_null => None,
                    Piece::Plain(text) | Piece::Quoted(text, false) => Some(text),
                    Piece::Quoted(text, true) => {
                        unquoted.clear();
                        let mut after_quote = false;
                        for &byte in text {
                            after_quote = Some(byte) == self.quote && !after_quote;
                            if !after_quote {
                                unquoted.push(byte);
                            }
                        }
                        Some(unquoted.as_slice())
                    }
                };
                if let Some(text) = text
                    && let Err(found) = column.write_text(*index, text, row.table(), lower)
                {
                    problem = problem.or(Some(found));
                }
            }
            count += 1;
            if end >= line.len() {
                break;
            }
            at = end + 1;
        }
        if count != self.fields.len() && !self.flexible {
            return Err(FIELD_COUNT);
        }
        if let Some(problem) = problem {
            return Err(problem.reject(FIRST_PROBLEM));
        }
        for (index, column) in self.columns.iter().enumerate() {
            column.complete(index, row.table()).map_err(|problem| problem.reject(FIRST_PROBLEM))?;
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        let config = r#"{"columns": {"at": "timestamp", "name": "text", "n": "int64"}}"#;
        vec![
            Sample::new(
                "quoted",
                config,
                r#"1970-01-01T00:00:01Z,"a ""b"", c",7"#,
                r#"[{"at": 1000000, "name": "a \"b\", c", "n": 7}]"#,
            ),
            Sample::new(
                "a header, another order, tabs",
                r#"{"header": ["n", "x", "name"], "columns": {"name": "text", "n": "int64"}, "delimiter": "\t"}"#,
                "7\t\tjo",
                r#"[{"name": "jo", "n": 7}]"#,
            ),
            Sample::new("too few fields", config, "a,b", r#"{"reject": "field_count"}"#),
        ]
    }
}

millstream_sdk::export_parser!(Csv);
