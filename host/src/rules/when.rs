//! `when` rules: an alert for every row for which a SQL condition is true.

use arrow::array::{Array, BooleanArray, StringArray};
use arrow::datatypes::SchemaRef;

use super::alerts::{AlertSettings, AlertWriter, Draft};
use super::error::RuleError;
use super::ids::Count;
use super::schema::AlertAttributes;
use super::state::{ids_from_batch, ids_to_batch};
use super::work::Work;
use crate::config::model::Severity;
use crate::data::Rows;

/// A `when` rule. The condition is evaluated by the caller.
#[derive(Clone, Debug)]
pub struct WhenRule {
    writer: AlertWriter,
    /// The condition as typed: the message when there is no template.
    condition: StringArray,
    revisions: bool,
}

impl WhenRule {
    /// Returns a rule. `condition` is the SQL text; `revisions`: also look at revisions of windows.
    ///
    /// # Errors
    /// When a key column or a column of the message template does not exist.
    pub fn new(
        settings: AlertSettings,
        condition: &str,
        revisions: bool,
    ) -> Result<Self, RuleError> {
        let writer = AlertWriter::new(settings, AlertAttributes::Input)?;
        Ok(Self { writer, condition: StringArray::from(vec![condition]), revisions })
    }

    /// Returns the schema of the rule's alerts.
    pub fn alert_schema(&self) -> &SchemaRef {
        self.writer.schema()
    }

    /// Returns an alert for each row for which `condition` is true (null is not), in row order.
    ///
    /// # Errors
    /// When `condition` has another length, or a column cannot be read.
    pub fn evaluate(&mut self, rows: &Rows, condition: &BooleanArray) -> Result<Rows, RuleError> {
        if condition.len() != rows.len() {
            return Err(RuleError::Outcome {
                rule: self.writer.rule().to_owned(),
                what: "a condition of another length than its rows",
            });
        }
        let work = Work { rows: rows.clone(), partitions: None, clocks: Vec::new() };
        let view = self.writer.key_codec.view(&self.writer.key_columns(&rows.batch))?;
        let mut drafts = Vec::new();
        for row in 0..rows.len() {
            let holds = condition.is_valid(row) && condition.value(row);
            let skipped = !self.revisions && work.revision(&self.writer.columns, row) > 0;
            if !holds || skipped {
                continue;
            }
            let mut key = Vec::new();
            view.encode(row, &mut key);
            drafts.push(Draft {
                row: Some(u32::try_from(row).map_err(|_| RuleError::TooManyRows { rows: row })?),
                timer: None,
                key: key.into(),
                severity: Severity::Warning,
                entry: 0,
            });
        }
        self.writer.write(&work, &drafts, &self.condition, &[])
    }

    /// Tells the rule that the watermark is now at `watermark_us`.
    pub fn advance(&mut self, watermark_us: i64) {
        self.writer.ids.advance(watermark_us);
    }

    /// Returns what must survive a restart: alerts counted so far for subjects still open.
    ///
    /// # Errors
    /// When the batch cannot be made.
    pub fn state(&self) -> Result<arrow::array::RecordBatch, RuleError> {
        Ok(ids_to_batch(self.writer.ids.counts())?)
    }

    /// Puts back what [`WhenRule::state`] returned.
    ///
    /// # Errors
    /// When the batch is not one of ours.
    pub fn restore(&mut self, state: &arrow::array::RecordBatch) -> Result<(), RuleError> {
        let counts: Vec<(u128, Count)> = ids_from_batch(state).ok_or(RuleError::Encoding)?;
        self.writer.ids.restore(counts.into_iter());
        Ok(())
    }

    /// Returns about how much memory the rule's state takes.
    pub fn memory_bytes(&self) -> usize {
        self.writer.ids.memory_bytes()
    }
}
