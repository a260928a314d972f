//! One partition.

use std::sync::Arc;
use std::time::Duration;

use super::super::lanes::{Lane, Stop};
use super::super::writer::Writer;
use super::super::{OVERSIZED_PREFIX_BYTES, SourceError};
use crate::config::model;
use crate::data::PartitionName;
use crate::kafka::{Batch, Item, KafkaError, PartitionQueue, Reader, TopicPartition};

/// The most records asked for at once; enough to make the call's own cost vanish.
const BATCH: usize = 1024;

/// How long a recorded epoch's records may take to come once more.
const REPLAY_PATIENCE: Duration = Duration::from_secs(30);

/// Reads one partition.
pub(in crate::sources) struct KafkaLane {
    partition: TopicPartition,
    name: PartitionName,
    /// What was taken out of the queue and does not fit yet. Before the queue: see [`Batch`].
    batch: Batch,
    /// None for a partition of the state that is read no more.
    queue: Option<PartitionQueue>,
    reader: Arc<Reader>,
    settings: Arc<model::KafkaSource>,
    position: i64,
    /// Where it began.
    start: i64,
    /// Where it ends, in a bounded run.
    end: Option<i64>,
    tombstones: u64,
    lost: u64,
}

/// What became of one item.
enum Took {
    Yes,
    Stop(Stop),
}

impl KafkaLane {
    pub fn new(
        partition: TopicPartition,
        position: i64,
        end: Option<i64>,
        queue: Option<PartitionQueue>,
        reader: &Arc<Reader>,
        settings: &Arc<model::KafkaSource>,
    ) -> Self {
        Self {
            name: Arc::from(partition.to_string()),
            partition,
            batch: Batch::default(),
            queue,
            reader: Arc::clone(reader),
            settings: Arc::clone(settings),
            position,
            start: position,
            end,
            tombstones: 0,
            lost: 0,
        }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub fn tombstones(&self) -> u64 {
        self.tombstones
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn is_done(&self) -> bool {
        self.queue.is_none() || self.end.is_some_and(|end| self.position >= end)
    }

    /// Returns the offsets passed so far.
    pub fn done(&self) -> u64 {
        span(self.start, self.position)
    }

    /// Returns the offsets there are to pass, in a bounded run.
    pub fn total(&self) -> Option<u64> {
        self.end.map(|end| span(self.start, end))
    }

    /// Returns how many offsets are still to be passed.
    pub fn lag(&self) -> Option<u64> {
        self.queue.as_ref()?;
        let end = self.end.or_else(|| self.reader.known_end(&self.partition))?;
        Some(span(self.position, end))
    }

    /// Takes one item of the batch.
    fn take(&mut self, out: &mut Writer<'_>) -> Result<Took, SourceError> {
        let Some(item) = self.batch.peek() else { return Ok(Took::Yes) };
        match item {
            Item::Record { offset, payload } => {
                if self.end.is_some_and(|end| offset >= end) {
                    // Came after the start of a bounded run.
                    self.position = self.position.max(self.end.unwrap_or(offset));
                    return Ok(Took::Stop(Stop::Ended));
                }
                if !out.wants(offset) {
                    return Ok(Took::Stop(Stop::Rows));
                }
                let next = offset.saturating_add(1);
                match payload {
                    None => {
                        if self.tombstones == 0 {
                            let partition = &*self.name;
                            tracing::info!(
                                partition,
                                offset,
                                "records without a value are passed over"
                            );
                        }
                        self.tombstones += 1;
                    }
                    Some(bytes) if bytes.len() > self.settings.max_record_bytes => {
                        let prefix = bytes.get(..OVERSIZED_PREFIX_BYTES).unwrap_or(bytes);
                        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                        out.oversized(offset, next, length, prefix.to_vec());
                    }
                    Some(bytes) => {
                        if !out.push(bytes, offset, next) {
                            return Ok(Took::Stop(Stop::Bytes));
                        }
                    }
                }
                self.position = next;
            }
            Item::End { offset } => self.position = self.position.max(offset),
            Item::Failed(fault) => {
                let error = fault.judge(&self.partition);
                self.batch.pop();
                self.failed(error)?;
                return Ok(Took::Yes);
            }
        }
        self.batch.pop();
        Ok(Took::Yes)
    }

    /// Judges a partition's error: ends the source, or goes on.
    fn failed(&mut self, error: Option<KafkaError>) -> Result<(), SourceError> {
        let Some(error) = error else { return Ok(()) };
        if !error.is_out_of_range() {
            return Err(error.into());
        }
        let (low, high) = self.reader.range(&self.partition)?;
        let position = gap(&self.settings, &self.partition, self.position, low, high)?;
        self.lost += span(self.position, position);
        self.position = position;
        self.batch.clear();
        self.reader.seek(&self.partition, self.position)?;
        Ok(())
    }
}

/// Returns where a partition goes on whose `position` is not within `low` to `high`.
///
/// # Errors
/// When losing records should stop the source.
pub(super) fn gap(
    settings: &model::KafkaSource,
    partition: &TopicPartition,
    position: i64,
    low: i64,
    high: i64,
) -> Result<i64, SourceError> {
    if (low..=high).contains(&position) {
        return Ok(position);
    }
    if settings.fail_on_data_loss {
        return Err(SourceError::Kafka(KafkaError::Lost {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            wanted: position,
            low,
            high,
        }));
    }
    let lost = if position < low { low.saturating_sub(position) } else { 0 };
    tracing::warn!(
        %partition,
        position,
        low,
        high,
        lost,
        "records were deleted before they were read; going on with the first there is"
    );
    Ok(low)
}

fn span(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

impl Lane for KafkaLane {
    fn name(&self) -> PartitionName {
        Arc::clone(&self.name)
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        loop {
            while !self.batch.is_empty() {
                if let Took::Stop(stop) = self.take(out)? {
                    return Ok(stop);
                }
            }
            if self.finished() {
                return Ok(Stop::Ended);
            }
            if !out.wants(self.position) {
                return Ok(Stop::Rows);
            }
            let Some(queue) = &self.queue else { return Ok(Stop::Ended) };
            // What a recorded epoch read is there, and must come before the read returns.
            let wait = if out.is_replay() { REPLAY_PATIENCE } else { Duration::ZERO };
            queue.fill(&mut self.batch, out.room().min(BATCH), wait);
            if self.batch.is_empty() {
                return Ok(Stop::Idle);
            }
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        if position == self.position || self.queue.is_none() {
            return Ok(());
        }
        self.batch.clear();
        self.reader.seek(&self.partition, position)?;
        self.position = position;
        self.start = self.start.min(position);
        Ok(())
    }

    fn position(&self) -> i64 {
        self.position
    }

    fn finished(&self) -> bool {
        self.is_done()
    }
}
