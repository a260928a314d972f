//! The parser `apache`: access logs (common, combined, vhost_combined) and error logs of the
//! Apache web server.

mod error_log;

use millstream_parser_common::columns::{PROBLEMS, Problem, select};
use millstream_parser_common::layout::{FieldKind, Layout, LineError, Piece, Target};
use millstream_parser_common::scan::is_ascii;
use millstream_parser_common::time::{self, TimeFormat};
use millstream_sdk::prelude::*;

use error_log::ErrorLog;

const MALFORMED: Reject = Reject(0);
const FIRST_PROBLEM: u16 = 1;

/// The `config` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    format: Format,
    /// The columns wanted, in order; all but `request` unless said.
    columns: Option<Vec<String>>,
    /// The zone of error logs, whose times have none.
    zone: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Common,
    #[default]
    Combined,
    VhostCombined,
    Error,
}

/// The parser.
#[derive(Debug)]
pub struct Apache {
    schema: Schema,
    lines: Lines,
}

#[derive(Debug)]
enum Lines {
    Access(Layout),
    Error(ErrorLog),
}

/// The columns of access logs. `request` is there for those who ask.
fn access_columns(format: Format) -> Vec<Field> {
    let mut columns = vec![
        Field::text("remote_host").logical("ip"),
        Field::text("ident"),
        Field::text("user"),
        Field::timestamp("timestamp"),
        Field::text("method"),
        Field::text("path"),
        Field::text("protocol"),
        Field::int64("status"),
        Field::int64("bytes"),
    ];
    if format == Format::VhostCombined {
        columns.splice(0..0, [Field::text("vhost"), Field::int64("port")]);
    }
    if format != Format::Common {
        columns.extend([Field::text("referer"), Field::text("user_agent")]);
    }
    columns
}

fn access_layout(format: Format, schema: &[Field]) -> Result<Layout, Fault> {
    let column = |name: &str| schema.iter().position(|field| field.name == name);
    let field = |name: &str, kind: FieldKind| {
        Piece::Field(column(name).map_or(Target::Skip, |at| Target::Column(at, kind)))
    };
    let text = |text: &str| Piece::Text(text.as_bytes().to_vec());
    let request = [column("method"), column("path"), column("protocol"), column("request")];
    let request = if request == [None; 4] { Target::Skip } else { Target::Request(request) };
    let mut pieces = Vec::new();
    if format == Format::VhostCombined {
        pieces.extend([
            field("vhost", FieldKind::Text),
            text(":"),
            field("port", FieldKind::Int64),
            text(" "),
        ]);
    }
    pieces.extend([
        field("remote_host", FieldKind::Text),
        text(" "),
        field("ident", FieldKind::Text),
        text(" "),
        field("user", FieldKind::Text),
        text(" ["),
        field("timestamp", FieldKind::Time(TimeFormat::AccessLog, 0)),
        text("] \""),
        Piece::Field(request),
        text("\" "),
        field("status", FieldKind::Int64),
        text(" "),
        field("bytes", FieldKind::Int64),
    ]);
    if format != Format::Common {
        pieces.extend([
            text(" \""),
            field("referer", FieldKind::Text),
            text("\" \""),
            field("user_agent", FieldKind::Text),
            text("\""),
        ]);
    }
    Layout::new(pieces).map_err(Fault::Internal)
}

fn reject(error: LineError) -> Reject {
    match error {
        // A status or size that is no number: not a line of this format.
        LineError::Malformed | LineError::Field(Problem::WrongType) => MALFORMED,
        LineError::Field(problem) => problem.reject(FIRST_PROBLEM),
    }
}

impl Parser for Apache {
    const NAME: &'static str = "apache";
    const SUMMARY: &'static str = "access and error logs of the Apache web server";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const REJECTS: &'static [RejectCode] = &[
        RejectCode::new("malformed_line", "the line does not have the format"),
        PROBLEMS[0],
        PROBLEMS[1],
        PROBLEMS[2],
        PROBLEMS[3],
        PROBLEMS[4],
    ];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        let wanted = config.columns.as_deref();
        if config.format == Format::Error {
            let zone = match &config.zone {
                None => 0,
                Some(zone) => time::zone(zone).ok_or_else(|| {
                    Fault::Config(format!("zone `{zone}` is neither UTC nor like +02:00"))
                })?,
            };
            let schema = select(&error_log::columns(), &[], wanted)?;
            let lines = Lines::Error(ErrorLog::new(&schema, zone));
            return Ok(Self { schema, lines });
        }
        if config.zone.is_some() {
            return Err(Fault::Config("`zone` is for error logs; access logs name theirs".into()));
        }
        let schema = select(&access_columns(config.format), &[Field::text("request")], wanted)?;
        let lines = Lines::Access(access_layout(config.format, &schema)?);
        Ok(Self { schema, lines })
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        match &self.lines {
            Lines::Access(layout) => {
                layout.parse(record, 0, record.len(), is_ascii(record), row.table()).map_err(reject)
            }
            Lines::Error(lines) => lines.parse(record, row.table()).map_err(reject),
        }
    }

    fn parse_batch(&self, records: Records<'_>, out: &mut BatchBuilder) -> Result<(), Fault> {
        let data = records.data();
        let ascii = is_ascii(data);
        for index in 0..records.len() {
            let result = match &self.lines {
                Lines::Access(layout) => {
                    let (start, end) = records.range(index);
                    layout.parse(data, start, end, ascii, &mut out.table)
                }
                Lines::Error(lines) => lines.parse(records.get(index), &mut out.table),
            };
            match result {
                Ok(()) => out.emit_full(index),
                Err(error) => out.reject(index, reject(error)),
            }
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new(
                "combined",
                "{}",
                r#"1.2.3.4 - - [17/May/2015:12:05:03 +0200] "GET /a?b=1 HTTP/1.1" 200 12 "-" "A \"b\"""#,
                r#"[{"remote_host": "1.2.3.4", "timestamp": 1431857103000000, "method": "GET",
                    "path": "/a?b=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 12,
                    "user_agent": "A \"b\""}]"#,
            ),
            Sample::new(
                "some columns of the common format",
                r#"{"format": "common", "columns": ["status", "user"]}"#,
                r#"host - jo [17/May/2015:10:05:03 +0000] "-" 408 -"#,
                r#"[{"status": 408, "user": "jo"}]"#,
            ),
            Sample::new(
                "without its last quotation mark",
                "{}",
                r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 12 "-" "A"#,
                r#"{"reject": "malformed_line"}"#,
            ),
            Sample::new(
                "error log",
                r#"{"format": "error"}"#,
                "[Sun May 17 10:05:03.5 2015] [core:error] [pid 7:tid 8] [client ::1:9] AH1: oh",
                r#"[{"timestamp": 1431857103500000, "module": "core", "level": "error", "pid": 7,
                    "tid": 8, "client": "::1:9", "message": "AH1: oh"}]"#,
            ),
        ]
    }
}

millstream_sdk::export_parser!(Apache);
