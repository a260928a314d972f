//! Alerts as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, NullArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use super::codec::RowCodec;
use super::error::RuleError;
use super::ids::{AlertIds, Subject};
use super::schema::{AlertAttributes, AlertColumn, InputColumns, alert_schema};
use super::template::{BoundTemplate, MessageTemplate};
use super::work::Work;
use crate::config::model::Severity;
use crate::data::{NO_TIME, Rows, timestamp_type};

/// What a rule's alerts need to know of the pipeline file.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// The pipeline's name.
    pub pipeline: String,
    /// The rule's name.
    pub rule: String,
    /// The schema of the rows the rule reads.
    pub input: SchemaRef,
    /// The columns that make the key.
    pub key: Vec<String>,
    /// Overrides the rule's own severity.
    pub severity: Option<Severity>,
    /// Overrides the rule's own message.
    pub message: Option<MessageTemplate>,
    /// Name and version of the plugin; none for `when` rules.
    pub plugin_version: Option<String>,
}

/// One alert that is to become a row.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// The row it is about; none for a timer's.
    pub(super) row: Option<u32>,
    /// The time of the timer that raised it, and when that fired.
    pub(super) timer: Option<(i64, i64)>,
    /// The encoded key.
    pub(super) key: Box<[u8]>,
    /// The rule's own severity.
    pub(super) severity: Severity,
    /// Index of its attributes and message.
    pub(super) entry: u32,
}

/// Turns drafts into rows.
#[derive(Clone, Debug)]
pub(super) struct AlertWriter {
    settings: AlertSettings,
    pub(super) columns: InputColumns,
    pub(super) key_codec: RowCodec,
    schema: SchemaRef,
    layout: Vec<AlertColumn>,
    template: Option<BoundTemplate>,
    /// Which columns of the input are read.
    needed: Vec<bool>,
    pub(super) ids: AlertIds,
}

impl AlertWriter {
    /// Checks the settings and returns a writer.
    pub(super) fn new(
        settings: AlertSettings,
        attributes: AlertAttributes<'_>,
    ) -> Result<Self, RuleError> {
        let input = Arc::clone(&settings.input);
        let columns = InputColumns::find(&input, &settings.key)?;
        let (schema, layout) = alert_schema(&input, &columns, attributes)?;
        let no_attributes = Schema::empty();
        let attributes = match attributes {
            AlertAttributes::Plugin(schema) => schema,
            AlertAttributes::Input => &no_attributes,
        };
        let bind = |template: &MessageTemplate| template.bind(&[&input, attributes]);
        let template = settings.message.as_ref().map(bind).transpose()?;
        let needed = (0..input.fields().len())
            .map(|index| template.is_some() || layout.contains(&AlertColumn::Input(index)))
            .collect();
        let mut key_fields = Vec::with_capacity(columns.key.len());
        for index in &columns.key {
            key_fields.extend(input.fields().get(*index).cloned());
        }
        Ok(Self {
            ids: AlertIds::new(&settings.pipeline, &settings.rule),
            key_codec: RowCodec::for_key(&key_fields)?,
            settings,
            columns,
            schema,
            layout,
            template,
            needed,
        })
    }

    /// Returns the schema of alerts.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the rule's name.
    pub(super) fn rule(&self) -> &str {
        &self.settings.rule
    }

    /// Returns the schema of the rule's input.
    pub(super) fn input(&self) -> &SchemaRef {
        &self.settings.input
    }

    /// Returns the key columns of a batch.
    pub(super) fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.key.iter().map(|index| Arc::clone(batch.column(*index))).collect()
    }

    /// Writes alerts in the order of `drafts`. `messages` and `attributes` are indexed by entry.
    pub(super) fn write(
        &mut self,
        work: &Work,
        drafts: &[Draft],
        messages: &StringArray,
        attributes: &[ArrayRef],
    ) -> Result<Rows, RuleError> {
        let alerts = drafts.len();
        let entries = UInt32Array::from_iter_values(drafts.iter().map(|draft| draft.entry));
        let rows: UInt32Array = drafts.iter().map(|draft| draft.row).collect();
        let gather = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>, ArrowError> {
            columns.iter().map(|column| take(column, &entries, None)).collect()
        };
        let attributes = gather(attributes)?;
        let mut keys = self.key_codec.decoder(alerts);
        for draft in drafts {
            keys.push(&draft.key)?;
        }
        let keys = keys.finish()?;
        let input = self.gather_input(&work.rows.batch, &rows, &keys)?;
        let message: ArrayRef = match &self.template {
            Some(template) => Arc::new(template.render(alerts, &[&input, &attributes])?),
            None => take(messages, &entries, None)?,
        };

        let mut ids = Vec::with_capacity(alerts);
        let mut times = Vec::with_capacity(alerts);
        let mut positions = Vec::with_capacity(alerts);
        let mut before = Vec::with_capacity(alerts);
        let mut revisions = Vec::with_capacity(alerts);
        for draft in drafts {
            let row = draft.row.and_then(|row| usize::try_from(row).ok());
            let (subject, revision, time_us, open_us) = match row {
                Some(row) => {
                    let (columns, time_us) = (&self.columns, work.time(row));
                    (work.subject(columns, row), work.revision(columns, row), time_us, time_us)
                }
                None => {
                    let (at_us, fired_us) = draft.timer.unwrap_or((NO_TIME, NO_TIME));
                    (Subject::Timer { at_us, fired_us }, 0, at_us, fired_us)
                }
            };
            ids.push(self.ids.next(&draft.key, subject, revision, open_us));
            times.push(time_us);
            positions.push(row.map_or(-1, |row| work.position(row)));
            let before_row = row.and_then(|row| work.rows.max_before.values().get(row));
            before.push(before_row.copied().unwrap_or(NO_TIME));
            revisions.push(revision);
        }
        let event_time: Int64Array =
            times.iter().map(|time| (*time != NO_TIME).then_some(*time)).collect();

        let text = |value: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, alerts)))
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.layout.len());
        for column in &self.layout {
            let array = match column {
                AlertColumn::Id => Arc::new(StringArray::from_iter_values(&ids)),
                AlertColumn::Rule => text(&self.settings.rule),
                AlertColumn::Severity => {
                    let fixed = self.settings.severity;
                    let names = drafts.iter().map(|d| severity(fixed.unwrap_or(d.severity)));
                    Arc::new(StringArray::from_iter_values(names))
                }
                AlertColumn::Message => Arc::clone(&message),
                AlertColumn::EventTime => cast(&event_time, &timestamp_type())?,
                AlertColumn::Key(index) => pick(&keys, *index)?,
                AlertColumn::Input(index) => pick(&input, *index)?,
                AlertColumn::Revision => Arc::new(Int64Array::from(revisions.clone())),
                AlertColumn::Attribute(index) => pick(&attributes, *index)?,
                AlertColumn::PluginVersion => match &self.settings.plugin_version {
                    Some(version) => text(version),
                    None => Arc::new(StringArray::new_null(alerts)),
                },
            };
            columns.push(array);
        }
        Ok(Rows {
            batch: RecordBatch::try_new_with_options(
                Arc::clone(&self.schema),
                columns,
                &arrow::array::RecordBatchOptions::new().with_row_count(Some(alerts)),
            )?,
            time: Int64Array::from(times),
            position: Int64Array::from(positions),
            max_before: Int64Array::from(before),
            from: work.rows.from,
        })
    }

    /// Returns the input's columns at `rows`. A timer has no row, but it has a key.
    fn gather_input(
        &self,
        batch: &RecordBatch,
        rows: &UInt32Array,
        keys: &[ArrayRef],
    ) -> Result<Vec<ArrayRef>, RuleError> {
        let mut input = Vec::with_capacity(self.needed.len());
        for (index, needed) in self.needed.iter().enumerate() {
            let key = self.columns.key.iter().position(|key| *key == index);
            input.push(match key.and_then(|key| keys.get(key)) {
                Some(key) => Arc::clone(key),
                None if *needed => take(&pick(batch.columns(), index)?, rows, None)?,
                None => Arc::new(NullArray::new(rows.len())),
            });
        }
        Ok(input)
    }
}

fn pick(columns: &[ArrayRef], index: usize) -> Result<ArrayRef, ArrowError> {
    columns.get(index).cloned().ok_or_else(|| {
        ArrowError::SchemaError("rows have fewer columns than the rule was set up for".into())
    })
}

/// Returns the text of a severity.
pub(super) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}
