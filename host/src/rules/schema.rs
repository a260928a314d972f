//! The columns of alerts and of annotated rows, decided once when a rule is set up.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::error::RuleError;
use super::template::nearest_name;
use crate::data::timestamp_type;

/// The window columns of rows that windows made.
pub const WINDOW_START: &str = "window_start";
/// See [`WINDOW_START`].
pub const WINDOW_END: &str = "window_end";
/// The number of a window's firing: 0 for the first.
pub const REVISION: &str = "revision";
/// The column of annotated rows that says whether the rule raised an alert.
pub const IS_ALERT: &str = "is_alert";

/// Put before the names of input columns that alerts have a column for already (`when` rules).
const INPUT_PREFIX: &str = "input_";

/// What a column of an alert is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AlertColumn {
    Id,
    Rule,
    Severity,
    Message,
    EventTime,
    /// A column of the key.
    Key(usize),
    /// A column of the input.
    Input(usize),
    Revision,
    /// A column of the rule's attributes.
    Attribute(usize),
    PluginVersion,
}

/// Which attributes alerts carry.
#[derive(Clone, Copy, Debug)]
pub(super) enum AlertAttributes<'a> {
    /// Those the plugin makes.
    Plugin(&'a Schema),
    /// All other columns of the input.
    Input,
}

/// Where the columns a rule knows by name are in its input.
#[derive(Clone, Debug)]
pub(super) struct InputColumns {
    /// The key columns.
    pub(super) key: Vec<usize>,
    /// Window start and end, when rows come from windows.
    pub(super) window: Option<(usize, usize)>,
    /// The revision, when rows come from windows that have one.
    pub(super) revision: Option<usize>,
}

impl InputColumns {
    /// Finds the columns.
    pub(super) fn find(input: &Schema, key: &[String]) -> Result<Self, RuleError> {
        let key = key.iter().map(|name| column(input, name)).collect::<Result<_, _>>()?;
        let of_type = |name: &str, data_type: &DataType| {
            let (index, field) = input.column_with_name(name)?;
            (field.data_type() == data_type).then_some(index)
        };
        let time = timestamp_type();
        let window = of_type(WINDOW_START, &time).zip(of_type(WINDOW_END, &time));
        let revision = window.and_then(|_| of_type(REVISION, &DataType::Int64));
        Ok(Self { key, window, revision })
    }
}

/// Returns the index of a column, or the error that names the nearest one.
pub(super) fn column(schema: &Schema, name: &str) -> Result<usize, RuleError> {
    schema.column_with_name(name).map(|(index, _)| index).ok_or_else(|| RuleError::UnknownColumn {
        column: name.to_owned(),
        nearest: nearest_name(name, schema.fields().iter().map(|f| f.name().as_str()))
            .map(str::to_owned),
    })
}

/// Returns the schema of a rule's alerts and what each column is made from.
pub(super) fn alert_schema(
    input: &Schema,
    columns: &InputColumns,
    attributes: AlertAttributes<'_>,
) -> Result<(SchemaRef, Vec<AlertColumn>), RuleError> {
    let mut made = Columns::default();
    let text = |name: &str, nullable| Arc::new(Field::new(name, DataType::Utf8, nullable));
    made.fixed(text("alert_id", false), AlertColumn::Id);
    made.fixed(text("rule", false), AlertColumn::Rule);
    made.fixed(text("severity", false), AlertColumn::Severity);
    made.fixed(text("message", false), AlertColumn::Message);
    made.fixed(Arc::new(Field::new("event_time", timestamp_type(), true)), AlertColumn::EventTime);
    for (place, index) in columns.key.iter().enumerate() {
        let field = input.field(*index);
        if made.has(field.name()) || field.name() == "plugin_version" {
            return Err(RuleError::Clash {
                column: field.name().clone(),
                result: "alerts",
                other: "a column every alert has",
            });
        }
        made.fixed(nullable(field), AlertColumn::Key(place));
    }
    let windows = columns.window.map(|(start, end)| [start, end]);
    for index in windows.into_iter().flatten().filter(|index| !columns.key.contains(index)) {
        made.fixed(nullable(input.field(index)), AlertColumn::Input(index));
    }
    if !made.has(REVISION) {
        made.fixed(Arc::new(Field::new(REVISION, DataType::Int64, false)), AlertColumn::Revision);
    }
    match attributes {
        AlertAttributes::Plugin(schema) => {
            for (index, field) in schema.fields().iter().enumerate() {
                if made.has(field.name()) || field.name() == "plugin_version" {
                    return Err(RuleError::Clash {
                        column: field.name().clone(),
                        result: "alerts",
                        other: "a column every alert has",
                    });
                }
                made.fixed(nullable(field), AlertColumn::Attribute(index));
            }
        }
        AlertAttributes::Input => {
            let mut taken = columns.key.clone();
            taken.extend(windows.into_iter().flatten());
            taken.extend(columns.revision);
            for (index, field) in input.fields().iter().enumerate() {
                if taken.contains(&index) {
                    continue;
                }
                let mut name = field.name().clone();
                while made.has(&name) || name == "plugin_version" {
                    name.insert_str(0, INPUT_PREFIX);
                }
                let field = Field::new(name, field.data_type().clone(), true);
                made.fixed(Arc::new(field), AlertColumn::Input(index));
            }
        }
    }
    made.fixed(text("plugin_version", true), AlertColumn::PluginVersion);
    Ok((Arc::new(Schema::new(made.fields)), made.columns))
}

/// Returns the schema of a rule's annotated rows: input, attributes, `is_alert`.
pub(super) fn rows_schema(input: &Schema, attributes: &Schema) -> Result<SchemaRef, RuleError> {
    let mut fields: Vec<FieldRef> = input.fields().iter().cloned().collect();
    let clash =
        |column: &str, other| RuleError::Clash { column: column.to_owned(), result: "rows", other };
    for field in attributes.fields() {
        if fields.iter().any(|other| other.name() == field.name()) {
            return Err(clash(field.name(), "a column of its input"));
        }
        if field.name() == IS_ALERT {
            return Err(clash(IS_ALERT, "the column that says whether there is an alert"));
        }
        fields.push(nullable(field));
    }
    if input.column_with_name(IS_ALERT).is_some() {
        return Err(clash(IS_ALERT, "a column of its input"));
    }
    fields.push(Arc::new(Field::new(IS_ALERT, DataType::Boolean, false)));
    Ok(Arc::new(Schema::new(fields)))
}

fn nullable(field: &Field) -> FieldRef {
    Arc::new(field.clone().with_nullable(true))
}

#[derive(Default)]
struct Columns {
    fields: Vec<FieldRef>,
    columns: Vec<AlertColumn>,
}

impl Columns {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name() == name)
    }

    fn fixed(&mut self, field: FieldRef, column: AlertColumn) {
        self.fields.push(field);
        self.columns.push(column);
    }
}
