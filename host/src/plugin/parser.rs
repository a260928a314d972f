//! Parsers: bytes to rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::bindings::exports::millstream::plugin::parser::{Guest, GuestIndices, Parsed};
use super::bindings::millstream::plugin::types::TextBufferParam;
use super::bisect::bisect;
use super::error::{PluginError, Poison};
use super::gate::PluginKind;
use super::instance::{CallSite, Live, Slot};
use super::load::PluginVersion;
use super::validate::{BadOutput, size};
use super::{schema, transform};

/// A configured parser. Shared; each worker takes an instance of its own.
pub struct ParserPlugin {
    version: Arc<PluginVersion>,
    config: String,
    schema: SchemaRef,
    indices: GuestIndices,
}

impl std::fmt::Debug for ParserPlugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParserPlugin")
            .field("version", &self.version)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Records for one call: record `i` is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Copy, Debug)]
pub struct RecordsRef<'a> {
    /// The bytes of all records, and perhaps of others before and after.
    pub data: &'a [u8],
    /// One more than there are records, never falling. The first need not be 0.
    pub offsets: &'a [i32],
    /// When the host got each record, microseconds since the Unix epoch.
    pub received_us: &'a [i64],
}

/// What became of a batch of records: each is in rows, in rejects or in poison.
#[derive(Debug)]
pub struct ParseOutcome {
    /// The rows, in the order of their records.
    pub rows: RecordBatch,
    /// For each row the index of its record, never falling. None: one row for each record that is
    /// not in `rejects`, in order; then there is no poison.
    pub source: Option<Vec<u32>>,
    /// Index of each refused record, ascending, and of its reason in the descriptor's codes.
    pub rejects: Vec<(u32, u16)>,
    /// Records that the plugin cannot digest, ascending.
    pub poison: Vec<Poison>,
    /// CPU time that the guest took, in nanoseconds.
    pub cpu_ns: u64,
}

impl PluginVersion {
    /// Configures the plugin as a parser; `config` is its configuration as JSON.
    ///
    /// # Errors
    /// When it is no parser, refuses the configuration, or fails.
    pub fn parser(self: &Arc<Self>, config: &str) -> Result<Arc<ParserPlugin>, PluginError> {
        self.expect_kind(PluginKind::Parser)?;
        let indices = GuestIndices::new(&self.core.pre)
            .map_err(|error| PluginError::Engine { reason: error.to_string() })?;
        let (_, schema) = open(self, &indices, config)?;
        let config = config.to_owned();
        Ok(Arc::new(ParserPlugin { version: Arc::clone(self), config, schema, indices }))
    }
}

/// Starts and configures an instance.
fn open(
    version: &PluginVersion,
    indices: &GuestIndices,
    config: &str,
) -> Result<(Live<Guest>, SchemaRef), PluginError> {
    let core = &version.core;
    let (live, result) = core.once(
        "configure",
        |store, instance| indices.load(store, instance),
        |store, guest| guest.call_configure(store, config),
    )?;
    let fields = result.map_err(|fault| core.refused("configure", fault))?;
    let schema = schema::from_guest(fields).map_err(|bad| core.nonsense("configure", bad))?;
    Ok((live, schema))
}

impl ParserPlugin {
    /// Returns the schema of all rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the plugin version that this is a configuration of.
    pub fn version(&self) -> &Arc<PluginVersion> {
        &self.version
    }

    /// Returns an instance for one thread. It starts at its first batch.
    pub fn instance(self: &Arc<Self>) -> ParserInstance {
        ParserInstance { plugin: Arc::clone(self), slot: Slot::new(), rebased: Vec::new() }
    }

    fn open(&self) -> Result<Live<Guest>, PluginError> {
        let (live, schema) = open(&self.version, &self.indices, &self.config)?;
        if schema == self.schema {
            return Ok(live);
        }
        Err(PluginError::Unstable { name: self.version.core.id.name.clone() })
    }

    fn check(&self, parsed: Parsed, inputs: usize) -> Result<transform::Part, BadOutput> {
        let Parsed { output, source, rejects } = parsed;
        let (records, codes) = (rejects.records, rejects.codes);
        transform::part(&self.version, &self.schema, output, source, records, codes, inputs)
    }
}

/// A parser's instance on one thread.
pub struct ParserInstance {
    plugin: Arc<ParserPlugin>,
    slot: Slot<Guest>,
    /// Offsets that start at 0, when those given do not. Kept for its memory.
    rebased: Vec<i32>,
}

impl std::fmt::Debug for ParserInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParserInstance").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl ParserInstance {
    /// Parses a batch.
    ///
    /// Whatever the plugin does with the records is in the outcome, not an error.
    ///
    /// # Errors
    /// When no instance can be started, or `records` is malformed.
    pub fn parse(&mut self, records: RecordsRef<'_>) -> Result<ParseOutcome, PluginError> {
        let Self { plugin, slot, rebased } = self;
        let core = &plugin.version.core;
        let inputs = records.received_us.len();
        if records.offsets.len().checked_sub(1) != Some(inputs) || u32::try_from(inputs).is_err() {
            let reason = format!("{} offsets for {inputs} records", records.offsets.len());
            return Err(PluginError::Caller { name: core.id.name.clone(), reason });
        }
        let mut cpu_ns = 0;
        let parts = if inputs == 0 {
            transform::Parts { outputs: Vec::new(), poison: Vec::new() }
        } else {
            bisect(inputs, core.limits.deadline_us, |range, deadline_us| {
                let part = part(records, range, rebased).ok_or_else(|| PluginError::Caller {
                    name: core.id.name.clone(),
                    reason: "offsets fall or go beyond the data".into(),
                })?;
                slot.call(
                    CallSite { core, name: "parse", deadline_us, cpu_ns: &mut cpu_ns },
                    || plugin.open(),
                    |store, guest| {
                        let text = TextBufferParam { offsets: part.offsets, data: part.data };
                        guest.call_parse(store, text, part.received_us)
                    },
                    |parsed| plugin.check(parsed, part.received_us.len()),
                )
            })?
        };
        core.meter.poisoned(parts.poison.len());
        let (rows, source, rejects, poison) = transform::join(&plugin.schema, parts)
            .map_err(|reason| PluginError::Caller { name: core.id.name.clone(), reason })?;
        Ok(ParseOutcome { rows, source, rejects, poison, cpu_ns })
    }

    /// Returns the plugin that this is an instance of.
    pub fn plugin(&self) -> &Arc<ParserPlugin> {
        &self.plugin
    }
}

/// Returns the records `range`, with offsets from 0.
fn part<'a>(
    records: RecordsRef<'a>,
    range: Range<usize>,
    rebased: &'a mut Vec<i32>,
) -> Option<RecordsRef<'a>> {
    let received_us = records.received_us.get(range.clone())?;
    let offsets = records.offsets.get(range.start..range.end.checked_add(1)?)?;
    let (&first, &last) = (offsets.first()?, offsets.last()?);
    let data = records.data.get(usize::try_from(first).ok()?..usize::try_from(last).ok()?)?;
    if first == 0 {
        return Some(RecordsRef { data, offsets, received_us });
    }
    rebased.clear();
    rebased.extend(offsets.iter().map(|offset| offset.saturating_sub(first)));
    Some(RecordsRef { data, offsets: rebased, received_us })
}

/// Returns the index of a record as the outcome has it; `parse` has checked that it fits.
pub(super) fn index(position: usize) -> u32 {
    debug_assert!(position <= size(u32::MAX), "batches have less than 2^32 records");
    u32::try_from(position).unwrap_or(u32::MAX)
}
