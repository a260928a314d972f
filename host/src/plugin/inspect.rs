//! Shows what a plugin is, and runs the samples that it brings along.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use chrono::DateTime;
use serde_json::{Map, Value};

use crate::config::model::Limits;
use crate::data::timestamp_type;

use super::API_VERSION;
use super::describe::{Descriptor, Sample};
use super::engine::PluginRuntime;
use super::error::{PluginError, Poison};
use super::gate::PluginKind;
use super::load::PluginVersion;
use super::parser::RecordsRef;
use super::rule::RuleCall;
use super::sample_rows::rows_of;
use super::schema::LOGICAL;

/// What there is to know of a plugin file.
#[derive(Debug)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// What it does.
    pub kind: PluginKind,
    /// The version of the contract that this host serves it with.
    pub api_version: &'static str,
    /// The interfaces it imports, with versions.
    pub imports: Vec<String>,
    /// The interfaces it exports, with versions.
    pub exports: Vec<String>,
    /// Whether it takes over state of older versions.
    pub migrates: bool,
    /// The file's size.
    pub size_bytes: u64,
    /// The file's SHA-256, lower-case hex.
    pub sha256: String,
    /// What it says of itself.
    pub descriptor: Descriptor,
    /// A parser's schema with the configuration given.
    pub schema: Option<SchemaRef>,
    /// What came of its samples.
    pub samples: Vec<SampleResult>,
}

/// What came of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleResult {
    /// What the sample shows.
    pub note: String,
    /// How what came out differs from what is expected; none when it does not.
    pub difference: Option<String>,
}

/// Loads the plugin in `path`, runs its samples and, for a parser, reads its schema with `config`.
///
/// # Errors
/// When the plugin cannot be loaded, or a parser refuses `config`.
pub fn inspect(
    runtime: &Arc<PluginRuntime>,
    path: &Path,
    config: Option<&str>,
) -> Result<Inspection, PluginError> {
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let version = runtime.load(path, &name, None, &Limits::default())?;
    let schema = match (version.kind(), config) {
        (PluginKind::Parser, Some(config)) => Some(Arc::clone(version.parser(config)?.schema())),
        _ => None,
    };
    Ok(Inspection {
        path: path.to_owned(),
        kind: version.kind(),
        api_version: API_VERSION,
        imports: version.imports().to_vec(),
        exports: version.exports().to_vec(),
        migrates: version.migrates(),
        size_bytes: version.size_bytes(),
        sha256: version.id().sha256.clone(),
        descriptor: version.descriptor().clone(),
        schema,
        samples: run_samples(&version),
    })
}

/// Runs the samples that a plugin brings along.
pub fn run_samples(version: &Arc<PluginVersion>) -> Vec<SampleResult> {
    let run = |sample: &Sample| {
        let difference = run_sample(version, sample).err();
        SampleResult { note: sample.note.clone(), difference }
    };
    version.descriptor().samples.iter().map(run).collect()
}

fn run_sample(version: &Arc<PluginVersion>, sample: &Sample) -> Result<(), String> {
    let expected: Value = serde_json::from_str(&sample.expected)
        .map_err(|error| format!("`expected` is not JSON: {error}"))?;
    match version.kind() {
        PluginKind::Parser => run_parser(version, sample, &expected),
        PluginKind::Transform => run_transform(version, sample, &expected),
        PluginKind::Rule => run_rule(version, sample, &expected),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn run_parser(
    version: &Arc<PluginVersion>,
    sample: &Sample,
    expected: &Value,
) -> Result<(), String> {
    let mut parser = version.parser(&sample.config).map_err(text)?.instance();
    let end = i32::try_from(sample.input.len()).map_err(text)?;
    let records = RecordsRef { data: &sample.input, offsets: &[0, end], received_us: &[0] };
    let outcome = parser.parse(records).map_err(text)?;
    no_poison(&outcome.poison)?;
    compare(version, &outcome.rows, &outcome.rejects, expected)
}

fn run_transform(
    version: &Arc<PluginVersion>,
    sample: &Sample,
    expected: &Value,
) -> Result<(), String> {
    let input = rows_of(&sample.input)?;
    let plugin = version.transform(&sample.config, &input.schema()).map_err(text)?;
    let outcome = plugin.instance().apply(&input).map_err(text)?;
    no_poison(&outcome.poison)?;
    compare(version, &outcome.rows, &outcome.rejects, expected)
}

fn run_rule(version: &Arc<PluginVersion>, sample: &Sample, expected: &Value) -> Result<(), String> {
    let rows = rows_of(&sample.input)?;
    let plugin = version.rule(&sample.config, &rows.schema()).map_err(text)?;
    let end = u32::try_from(rows.num_rows()).map_err(text)?;
    let history = rows.slice(0, 0).project(plugin.history_columns()).map_err(text)?;
    let call = RuleCall {
        rows: &rows,
        key_offsets: &[0, end],
        states: &BinaryArray::new_null(1),
        history: &history,
        history_offsets: &[0, 0],
        timer_keys: &[],
        timers_us: &[],
        watermark_us: 0,
    };
    let outcome = plugin.instance().evaluate(call).map_err(text)?;
    no_poison(&outcome.poison)?;
    let alerts = outcome.messages.iter().zip(outcome.is_alert.iter());
    let alerts = alerts.filter(|(_, is_alert)| *is_alert);
    let found: Vec<Value> = alerts.map(|(message, _)| message.into()).collect();
    let found = Value::Array(found);
    if found == *expected { Ok(()) } else { Err(format!("alerts are {found}, not {expected}")) }
}

fn no_poison(poison: &[Poison]) -> Result<(), String> {
    poison.first().map_or(Ok(()), |poison| Err(poison.error.to_string()))
}

/// Compares rows and rejects with what a sample expects.
fn compare(
    version: &PluginVersion,
    rows: &RecordBatch,
    rejects: &[(u32, u16)],
    expected: &Value,
) -> Result<(), String> {
    let found = Value::Array((0..rows.num_rows()).map(|row| row_json(rows, row)).collect());
    let rejected = rejects.first().and_then(|(_, code)| {
        let code = version.descriptor().reject_codes.get(usize::from(*code))?;
        Some(serde_json::json!({ "reject": &*code.name }))
    });
    let same = match (&rejected, expected) {
        (Some(reject), expected) if rows.num_rows() == 0 => reject == expected,
        (_, Value::Array(expected)) => {
            expected.len() == rows.num_rows()
                && expected.iter().enumerate().all(|(row, value)| same_row(rows, row, value))
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    let found = rejected.filter(|_| rows.num_rows() == 0).unwrap_or(found);
    Err(format!("got {found}, not {expected}"))
}

/// Returns one row as a JSON object; times are RFC 3339.
fn row_json(rows: &RecordBatch, row: usize) -> Value {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let cells = columns.map(|(field, array)| (field.name().clone(), cell_json(field, array, row)));
    Value::Object(cells.collect::<Map<_, _>>())
}

fn cell_json(field: &Field, array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).into(),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            let json = field.metadata().get(LOGICAL).is_some_and(|logical| logical == "json");
            let parsed = json.then(|| serde_json::from_str(text).ok()).flatten();
            parsed.unwrap_or_else(|| text.into())
        }
        DataType::Binary => String::from_utf8_lossy(array.as_binary::<i32>().value(row)).into(),
        time if *time == timestamp_type() => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
            DateTime::from_timestamp_micros(us).map_or_else(
                || us.into(),
                |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into(),
            )
        }
        _ => Value::Null,
    }
}

/// Returns true when the row is what the sample expects. A key left out stands for null, a time may
/// be RFC 3339 or microseconds, and 1 is 1.0.
fn same_row(rows: &RecordBatch, row: usize, expected: &Value) -> bool {
    let Value::Object(expected) = expected else { return false };
    let schema = rows.schema();
    let known = expected
        .iter()
        .all(|(name, value)| value.is_null() || schema.column_with_name(name).is_some());
    let mut columns = schema.fields().iter().zip(rows.columns());
    known
        && columns.all(|(field, array)| {
            let expected = expected.get(field.name()).unwrap_or(&Value::Null);
            same_cell(field, array, row, expected)
        })
}

fn same_cell(field: &Field, array: &ArrayRef, row: usize, expected: &Value) -> bool {
    let found = cell_json(field, array, row);
    if found == *expected {
        return true;
    }
    if !array.is_null(row) && *array.data_type() == timestamp_type() {
        let us = array.as_primitive::<TimestampMicrosecondType>().value(row);
        return match expected {
            Value::Number(number) => number.as_i64() == Some(us),
            Value::String(text) => {
                DateTime::parse_from_rfc3339(text).is_ok_and(|time| time.timestamp_micros() == us)
            }
            _ => false,
        };
    }
    if let (Value::String(_), DataType::Utf8) = (expected, array.data_type()) {
        // JSON text may be written as text.
        return !array.is_null(row) && expected == array.as_string::<i32>().value(row);
    }
    matches!((found.as_f64(), expected.as_f64()), (Some(a), Some(b)) if a == b)
}
