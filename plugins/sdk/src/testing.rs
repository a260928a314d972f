//! Runs plugins in unit tests, as plain Rust: bytes or JSON rows in, JSON rows out.
//!
//! Everything here panics when it is misused, as tests do.
#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "for tests, where a panic is the answer"
)]

use serde_json::{Map, Number, Value as Json, json};

use crate::bindings::rule::RuleCall;
use crate::bindings::types::{Table, TextBuffer};
use crate::describe::{RejectCode, Sample};
use crate::parser::{Parser, ParserHost};
use crate::rule::{Rule, RuleHost};
use crate::schema::{DataType, Field, Schema};
use crate::table::{TableBuilder, Value};
use crate::transform::{Transform, TransformHost};
use crate::view::{Row, bit};
use crate::{ColumnRef, Fault};

/// What a parser made of some records.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The rows, as JSON objects in the order of the schema; times are microseconds.
    pub rows: Vec<Json>,
    /// The record that each row came from.
    pub source: Vec<u32>,
    /// The refused records, each with the name of its code.
    pub rejects: Vec<(u32, &'static str)>,
}

/// Parses records in one batch.
///
/// # Errors
/// The plugin's fault.
pub fn parse<P: Parser>(config: &str, records: &[&[u8]]) -> Result<Parsed, Fault> {
    let host = ParserHost::<P>::configure(config)?;
    parse_with(&host, records)
}

/// Parses records in one batch with a parser that is configured already.
///
/// # Errors
/// The plugin's fault.
pub fn parse_with<P: Parser>(host: &ParserHost<P>, records: &[&[u8]]) -> Result<Parsed, Fault> {
    let buffer = text_buffer(records);
    let parsed = host.parse(&buffer, &vec![0; records.len()])?;
    let refused = &parsed.rejects.records;
    let source = match parsed.source {
        Some(source) => source,
        None => (0_u32..).take(records.len()).filter(|i| !refused.contains(i)).collect(),
    };
    let rejects = refused
        .iter()
        .zip(&parsed.rejects.codes)
        .map(|(&record, &code)| (record, code_name(P::REJECTS, code)))
        .collect();
    let rows = rows(host.schema(), &parsed.output);
    assert_eq!(rows.len(), source.len(), "one source for each row");
    Ok(Parsed { rows, source, rejects })
}

/// Runs the parser's samples.
pub fn check_parser<P: Parser>() {
    check_schema(P::CONFIG_SCHEMA);
    for sample in P::samples() {
        let parsed = parse::<P>(&sample.config, &[&sample.input])
            .unwrap_or_else(|fault| panic!("sample `{}`: {fault:?}", sample.note));
        let actual = match parsed.rejects.first() {
            Some((_, code)) => json!({ "reject": code }),
            None => Json::Array(parsed.rows),
        };
        check_sample(&sample, actual);
    }
}

/// Runs the transform's samples. The columns' types follow from the first row's values.
pub fn check_transform<T: Transform>() {
    check_schema(T::CONFIG_SCHEMA);
    for sample in T::samples() {
        let (schema, table) = table_of(&sample);
        let host = TransformHost::<T>::configure(&sample.config, schema)
            .unwrap_or_else(|fault| panic!("sample `{}`: {fault:?}", sample.note));
        let out = host
            .apply(&table)
            .unwrap_or_else(|fault| panic!("sample `{}`: {fault:?}", sample.note));
        let actual = match out.reject_codes.first() {
            Some(&code) => json!({ "reject": code_name(T::REJECTS, code) }),
            None => Json::Array(rows(host.schema(), &out.output)),
        };
        check_sample(&sample, actual);
    }
}

/// Runs the rule's samples: all rows are of one key that has no history.
pub fn check_rule<R: Rule>() {
    check_schema(R::CONFIG_SCHEMA);
    for sample in R::samples() {
        let (schema, table) = table_of(&sample);
        let outcome = evaluate::<R>(&sample.config, &schema, &table)
            .unwrap_or_else(|fault| panic!("sample `{}`: {fault:?}", sample.note));
        let messages = outcome
            .into_iter()
            .filter(|entry| entry.alert)
            .map(|entry| Json::String(entry.message))
            .collect();
        check_sample(&sample, Json::Array(messages));
    }
}

/// What a rule said about a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The row.
    pub row: u32,
    /// Whether it is an alert, not just an annotation.
    pub alert: bool,
    /// The alert's message.
    pub message: String,
    /// The attributes, as a JSON object.
    pub attributes: Json,
}

/// Evaluates a rule over the rows of one key without state or history.
///
/// # Errors
/// The plugin's fault.
pub fn evaluate<R: Rule>(
    config: &str,
    schema: &[Field],
    table: &Table,
) -> Result<Vec<Entry>, Fault> {
    let host = RuleHost::<R>::configure(config, schema.to_vec())?;
    let outcome = host.evaluate(&RuleCall {
        rows: table.clone(),
        key_offsets: vec![0, table.rows],
        states: text_buffer(&[b""]),
        has_state: vec![0],
        history: TableBuilder::new(schema, 0).finish(schema)?,
        history_offsets: vec![0, 0],
        timer_keys: Vec::new(),
        timers_us: Vec::new(),
        watermark_us: i64::MIN,
    })?;
    let said = outcome.annotations;
    let attributes = rows(&host.plan().attributes, &said.attributes);
    Ok(said
        .rows
        .iter()
        .zip(attributes)
        .enumerate()
        .map(|(index, (&row, attributes))| Entry {
            row,
            alert: bit(&said.is_alert, index),
            message: crate::view::text_at(&said.messages, index)
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default(),
            attributes,
        })
        .collect())
}

/// A table of JSON rows; columns that a row does not name are null.
///
/// # Errors
/// An internal fault when a value does not fit its column.
pub fn table(schema: &[Field], rows: &[Json]) -> Result<Table, Fault> {
    let mut builder = TableBuilder::new(schema, rows.len());
    for row in rows {
        for (column, field) in schema.iter().enumerate() {
            let value = match row.get(&field.name) {
                None | Some(Json::Null) => Value::Null,
                Some(Json::Bool(value)) => Value::Boolean(*value),
                Some(Json::Number(value)) => match value.as_i64() {
                    Some(value) => Value::Int64(value),
                    None => Value::Float64(value.as_f64().unwrap_or(f64::NAN)),
                },
                Some(Json::String(value)) => Value::Text(value),
                Some(_) => return Err(Fault::Internal("a row holds a nested value".into())),
            };
            builder.set(column, value);
        }
        builder.finish_row();
    }
    builder.finish(schema)
}

/// The rows of a table as JSON objects.
#[must_use]
pub fn rows(schema: &[Field], table: &Table) -> Vec<Json> {
    (0..usize::try_from(table.rows).unwrap_or(0))
        .map(|row| {
            let view = Row { table, row, places: None };
            let object: Map<String, Json> = schema
                .iter()
                .enumerate()
                .map(|(index, field)| {
                    let column = ColumnRef { index, data_type: field.data_type };
                    (field.name.clone(), value(view, column))
                })
                .collect();
            Json::Object(object)
        })
        .collect()
}

fn value(row: Row<'_>, column: ColumnRef) -> Json {
    match column.data_type {
        DataType::Boolean => row.bool(column).map(Json::Bool),
        DataType::Int64 | DataType::TimestampUs => row.i64(column).map(Into::into),
        DataType::Float64 => row
            .f64(column)
            .map(|v| Number::from_f64(v).map_or_else(|| json!(v.to_string()), Json::Number)),
        DataType::Text => row.text(column).map(Into::into),
        DataType::Bytes => row.bytes(column).map(|bytes| String::from_utf8_lossy(bytes).into()),
    }
    .unwrap_or(Json::Null)
}

fn text_buffer(values: &[&[u8]]) -> TextBuffer {
    let mut buffer = TextBuffer { offsets: vec![0], data: Vec::new() };
    for value in values {
        buffer.data.extend_from_slice(value);
        let end = i32::try_from(buffer.data.len()).unwrap_or_else(|_| panic!("over 2 GiB"));
        buffer.offsets.push(end);
    }
    buffer
}

fn table_of(sample: &Sample) -> (Schema, Table) {
    let rows: Vec<Json> = serde_json::from_slice(&sample.input)
        .unwrap_or_else(|error| panic!("sample `{}`: {error}", sample.note));
    let mut schema = Schema::new();
    for row in &rows {
        for (name, value) in row.as_object().into_iter().flatten() {
            let data_type = match value {
                Json::Bool(_) => DataType::Boolean,
                Json::Number(n) if n.is_i64() => DataType::Int64,
                Json::Number(_) => DataType::Float64,
                Json::String(_) => DataType::Text,
                _ => continue,
            };
            match schema.iter_mut().find(|field| field.name == *name) {
                None => schema.push(Field::new(name, data_type)),
                // Integers and doubles in one column make a column of doubles.
                Some(field) if data_type == DataType::Float64 => field.data_type = data_type,
                Some(_) => {}
            }
        }
    }
    let table =
        table(&schema, &rows).unwrap_or_else(|fault| panic!("sample `{}`: {fault:?}", sample.note));
    (schema, table)
}

fn check_sample(sample: &Sample, actual: Json) {
    let expected: Json = serde_json::from_str(&sample.expected)
        .unwrap_or_else(|error| panic!("sample `{}`: {error}", sample.note));
    assert_eq!(without_nulls(actual), without_nulls(expected), "sample `{}`", sample.note);
}

/// A column that is null may be left out of what is expected.
fn without_nulls(json: Json) -> Json {
    match json {
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        Json::Object(fields) => {
            Json::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        other => other,
    }
}

fn check_schema(schema: &str) {
    let json: Result<Json, _> = serde_json::from_str(schema);
    assert!(json.is_ok_and(|s| s.is_object()), "the config schema is no JSON object");
}

fn code_name(codes: &'static [RejectCode], code: u16) -> &'static str {
    codes
        .get(usize::from(code))
        .map_or_else(|| panic!("reject code {code} is not in REJECTS"), |c| c.name)
}
