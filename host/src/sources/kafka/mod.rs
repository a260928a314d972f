//! Topics of a Kafka cluster.
//!
//! Partitions are assigned here, not by a group: the pipeline's commit authority fences, and the
//! group only holds the committed offsets. A position is an offset. Offsets may be missing (a
//! compacted topic, marks of transactions, aborted records): positions just jump. Records without
//! a value, the tombstones of compacted topics, carry nothing that a parser could read: they are
//! counted and passed over. At the end of a partition its position moves behind such records too.
//!
//! Each partition has its own queue within librdkafka, so a read takes exactly what its budget
//! allows, and the rest stays there. Records' bytes are copied once, into the chunk.

mod discovery;
mod lane;
mod open;

use std::sync::Arc;

use self::discovery::Discovery;
use self::lane::KafkaLane;
use super::lane_source::LaneSource;
use super::lanes::Lanes;
use super::{Progress, ProgressUnit, ReadBudget, ReadOutput, ReadState, SourceError, SourceState};
use crate::config::model;
use crate::data::SourceId;
use crate::kafka::{Moment, Reader, TopicFilter, TopicPartition};

/// Time between two words about brokers that do not answer.
const WORD_US: i64 = 5_000_000;

/// Reads topics.
pub struct KafkaSource {
    lanes: Lanes<KafkaLane>,
    reader: Arc<Reader>,
    discovery: Discovery,
    settings: Arc<model::KafkaSource>,
    /// Rows that the epoch may still have.
    left: usize,
    /// When it was last said that no broker answers.
    last_word_us: Option<i64>,
}

impl KafkaSource {
    /// Connects and begins at the positions of `resume`, or where the settings say.
    ///
    /// # Errors
    /// When the cluster, a topic or a position is not there.
    pub fn open(
        settings: &model::KafkaSource,
        id: SourceId,
        resume: Option<&SourceState>,
    ) -> Result<Self, SourceError> {
        let topics = TopicFilter::of(&settings.topics)?;
        let reader = Reader::connect(&settings.connection, &settings.group, topics)?;
        let reader = Arc::new(reader);
        let settings = Arc::new(settings.clone());
        let lanes = open::lanes(&reader, &settings, resume)?;
        let known = lanes.iter().map(|lane| lane.partition().clone()).collect();
        let discovery = Discovery::start(&reader, settings.discover_us, known)?;
        let left = settings.max_rows_per_epoch.unwrap_or(usize::MAX);
        let lanes = Lanes::new(id, lanes);
        Ok(Self { lanes, reader, discovery, settings, left, last_word_us: None })
    }

    /// Returns how many records without a value were passed over.
    pub fn tombstones(&self) -> u64 {
        self.lanes.iter().map(KafkaLane::tombstones).sum()
    }

    /// Returns how many offsets were passed over because their records are gone.
    pub fn lost(&self) -> u64 {
        self.lanes.iter().map(KafkaLane::lost).sum()
    }

    /// Lets partitions join that were found since the last read.
    fn join(&mut self) -> Result<(), SourceError> {
        let found = self.discovery.found();
        if found.is_empty() || self.settings.bounded {
            return Ok(());
        }
        let begin = self.reader.offsets(&found, Moment::First);
        let offsets = match begin {
            Ok(offsets) => offsets,
            Err(error) => {
                tracing::warn!(%error, "new partitions are not read yet");
                self.discovery.again(found);
                return Ok(());
            }
        };
        let at: Vec<(TopicPartition, i64)> = found.into_iter().zip(offsets).collect();
        for lane in open::assigned(&self.reader, &self.settings, &at, |_| None)? {
            tracing::info!(partition = %lane.partition(), "a new partition is read");
            self.lanes.join(lane);
        }
        Ok(())
    }

    /// Says now and then that no broker answers.
    fn tell_trouble(&mut self, now_us: i64) {
        let Some(what) = self.reader.trouble() else {
            if self.last_word_us.take().is_some() {
                tracing::info!(brokers = self.reader.brokers(), "a Kafka broker answers again");
            }
            return;
        };
        if self.last_word_us.is_none_or(|last| now_us.saturating_sub(last) >= WORD_US) {
            self.last_word_us = Some(now_us);
            let brokers = self.reader.brokers();
            tracing::warn!(brokers, error = what, "no Kafka broker answers; still trying");
        }
    }
}

impl LaneSource for KafkaSource {
    type Lane = KafkaLane;

    fn lanes(&self) -> &Lanes<KafkaLane> {
        &self.lanes
    }

    fn lanes_mut(&mut self) -> &mut Lanes<KafkaLane> {
        &mut self.lanes
    }

    fn begin_epoch(&mut self) {
        self.left = self.settings.max_rows_per_epoch.unwrap_or(usize::MAX);
    }

    fn read(
        &mut self,
        budget: &ReadBudget,
        now_us: i64,
        out: &mut ReadOutput,
    ) -> Result<ReadState, SourceError> {
        self.reader.serve();
        self.tell_trouble(now_us);
        self.join()?;
        if self.left == 0 && self.lanes.iter().any(|lane| !lane.is_done()) {
            return Ok(ReadState::NextEpoch);
        }
        let before = out.rows;
        let budget = ReadBudget { rows: budget.rows.min(self.left), ..budget.clone() };
        let mut state = self.lanes.read(&budget, now_us, out)?;
        if state == ReadState::Idle && out.rows == before && self.reader.wait(budget.wait) {
            state = self.lanes.read(&budget, now_us, out)?;
        }
        self.left = self.left.saturating_sub(out.rows.saturating_sub(before));
        Ok(state)
    }

    fn progress(&self) -> Progress {
        let done = self.lanes.iter().map(KafkaLane::done).sum();
        let total = self.lanes.iter().map(KafkaLane::total).sum::<Option<u64>>();
        Progress { done, total, unit: ProgressUnit::Rows }
    }

    fn lag(&self) -> Option<u64> {
        Some(self.lanes.iter().filter_map(KafkaLane::lag).sum())
    }
}
