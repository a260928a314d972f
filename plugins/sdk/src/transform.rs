//! Transforms: rows in, rows out.

use serde::de::DeserializeOwned;

use crate::bindings::transform::Transformed;
use crate::bindings::types::{Fault, Table};
use crate::describe::{Description, Reject, RejectCode, Sample, read_config};
use crate::schema::{Input, Schema};
use crate::table::{RowBuilder, TableBuilder};
use crate::view::Row;

/// Turns each row into none, one or several rows.
///
/// A transform is a pure function of its configuration and one row.
pub trait Transform: Sized + 'static {
    /// The plugin's name.
    const NAME: &'static str;
    /// The plugin's version; `None`: that of its crate.
    const VERSION: Option<&'static str> = None;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// JSON Schema of its configuration.
    const CONFIG_SCHEMA: &'static str;
    /// The reasons for which it refuses rows.
    const REJECTS: &'static [RejectCode] = &[];

    /// The `config` table of the pipeline file.
    type Config: DeserializeOwned;

    /// Checks the configuration against the columns of the input.
    ///
    /// # Errors
    /// A configuration fault, in words for the person who wrote the pipeline file.
    fn configure(config: Self::Config, input: &Input) -> Result<Self, Fault>;

    /// The columns of the rows that it returns.
    fn schema(&self) -> Schema;

    /// Transforms one row.
    ///
    /// # Errors
    /// The reason for which the row is refused.
    fn apply(&self, input: Row<'_>, row: &mut RowBuilder<'_>) -> Result<(), Reject>;

    /// Inputs with what is expected of them.
    fn samples() -> Vec<Sample> {
        Vec::new()
    }
}

/// A configured transform, as the host sees it.
#[derive(Debug)]
pub struct TransformHost<T> {
    transform: T,
    schema: Schema,
}

impl<T: Transform> TransformHost<T> {
    /// Configures a transform.
    ///
    /// # Errors
    /// The configuration fault.
    pub fn configure(config: &str, input: Schema) -> Result<Self, Fault> {
        let transform = T::configure(read_config(config)?, &Input::new(input))?;
        let schema = transform.schema();
        Ok(Self { transform, schema })
    }

    /// The columns of its rows.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Transforms a table.
    ///
    /// # Errors
    /// The fault of a table that does not fit its schema.
    pub fn apply(&self, table: &Table) -> Result<Transformed, Fault> {
        let count = usize::try_from(table.rows).unwrap_or(usize::MAX);
        let mut out = TableBuilder::new(&self.schema, count);
        let mut source = Vec::with_capacity(count);
        let mut one_for_one = true;
        let (mut reject_rows, mut reject_codes) = (Vec::new(), Vec::new());
        for (index, row) in (0..table.rows).zip(0..count) {
            let before = out.rows();
            let mut builder = RowBuilder::new(&mut out);
            let input = Row { table, row, places: None };
            match self.transform.apply(input, &mut builder) {
                Ok(()) => {
                    builder.close();
                    let emitted = out.rows() - before;
                    one_for_one &= emitted == 1;
                    source.extend(core::iter::repeat_n(index, emitted));
                }
                Err(reject) => {
                    out.truncate(before);
                    one_for_one = false;
                    reject_rows.push(index);
                    reject_codes.push(reject.0);
                }
            }
        }
        Ok(Transformed {
            output: out.finish(&self.schema)?,
            source: (!one_for_one).then_some(source),
            reject_rows,
            reject_codes,
        })
    }
}

/// The description of a transform; `version` is that of its crate.
#[must_use]
pub fn describe<T: Transform>(version: &'static str) -> Description {
    Description {
        name: T::NAME,
        version: T::VERSION.unwrap_or(version),
        summary: T::SUMMARY,
        config_schema: T::CONFIG_SCHEMA,
        rejects: T::REJECTS,
        state_version: None,
        samples: T::samples(),
    }
}
