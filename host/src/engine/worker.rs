//! What a worker does with one chunk: parse it, run the stateless nodes, pre-aggregate for windows.
//!
//! A worker sees one chunk and the plan, and keeps nothing but its plugin instances. It may be
//! thrown away and started again between any two chunks.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::error::EngineError;
use super::window_input::{Combined, combine};
use crate::data::{Chunk, NO_TIME, PartitionName, PartitionRef, Rows};
use crate::parse::{MaxBefore, Reason, RejectContext, RejectedRecord, Rejects, parse_chunk};
use crate::plan::{NodeId, NodeKind, Place, Plan, Port, RuleBody};
use crate::plugin::ParserInstance;
use crate::stream::{RowErrors, apply, filter_by};
use crate::window::PartitionTime;

/// The reason under which rows are refused whose SQL failed.
const EXPRESSION_ERROR: &str = "expression_error";

/// A chunk on its way to a worker.
pub struct Work {
    /// The records.
    pub chunk: Chunk,
    /// The name of their partition.
    pub partition: PartitionName,
    /// The epoch's clock.
    pub now_us: i64,
}

/// What a worker made of a chunk before its place in event time is known.
pub struct Stage1 {
    /// The partition.
    pub from: PartitionRef,
    /// The number of records.
    pub records: u64,
    /// Bytes of the records.
    pub bytes: u64,
    /// The latest event time in the chunk, or `NO_TIME`.
    pub max_time: i64,
    /// Rows that windows will combine.
    pub for_windows: Vec<(NodeId, Rows)>,
    /// Rows that the owner of the state needs, by the output they come from.
    pub shipped: Vec<(NodeId, Port, Rows)>,
    /// Rows for which the condition of a `when` rule holds.
    pub matched: Vec<(NodeId, Rows)>,
    /// Rows that left each node.
    pub rows_out: Vec<(NodeId, u64)>,
    /// Rejects of each node.
    pub rejects: Vec<(NodeId, Rejects)>,
    /// Values that became null in each node.
    pub made_null: Vec<(NodeId, u64)>,
}

/// What windows get of a chunk.
pub struct Stage2 {
    /// For each window that reads the chunk.
    pub combined: Vec<(NodeId, Combined)>,
}

/// One worker: the plan and an instance of each parser.
pub struct Worker {
    plan: Arc<Plan>,
    wiring: Arc<Wiring>,
    parsers: Vec<Option<ParserInstance>>,
    names: Vec<Arc<str>>,
}

/// Who reads what, looked up once.
pub struct Wiring {
    /// For each node and port, whether the owner reads it (other than through a window).
    ship: Vec<[bool; 2]>,
    /// For each node and port, the windows that read it.
    windows: Vec<[Vec<NodeId>; 2]>,
    /// Keep every node's rejects as rows, for the dead letters.
    dead_letters: bool,
}

/// A `when` rule's condition is evaluated where its rows are; only what matches goes on.
fn is_when(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Rule(rule) if matches!(rule.body, RuleBody::When { .. }))
}

/// Returns a port's place in the pairs of `Wiring`: the main output or the secondary one.
pub fn slot(port: Port) -> usize {
    usize::from(port != Port::Main)
}

impl Wiring {
    /// Reads the wiring of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut ship = vec![[false; 2]; plan.nodes.len()];
        let mut windows: Vec<[Vec<NodeId>; 2]> = vec![Default::default(); plan.nodes.len()];
        for (index, node) in plan.nodes.iter().enumerate() {
            for edge in &node.inputs {
                let from = edge.node.0;
                let at = slot(edge.port);
                let by_worker =
                    plan.node(edge.node).place == Place::Worker && edge.port != Port::Late;
                if is_when(&node.kind) && by_worker {
                    continue;
                }
                if matches!(node.kind, NodeKind::Window(_)) && by_worker {
                    if let Some(list) = windows.get_mut(from).and_then(|pair| pair.get_mut(at)) {
                        list.push(NodeId(index));
                    }
                } else if node.place == Place::Owner
                    && let Some(flag) = ship.get_mut(from).and_then(|pair| pair.get_mut(at))
                {
                    *flag = true;
                }
            }
        }
        Self { ship, windows, dead_letters: plan.dead_letters.is_some() }
    }

    /// Returns whether the owner reads this output as rows.
    pub fn ships(&self, node: NodeId, port: Port) -> bool {
        self.ship.get(node.0).and_then(|pair| pair.get(slot(port))).copied().unwrap_or(false)
    }

    /// Returns whether rejects of a node are wanted as rows.
    pub fn keeps_rejects(&self, node: NodeId) -> bool {
        self.dead_letters
            || self.ships(node, Port::Rejects)
            || !self.windows_of(node, Port::Rejects).is_empty()
    }

    fn windows_of(&self, node: NodeId, port: Port) -> &[NodeId] {
        self.windows.get(node.0).and_then(|pair| pair.get(slot(port))).map_or(&[], Vec::as_slice)
    }
}

/// Rows that worker nodes have given so far for one chunk.
#[derive(Default)]
struct Outputs {
    rows: Vec<[Option<Rows>; 2]>,
}

impl Outputs {
    fn get(&self, node: NodeId, port: Port) -> Option<&Rows> {
        self.rows.get(node.0)?.get(slot(port))?.as_ref()
    }

    fn set(&mut self, node: NodeId, port: Port, rows: Rows) {
        if let Some(place) = self.rows.get_mut(node.0).and_then(|pair| pair.get_mut(slot(port))) {
            *place = Some(rows);
        }
    }
}

impl Worker {
    /// Returns a worker; plugins start at their first chunk.
    pub fn new(plan: Arc<Plan>, wiring: Arc<Wiring>) -> Self {
        let parsers = plan.nodes.iter().map(|node| match &node.kind {
            NodeKind::Parser(parser) => Some(parser.plugin.instance()),
            _ => None,
        });
        let parsers = parsers.collect();
        let names = plan.nodes.iter().map(|node| Arc::from(node.name.as_str())).collect();
        Self { plan, wiring, parsers, names }
    }

    /// Parses a chunk and runs every stateless node over it.
    ///
    /// # Errors
    /// When a plugin cannot be started or breaks its contract beyond single records.
    pub fn parse(&mut self, work: &Work) -> Result<Stage1, EngineError> {
        let plan = Arc::clone(&self.plan);
        let chunk = &work.chunk;
        let mut stage = Stage1 {
            from: chunk.from,
            records: u64::try_from(chunk.len()).unwrap_or(u64::MAX),
            bytes: u64::try_from(chunk.data.len()).unwrap_or(u64::MAX),
            max_time: NO_TIME,
            for_windows: Vec::new(),
            shipped: Vec::new(),
            matched: Vec::new(),
            rows_out: Vec::new(),
            rejects: Vec::new(),
            made_null: Vec::new(),
        };
        let mut outputs = Outputs::default();
        outputs.rows.resize_with(plan.nodes.len(), Default::default);
        self.run_parsers(work, &mut stage, &mut outputs)?;
        for (index, node) in plan.nodes.iter().enumerate() {
            let id = NodeId(index);
            if !node.sources.contains(&chunk.from.source) {
                continue;
            }
            self.run_node(id, work, &mut stage, &mut outputs)?;
        }
        self.collect(&mut stage, &mut outputs);
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
            let Some(Some(instance)) = self.parsers.get_mut(index) else { continue };
            let mut rejects = Rejects::new(self.wiring.keeps_rejects(id));
            let rows = parse_chunk(parser, instance, chunk, work.now_us, &context, &mut rejects)
                .map_err(|source| EngineError::Parse { node: node.name.clone(), source })?;
            gathering.add(rows.time.values(), rows.records.values());
            parsed.push((id, rows));
            stage.rejects.push((id, rejects));
        }
        stage.max_time = gathering.max();
        let running = gathering.finish();
        for (id, rows) in parsed {
            let max_before = running.of(rows.records.values());
            let position = positions(chunk, rows.records.values());
            let rows = Rows {
                batch: rows.batch,
                time: rows.time,
                position,
                max_before,
                from: Some(chunk.from),
            };
            outputs.set(id, Port::Main, rows);
        }
        Ok(())
    }

    fn run_node(
        &self,
        id: NodeId,
        work: &Work,
        stage: &mut Stage1,
        outputs: &mut Outputs,
    ) -> Result<(), EngineError> {
        let node = self.plan.node(id);
        let here = match &node.kind {
            NodeKind::Stream(_) => node.place == Place::Worker,
            NodeKind::Rule(rule) => matches!(rule.body, RuleBody::When { .. }),
            _ => false,
        };
        if !here {
            return Ok(());
        }
        for edge in &node.inputs {
            let Some(input) = outputs.get(edge.node, edge.port).cloned() else { continue };
            let mut errors = RowErrors::default();
            match &node.kind {
                NodeKind::Stream(stream) => {
                    let rows = apply(stream, &node.schema, input, &mut errors)
                        .map_err(|source| EngineError::columns(&node.name, source))?;
                    // Several inputs: what each gives is one batch after the other.
                    let rows = match outputs.get(id, Port::Main) {
                        Some(first) => concat(first, &rows)
                            .map_err(|source| EngineError::columns(&node.name, source))?,
                        None => rows,
                    };
                    outputs.set(id, Port::Main, rows);
                }
                NodeKind::Rule(rule) => {
                    if let RuleBody::When { condition, .. } = &rule.body {
                        let rows = filter_by(condition, input, &mut errors)
                            .map_err(|source| EngineError::columns(&node.name, source))?;
                        if !rows.is_empty() {
                            stage.matched.push((id, rows));
                        }
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
        let context = self.reject_context(id, work);
        let reason: Reason = Arc::from(EXPRESSION_ERROR);
        let mut rejects = Rejects::new(self.wiring.keeps_rejects(id));
        for (position, message) in &errors.failed {
            let record = RejectedRecord {
                position: *position,
                received_us: work.now_us,
                record: None,
                detail: Some(message),
            };
            rejects.add(&context, &reason, record);
        }
        stage.rejects.push((id, rejects));
    }

    /// Hands rows to windows and to the owner, and counts what left each node.
    fn collect(&self, stage: &mut Stage1, outputs: &mut Outputs) {
        for (index, pair) in outputs.rows.iter_mut().enumerate() {
            let id = NodeId(index);
            for (port, rows) in [Port::Main, Port::Rows].into_iter().zip(pair) {
                let Some(rows) = rows.take() else { continue };
                if port == Port::Main {
                    stage.rows_out.push((id, u64::try_from(rows.len()).unwrap_or(u64::MAX)));
                }
                if rows.is_empty() {
                    continue;
                }
                for &window in self.wiring.windows_of(id, port) {
                    stage.for_windows.push((window, rows.clone()));
                }
                if self.wiring.ships(id, port) {
                    stage.shipped.push((id, port, rows));
                }
            }
        }
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
            let late_schema = node.secondary.as_ref().filter(|_| self.wiring.ships(id, Port::Late));
            let share = combine(window, rows, time, late_schema)
                .map_err(|source| EngineError::Window { node: node.name.clone(), source })?;
            combined.push((id, share));
        }
        Ok(Stage2 { combined })
    }

    fn reject_context(&self, id: NodeId, work: &Work) -> RejectContext {
        let source = usize::try_from(work.chunk.from.source.0).unwrap_or(usize::MAX);
        let source = self.plan.sources.get(source).and_then(|node| self.names.get(node.0));
        let version = match &self.plan.node(id).kind {
            NodeKind::Parser(parser) => {
                Some(Arc::from(parser.plugin.version().id().version.as_str()))
            }
            _ => None,
        };
        RejectContext {
            source: source.cloned().unwrap_or_else(|| Arc::from("")),
            partition: Arc::clone(&work.partition),
            node: self.names.get(id.0).cloned().unwrap_or_else(|| Arc::from("")),
            plugin_version: version,
        }
    }
}

fn positions(chunk: &Chunk, records: &[u32]) -> arrow::array::Int64Array {
    let position = |&record: &u32| {
        let index = usize::try_from(record).unwrap_or(usize::MAX);
        chunk.positions.get(index).copied().unwrap_or_default()
    };
    arrow::array::Int64Array::from_iter_values(records.iter().map(position))
}

/// Joins two batches of rows of one chunk.
fn concat(first: &Rows, second: &Rows) -> Result<Rows, arrow::error::ArrowError> {
    use arrow::array::AsArray;
    use arrow::compute::{concat, concat_batches};
    use arrow::datatypes::Int64Type;
    let join = |a: &arrow::array::Int64Array, b: &arrow::array::Int64Array| {
        concat(&[a, b]).map(|joined| joined.as_primitive::<Int64Type>().clone())
    };
    let batches: [&RecordBatch; 2] = [&first.batch, &second.batch];
    Ok(Rows {
        batch: concat_batches(&first.batch.schema(), batches)?,
        time: join(&first.time, &second.time)?,
        position: join(&first.position, &second.position)?,
        max_before: join(&first.max_before, &second.max_before)?,
        from: first.from,
    })
}
