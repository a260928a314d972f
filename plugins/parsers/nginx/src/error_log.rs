//! Error logs: `2015/05/17 10:05:03 [error] 7#8: *9 message, client: a, request: "b"`.

use millstream_parser_common::columns::Problem;
use millstream_parser_common::layout::LineError;
use millstream_parser_common::time::TimeFormat;
use millstream_sdk::{Field, TableBuilder, Value};

/// What may follow a message, in this order, each as `, name: value`.
const CONTEXT: [&str; 7] =
    ["client", "server", "request", "subrequest", "upstream", "host", "referrer"];

pub fn columns() -> Vec<Field> {
    let mut columns = vec![
        Field::timestamp("timestamp"),
        Field::text("level"),
        Field::int64("pid"),
        Field::int64("tid"),
        Field::int64("connection"),
        Field::text("message"),
    ];
    columns.extend(CONTEXT.map(Field::text));
    columns
}

/// The parser of error logs.
#[derive(Debug)]
pub struct ErrorLog {
    /// For each of [`columns`] its place among those wanted.
    places: Vec<Option<usize>>,
    time: TimeFormat,
    zone: i64,
}

impl ErrorLog {
    pub fn new(schema: &[Field], zone: i64) -> Self {
        let place = |field: &Field| schema.iter().position(|f| f.name == field.name);
        Self {
            places: columns().iter().map(place).collect(),
            time: TimeFormat::compile("%Y/%m/%d %H:%M:%S").unwrap_or(TimeFormat::Rfc3339),
            zone,
        }
    }

    /// Parses a line into the current row, and writes every column.
    pub fn parse(&self, line: &[u8], table: &mut TableBuilder) -> Result<(), LineError> {
        let line =
            core::str::from_utf8(line).map_err(|_| LineError::Field(Problem::InvalidUtf8))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (time, rest) = line.split_once(" [").ok_or(LineError::Malformed)?;
        let (level, rest) = rest.split_once("] ").ok_or(LineError::Malformed)?;
        let (ids, rest) = rest.split_once(": ").ok_or(LineError::Malformed)?;
        let (pid, tid) = ids.split_once('#').ok_or(LineError::Malformed)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| LineError::Malformed);
        let time = self
            .time
            .parse(time.as_bytes(), self.zone)
            .ok_or(LineError::Field(Problem::BadTimestamp))?;
        let (connection, rest) = match rest.strip_prefix('*').and_then(|r| r.split_once(' ')) {
            Some((id, after)) if id.parse::<i64>().is_ok() => (id.parse::<i64>().ok(), after),
            _ => (None, rest),
        };
        let (message, context) = context(rest);
        let mut values: Vec<Value<'_>> = vec![
            Value::Timestamp(time),
            level.into(),
            number(pid)?.into(),
            number(tid)?.into(),
            connection.into(),
            message.into(),
        ];
        values.extend(context.iter().map(|value| Value::from(*value)));
        for (place, value) in self.places.iter().zip(values) {
            if let Some(column) = place {
                table.set(*column, value);
            }
        }
        Ok(())
    }
}

/// The message, and the values of [`CONTEXT`].
fn context(rest: &str) -> (&str, [Option<&str>; 7]) {
    let mut found = [None; 7];
    let mut rest = rest;
    // From the last to the first: a message may hold anything.
    for (name, value) in CONTEXT.iter().zip(&mut found).rev() {
        let start = format!(", {name}: ");
        if let Some((before, after)) = rest.rsplit_once(start.as_str()) {
            let quoted = after.strip_prefix('"').and_then(|a| a.strip_suffix('"'));
            *value = Some(quoted.unwrap_or(after));
            rest = before;
        }
    }
    (rest, found)
}
