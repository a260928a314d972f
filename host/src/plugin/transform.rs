//! Transforms: rows to rows. And what parsers share with them: joining the parts of a batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};

use super::bindings::exports::millstream::plugin::transform::{Guest, GuestIndices, Transformed};
use super::bindings::millstream::plugin::types::TableResult;
use super::bisect::{self, bisect};
use super::convert_in::InputShape;
use super::error::{PluginError, Poison};
use super::gate::PluginKind;
use super::instance::{CallSite, Live, Slot};
use super::load::PluginVersion;
use super::parser::index;
use super::schema;
use super::validate::{self, BadOutput};

/// A configured transform. Shared; each worker takes an instance of its own.
pub struct TransformPlugin {
    version: Arc<PluginVersion>,
    config: String,
    input: InputShape,
    schema: SchemaRef,
    indices: GuestIndices,
}

impl std::fmt::Debug for TransformPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransformPlugin")
            .field("version", &self.version)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What became of a batch of rows: each is in rows, in rejects or in poison.
#[derive(Debug)]
pub struct TransformOutcome {
    /// The rows that came out, in the order of the rows they came from.
    pub rows: RecordBatch,
    /// For each row the index of the input row, never falling. None: one row for each input row
    /// that is not in `rejects`, in order; then there is no poison.
    pub source: Option<Vec<u32>>,
    /// Index of each refused row, ascending, and of its reason in the descriptor's codes.
    pub rejects: Vec<(u32, u16)>,
    /// Rows that the plugin cannot digest, ascending.
    pub poison: Vec<Poison>,
    /// CPU time that the guest took, in nanoseconds.
    pub cpu_ns: u64,
}

impl PluginVersion {
    /// Configures the plugin as a transform of rows of `input`; `config` is JSON.
    ///
    /// # Errors
    /// When it is no transform, refuses configuration or input, or fails.
    pub fn transform(
        self: &Arc<Self>,
        config: &str,
        input: &Schema,
    ) -> Result<Arc<TransformPlugin>, PluginError> {
        self.expect_kind(PluginKind::Transform)?;
        let input = InputShape::new(&self.core.id.name, input)?;
        let indices = GuestIndices::new(&self.core.pre)
            .map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        let (_, schema) = open(self, &indices, config, &input)?;
        let config = config.to_owned();
        Ok(Arc::new(TransformPlugin { version: Arc::clone(self), config, input, schema, indices }))
    }
}

/// Starts and configures an instance.
fn open(
    version: &PluginVersion,
    indices: &GuestIndices,
    config: &str,
    input: &InputShape,
) -> Result<(Live<Guest>, SchemaRef), PluginError> {
    let core = &version.core;
    let (live, result) = core.once(
        "configure",
        |store, instance| indices.load(store, instance),
        |store, guest| guest.call_configure(store, config, &input.fields()),
    )?;
    let fields = result.map_err(|fault| core.refused("configure", fault))?;
    let schema = schema::from_guest(fields).map_err(|bad| core.nonsense("configure", bad))?;
    Ok((live, schema))
}

impl TransformPlugin {
    /// Returns the schema of all rows that come out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the plugin version that this is a configuration of.
    pub fn version(&self) -> &Arc<PluginVersion> {
        &self.version
    }

    /// Returns an instance for one thread. It starts at its first batch.
    pub fn instance(self: &Arc<Self>) -> TransformInstance {
        TransformInstance { plugin: Arc::clone(self), slot: Slot::new() }
    }

    fn open(&self) -> Result<Live<Guest>, PluginError> {
        let (live, schema) = open(&self.version, &self.indices, &self.config, &self.input)?;
        if schema == self.schema {
            return Ok(live);
        }
        Err(PluginError::Unstable { name: self.version.core.id.name.clone() })
    }

    fn check(&self, done: Transformed, inputs: usize) -> Result<Part, BadOutput> {
        let Transformed { output, source, reject_rows, reject_codes } = done;
        part(&self.version, &self.schema, output, source, reject_rows, reject_codes, inputs)
    }
}

/// A transform's instance on one thread.
pub struct TransformInstance {
    plugin: Arc<TransformPlugin>,
    slot: Slot<Guest>,
}

impl std::fmt::Debug for TransformInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransformInstance").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl TransformInstance {
    /// Transforms a batch of the input's schema.
    ///
    /// Whatever the plugin does with the rows is in the outcome, not an error.
    ///
    /// # Errors
    /// When no instance can be started, or `input` is of another schema.
    pub fn apply(&mut self, input: &RecordBatch) -> Result<TransformOutcome, PluginError> {
        let Self { plugin, slot } = self;
        let core = &plugin.version.core;
        let caller = |reason: String| PluginError::Caller { name: core.id.name.clone(), reason };
        let mut cpu_ns = 0;
        let parts = if input.num_rows() == 0 {
            Parts { outputs: Vec::new(), poison: Vec::new() }
        } else {
            bisect(input.num_rows(), core.limits.deadline_us, |range, deadline_us| {
                let part = input.slice(range.start, range.len());
                let held = plugin.input.hold(&part).map_err(|error| caller(error.to_string()))?;
                let columns = held.columns();
                slot.call(
                    CallSite { core, name: "apply", deadline_us, cpu_ns: &mut cpu_ns },
                    || plugin.open(),
                    |store, guest| guest.call_apply(store, held.table(&columns)),
                    |done| plugin.check(done, range.len()),
                )
            })?
        };
        core.meter.poisoned(parts.poison.len());
        let (rows, source, rejects, poison) = join(&plugin.schema, parts).map_err(caller)?;
        Ok(TransformOutcome { rows, source, rejects, poison, cpu_ns })
    }

    /// Returns the plugin that this is an instance of.
    pub fn plugin(&self) -> &Arc<TransformPlugin> {
        &self.plugin
    }
}

/// What one call made of its part of a batch. Indices count from the part's start.
#[derive(Debug)]
pub(super) struct Part {
    rows: RecordBatch,
    source: Option<Vec<u32>>,
    rejects: Vec<(u32, u16)>,
}

pub(super) type Parts = bisect::Parts<Part>;

/// Checks what one call with `inputs` inputs returned.
pub(super) fn part(
    version: &PluginVersion,
    schema: &SchemaRef,
    output: TableResult,
    source: Option<Vec<u32>>,
    reject_records: Vec<u32>,
    reject_codes: Vec<u16>,
    inputs: usize,
) -> Result<Part, BadOutput> {
    let rows = validate::table(schema, output, version.core.limits.output_bytes)?;
    let known = version.descriptor().reject_codes.len();
    let rejects = validate::rejects(reject_records, reject_codes, inputs, known)?;
    match &source {
        Some(source) => validate::source(source, rows.num_rows(), inputs)?,
        None => validate::adds_up(rows.num_rows(), rejects.len(), inputs)?,
    }
    Ok(Part { rows, source, rejects })
}

/// Rows, sources, rejects and poison of a whole batch.
pub(super) type Joined = (RecordBatch, Option<Vec<u32>>, Vec<(u32, u16)>, Vec<Poison>);

/// Puts the parts of a batch together again. Usually there is one.
pub(super) fn join(schema: &SchemaRef, mut parts: Parts) -> Result<Joined, String> {
    if parts.outputs.is_empty() && parts.poison.is_empty() {
        return Ok((RecordBatch::new_empty(Arc::clone(schema)), None, Vec::new(), Vec::new()));
    }
    if parts.poison.is_empty()
        && parts.outputs.len() == 1
        && let Some((_, part)) = parts.outputs.pop()
    {
        return Ok((part.rows, part.source, part.rejects, Vec::new()));
    }
    let batches = parts.outputs.iter().map(|(_, part)| &part.rows);
    let rows = concat_batches(schema, batches).map_err(|error| error.to_string())?;
    let mut source = Vec::with_capacity(rows.num_rows());
    let mut rejects = Vec::new();
    for (range, part) in &parts.outputs {
        let start = index(range.start);
        match &part.source {
            Some(from) => source.extend(from.iter().map(|i| i.saturating_add(start))),
            None => {
                let mut refused = part.rejects.iter().map(|(i, _)| *i).peekable();
                let all = 0..index(range.len());
                source.extend(
                    all.filter(|i| refused.next_if_eq(i).is_none())
                        .map(|i| i.saturating_add(start)),
                );
            }
        }
        rejects.extend(part.rejects.iter().map(|(i, code)| (i.saturating_add(start), *code)));
    }
    let poison = parts.poison.into_iter();
    let poison = poison.map(|(record, error)| Poison { record: index(record), error });
    Ok((rows, Some(source), rejects, poison.collect()))
}
