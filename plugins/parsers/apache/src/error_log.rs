//! Error logs: `[time] [module:level] [pid 1:tid 2] [client a:1] message`, and the older form
//! without module and pid.

use millstream_parser_common::columns::Problem;
use millstream_parser_common::layout::LineError;
use millstream_parser_common::scan::find;
use millstream_parser_common::time::TimeFormat;
use millstream_sdk::{Field, TableBuilder, Value};

pub fn columns() -> Vec<Field> {
    vec![
        Field::timestamp("timestamp"),
        Field::text("module"),
        Field::text("level"),
        Field::int64("pid"),
        Field::int64("tid"),
        Field::text("client"),
        Field::text("message"),
    ]
}

/// The parser of error logs.
#[derive(Debug)]
pub struct ErrorLog {
    /// For each of [`columns`] its place among those wanted.
    places: Vec<Option<usize>>,
    width: usize,
    time: TimeFormat,
    zone: i64,
}

impl ErrorLog {
    pub fn new(schema: &[Field], zone: i64) -> Self {
        let place = |field: &Field| schema.iter().position(|f| f.name == field.name);
        Self {
            places: columns().iter().map(place).collect(),
            width: schema.len(),
            time: TimeFormat::compile("%a %b %e %H:%M:%S%.f %Y").unwrap_or(TimeFormat::Rfc3339),
            zone,
        }
    }

    /// Parses a line into the current row, and writes every column.
    pub fn parse(&self, line: &[u8], table: &mut TableBuilder) -> Result<(), LineError> {
        let line =
            core::str::from_utf8(line).map_err(|_| LineError::Field(Problem::InvalidUtf8))?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (time, rest) = bracket(line).ok_or(LineError::Malformed)?;
        let (place, mut rest) = bracket(rest).ok_or(LineError::Malformed)?;
        let time = self
            .time
            .parse(time.as_bytes(), self.zone)
            .ok_or(LineError::Field(Problem::BadTimestamp))?;
        let (module, level) = match place.split_once(':') {
            Some((module, level)) => (Some(module).filter(|m| !m.is_empty()), level),
            None => (None, place),
        };
        let (mut pid, mut tid, mut client) = (None, None, None);
        while let Some((part, after)) = bracket(rest) {
            if let Some(ids) = part.strip_prefix("pid ") {
                let (process, thread) = match ids.split_once(":tid ") {
                    Some((process, thread)) => (process, Some(thread)),
                    None => (ids, None),
                };
                pid = process.parse::<i64>().ok();
                tid = thread.and_then(|id| id.parse::<i64>().ok());
            } else if let Some(name) =
                part.strip_prefix("client ").or_else(|| part.strip_prefix("remote "))
            {
                client = Some(name);
            } else {
                break;
            }
            rest = after;
        }
        let values: [Value<'_>; 7] = [
            Value::Timestamp(time),
            module.into(),
            level.into(),
            pid.into(),
            tid.into(),
            client.into(),
            rest.into(),
        ];
        for (place, value) in self.places.iter().zip(values) {
            if let Some(column) = place
                && *column < self.width
            {
                table.set(*column, value);
            }
        }
        Ok(())
    }
}

/// The text in the brackets that the line starts with, and what follows.
fn bracket(line: &str) -> Option<(&str, &str)> {
    let inner = line.strip_prefix('[')?;
    let end = find(inner.as_bytes(), 0, inner.len(), b']');
    let rest = inner.get(end + 1..)?;
    Some((inner.get(..end)?, rest.strip_prefix(' ').unwrap_or(rest)))
}
