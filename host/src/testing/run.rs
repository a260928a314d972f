//! One test: its plan, its epochs, its verdict.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use arrow::buffer::Buffer;

use super::capture::Capture;
use super::compare::{Mismatch, compare};
use crate::config::model::{Node, OutputMode, Pipeline, Sink, SinkKind, Test, TestStep};
use crate::data::{Chunk, Partition, PartitionRef, SourceId};
use crate::diag::{Diagnostic, SourceFile};
use crate::engine::{Engine, EngineError, EngineOptions, EpochFacts, EpochInput};
use crate::plan::{self, NodeKind, Plan, Plugins};
use crate::sinks;

/// The clock of a test starts here, and moves on a second with every step: 2025-01-01T00:00:00Z.
const START_US: i64 = 1_735_689_600_000_000;
const STEP_US: i64 = 1_000_000;

/// The name of the sink that stands in for the pipeline's.
const CAPTURE: &str = "(test)";

/// Why a test could not run.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The pipeline, or what the test names, is wrong.
    #[error("the test cannot be planned")]
    Plan(Vec<Diagnostic>),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What became of a test: what does not fit, by output.
#[derive(Debug, Default)]
pub struct TestReport {
    /// Empty: the test passed.
    pub mismatches: BTreeMap<String, Mismatch>,
}

/// Runs one test of a pipeline.
///
/// # Errors
/// When the test cannot be planned, or the engine fails.
pub fn run_test(
    pipeline: &Pipeline,
    file: &SourceFile,
    test: &Test,
    plugins: &dyn Plugins,
) -> Result<TestReport, TestError> {
    let mut pipeline = pipeline.clone();
    pipeline.engine.workers = 1;
    pipeline.dead_letters = None;
    let inputs = test.expect.iter().map(|(name, rows)| crate::config::model::Located {
        value: name.clone(),
        span: rows.span.clone(),
    });
    pipeline.sinks = vec![Node {
        name: CAPTURE.to_owned(),
        span: test.name.span.clone(),
        config: Sink { inputs: inputs.collect(), kind: SinkKind::Discard },
    }];
    let (plan, _) = plan::build(&pipeline, file, plugins).map_err(TestError::Plan)?;
    let plan = Arc::new(plan);
    let (capture, rows) = Capture::new(update_keys(&plan));
    let mut sinks: Vec<Option<Box<dyn sinks::Sink>>> = plan.nodes.iter().map(|_| None).collect();
    let place = plan.nodes.iter().position(|node| node.name == CAPTURE);
    if let Some(slot) = place.and_then(|at| sinks.get_mut(at)) {
        *slot = Some(Box::new(capture));
    }
    let options = EngineOptions {
        sources: Vec::new(),
        sinks,
        dead_letters: None,
        record_facts: false,
        kept: None,
    };
    let mut engine = Engine::new(Arc::clone(&plan), options)?;
    run_steps(&mut engine, &plan, test)?;
    let rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
    let mut report = TestReport::default();
    for (name, expected) in &test.expect {
        let actual = rows.get(name).map_or(&[][..], Vec::as_slice);
        if let Some(mismatch) = compare(&expected.value, actual) {
            report.mismatches.insert(name.clone(), mismatch);
        }
    }
    Ok(report)
}

/// The columns by which rows of update mode replace each other.
fn update_keys(plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let mut keys = BTreeMap::new();
    for node in &plan.nodes {
        let NodeKind::Window(window) = &node.kind else { continue };
        if window.output == OutputMode::Update {
            let mut columns = vec!["window_start".to_owned(), "window_end".to_owned()];
            columns.extend(window.keys.iter().map(|(name, _)| name.clone()));
            keys.insert(node.name.clone(), columns);
        }
    }
    keys
}

fn run_steps(engine: &mut Engine, plan: &Plan, test: &Test) -> Result<(), EngineError> {
    let count = u32::try_from(plan.sources.len()).unwrap_or(u32::MAX);
    let mut facts = EpochFacts {
        now_us: START_US,
        partitions: plan.sources.iter().map(|_| 1).collect(),
        ..EpochFacts::default()
    };
    let mut positions: BTreeMap<SourceId, i64> = BTreeMap::new();
    for step in &test.steps {
        let mut input = EpochInput::default();
        match step {
            TestStep::Records { source, records } => {
                let Some(id) = source_id(plan, &source.value) else { continue };
                let position = positions.entry(id).or_default();
                input.chunks.push(chunk(id, records, position, facts.now_us));
            }
            TestStep::Watermark { source, time_us } => {
                let Some(id) = source_id(plan, &source.value) else { continue };
                engine.advance_source(id, *time_us);
            }
        }
        engine.epoch(input, &facts)?;
        facts.epoch += 1;
        facts.now_us += STEP_US;
    }
    facts.ended = (0..count).map(SourceId).collect();
    engine.epoch(EpochInput::default(), &facts)
}

fn source_id(plan: &Plan, name: &str) -> Option<SourceId> {
    plan.nodes.iter().find(|node| node.name == name).and_then(|node| match &node.kind {
        NodeKind::Source(source) => Some(source.id),
        _ => None,
    })
}

fn chunk(source: SourceId, records: &[String], position: &mut i64, now_us: i64) -> Chunk {
    let mut data = Vec::new();
    let mut offsets = vec![0];
    let mut positions = Vec::with_capacity(records.len());
    for record in records {
        data.extend_from_slice(record.as_bytes());
        offsets.push(i32::try_from(data.len()).unwrap_or(i32::MAX));
        positions.push(*position);
        *position += 1;
    }
    Chunk {
        from: PartitionRef { source, partition: Partition(0) },
        data: Buffer::from_vec(data),
        offsets,
        received_us: vec![now_us; positions.len()],
        positions,
        end_position: *position,
    }
}
