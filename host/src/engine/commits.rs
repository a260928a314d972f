//! When a commit is due, and what it covers. The commit itself is made beside the stream.

use std::time::Duration;

use super::facts::EpochFacts;
use crate::checkpoint::{Commit, CommitError, Committer, Opened};
use crate::config::model::State;
use crate::sources::PartitionInfo;

/// An idle pipeline commits this often all the same: brokers forget the offsets of groups that
/// have not committed for a week.
const IDLE_US: i64 = 3_600_000_000;

/// How long one look at a commit under way may take.
const LOOK: Duration = Duration::from_millis(20);

/// What an engine that keeps state starts with.
pub struct Kept {
    /// Makes the commits.
    pub committer: Committer,
    /// When they are made.
    pub settings: State,
    /// Where the run goes on.
    pub opened: Opened,
}

/// Commits of a running pipeline.
pub struct Commits {
    committer: Committer,
    settings: State,
    /// When the last commit was begun; none: not in this run.
    begun_us: Option<i64>,
    /// Epochs since.
    facts: Vec<EpochFacts>,
    /// Something happened since.
    changed: bool,
    /// Where the sources' partitions were at the end of the last epoch.
    places: Vec<Vec<PartitionInfo>>,
    /// The run goes on from a checkpoint.
    resumed: bool,
    counts: CommitCounts,
}

/// What was committed in this run.
#[derive(Clone, Debug, Default)]
pub struct CommitCounts {
    /// Commits that count.
    pub commits: u64,
    /// Bytes written for them.
    pub bytes: u64,
    /// Time they took, all together.
    pub duration: Duration,
    /// The longest of them.
    pub longest: Duration,
    /// Bytes of the last checkpoint.
    pub state_bytes: u64,
    /// The last checkpoint.
    pub last: Option<String>,
}

impl Commits {
    pub(super) fn new(committer: Committer, settings: State, resumed: bool) -> Self {
        Self {
            committer,
            settings,
            begun_us: None,
            facts: Vec::new(),
            changed: false,
            places: Vec::new(),
            resumed,
            counts: CommitCounts::default(),
        }
    }

    /// Returns what was committed so far.
    pub fn counts(&self) -> &CommitCounts {
        &self.counts
    }

    /// Takes note of where the sources are before anything is read. A run that does not go on from
    /// a checkpoint has something to commit.
    pub(super) fn start(&mut self, now_us: i64, places: Vec<Vec<PartitionInfo>>) {
        self.begun_us = Some(now_us);
        self.places = places;
        self.changed = !self.resumed;
    }

    /// Takes note of the end of an epoch. `changed`: it read, moved or wrote something.
    pub(super) fn ended(
        &mut self,
        facts: EpochFacts,
        places: Vec<Vec<PartitionInfo>>,
        changed: bool,
    ) {
        self.begun_us.get_or_insert(facts.now_us);
        if changed {
            self.changed = true;
            self.facts.push(facts);
        }
        self.places = places;
    }

    /// Returns whether a commit should begin. `waiting` is what sinks and state hold back for it.
    pub(super) fn is_due(&self, now_us: i64, waiting: usize) -> bool {
        let since = self.begun_us.map_or(0, |begun| now_us.saturating_sub(begun));
        if self.changed {
            since >= self.settings.commit_interval_us || waiting >= self.settings.commit_bytes
        } else {
            since >= IDLE_US
        }
    }

    /// Returns whether so much is held back that the stream must wait for the commit before.
    pub(super) fn must_wait(&self, waiting: usize) -> bool {
        self.committer.under_way() && waiting >= self.settings.commit_bytes
    }

    /// Returns whether a commit is under way.
    pub(super) fn under_way(&self) -> bool {
        self.committer.under_way()
    }

    /// Returns whether there is something that no commit covers.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Returns where the sources' partitions were at the end of the last epoch.
    pub(super) fn places(&self) -> &[Vec<PartitionInfo>] {
        &self.places
    }

    /// Takes the facts of the epochs that the next commit covers.
    pub(super) fn take_facts(&mut self) -> Vec<EpochFacts> {
        std::mem::take(&mut self.facts)
    }

    pub(super) fn begin(&mut self, commit: Commit) -> Result<(), CommitError> {
        self.begun_us = Some(commit.now_us);
        self.changed = false;
        self.committer.begin(commit)
    }

    /// Returns false when another instance surely has the pipeline.
    pub(super) fn holds(&self) -> bool {
        self.committer.holds()
    }

    /// Returns true when the commit under way has come to count.
    pub(super) fn poll(&mut self) -> Result<bool, CommitError> {
        self.look(Duration::ZERO)
    }

    /// Waits a little for the commit under way.
    pub(super) fn wait(&mut self) -> Result<bool, CommitError> {
        self.look(LOOK)
    }

    fn look(&mut self, most: Duration) -> Result<bool, CommitError> {
        let Some(done) = self.committer.wait(most)? else { return Ok(false) };
        let counts = &mut self.counts;
        counts.commits += 1;
        counts.bytes += done.delta_bytes;
        counts.duration += done.duration;
        counts.longest = counts.longest.max(done.duration);
        counts.state_bytes = done.state_bytes;
        tracing::debug!(checkpoint = %done.id, number = done.number, bytes = done.delta_bytes, "committed");
        counts.last = Some(done.id);
        Ok(true)
    }
}
