//! Typed columns as configurations describe them, and how a field's text becomes a value.

use core::fmt;
use core::marker::PhantomData;

use millstream_sdk::column::ColumnBuilder;
use millstream_sdk::{DataType, Fault, Field, Reject, RejectCode, TableBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::number::{Number, NumberError};
use crate::time::{self, TimeFormat};

/// A map of a configuration in the order in which it was written.
#[derive(Clone, Debug)]
pub struct Ordered<V>(pub Vec<(String, V)>);

impl<V> Default for Ordered<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Ordered<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Ordered<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A path into nested objects: `"a.b"`, or `["a.b"]` for a key that holds a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Vec<String>);

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Path;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path such as \"a.b\", or a list of keys")
            }

            fn visit_str<E>(self, text: &str) -> Result<Path, E> {
                Ok(Path(text.split('.').map(str::to_owned).collect()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Path, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = seq.next_element()? {
                    keys.push(key);
                }
                Ok(Path(keys))
            }
        }
        deserializer.deserialize_any(Keys)
    }
}

/// What becomes of a field that does not fit its column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The record is refused.
    #[default]
    Reject,
    /// The field becomes null.
    Null,
}

/// A column as a configuration writes it: `"int64"`, or a table of options.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnConfig {
    #[serde(rename = "type")]
    kind: String,
    /// Where the value is; the column's name unless said.
    pub path: Option<Path>,
    /// For times: how they are written.
    format: Option<String>,
    /// For times: the zone of those without one.
    zone: Option<String>,
    #[serde(default)]
    required: bool,
    on_error: Option<OnError>,
    #[serde(default)]
    trim: bool,
    #[serde(default)]
    lower: bool,
    #[serde(default)]
    parse_text: bool,
    default: Option<serde_json::Value>,
    #[serde(default)]
    null_if: NullIf,
}

/// One text, or several.
#[derive(Clone, Debug, Default)]
struct NullIf(Vec<String>);

impl<'de> Deserialize<'de> for NullIf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = NullIf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }

            fn visit_str<E>(self, text: &str) -> Result<NullIf, E> {
                Ok(NullIf(vec![text.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<NullIf, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(NullIf(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// Either form of a column.
#[derive(Clone, Debug)]
pub struct ColumnEntry(pub ColumnConfig);

impl<'de> Deserialize<'de> for ColumnEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ColumnEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type such as \"int64\", or a table with `type`")
            }

            fn visit_str<E>(self, kind: &str) -> Result<ColumnEntry, E> {
                Ok(ColumnEntry(ColumnConfig::of_type(kind)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ColumnEntry, A::Error> {
                ColumnConfig::deserialize(MapAccessDeserializer::new(map)).map(ColumnEntry)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl ColumnConfig {
    /// A column of this type without options.
    #[must_use]
    pub fn of_type(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            path: None,
            format: None,
            zone: None,
            required: false,
            on_error: None,
            trim: false,
            lower: false,
            parse_text: false,
            default: None,
            null_if: NullIf::default(),
        }
    }

    /// The same column with this time format where none is given.
    #[must_use]
    pub fn with_time_format(mut self, format: &str) -> Self {
        if self.format.is_none() {
            self.format = Some(format.to_owned());
        }
        self
    }
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text.
    Text,
    /// Integers.
    Int64,
    /// Doubles.
    Float64,
    /// Booleans.
    Boolean,
    /// Times, how they are written, and the offset of those without one.
    Timestamp(TimeFormat, i64),
    /// Any JSON value, as text.
    Json,
}

/// Why a field does not become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A required field is absent or null.
    Missing,
    /// Not a value of the column's type.
    WrongType,
    /// Not a time in the column's format.
    BadTimestamp,
    /// A number beyond the type's range.
    OutOfRange,
    /// Not UTF-8.
    InvalidUtf8,
}

impl Problem {
    /// The problem's number, when [`PROBLEMS`] stand at `first` in a parser's reject codes.
    #[must_use]
    pub fn reject(self, first: u16) -> Reject {
        Reject(
            first
                + match self {
                    Self::Missing => 0,
                    Self::WrongType => 1,
                    Self::BadTimestamp => 2,
                    Self::OutOfRange => 3,
                    Self::InvalidUtf8 => 4,
                },
        )
    }
}

/// The reject codes of typed columns, in the order of [`Problem`].
pub const PROBLEMS: [RejectCode; 5] = [
    RejectCode::new("missing_field", "a required field is absent or null"),
    RejectCode::new("wrong_type", "a field is not of its column's type"),
    RejectCode::new("bad_timestamp", "a time is not in its column's format"),
    RejectCode::new("number_out_of_range", "a number is too large for its column"),
    RejectCode::new("invalid_utf8", "a text is not UTF-8"),
];

/// A typed column, ready for use.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether a record without it is refused.
    pub required: bool,
    /// What becomes of a field that does not fit.
    pub on_error: OnError,
    /// Whether text is parsed where the format has types of its own (JSON).
    pub parse_text: bool,
    /// Whether any of the options below is set.
    pub cleans: bool,
    trim: bool,
    lower: bool,
    null_if: Vec<Vec<u8>>,
    default: Option<DefaultValue>,
}

/// A default, ready to be written.
#[derive(Clone, Debug, PartialEq)]
enum DefaultValue {
    Text(String),
    Int(i64),
    Float(f64),
    Boolean(bool),
}

const TYPES: &str =
    "text, int64, float64, boolean, timestamp, json, epoch_s, epoch_ms, epoch_us, epoch_ns";

impl Column {
    /// Checks a column of a configuration.
    ///
    /// # Errors
    /// A configuration fault that names the column.
    pub fn compile(name: &str, config: ColumnConfig, on_error: OnError) -> Result<Self, Fault> {
        let fault = |what: String| Fault::Config(format!("column `{name}`: {what}"));
        if name.is_empty() {
            return Err(Fault::Config("a column has an empty name".into()));
        }
        let (kind, format) = match config.kind.as_str() {
            "epoch_s" | "epoch_ms" | "epoch_us" | "epoch_ns" => {
                if config.format.is_some() {
                    return Err(fault(format!(
                        "`format` cannot stand with the type `{}`, which is one",
                        config.kind
                    )));
                }
                ("timestamp", Some(config.kind.clone()))
            }
            other => (other, config.format.clone()),
        };
        if kind != "timestamp" && (format.is_some() || config.zone.is_some()) {
            return Err(fault("`format` and `zone` are for the type `timestamp`".into()));
        }
        let kind = match kind {
            "text" => Kind::Text,
            "int64" => Kind::Int64,
            "float64" => Kind::Float64,
            "boolean" => Kind::Boolean,
            "json" => Kind::Json,
            "timestamp" => {
                let format =
                    TimeFormat::compile(format.as_deref().unwrap_or("rfc3339")).map_err(&fault)?;
                let zone = match &config.zone {
                    None => 0,
                    Some(zone) => time::zone(zone).ok_or_else(|| {
                        fault(format!("zone `{zone}` is neither UTC nor like +02:00"))
                    })?,
                };
                Kind::Timestamp(format, zone)
            }
            other => return Err(fault(format!("type `{other}` is unknown; there are {TYPES}"))),
        };
        let default = match config.default {
            None => None,
            Some(value) => Some(
                default_of(&kind, &value)
                    .ok_or_else(|| fault(format!("the default {value} does not fit the type")))?,
            ),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            required: config.required,
            on_error: config.on_error.unwrap_or(on_error),
            parse_text: config.parse_text,
            cleans: config.trim || config.lower || !config.null_if.0.is_empty(),
            trim: config.trim,
            lower: config.lower,
            null_if: config.null_if.0.into_iter().map(String::into_bytes).collect(),
            default,
        })
    }

    /// The column's place in a schema.
    #[must_use]
    pub fn field(&self) -> Field {
        let data_type = match self.kind {
            Kind::Text | Kind::Json => DataType::Text,
            Kind::Int64 => DataType::Int64,
            Kind::Float64 => DataType::Float64,
            Kind::Boolean => DataType::Boolean,
            Kind::Timestamp(..) => DataType::TimestampUs,
        };
        let mut field = Field::new(&self.name, data_type);
        if self.kind == Kind::Json {
            field = field.logical("json");
        }
        if self.required || self.default.is_some() {
            field = field.required();
        }
        field
    }

    /// Trims, lower-cases and nulls a text as configured; `None` is null.
    #[must_use]
    pub fn clean<'a>(&self, text: &'a [u8], lower: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let mut text = text;
        if self.trim {
            text = match core::str::from_utf8(text) {
                Ok(text) => text.trim().as_bytes(),
                Err(_) => text.trim_ascii(),
            };
        }
        if self.lower {
            lower.clear();
            match core::str::from_utf8(text) {
                Ok(text) if !text.is_ascii() => {
                    lower.extend_from_slice(text.to_lowercase().as_bytes());
                }
                _ => lower.extend(text.iter().map(u8::to_ascii_lowercase)),
            }
            text = lower;
        }
        if self.null_if.iter().any(|null| null == text) {
            return None;
        }
        Some(text)
    }

    /// Writes a field's text, cleaned and converted, to column `index`.
    ///
    /// # Errors
    /// The problem, when `on_error` is `reject`.
    #[inline]
    pub fn write_text(
        &self,
        index: usize,
        text: &[u8],
        table: &mut TableBuilder,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let text = if self.cleans {
            match self.clean(text, scratch) {
                Some(text) => text,
                None => return Ok(()),
            }
        } else {
            text
        };
        self.settle(self.convert(index, text, table))
    }

    /// Applies `on_error`.
    ///
    /// # Errors
    /// The problem, when it is `reject`.
    #[inline]
    pub fn settle(&self, result: Result<(), Problem>) -> Result<(), Problem> {
        match (result, self.on_error) {
            (Err(problem), OnError::Reject) => Err(problem),
            _ => Ok(()),
        }
    }

    /// Converts a text to the column's type and writes it.
    ///
    /// # Errors
    /// The problem; nothing has been written then.
    #[inline]
    pub fn convert(
        &self,
        index: usize,
        text: &[u8],
        table: &mut TableBuilder,
    ) -> Result<(), Problem> {
        let Some(builder) = slot(table, index) else {
            return Ok(());
        };
        match (&self.kind, builder) {
            (Kind::Text | Kind::Json, ColumnBuilder::Text(column)) => {
                if !crate::scan::is_ascii(text) && core::str::from_utf8(text).is_err() {
                    return Err(Problem::InvalidUtf8);
                }
                column.push(text);
            }
            (Kind::Int64, ColumnBuilder::Int64(column)) => {
                let number = Number::parse(text).ok_or(Problem::WrongType)?;
                column.push(number.to_i64().map_err(number_problem)?);
            }
            (Kind::Float64, ColumnBuilder::Float64(column)) => {
                let number = Number::parse(text).ok_or(Problem::WrongType)?;
                column.push(number.to_f64().map_err(number_problem)?);
            }
            (Kind::Boolean, ColumnBuilder::Boolean(column)) => {
                let value = match text {
                    b"true" | b"True" | b"TRUE" | b"1" => true,
                    b"false" | b"False" | b"FALSE" | b"0" => false,
                    _ => return Err(Problem::WrongType),
                };
                column.push(value);
            }
            (Kind::Timestamp(format, naive), ColumnBuilder::Timestamp(column)) => {
                column.push(format.parse(text, *naive).ok_or(Problem::BadTimestamp)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Completes the column for the current row: its default when it has no value.
    ///
    /// # Errors
    /// [`Problem::Missing`] when it is required and has none.
    #[inline]
    pub fn complete(&self, index: usize, table: &mut TableBuilder) -> Result<(), Problem> {
        let rows = table.rows();
        let Some(builder) = table.columns().get_mut(index) else {
            return Ok(());
        };
        if builder.len() > rows {
            return Ok(());
        }
        match (&self.default, builder) {
            (Some(DefaultValue::Text(v)), ColumnBuilder::Text(column)) => column.push(v.as_bytes()),
            (Some(DefaultValue::Int(v)), ColumnBuilder::Int64(c) | ColumnBuilder::Timestamp(c)) => {
                c.push(*v);
            }
            (Some(DefaultValue::Float(v)), ColumnBuilder::Float64(column)) => column.push(*v),
            (Some(DefaultValue::Boolean(v)), ColumnBuilder::Boolean(column)) => column.push(*v),
            _ if self.required => return Err(Problem::Missing),
            _ => {}
        }
        Ok(())
    }

    /// Whether [`Column::complete`] has anything to do.
    #[must_use]
    pub fn must_complete(&self) -> bool {
        self.required || self.default.is_some()
    }
}

/// The builder of column `index`, ready for the value of the current row; a value written before
/// is forgotten.
#[inline]
pub fn slot(table: &mut TableBuilder, index: usize) -> Option<&mut ColumnBuilder> {
    let rows = table.rows();
    let builder = table.columns().get_mut(index)?;
    if builder.len() > rows {
        builder.truncate(rows);
    }
    Some(builder)
}

/// The problem of a number that does not fit.
#[must_use]
pub fn number_problem(error: NumberError) -> Problem {
    match error {
        NumberError::NotIntegral => Problem::WrongType,
        NumberError::OutOfRange => Problem::OutOfRange,
    }
}

fn default_of(kind: &Kind, value: &serde_json::Value) -> Option<DefaultValue> {
    Some(match kind {
        Kind::Text => DefaultValue::Text(value.as_str()?.to_owned()),
        Kind::Json => DefaultValue::Text(value.to_string()),
        Kind::Int64 => DefaultValue::Int(value.as_i64()?),
        Kind::Float64 => DefaultValue::Float(value.as_f64()?),
        Kind::Boolean => DefaultValue::Boolean(value.as_bool()?),
        Kind::Timestamp(format, naive) => DefaultValue::Int(match value {
            serde_json::Value::Number(number) => {
                format.of_number(Number::parse(number.to_string().as_bytes())?)?
            }
            other => format.parse(other.as_str()?.as_bytes(), *naive)?,
        }),
    })
}

/// Checks a list of columns: at least one, no name twice.
///
/// # Errors
/// A configuration fault.
pub fn check_names(columns: &[Column]) -> Result<(), Fault> {
    if columns.is_empty() {
        return Err(Fault::Config("`columns` names no column".into()));
    }
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|c| c.name == column.name) {
            return Err(Fault::Config(format!("column `{}` is there twice", column.name)));
        }
    }
    Ok(())
}

/// Picks the wanted columns from those known and those that only come when named; without a
/// wish, all known.
///
/// # Errors
/// A configuration fault for a name that is unknown or there twice.
pub fn select(
    known: &[Field],
    extra: &[Field],
    wanted: Option<&[String]>,
) -> Result<Vec<Field>, Fault> {
    let Some(wanted) = wanted else {
        return Ok(known.to_vec());
    };
    let mut schema = Vec::new();
    for name in wanted {
        let Some(field) = known.iter().chain(extra).find(|field| field.name == *name) else {
            let names: Vec<&str> = known.iter().chain(extra).map(|f| f.name.as_str()).collect();
            return Err(Fault::Config(format!(
                "there is no column `{name}`; there are {}",
                names.join(", ")
            )));
        };
        if schema.contains(field) {
            return Err(Fault::Config(format!("column `{name}` is there twice")));
        }
        schema.push(field.clone());
    }
    if schema.is_empty() {
        return Err(Fault::Config("`columns` names no column".into()));
    }
    Ok(schema)
}
