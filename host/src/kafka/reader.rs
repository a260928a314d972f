//! Reads partitions of a cluster: what there is, from where, and the records themselves.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError as RdKafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use regex::Regex;

use super::client::{self, CONNECT_PATIENCE, Consumer, failed, first_answer};
use super::error::KafkaError;
use super::native::{self, PartitionQueue, WakeUp};
use super::settings::topic_pattern;
use crate::config::model::{KafkaConnection, KafkaTopics};

/// How long a question to a cluster that has answered before may take.
const ASK: Duration = Duration::from_secs(10);

/// How long the look for new partitions may take; it must not hold up the end of the process.
const LOOK: Duration = Duration::from_secs(2);

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// Its number.
    pub partition: i32,
}

impl TopicPartition {
    /// Returns a partition.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: Arc::from(topic), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A moment in a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Its first record.
    First,
    /// Behind its last committed record.
    End,
    /// Its first record from this time on, microseconds since the Unix epoch; the end if there is
    /// none.
    Time(i64),
}

/// Which topics are read.
#[derive(Clone, Debug)]
pub enum TopicFilter {
    /// These.
    Named(Vec<String>),
    /// Those that match.
    Pattern(Regex),
}

impl TopicFilter {
    /// Returns the filter of a source.
    ///
    /// # Errors
    /// When the pattern is none.
    pub fn of(topics: &KafkaTopics) -> Result<Self, KafkaError> {
        Ok(match topics {
            KafkaTopics::Named(names) => {
                Self::Named(names.iter().map(|name| name.value.clone()).collect())
            }
            KafkaTopics::Pattern(pattern) => {
                let wrong = |what| KafkaError::Settings { what };
                Self::Pattern(topic_pattern(&pattern.value).map_err(wrong)?)
            }
        })
    }
}

/// A connection that reads.
pub struct Reader {
    consumer: Arc<Consumer>,
    wake: Arc<WakeUp>,
    brokers: String,
    topics: TopicFilter,
}

impl Reader {
    /// Connects, and makes sure that there is a cluster. The group is never joined.
    ///
    /// # Errors
    /// When nobody answers, or we are not let in.
    pub fn connect(
        connection: &KafkaConnection,
        group: &str,
        topics: TopicFilter,
    ) -> Result<Self, KafkaError> {
        let consumer = client::consumer(client::config(connection)?, group)?;
        let wake = WakeUp::new().map_err(|error| KafkaError::Failed {
            action: "make a socket".into(),
            what: error.to_string(),
        })?;
        let brokers = connection.brokers.value.clone();
        let reader = Self { consumer: Arc::new(consumer), wake: Arc::new(wake), brokers, topics };
        let one = match &reader.topics {
            TopicFilter::Named(names) => names.first().cloned(),
            TopicFilter::Pattern(_) => None,
        };
        // Asking for the topic also makes the first fetch quick.
        first_answer(
            &reader.brokers,
            reader.consumer.context(),
            CONNECT_PATIENCE,
            |wait| reader.consumer.fetch_metadata(one.as_deref(), wait),
            || reader.serve(),
        )?;
        Ok(reader)
    }

    /// Returns the brokers, as they stand in the pipeline file.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Lets the client tell what happened.
    pub fn serve(&self) {
        // Partitions have queues of their own, so that only events can be here.
        for _ in 0..8 {
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    /// Returns the last trouble while no broker is reachable.
    pub fn trouble(&self) -> Option<String> {
        let context = self.consumer.context();
        context.is_down().then(|| {
            context.last().map_or_else(|| "all brokers are down".into(), |(_, w)| client::tidy(&w))
        })
    }

    /// Waits until a partition may have records, at most so long.
    pub fn wait(&self, most: Duration) -> bool {
        self.wake.wait(most)
    }

    /// Returns all partitions of the topics, in order of topic and number.
    ///
    /// # Errors
    /// When a topic does not exist or may not be read.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        let (found, missing) = self.look(ASK)?;
        match missing {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    /// Looks for partitions without waiting long. Topics that are missing now are left out.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn look_again(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        Ok(self.look(LOOK)?.0)
    }

    /// Returns the partitions, and what is wrong with the first topic that has none.
    fn look(
        &self,
        wait: Duration,
    ) -> Result<(Vec<TopicPartition>, Option<KafkaError>), KafkaError> {
        let mut found = Vec::new();
        let mut missing = None;
        match &self.topics {
            TopicFilter::Named(names) => {
                for name in names {
                    let metadata = self.metadata(Some(name), wait)?;
                    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                    match topic.map_or(Some(Code::UnknownTopic), error_of) {
                        None => found.extend(topic.into_iter().flat_map(partitions_of)),
                        Some(code) => {
                            missing = missing.or_else(|| Some(self.no_topic(name, code)));
                        }
                    }
                }
            }
            TopicFilter::Pattern(pattern) => {
                let metadata = self.metadata(None, wait)?;
                // Names that start so are Kafka's own.
                let wanted = |topic: &&MetadataTopic| {
                    !topic.name().starts_with("__") && pattern.is_match(topic.name())
                };
                let topics = metadata.topics().iter().filter(wanted);
                found.extend(topics.filter(|t| error_of(t).is_none()).flat_map(partitions_of));
                if found.is_empty() {
                    let pattern = pattern.as_str().trim_start_matches("^(?:");
                    missing = Some(KafkaError::NoMatch {
                        pattern: pattern.trim_end_matches(")$").into(),
                        brokers: self.brokers.clone(),
                    });
                }
            }
        }
        self.consumer.context().answered();
        found.sort();
        Ok((found, missing))
    }

    fn metadata(&self, topic: Option<&str>, wait: Duration) -> Result<Metadata, KafkaError> {
        self.consumer.fetch_metadata(topic, wait).map_err(|error| {
            self.serve();
            match self.trouble() {
                Some(last) => KafkaError::Unreachable { brokers: self.brokers.clone(), last },
                None => failed("read the list of topics", &error),
            }
        })
    }

    fn no_topic(&self, topic: &str, code: Code) -> KafkaError {
        no_topic(topic, &self.brokers, code)
    }

    /// Returns an offset for each of the partitions.
    ///
    /// # Errors
    /// When the brokers do not tell.
    pub fn offsets(
        &self,
        partitions: &[TopicPartition],
        moment: Moment,
    ) -> Result<Vec<i64>, KafkaError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        // Kafka's protocol has numbers for the two ends where it has a time otherwise.
        let raw = match moment {
            Moment::First => Offset::Beginning,
            Moment::End => Offset::End,
            Moment::Time(us) => Offset::Offset(us.div_euclid(1_000).max(0)),
        };
        let action = || format!("find offsets of {}", names(partitions));
        let list = list(partitions.iter().map(|partition| (partition, raw)))?;
        let found =
            self.consumer.offsets_for_times(list, ASK).map_err(|error| failed(action(), &error))?;
        let mut offsets = Vec::with_capacity(partitions.len());
        let mut beyond = Vec::new();
        for partition in partitions {
            let element = found.find_partition(&partition.topic, partition.partition);
            let Some(element) = element else { return Err(lost_answer(action())) };
            element.error().map_err(|error| failed(action(), &error))?;
            match element.offset() {
                Offset::Offset(offset) => offsets.push(offset),
                // No record is that young.
                _ => {
                    beyond.push((offsets.len(), partition.clone()));
                    offsets.push(0);
                }
            }
        }
        if !beyond.is_empty() {
            if moment == Moment::End {
                return Err(lost_answer(action()));
            }
            let only: Vec<_> = beyond.iter().map(|(_, partition)| partition.clone()).collect();
            let ends = self.offsets(&only, Moment::End)?;
            for ((index, _), end) in beyond.iter().zip(ends) {
                if let Some(offset) = offsets.get_mut(*index) {
                    *offset = end;
                }
            }
        }
        Ok(offsets)
    }

    /// Returns the first offset there is and the one behind the last record.
    ///
    /// # Errors
    /// When the brokers do not tell.
    pub fn range(&self, partition: &TopicPartition) -> Result<(i64, i64), KafkaError> {
        let one = std::slice::from_ref(partition);
        let (low, high) = (self.offsets(one, Moment::First)?, self.offsets(one, Moment::End)?);
        match (low.first(), high.first()) {
            (Some(low), Some(high)) => Ok((*low, *high)),
            _ => Err(lost_answer(format!("find offsets of {partition}"))),
        }
    }

    /// Returns where the group stands in each of the partitions.
    ///
    /// # Errors
    /// When the brokers do not tell.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>, KafkaError> {
        let all = committed(&self.consumer, partitions, ASK)?;
        Ok(all.into_iter().map(|committed| committed.offset).collect())
    }

    /// Starts reading partitions at offsets, and returns their records' queues.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn assign(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Vec<PartitionQueue>, KafkaError> {
        let action = || format!("read {}", names(partitions.iter().map(|(p, _)| p)));
        let queues = partitions
            .iter()
            .map(|(partition, _)| {
                let (topic, number) = (&partition.topic, partition.partition);
                PartitionQueue::open(&self.consumer, topic, number, &self.wake)
                    .ok_or_else(|| lost_answer(action()))
            })
            .collect::<Result<_, _>>()?;
        let at = partitions.iter().map(|(partition, at)| (partition, Offset::Offset(*at)));
        let assigned = self.consumer.incremental_assign(&list(at)?);
        assigned.map_err(|error| failed(action(), &error))?;
        Ok(queues)
    }

    /// Goes on reading an assigned partition at another offset. What its queue holds is forgotten.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), KafkaError> {
        let at = list([(partition, Offset::Offset(offset))].into_iter())?;
        self.consumer
            .incremental_unassign(&at)
            .and_then(|()| self.consumer.incremental_assign(&at))
            .map_err(|error| failed(format!("read {partition} from offset {offset}"), &error))
    }

    /// Returns the offset behind a partition's last record, as far as is known without asking.
    pub fn known_end(&self, partition: &TopicPartition) -> Option<i64> {
        native::known_end(&self.consumer, &partition.topic, partition.partition)
    }
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset of the next record; none when nothing was committed.
    pub offset: Option<i64>,
    /// What stands with it: any bytes, often none.
    pub metadata: Vec<u8>,
}

/// Asks what the consumer's group has committed. Waits for transactions that are being committed.
///
/// # Errors
/// When the brokers do not tell in time.
pub(super) fn committed(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    wait: Duration,
) -> Result<Vec<Committed>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let action = || format!("read committed offsets of {}", names(partitions));
    let asked = list(partitions.iter().map(|partition| (partition, Offset::Invalid)))?;
    let found =
        consumer.committed_offsets(asked, wait).map_err(|error| failed(action(), &error))?;
    let texts = native::metadata(&found);
    let mut all = Vec::with_capacity(partitions.len());
    for (element, metadata) in found.elements().iter().zip(texts) {
        element.error().map_err(|error| failed(action(), &error))?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let partition = TopicPartition::new(element.topic(), element.partition());
        all.push(Committed { partition, offset, metadata });
    }
    Ok(all)
}

/// Returns librdkafka's list of partitions.
pub(super) fn list<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut all = TopicPartitionList::new();
    for (partition, offset) in partitions {
        all.add_partition_offset(&partition.topic, partition.partition, offset)
            .map_err(|error| failed(format!("go to offset {offset:?} of {partition}"), &error))?;
    }
    Ok(all)
}

/// Returns the partitions as people write them, the first few.
fn names<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    let mut names: Vec<String> = partitions.into_iter().map(ToString::to_string).collect();
    let count = names.len();
    names.truncate(3);
    let more = if count > 3 { format!(" and {} more", count - 3) } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn lost_answer(action: String) -> KafkaError {
    KafkaError::Failed { action, what: "the brokers did not tell".into() }
}

/// Returns our error for a topic that metadata refuse.
pub(super) fn no_topic(topic: &str, brokers: &str, code: Code) -> KafkaError {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic => {
            KafkaError::UnknownTopic { topic: topic.into(), brokers: brokers.into() }
        }
        other => failed(format!("use topic `{topic}`"), &RdKafkaError::MetadataFetch(other)),
    }
}

/// Returns what metadata say is wrong with a topic.
pub(super) fn error_of(topic: &MetadataTopic) -> Option<Code> {
    topic.error().map(Code::from)
}

fn partitions_of(topic: &MetadataTopic) -> impl Iterator<Item = TopicPartition> {
    let name: Arc<str> = Arc::from(topic.name());
    topic.partitions().iter().map(move |partition| TopicPartition {
        topic: Arc::clone(&name),
        partition: partition.id(),
    })
}
