//! The parser `regex`: named groups of a regular expression to typed columns.
//!
//! Convenient and slow: some 700 ns a line where a scanner needs 100. Running time is linear in
//! the length of the line, whatever the expression.

use core::cell::RefCell;

use millstream_parser_common::columns::{
    Column, ColumnConfig, ColumnEntry, OnError, Ordered, PROBLEMS,
};
use millstream_sdk::prelude::*;
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

const NO_MATCH: Reject = Reject(0);
const FIRST_PROBLEM: u16 = 1;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The expression. Its named groups are the columns.
    pattern: String,
    /// Types of the groups; text unless said.
    #[serde(default)]
    columns: Ordered<ColumnEntry>,
    /// What becomes of fields that do not fit, where the column does not say.
    #[serde(default)]
    on_type_error: OnError,
}

/// The parser.
#[derive(Debug)]
pub struct RegexParser {
    regex: Regex,
    /// The columns, each with the number of its group.
    columns: Vec<(usize, Column)>,
    work: RefCell<(CaptureLocations, Vec<u8>)>,
}

impl Parser for RegexParser {
    const NAME: &'static str = "regex";
    const SUMMARY: &'static str = "named groups of a regular expression to typed columns (slow)";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const REJECTS: &'static [RejectCode] = &[
        RejectCode::new("no_match", "the expression does not match the record"),
        PROBLEMS[0],
        PROBLEMS[1],
        PROBLEMS[2],
        PROBLEMS[3],
        PROBLEMS[4],
    ];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        let regex = RegexBuilder::new(&config.pattern)
            .size_limit(8 << 20)
            .build()
            .map_err(|error| Fault::Config(format!("pattern: {error}")))?;
        let mut options = config.columns.0;
        let mut columns = Vec::new();
        for (group, name) in regex.capture_names().enumerate() {
            let Some(name) = name else { continue };
            let entry = match options.iter().position(|(column, _)| column == name) {
                Some(at) => options.swap_remove(at).1.0,
                None => ColumnConfig::of_type("text"),
            };
            if entry.path.is_some() {
                return Err(Fault::Config(format!("column `{name}`: `path` is for JSON")));
            }
            columns.push((group, Column::compile(name, entry, config.on_type_error)?));
        }
        if let Some((name, _)) = options.first() {
            let groups: Vec<&str> = regex.capture_names().flatten().collect();
            return Err(Fault::Config(format!(
                "column `{name}` is no group of the pattern, or there twice; its groups are {}",
                groups.join(", ")
            )));
        }
        if columns.is_empty() {
            return Err(Fault::Config(
                "the pattern has no named group such as `(?<status>[0-9]+)`".into(),
            ));
        }
        let locations = regex.capture_locations();
        Ok(Self { regex, columns, work: RefCell::new((locations, Vec::new())) })
    }

    fn schema(&self) -> Schema {
        self.columns.iter().map(|(_, column)| column.field()).collect()
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        let mut work = self.work.borrow_mut();
        let (locations, scratch) = &mut *work;
        if self.regex.captures_read(locations, record).is_none() {
            return Err(NO_MATCH);
        }
        for (index, (group, column)) in self.columns.iter().enumerate() {
            let table = row.table();
            let found = locations.get(*group).and_then(|(start, end)| record.get(start..end));
            let result = match found {
                Some(text) => column.write_text(index, text, table, scratch),
                None => Ok(()),
            };
            result
                .and_then(|()| column.complete(index, table))
                .map_err(|problem| problem.reject(FIRST_PROBLEM))?;
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        let config = r#"{"pattern": "^(?<level>\\w+) took (?<ms>\\d+)ms(?: by (?<user>\\S+))?$",
            "columns": {"ms": "int64", "level": {"type": "text", "lower": true}}}"#;
        vec![
            Sample::new(
                "typed groups",
                config,
                "WARN took 12ms",
                r#"[{"level": "warn", "ms": 12}]"#,
            ),
            Sample::new(
                "an optional group",
                config,
                "INFO took 3ms by jo",
                r#"[{"level": "info", "ms": 3, "user": "jo"}]"#,
            ),
            Sample::new("another line", config, "hello", r#"{"reject": "no_match"}"#),
        ]
    }
}

millstream_sdk::export_parser!(RegexParser);
