//! Where partitions begin: at the positions of a checkpoint, or where the settings say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{SourceError, SourceState};
use super::lane::{KafkaLane, gap};
use crate::config::model::{KafkaSource, StartOffset};
use crate::kafka::{KafkaError, Moment, Reader, TopicPartition};

/// Returns all partitions, those of the checkpoint first and under their old numbers.
pub(super) fn lanes(
    reader: &Arc<Reader>,
    settings: &Arc<KafkaSource>,
    resume: Option<&SourceState>,
) -> Result<Vec<KafkaLane>, SourceError> {
    let there = reader.partitions()?;
    let ends: BTreeMap<TopicPartition, i64> = if settings.bounded {
        let ends = reader.offsets(&there, Moment::End)?;
        there.iter().cloned().zip(ends).collect()
    } else {
        BTreeMap::new()
    };
    let end = |partition: &TopicPartition| ends.get(partition).copied();
    let Some(state) = resume else {
        let offsets = start(reader, settings, &there)?;
        let at: Vec<_> = there.into_iter().zip(offsets).collect();
        return assigned(reader, settings, &at, end);
    };
    let lows = reader.offsets(&there, Moment::First)?;
    let highs = reader.offsets(&there, Moment::End)?;
    let ranges: BTreeMap<&TopicPartition, (i64, i64)> =
        there.iter().zip(lows.into_iter().zip(highs)).collect();
    let mut at = Vec::new();
    let mut gone = Vec::new();
    for kept in &state.partitions {
        let partition = parse(&kept.name)?;
        let place = at.len() + gone.len();
        match ranges.get(&partition) {
            Some((low, high)) => {
                let position = gap(settings, &partition, kept.position, *low, *high)?;
                at.push((partition, position));
            }
            None => {
                retired(settings, &partition, kept.position)?;
                gone.push((place, partition, kept.position));
            }
        }
    }
    let known: Vec<TopicPartition> = at.iter().map(|(partition, _)| partition.clone()).collect();
    let new = there.iter().filter(|partition| !known.contains(partition));
    at.extend(new.filter_map(|p| Some((p.clone(), ranges.get(p)?.0))));
    let mut lanes = assigned(reader, settings, &at, end)?;
    for (place, partition, position) in gone {
        let lane = KafkaLane::new(partition, position, None, None, reader, settings);
        lanes.insert(place.min(lanes.len()), lane);
    }
    Ok(lanes)
}

/// Starts reading and returns the partitions.
pub(super) fn assigned(
    reader: &Arc<Reader>,
    settings: &Arc<KafkaSource>,
    at: &[(TopicPartition, i64)],
    end: impl Fn(&TopicPartition) -> Option<i64>,
) -> Result<Vec<KafkaLane>, SourceError> {
    let queues = reader.assign(at)?;
    let lane = |((partition, position), queue): (&(TopicPartition, i64), _)| {
        let end = end(partition);
        KafkaLane::new(partition.clone(), *position, end, Some(queue), reader, settings)
    };
    Ok(at.iter().zip(queues).map(lane).collect())
}

/// Returns where each of the partitions begins in a run without state.
fn start(
    reader: &Reader,
    settings: &KafkaSource,
    there: &[TopicPartition],
) -> Result<Vec<i64>, KafkaError> {
    match &settings.start {
        StartOffset::Earliest => reader.offsets(there, Moment::First),
        StartOffset::Latest => reader.offsets(there, Moment::End),
        StartOffset::Timestamp(us) => reader.offsets(there, Moment::Time(*us)),
        StartOffset::Committed => {
            let first = reader.offsets(there, Moment::First)?;
            let committed = reader.committed(there)?;
            Ok(committed.into_iter().zip(first).map(|(at, first)| at.unwrap_or(first)).collect())
        }
        StartOffset::Offsets(offsets) => {
            let named = offsets.keys().map(|(topic, number)| TopicPartition::new(topic, *number));
            if let Some(absent) = named.into_iter().find(|partition| !there.contains(partition)) {
                return Err(KafkaError::NoSuchPartition {
                    topic: absent.topic.to_string(),
                    partition: absent.partition,
                });
            }
            let first = reader.offsets(there, Moment::First)?;
            let chosen = |(partition, first): (&TopicPartition, i64)| {
                let key = (partition.topic.to_string(), partition.partition);
                offsets.get(&key).copied().unwrap_or(first)
            };
            Ok(there.iter().zip(first).map(chosen).collect())
        }
    }
}

/// Reads a partition's name, `topic-3`.
fn parse(name: &str) -> Result<TopicPartition, KafkaError> {
    let parts = name.rsplit_once('-').and_then(|(topic, number)| {
        Some(TopicPartition::new(topic, number.parse().ok().filter(|number| *number >= 0)?))
    });
    parts.ok_or_else(|| KafkaError::Failed {
        action: "go on from the checkpoint".into(),
        what: format!("`{name}` is not a partition of a topic"),
    })
}

/// Judges a partition of the checkpoint that is no longer read.
fn retired(
    settings: &KafkaSource,
    partition: &TopicPartition,
    position: i64,
) -> Result<(), KafkaError> {
    if settings.fail_on_data_loss {
        return Err(KafkaError::PartitionGone {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            position,
        });
    }
    tracing::warn!(%partition, position, "a partition of the checkpoint is not there any more");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_partitions() {
        for (name, topic, number) in [("logs-3", "logs", 3), ("a-b-0", "a-b", 0)] {
            assert_eq!(parse(name).unwrap(), TopicPartition::new(topic, number));
        }
        for name in ["logs", "logs-", "logs-x", ""] {
            assert!(parse(name).unwrap_err().to_string().contains("is not a partition"), "{name}");
        }
    }
}
