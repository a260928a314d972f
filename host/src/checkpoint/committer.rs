//! Writes checkpoints and has them named, beside the stream.
//!
//! One thread, one commit at a time:
//!
//! 1. outputs go to the authority (a Kafka transaction begins);
//! 2. the delta is written, then what sinks must have done is done (files are synced);
//! 3. the manifest is written: from here on the checkpoint exists;
//! 4. the authority names it: from here on it counts, and its outputs are visible.
//!
//! Afterwards, with nobody waiting: garbage is collected, deltas are compacted. A crash anywhere
//! before 4 leaves objects that nobody names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::authority::{Authority, AuthorityError, CommitPositions, Pointer, TopicPosition};
use super::catalog::{Catalog, CatalogError};
use super::collect::Collector;
use super::compact::{self, Compaction};
use super::manifest::{Definition, Manifest, ObjectKind, ObjectNote, PluginNote};
use super::nodes::{self, Delta, StateError};
use super::random_id;
use crate::clock::Stopwatch;
use crate::engine::EpochFacts;
use crate::failpoint;
use crate::faults;
use crate::plan::{NodeKind, Plan};
use crate::sinks::{CommitInfo, SinkError};
use crate::sources::SourceState;
use crate::watermark::Tracker;

/// How long the authority is waited for when something has failed already.
const PATIENCE: Duration = Duration::from_secs(5);

/// Everything a commit covers.
pub struct Commit {
    /// The first epoch that it does not cover.
    pub epoch: u64,
    /// Chunks merged so far.
    pub chunks: u64,
    /// The clock.
    pub now_us: i64,
    /// What changed in the state.
    pub delta: Delta,
    /// Where each source is.
    pub sources: BTreeMap<String, SourceState>,
    /// Event time of each source.
    pub time: BTreeMap<String, Tracker>,
    /// How far each node has heard event time advance.
    pub watermarks: BTreeMap<String, i64>,
    /// The facts of its epochs.
    pub facts: Vec<EpochFacts>,
    /// What each sink did, by name.
    pub sinks: Vec<(String, CommitInfo)>,
}

/// A commit that counts.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The checkpoint.
    pub id: String,
    /// The number of the commit.
    pub number: u64,
    /// How long it took from begin to end.
    pub duration: Duration,
    /// Bytes written for it.
    pub delta_bytes: u64,
    /// Bytes of the whole checkpoint.
    pub state_bytes: u64,
}

/// Why a commit does not count.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The authority did not take it.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The checkpoint cannot be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The state cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A sink could not do its part.
    #[error("sink `{sink}`: {source}")]
    Sink {
        /// The sink.
        sink: String,
        /// Why.
        source: SinkError,
    },
    /// The thread is gone.
    #[error("the committing thread has ended")]
    Gone,
}

impl CommitError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Authority(AuthorityError::Refused { remedy, .. }) => Some(remedy.clone()),
            Self::Authority(AuthorityError::Fenced { .. }) => Some(
                "this instance has published nothing since and stops; the other one goes on".into(),
            ),
            Self::Catalog(error) => Some(error.remedy()),
            Self::Sink { source, .. } => Some(source.remedy().to_owned()),
            _ => None,
        }
    }
}

/// What a committer starts with.
pub struct CommitterOptions {
    /// Where checkpoints are.
    pub catalog: Catalog,
    /// Who names them; it has taken over.
    pub authority: Box<dyn Authority>,
    /// The pipeline.
    pub plan: Arc<Plan>,
    /// How many checkpoints are kept besides the one that counts.
    pub keep: usize,
    /// The checkpoint that the run goes on from.
    pub from: Option<Manifest>,
}

/// What the committing thread is asked.
enum Job {
    /// To commit.
    Commit(Box<Commit>),
    /// Whether this process still has the pipeline.
    Holds(Sender<bool>),
}

/// The engine's end of the committing thread.
pub struct Committer {
    commits: Option<Sender<Job>>,
    results: Receiver<Result<Committed, CommitError>>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(options: CommitterOptions) -> std::io::Result<Self> {
        let (commits, work) = bounded::<Job>(1);
        let (done, results) = bounded(1);
        let mut writer = Writer::new(options);
        let thread = std::thread::Builder::new().name("commits".into()).spawn(move || {
            writer.begin();
            for job in work {
                let commit = match job {
                    Job::Commit(commit) => commit,
                    Job::Holds(answer) => {
                        // Who asks may have stopped listening.
                        let _ = answer.send(writer.holds());
                        continue;
                    }
                };
                let result = writer.commit(*commit).map_err(|error| writer.judge(error));
                let result = unless_mutant(result);
                let over = result.is_err();
                // Nobody listens when the engine has stopped for another reason.
                if done.send(result).is_err() || over {
                    return;
                }
                writer.tidy();
            }
            writer.end();
        })?;
        Ok(Self { commits: Some(commits), results, thread: Some(thread), under_way: false })
    }

    /// Returns true while a commit is under way.
    pub fn under_way(&self) -> bool {
        self.under_way
    }

    /// Begins a commit. None may be under way.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn begin(&mut self, commit: Commit) -> Result<(), CommitError> {
        debug_assert!(!self.under_way, "one commit at a time");
        let commits = self.commits.as_ref().ok_or(CommitError::Gone)?;
        commits.send(Job::Commit(Box::new(commit))).map_err(|_| CommitError::Gone)?;
        self.under_way = true;
        Ok(())
    }

    /// Returns false when another process surely has the pipeline; asked when something has failed,
    /// to tell whether that is why.
    pub fn holds(&self) -> bool {
        let (answer, asked) = bounded(1);
        let sent = self.commits.as_ref().is_some_and(|jobs| jobs.send(Job::Holds(answer)).is_ok());
        !sent || asked.recv_timeout(PATIENCE).unwrap_or(true)
    }

    /// Returns how the commit under way ended, if it has; waits for it, no longer than `most`.
    ///
    /// # Errors
    /// When it does not count.
    pub fn wait(&mut self, most: Duration) -> Result<Option<Committed>, CommitError> {
        if !self.under_way {
            return Ok(None);
        }
        match self.results.recv_timeout(most) {
            Ok(result) => {
                self.under_way = false;
                result.map(Some)
            }
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(None),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(CommitError::Gone),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.commits.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committing thread has panicked");
        }
    }
}

/// The thread's end.
struct Writer {
    options: CommitterOptions,
    definitions: Vec<Definition>,
    plugins: Vec<PluginNote>,
    parent: Option<String>,
    number: u64,
    objects: Vec<ObjectNote>,
    noted: bool,
    compaction: Option<Compaction>,
    collector: Collector,
}

impl Writer {
    fn new(options: CommitterOptions) -> Self {
        let from = options.from.as_ref();
        Self {
            definitions: nodes::definitions(&options.plan),
            plugins: nodes::plugins(&options.plan),
            parent: from.map(|from| from.id.clone()),
            number: from.map_or(0, |from| from.commit),
            objects: from.map(|from| from.objects.clone()).unwrap_or_default(),
            noted: false,
            compaction: None,
            collector: Collector::new(options.catalog.clone(), options.keep),
            options,
        }
    }

    fn holds(&mut self) -> bool {
        match self.options.authority.holds() {
            Ok(holds) => holds,
            Err(AuthorityError::Fenced { .. }) => false,
            // Not known.
            Err(_) => true,
        }
    }

    /// A commit that another instance made impossible is not to be tried again.
    fn judge(&mut self, error: CommitError) -> CommitError {
        match error {
            CommitError::Authority(AuthorityError::Aborted { what }) if !self.holds() => {
                CommitError::Authority(AuthorityError::Fenced { what })
            }
            error => error,
        }
    }

    fn begin(&mut self) {
        self.collector.begin(self.options.from.as_ref(), self.options.authority.as_mut());
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        let watch = Stopwatch::start();
        let Commit { epoch, chunks, now_us, delta, sources, time, watermarks, facts, sinks } =
            commit;
        failpoint!("commit::begin");
        let mut states = BTreeMap::new();
        let (mut outgoing, mut befores) = (Vec::new(), Vec::new());
        for (sink, info) in sinks {
            states.extend(info.state.map(|state| (sink.clone(), state)));
            outgoing.extend(info.outgoing.filter(|outgoing| !outgoing.is_empty()));
            befores.extend(info.before.map(|before| (sink, before)));
        }
        self.options.authority.send(outgoing)?;
        failpoint!("commit::sent");
        let positions = positions(&self.options.plan, &sources);
        let sections = delta.sections(&self.options.plan)?;
        let note = self.options.catalog.write_object(random_id(), ObjectKind::Delta, &sections)?;
        let delta_bytes = note.bytes;
        if let Some(done) = self.compaction.take_if(|compaction| compaction.is_finished()) {
            done.finish(&mut self.objects);
        }
        let mut objects = self.objects.clone();
        objects.push(note);
        for (sink, before) in befores {
            before().map_err(|source| CommitError::Sink { sink, source })?;
        }
        let manifest = Manifest {
            program: format!("millstream {}", env!("CARGO_PKG_VERSION")),
            pipeline: self.options.plan.name.clone(),
            id: random_id(),
            parent: self.parent.clone(),
            commit: self.number + 1,
            epoch,
            chunks,
            created_us: now_us,
            definitions: self.definitions.clone(),
            plugins: self.plugins.clone(),
            objects,
            sources,
            time,
            watermarks,
            sinks: states,
            facts,
        };
        self.options.catalog.write_manifest(&manifest)?;
        let pointer = Pointer { checkpoint: manifest.id.clone(), epoch };
        failpoint!("commit::manifest-written");
        self.options.authority.commit(&pointer, &positions)?;
        failpoint!("commit::committed");
        if !self.noted {
            if let Err(error) = self.options.catalog.note_committed() {
                tracing::warn!(%error, "cannot note that checkpoints are committed");
            }
            self.noted = true;
        }
        self.number = manifest.commit;
        self.parent = Some(manifest.id.clone());
        let state_bytes = manifest.state_bytes();
        self.collector.committed(&manifest);
        self.objects = manifest.objects;
        let duration = watch.elapsed();
        let (id, number) = (manifest.id, manifest.commit);
        Ok(Committed { id, number, duration, delta_bytes, state_bytes })
    }

    /// What may wait until a commit is told.
    fn tidy(&mut self) {
        self.collector.collect(self.options.authority.as_mut());
        if self.compaction.is_none() && compact::is_due(&self.objects) {
            let (catalog, plan) = (self.options.catalog.clone(), Arc::clone(&self.options.plan));
            self.compaction = Compaction::start(catalog, plan, self.objects.clone());
        }
    }

    /// Waits for a compaction, so that its object is not half written.
    fn end(&mut self) {
        if let Some(compaction) = self.compaction.take() {
            compaction.finish(&mut self.objects);
        }
    }
}

/// Takes an aborted commit for a good one when a test asks for that: the state then holds what
/// nobody will ever see.
fn unless_mutant(result: Result<Committed, CommitError>) -> Result<Committed, CommitError> {
    match result {
        Err(CommitError::Authority(AuthorityError::Aborted { .. }))
            if faults::mutant("rollback") =>
        {
            Ok(Committed {
                id: random_id(),
                number: 0,
                duration: Duration::ZERO,
                delta_bytes: 0,
                state_bytes: 0,
            })
        }
        result => result,
    }
}

/// Returns where each partition of the Kafka sources goes on, by brokers.
pub fn positions(plan: &Plan, sources: &BTreeMap<String, SourceState>) -> CommitPositions {
    let mut all: BTreeMap<&str, Vec<TopicPosition>> = BTreeMap::new();
    for node in &plan.nodes {
        let NodeKind::Source(source) = &node.kind else { continue };
        let Some(kafka) = source.config.kind.kafka() else { continue };
        let Some(state) = sources.get(&node.name) else { continue };
        let here = all.entry(&kafka.connection.brokers.value).or_default();
        for partition in &state.partitions {
            let Some((topic, number)) = partition.name.rsplit_once('-') else { continue };
            let Ok(number) = number.parse() else { continue };
            let (topic, offset) = (topic.to_owned(), partition.position);
            here.push(TopicPosition { topic, partition: number, offset });
        }
    }
    if faults::mutant("all-partitions") {
        all.values_mut().for_each(|positions| positions.truncate(1));
    }
    all.into_iter().map(|(brokers, positions)| (brokers.to_owned(), positions)).collect()
}
