//! What a worker does with one chunk: parse it, run the stateless nodes, pre-aggregate for windows.
//!
//! A worker sees one chunk and the plan, and keeps nothing but its plugin instances. It may be
//! thrown away and started again between any two chunks.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::error::EngineError;
use super::window_input::{Combined, combine};
use super::wiring::Wiring;
use crate::data::{Chunk, NO_TIME, PartitionName, PartitionRef, Rows};
use crate::parse::{
    EXPRESSION_ERROR, MaxBefore, Reason, RejectContext, RejectedRecord, Rejects, parse_chunk,
};
use crate::plan::{NodeId, NodeKind, Place, Plan, Port, RuleBody};
use crate::plugin::{ParserInstance, TransformInstance};
use crate::stream::{RowErrors, Transformed, apply, filter_by, transform, union};
use crate::window::PartitionTime;

/// A chunk on its way to a worker.
pub struct Work {
    /// The records.
    pub chunk: Chunk,
    /// The name of their partition.
    pub partition: PartitionName,
}

/// What a worker made of a chunk before its place in event time is known.
pub struct Stage1 {
    /// The partition.
    pub from: PartitionRef,
    /// Its name.
    pub partition: PartitionName,
    /// When the chunk's last record was received.
    pub received_us: i64,
    /// The number of records.
    pub records: u64,
    /// Bytes of the records.
    pub bytes: u64,
    /// The latest event time in the chunk, or `NO_TIME`.
    pub max_time: i64,
    /// Rows that windows will combine.
    pub for_windows: Vec<(NodeId, Rows)>,
    /// Rows that the owner of the state needs, by the node they come from.
    pub shipped: Vec<(NodeId, Rows)>,
    /// Rows for which the condition of a `when` rule holds.
    pub matched: Vec<(NodeId, Rows)>,
    /// Rows that left each node.
    pub rows_out: Vec<(NodeId, u64)>,
    /// Rejects of each node.
    pub rejects: Vec<(NodeId, Rejects)>,
    /// Values that became null in each node.
    pub made_null: Vec<(NodeId, u64)>,
}

impl Stage1 {
    fn new(work: &Work) -> Self {
        Self {
            from: work.chunk.from,
            partition: Arc::clone(&work.partition),
            received_us: work.chunk.received_us.last().copied().unwrap_or_default(),
            records: u64::try_from(work.chunk.len()).unwrap_or(u64::MAX),
            bytes: u64::try_from(work.chunk.data.len()).unwrap_or(u64::MAX),
            max_time: NO_TIME,
            for_windows: Vec::new(),
            shipped: Vec::new(),
            matched: Vec::new(),
            rows_out: Vec::new(),
            rejects: Vec::new(),
            made_null: Vec::new(),
        }
    }
}

/// What windows get of a chunk.
#[derive(Default)]
pub struct Stage2 {
    /// For each window that reads the chunk.
    pub combined: Vec<(NodeId, Combined)>,
}

/// One worker: the plan and an instance of each parser and transform.
pub struct Worker {
    plan: Arc<Plan>,
    wiring: Arc<Wiring>,
    plugins: Vec<Instance>,
}

/// A node's plugin instance.
enum Instance {
    None,
    Parser(ParserInstance),
    Transform(TransformInstance),
}

/// Rows that worker nodes have given so far for one chunk, by node.
type Outputs = Vec<Option<Rows>>;

impl Worker {
    /// Returns a worker; plugins start at their first chunk.
    pub fn new(plan: Arc<Plan>, wiring: Arc<Wiring>) -> Self {
        let plugins = plan.nodes.iter().map(|node| match &node.kind {
            NodeKind::Parser(parser) => Instance::Parser(parser.plugin.instance()),
            NodeKind::Transform(transform) => Instance::Transform(transform.plugin.instance()),
            _ => Instance::None,
        });
        let plugins = plugins.collect();
        Self { plan, wiring, plugins }
    }

    /// Parses a chunk and runs every stateless node over it.
    ///
    /// # Errors
    /// When a plugin cannot be started or breaks its contract beyond single records.
    pub fn parse(&mut self, work: &Work) -> Result<Stage1, EngineError> {
        let mut stage = Stage1::new(work);
        let mut outputs: Outputs = Vec::new();
        outputs.resize_with(self.plan.nodes.len(), || None);
        self.run_parsers(work, &mut stage, &mut outputs)?;
        let plan = Arc::clone(&self.plan);
        for (index, node) in plan.nodes.iter().enumerate() {
            if node.sources.contains(&work.chunk.from.source) {
                self.run_node(NodeId(index), work, &mut stage, &mut outputs)?;
            }
        }
        self.collect(&mut stage, outputs)?;
        Ok(stage)
    }

    fn run_parsers(
        &mut self,
        work: &Work,
        stage: &mut Stage1,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let chunk = &work.chunk;
        let mut gathering = MaxBefore::new(chunk.len());
        let mut parsed = Vec::new();
        for (index, node) in plan.nodes.iter().enumerate() {
            let NodeKind::Parser(parser) = &node.kind else { continue };
            if parser.source != chunk.from.source {
                continue;
            }
            let id = NodeId(index);
            let context = self.reject_context(id, work);
            let Some(Instance::Parser(instance)) = self.plugins.get_mut(index) else { continue };
            let mut rejects = Rejects::new(self.wiring.keeps_rejects(id));
            let rows = parse_chunk(parser, instance, chunk, &context, &mut rejects)
                .map_err(|source| EngineError::Parse { node: node.name.clone(), source })?;
            gathering.add(rows.time.values(), rows.records.values());
            parsed.push((index, rows));
            stage.rejects.push((id, rejects));
        }
        stage.max_time = gathering.max();
        let running = gathering.finish();
        for (index, rows) in parsed {
            let rows = Rows {
                max_before: running.of(rows.records.values()),
                position: positions(chunk, rows.records.values()),
                batch: rows.batch,
                time: rows.time,
                from: Some(chunk.from),
            };
            if let Some(place) = outputs.get_mut(index) {
                *place = Some(rows);
            }
        }
        Ok(())
    }

    fn run_node(
        &mut self,
        id: NodeId,
        work: &Work,
        stage: &mut Stage1,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let plan = Arc::clone(&self.plan);
        let node = plan.node(id);
        let columns = |source| EngineError::columns(&node.name, source);
        for edge in &node.inputs {
            if plan.taken_at(id, edge) == Place::Owner {
                continue;
            }
            let Some(Some(input)) = outputs.get(edge.node.0) else { continue };
            let input = input.clone();
            let mut errors = RowErrors::default();
            match &node.kind {
                NodeKind::Stream(stream) => {
                    let rows = apply(stream, &node.schema, input, &mut errors).map_err(columns)?;
                    put(outputs, id, rows, &node.schema).map_err(columns)?;
                }
                NodeKind::Transform(_) => {
                    let Some(Instance::Transform(instance)) = self.plugins.get_mut(id.0) else {
                        continue;
                    };
                    let Transformed { rows, refused } = transform(instance, &input)
                        .map_err(|source| EngineError::transform(&node.name, source))?;
                    put(outputs, id, rows, &node.schema).map_err(columns)?;
                    let refused = refused
                        .iter()
                        .map(|row| (row.position, &row.reason, row.detail.as_deref()));
                    self.refuse(id, work, stage, refused);
                }
                NodeKind::Rule(rule) => {
                    if let RuleBody::When { condition, .. } = &rule.body {
                        let rows = filter_by(condition, input, &mut errors).map_err(columns)?;
                        add(&mut stage.matched, id, rows, &node.input).map_err(columns)?;
                    }
                }
                _ => {}
            }
            self.note_errors(id, work, stage, errors);
        }
        Ok(())
    }

    fn note_errors(&self, id: NodeId, work: &Work, stage: &mut Stage1, errors: RowErrors) {
        if errors.made_null > 0 {
            stage.made_null.push((id, errors.made_null));
        }
        if errors.failed.is_empty() {
            return;
        }
        let reason: Reason = Arc::from(EXPRESSION_ERROR);
        let refused =
            errors.failed.iter().map(|(position, why)| (*position, &reason, Some(&**why)));
        self.refuse(id, work, stage, refused);
    }

    /// Refuses rows in a node's name: the position of each, the reason, and what exactly was wrong.
    /// What is kept of a row is the record that it came from.
    fn refuse<'a>(
        &self,
        id: NodeId,
        work: &Work,
        stage: &mut Stage1,
        rows: impl Iterator<Item = (i64, &'a Reason, Option<&'a str>)>,
    ) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        let context = self.reject_context(id, work);
        let chunk = &work.chunk;
        let mut rejects = Rejects::new(self.wiring.keeps_rejects(id));
        for (position, reason, detail) in rows {
            let index = chunk.positions.binary_search(&position).ok();
            let received = index.and_then(|index| chunk.received_us.get(index)).copied();
            let record = RejectedRecord {
                position,
                received_us: received.unwrap_or(stage.received_us),
                record: index.and_then(|index| chunk.record(index)),
                detail,
            };
            rejects.add(&context, reason, record);
        }
        stage.rejects.push((id, rejects));
    }

    /// Hands rows to windows and to the owner, and counts what left each node.
    fn collect(&self, stage: &mut Stage1, outputs: Outputs) -> Result<(), EngineError> {
        for (index, rows) in outputs.into_iter().enumerate() {
            let id = NodeId(index);
            let Some(rows) = rows else { continue };
            stage.rows_out.push((id, u64::try_from(rows.len()).unwrap_or(u64::MAX)));
            for &window in self.wiring.windows_of(id) {
                let node = self.plan.node(window);
                add(&mut stage.for_windows, window, rows.clone(), &node.input)
                    .map_err(|source| EngineError::columns(&node.name, source))?;
            }
            if self.wiring.ships(id, Port::Main) && !rows.is_empty() {
                stage.shipped.push((id, rows));
            }
        }
        Ok(())
    }

    /// Pre-aggregates a chunk's rows for every window, now that its place in time is known.
    /// `watermarks` are those of each node at the start of the epoch.
    ///
    /// # Errors
    /// When a columnar operation fails.
    pub fn combine(
        &self,
        for_windows: Vec<(NodeId, Rows)>,
        time: &PartitionTime,
        watermarks: &[i64],
    ) -> Result<Stage2, EngineError> {
        let mut combined = Vec::with_capacity(for_windows.len());
        for (id, rows) in for_windows {
            let node = self.plan.node(id);
            let NodeKind::Window(window) = &node.kind else { continue };
            // A union's watermark may be behind that of the chunk's source.
            let heard = watermarks.get(id.0).copied().unwrap_or(NO_TIME);
            let time = &PartitionTime { pipeline_watermark: heard, ..*time };
            let late_schema = self.wiring.late_schema(id, node);
            let share = combine(window, rows, time, late_schema)
                .map_err(|source| EngineError::Window { node: node.name.clone(), source })?;
            combined.push((id, share));
        }
        Ok(Stage2 { combined })
    }

    fn reject_context(&self, id: NodeId, work: &Work) -> RejectContext {
        self.wiring.reject_context(id, Some(work.chunk.from.source), Arc::clone(&work.partition))
    }
}

/// Puts rows that a node gave, to those that it gave of another of its inputs.
fn put(
    outputs: &mut Outputs,
    id: NodeId,
    rows: Rows,
    schema: &SchemaRef,
) -> Result<(), ArrowError> {
    if let Some(place) = outputs.get_mut(id.0) {
        *place = Some(match place.take() {
            Some(first) => union(&first, &rows, schema)?,
            None => rows,
        });
    }
    Ok(())
}

/// Adds rows for a node, to those that another of its inputs gave.
fn add(
    list: &mut Vec<(NodeId, Rows)>,
    id: NodeId,
    rows: Rows,
    schema: &SchemaRef,
) -> Result<(), ArrowError> {
    if rows.is_empty() {
        return Ok(());
    }
    match list.iter_mut().find(|(node, _)| *node == id) {
        Some((_, first)) => *first = union(first, &rows, schema)?,
        None => list.push((id, rows)),
    }
    Ok(())
}

fn positions(chunk: &Chunk, records: &[u32]) -> Int64Array {
    let position = |&record: &u32| {
        let index = usize::try_from(record).unwrap_or(usize::MAX);
        chunk.positions.get(index).copied().unwrap_or_default()
    };
    Int64Array::from_iter_values(records.iter().map(position))
}
