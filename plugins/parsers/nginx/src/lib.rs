//! The parser `nginx`: access logs in any `log_format`, and error logs, of the nginx web server.

mod error_log;

use millstream_parser_common::columns::{Ordered, PROBLEMS, select};
use millstream_parser_common::layout::{FieldKind, Layout, LineError, Piece, Target};
use millstream_parser_common::scan::is_ascii;
use millstream_parser_common::time::{self, TimeFormat};
use millstream_sdk::prelude::*;

use error_log::ErrorLog;

const MALFORMED: Reject = Reject(0);
const FIRST_PROBLEM: u16 = 1;

const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status \
                        $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// The `config` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    format: Option<Format>,
    /// The `log_format` of the nginx configuration.
    log_format: Option<String>,
    /// Types of columns where the usual ones do not fit.
    types: Ordered<Type>,
    /// The columns wanted, in order; all but `request` unless said.
    columns: Option<Vec<String>>,
    /// The zone of error logs, whose times have none.
    zone: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Combined,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    Text,
    Int64,
    Float64,
}

/// The parser.
#[derive(Debug)]
pub struct Nginx {
    schema: Schema,
    lines: Lines,
}

#[derive(Debug)]
enum Lines {
    Access(Layout),
    Error(ErrorLog),
}

/// A piece of a `log_format`.
enum Token {
    Text(String),
    Variable(String),
}

fn tokens(format: &str) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('$') {
        let (text, after) = rest.split_at(at);
        if !text.is_empty() {
            tokens.push(Token::Text(text.to_owned()));
        }
        let after = after.get(1..).unwrap_or_default();
        let (name, behind) = if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}').unwrap_or(("", ""))
        } else {
            let end =
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            after.split_at(end)
        };
        if name.is_empty() {
            return Err(Fault::Config("log_format: `$` without the name of a variable".into()));
        }
        tokens.push(Token::Variable(name.to_owned()));
        rest = behind;
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest.to_owned()));
    }
    Ok(tokens)
}

/// The column of a variable.
fn column_of(variable: &str) -> (&str, FieldKind) {
    match variable {
        "time_local" => ("timestamp", FieldKind::Time(TimeFormat::AccessLog, 0)),
        "time_iso8601" => ("timestamp", FieldKind::Time(TimeFormat::Rfc3339, 0)),
        "msec" => ("timestamp", FieldKind::Time(TimeFormat::Epoch(1), 0)),
        "http_referer" => ("referer", FieldKind::Text),
        "http_user_agent" => ("user_agent", FieldKind::Text),
        "status"
        | "body_bytes_sent"
        | "bytes_sent"
        | "request_length"
        | "connection"
        | "connection_requests"
        | "pid"
        | "server_port"
        | "remote_port"
        | "content_length" => (variable, FieldKind::Int64),
        "request_time" => (variable, FieldKind::Float64),
        other => (other, FieldKind::Text),
    }
}

fn field_of(name: &str, kind: &FieldKind) -> Field {
    match kind {
        FieldKind::Text if name == "remote_addr" => Field::text(name).logical("ip"),
        FieldKind::Text => Field::text(name),
        FieldKind::Int64 => Field::int64(name),
        FieldKind::Float64 => Field::float64(name),
        FieldKind::Time(..) => Field::timestamp(name),
    }
}

fn access(config: &Config) -> Result<Nginx, Fault> {
    let format = config.log_format.as_deref().unwrap_or(COMBINED);
    let mut known: Vec<Field> = Vec::new();
    let mut has_request = false;
    let mut kinds = Vec::new();
    let tokens = tokens(format)?;
    for token in &tokens {
        let Token::Variable(variable) = token else { continue };
        if variable == "request" {
            has_request = true;
            known.extend(["method", "path", "protocol"].map(Field::text));
            continue;
        }
        let (name, mut kind) = column_of(variable);
        if let Some((_, wished)) = config.types.0.iter().find(|(column, _)| column == name) {
            kind = match wished {
                Type::Text => FieldKind::Text,
                Type::Int64 => FieldKind::Int64,
                Type::Float64 => FieldKind::Float64,
            };
        }
        known.push(field_of(name, &kind));
        kinds.push((variable.as_str(), name, kind));
    }
    for (index, field) in known.iter().enumerate() {
        if known.iter().take(index).any(|f| f.name == field.name) {
            return Err(Fault::Config(format!(
                "log_format: column `{}` would be there twice",
                field.name
            )));
        }
    }
    if let Some((name, _)) =
        config.types.0.iter().find(|(name, _)| !kinds.iter().any(|(_, column, _)| column == name))
    {
        return Err(Fault::Config(format!("`types` names `{name}`, which the format has not")));
    }
    let extra = if has_request { vec![Field::text("request")] } else { Vec::new() };
    let schema = select(&known, &extra, config.columns.as_deref())?;
    if schema.is_empty() {
        return Err(Fault::Config("log_format has no variable".into()));
    }
    let place = |name: &str| schema.iter().position(|field| field.name == name);
    let pieces = tokens
        .iter()
        .map(|token| match token {
            Token::Text(text) => Piece::Text(text.as_bytes().to_vec()),
            Token::Variable(variable) if variable == "request" => {
                let places = ["method", "path", "protocol", "request"].map(place);
                Piece::Field(if places == [None; 4] {
                    Target::Skip
                } else {
                    Target::Request(places)
                })
            }
            Token::Variable(variable) => {
                let kind = kinds.iter().find(|(v, ..)| v == variable);
                Piece::Field(match kind {
                    Some((_, name, kind)) => place(name)
                        .map_or(Target::Skip, |place| Target::Column(place, kind.clone())),
                    None => Target::Skip,
                })
            }
        })
        .collect();
    let layout =
        Layout::new(pieces).map_err(|what| Fault::Config(format!("log_format: {what}")))?;
    Ok(Nginx { schema, lines: Lines::Access(layout) })
}

fn reject(error: LineError) -> Reject {
    match error {
        LineError::Malformed => MALFORMED,
        LineError::Field(problem) => problem.reject(FIRST_PROBLEM),
    }
}

impl Parser for Nginx {
    const NAME: &'static str = "nginx";
    const SUMMARY: &'static str = "access logs in any log_format, and error logs, of nginx";
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
        if config.format.is_some() && config.log_format.is_some() {
            return Err(Fault::Config("`format` and `log_format` exclude each other".into()));
        }
        if config.format != Some(Format::Error) {
            if config.zone.is_some() {
                return Err(Fault::Config(
                    "`zone` is for error logs; access logs name theirs".into(),
                ));
            }
            return access(&config);
        }
        if !config.types.0.is_empty() {
            return Err(Fault::Config("`types` is for access logs".into()));
        }
        let zone = match &config.zone {
            None => 0,
            Some(zone) => time::zone(zone).ok_or_else(|| {
                Fault::Config(format!("zone `{zone}` is neither UTC nor like +02:00"))
            })?,
        };
        let schema = select(&error_log::columns(), &[], config.columns.as_deref())?;
        let lines = Lines::Error(ErrorLog::new(&schema, zone));
        Ok(Self { schema, lines })
    }

    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        match &self.lines {
            Lines::Access(layout) => {
                layout.parse(record, 0, record.len(), is_ascii(record), row.table())
            }
            Lines::Error(lines) => lines.parse(record, row.table()),
        }
        .map_err(reject)
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
                r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 304 0 "-" "A \x22b\x22""#,
                r#"[{"remote_addr": "1.2.3.4", "timestamp": 1431857103000000, "method": "GET",
                    "path": "/a", "protocol": "HTTP/1.1", "status": 304, "body_bytes_sent": 0,
                    "user_agent": "A \"b\""}]"#,
            ),
            Sample::new(
                "a log_format of one's own",
                r#"{"log_format": "$msec|$status|${request_time}s|$upstream_addr",
                    "columns": ["timestamp", "request_time", "upstream_addr"]}"#,
                "1431857103.250|200|0.012s|10.0.0.1:80, 10.0.0.2:80",
                r#"[{"timestamp": 1431857103250000, "request_time": 0.012,
                    "upstream_addr": "10.0.0.1:80, 10.0.0.2:80"}]"#,
            ),
            Sample::new("another line", "{}", "hello", r#"{"reject": "malformed_line"}"#),
            Sample::new(
                "error log",
                r#"{"format": "error"}"#,
                "2015/05/17 10:05:03 [error] 7#8: *9 open() failed, client: 1.2.3.4, \
                 server: x, request: \"GET / HTTP/1.1\", host: \"x\"",
                r#"[{"timestamp": 1431857103000000, "level": "error", "pid": 7, "tid": 8,
                    "connection": 9, "message": "open() failed", "client": "1.2.3.4",
                    "server": "x", "request": "GET / HTTP/1.1", "host": "x"}]"#,
            ),
        ]
    }
}

millstream_sdk::export_parser!(Nginx);
