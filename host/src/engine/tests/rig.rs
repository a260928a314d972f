//! What the tests share: a source, a sink and an outside that do as they are told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use arrow::buffer::Buffer;
use serde_json::{Value, json};

use crate::config;
use crate::config::model::{PluginRef, PluginSource};
use crate::data::{Chunk, Partition, PartitionRef, SourceId};
use crate::diag::Diagnostic;
use crate::encode::row_json;
use crate::engine::{Engine, EngineError, EngineOptions, EpochFacts, Outside, Stats};
use crate::plan::{self, NodeKind, Plan, Plugins};
use crate::plugin::{CompileCommand, PluginRuntime, PluginVersion, RuntimeOptions};
use crate::sinks::{CommitInfo, Delivery, Sink, SinkError, SinkSummary};
use crate::sources::{
    Oversized, PartitionInfo, Progress, ReadBudget, ReadOutput, ReadState, Source, SourceError,
};

/// A source and a parser of `{"t": <milliseconds>, "k": …, "v": …}`; tests add what reads them.
pub const EVENTS: &str = r#"
name = "test"
[engine]
workers = 1
epoch = "100ms"
[sources.in]
type = "stdin"
watermark = { delay = "1 second" }
[parsers.events]
input = "in"
plugin = "json"
event_time = "t"
[parsers.events.config.columns]
t = { type = "timestamp", format = "epoch_ms", required = true }
k = "text"
v = "int64"
"#;

/// Plugins that `cargo xtask plugins` has built.
pub struct Built;

static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target"));

static RUNTIME: LazyLock<Arc<PluginRuntime>> = LazyLock::new(|| {
    let command = CompileCommand {
        program: std::env::current_exe().unwrap(),
        args: ["plugin::tests::compile_child", "--exact", "--nocapture"].map(Into::into).into(),
    };
    let cache_dir = Some(FOLDER.join("guests/compiled"));
    PluginRuntime::new(RuntimeOptions { cache_dir, ..RuntimeOptions::new(command) }).unwrap()
});

impl Plugins for Built {
    fn load(&self, plugin: &PluginRef) -> Result<Arc<PluginVersion>, Diagnostic> {
        let PluginSource::Name(name) = &plugin.source.value else { panic!("a bare name") };
        let path = FOLDER.join(format!("plugins/{name}.wasm"));
        assert!(path.is_file(), "{} is missing: run `cargo xtask plugins`", path.display());
        Ok(RUNTIME.load(&path, name, None, &plugin.limits).unwrap())
    }
}

/// Plans a pipeline file's text.
pub fn plan(text: &str) -> Arc<Plan> {
    let loaded = config::parse(text, Path::new("test.toml"), &[]).unwrap();
    let planned = plan::build(&loaded.pipeline, &loaded.file, &Built);
    let (plan, _) = planned.unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::new(plan)
}

/// One answer of a source.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// The next records of a partition, as many as asked for but not more than this.
    Give(u32, usize),
    /// There is nothing now.
    Idle,
    /// There is more in the next epoch.
    NextEpoch,
}

/// Records in memory, given as a script says, and then no more. Positions are running numbers; a
/// record that begins with `HUGE` is too long.
pub struct Memory {
    id: SourceId,
    partitions: Vec<Vec<String>>,
    script: VecDeque<Act>,
    infos: Vec<PartitionInfo>,
}

impl Memory {
    pub fn new(id: u32, partitions: &[&[&str]], script: &[Act]) -> Self {
        let owned = |records: &&[&str]| records.iter().map(|&record| record.to_owned()).collect();
        let info = |partition: usize| PartitionInfo {
            name: Arc::from(format!("part-{partition}")),
            position: 0,
            finished: false,
        };
        Self {
            id: SourceId(id),
            partitions: partitions.iter().map(owned).collect(),
            script: script.iter().copied().collect(),
            infos: (0..partitions.len()).map(info).collect(),
        }
    }

    /// All records of one partition, as fast as they are asked for.
    pub fn all(records: &[&str]) -> Self {
        Self::new(0, &[records], &[Act::Give(0, records.len())])
    }

    fn take(&mut self, partition: u32, rows: usize, now_us: i64, out: &mut ReadOutput) {
        let index = usize::try_from(partition).unwrap();
        let info = &mut self.infos[index];
        let start = usize::try_from(info.position).unwrap();
        let records = &self.partitions[index];
        let from = PartitionRef { source: self.id, partition: Partition(partition) };
        let (mut data, mut offsets, mut positions) = (Vec::new(), vec![0], Vec::new());
        for record in records.iter().skip(start).take(rows) {
            let position = info.position;
            info.position += 1;
            out.rows += 1;
            if record.starts_with("HUGE") {
                let (length, prefix) = (record.len() as u64, record.as_bytes().to_vec());
                let end_position = info.position;
                out.oversized.push(Oversized { from, position, end_position, length, prefix });
                continue;
            }
            out.bytes += record.len();
            data.extend_from_slice(record.as_bytes());
            offsets.push(i32::try_from(data.len()).unwrap());
            positions.push(position);
        }
        if !positions.is_empty() {
            out.chunks.push(Chunk {
                from,
                data: Buffer::from_vec(data),
                offsets,
                received_us: vec![now_us; positions.len()],
                positions,
                end_position: info.position,
            });
        }
    }
}

impl Source for Memory {
    fn partitions(&self) -> &[PartitionInfo] {
        &self.infos
    }

    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        match self.script.pop_front() {
            Some(Act::Give(partition, rows)) => {
                let now = rows.min(budget.rows).min(budget.chunk_rows);
                if now < rows {
                    self.script.push_front(Act::Give(partition, rows - now));
                }
                self.take(partition, now, now_us, out);
                Ok(if self.script.is_empty() { ReadState::Ended } else { ReadState::More })
            }
            Some(Act::Idle) => Ok(ReadState::Idle),
            Some(Act::NextEpoch) => Ok(ReadState::NextEpoch),
            None => Ok(ReadState::Ended),
        }
    }

    fn replay(
        &mut self,
        partition: Partition,
        until: i64,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        let at = self.infos[usize::try_from(partition.0).unwrap()].position;
        let rows = usize::try_from(until - at).unwrap().min(budget.rows);
        self.take(partition.0, rows, now_us, out);
        Ok(ReadState::More)
    }

    fn seek(&mut self, partition: Partition, position: i64) -> Result<(), SourceError> {
        self.infos[usize::try_from(partition.0).unwrap()].position = position;
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// What a sink was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Write { node: String, epoch: u64, revision: u32, mode: String, rows: Vec<Value> },
    Commit,
    Committed,
    Abort,
    Close,
}

pub type Log = Arc<Mutex<Vec<(String, Told)>>>;

/// Writes down what it is told, and fails when it is to.
pub struct Recorder {
    name: String,
    log: Log,
    fails: Option<&'static str>,
}

impl Recorder {
    fn note(&self, told: Told) {
        self.log.lock().unwrap().push((self.name.clone(), told));
    }

    fn fail(&self, at: &str) -> Result<(), SinkError> {
        if self.fails != Some(at) {
            return Ok(());
        }
        Err(SinkError::NotAborted { path: PathBuf::from("made to fail") })
    }
}

impl Sink for Recorder {
    fn write(&mut self, input: &Delivery<'_>) -> Result<(), SinkError> {
        self.fail("write")?;
        let rows = (0..input.batch.num_rows()).map(|row| row_json(input.batch, row).unwrap());
        self.note(Told::Write {
            node: input.node.to_owned(),
            epoch: input.epoch,
            revision: input.revision,
            mode: format!("{:?}", input.mode),
            rows: rows.collect(),
        });
        Ok(())
    }

    fn commit(&mut self, _now_us: i64) -> Result<CommitInfo, SinkError> {
        self.fail("commit")?;
        self.note(Told::Commit);
        Ok(CommitInfo::default())
    }

    fn committed(&mut self) -> Result<(), SinkError> {
        self.note(Told::Committed);
        Ok(())
    }

    fn abort(&mut self) -> Result<(), SinkError> {
        self.note(Told::Abort);
        Ok(())
    }

    fn close(&mut self, _now_us: i64) -> Result<SinkSummary, SinkError> {
        self.note(Told::Close);
        Ok(SinkSummary::default())
    }
}

/// An outside in which time passes only when somebody waits, and by `tick` with each look at it.
#[derive(Default)]
pub struct Still {
    pub now: Cell<Duration>,
    pub tick: Duration,
    pub pauses: RefCell<Vec<Duration>>,
    pub looks: Cell<u64>,
    /// Stop when this much time has passed.
    pub stop_at: Option<Duration>,
}

/// The wall clock of `Still` at its beginning: 2025-01-01T00:00:00Z.
pub const START_US: i64 = 1_735_689_600_000_000;

impl Outside for Still {
    fn now_us(&self) -> i64 {
        START_US + i64::try_from(self.now.get().as_micros()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.looks.set(self.looks.get() + 1);
        self.now.set(self.now.get() + self.tick);
        self.now.get()
    }

    fn pause(&self, most: Duration) {
        self.pauses.borrow_mut().push(most);
        self.now.set(self.now.get() + most);
    }

    fn stop(&self) -> bool {
        self.stop_at.is_some_and(|at| self.now.get() >= at)
    }
}

/// An engine with what its sinks are told.
pub struct Rig {
    pub engine: Engine,
    pub log: Log,
}

/// Which sink fails, and at what.
pub type Fails = Option<(&'static str, &'static str)>;

impl Rig {
    pub fn new<S: Source + 'static>(text: &str, sources: Vec<S>, fails: Fails) -> Self {
        let plan = plan(text);
        let log = Log::default();
        let recorder = |name: &str| -> Box<dyn Sink> {
            let fails = fails.filter(|(sink, _)| *sink == name).map(|(_, at)| at);
            Box::new(Recorder { name: name.to_owned(), log: Arc::clone(&log), fails })
        };
        let sinks = plan
            .nodes
            .iter()
            .map(|node| matches!(node.kind, NodeKind::Sink(_)).then(|| recorder(&node.name)));
        let sinks = sinks.collect();
        let named = sources.into_iter().enumerate().map(|(index, source)| {
            (format!("source-{index}"), Box::new(source) as Box<dyn Source>)
        });
        let options = EngineOptions {
            sources: named.collect(),
            sinks,
            dead_letters: plan.dead_letters.as_ref().map(|_| recorder("dead_letters")),
            record_facts: true,
            kept: None,
        };
        Self { engine: Engine::new(plan, options).unwrap(), log }
    }

    pub fn run(&mut self, outside: &dyn Outside) -> Result<(), EngineError> {
        self.engine.run(outside, &mut |_| ()).map(|_| ())
    }

    pub fn told(&self) -> Vec<(String, Told)> {
        self.log.lock().unwrap().clone()
    }

    /// Returns the rows written so far, by the output they came from.
    pub fn rows(&self) -> BTreeMap<String, Vec<Value>> {
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (sink, told) in self.told() {
            if let Told::Write { node, rows, .. } = told {
                let name = if sink == "dead_letters" { sink } else { node };
                all.entry(name).or_default().extend(rows);
            }
        }
        all
    }

    pub fn stats(&self) -> &Stats {
        self.engine.owner().stats()
    }

    pub fn facts(&self) -> Vec<EpochFacts> {
        self.engine.facts().to_vec()
    }
}

/// Runs a pipeline over records of one partition and returns what came out of each output.
pub fn run(text: &str, records: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let mut rig = Rig::new(text, vec![Memory::all(records)], None);
    rig.run(&Still::default()).unwrap();
    rig.rows()
}

/// Returns a record of [`EVENTS`].
pub fn event(seconds: i64, key: &str, value: i64) -> String {
    json!({ "t": seconds * 1000, "k": key, "v": value }).to_string()
}

/// Returns one column of rows.
pub fn column(rows: &[Value], name: &str) -> Vec<Value> {
    rows.iter().map(|row| row[name].clone()).collect()
}
