//! Chunks between the sources and the owner of the state, in the order in which they were read.
//!
//! ```text
//!  merged ─▶│ placed … │ parsed or not … │ next epoch's …│◀─ read
//!           first       placed            cut
//! ```
//! Chunks are parsed in any order, also those of the next epoch. Once all before it are parsed, a
//! chunk's place in event time is known and it can be combined; a chunk of the next epoch only
//! after this one has ended, since it must hear of its watermark. Chunks are merged in order.

use std::collections::VecDeque;

use super::facts::EpochFacts;
use super::worker::{Stage1, Stage2};
use crate::sources::{Oversized, PartitionInfo};
use crate::window::PartitionTime;

/// The number of a chunk, counted over the whole run.
pub type Seq = u64;

/// A chunk on its way.
#[derive(Default)]
pub struct Slot {
    /// What parsing gave.
    pub stage1: Option<Stage1>,
    /// Where its partition stood before it.
    pub time: Option<PartitionTime>,
    /// What combining gave.
    pub stage2: Option<Stage2>,
}

/// The end of an epoch.
pub struct Cut {
    /// What the epoch is.
    pub facts: EpochFacts,
    /// Records of it that were too long.
    pub oversized: Vec<Oversized>,
    /// Where each source's partitions go on.
    pub places: Vec<Vec<PartitionInfo>>,
    /// The number behind its last chunk.
    end: Seq,
}

/// Chunks and epochs under way.
#[derive(Default)]
pub struct Flow {
    slots: VecDeque<Slot>,
    /// The number of the first chunk that is not merged.
    first: Seq,
    /// How many of `slots` have their place in time.
    placed: usize,
    cuts: VecDeque<Cut>,
}

impl Flow {
    /// Returns the number of chunks that are not merged.
    pub fn chunks(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of epochs that are cut and have not ended.
    pub fn cuts(&self) -> usize {
        self.cuts.len()
    }

    /// Adds a chunk and returns its number.
    pub fn add(&mut self) -> Seq {
        self.slots.push_back(Slot::default());
        self.seq(self.slots.len() - 1)
    }

    /// Ends the epoch behind the last chunk.
    pub fn cut(
        &mut self,
        facts: EpochFacts,
        oversized: Vec<Oversized>,
        places: Vec<Vec<PartitionInfo>>,
    ) {
        let end = self.seq(self.slots.len());
        self.cuts.push_back(Cut { facts, oversized, places, end });
    }

    /// Returns a chunk that is not merged.
    pub fn slot(&mut self, seq: Seq) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// Returns the next chunk that can be placed in time, and counts it as placed.
    pub fn place(&mut self) -> Option<(Seq, &mut Slot)> {
        let seq = self.seq(self.placed);
        if self.cuts.front().is_some_and(|cut| seq >= cut.end) {
            return None;
        }
        let slot = self.slots.get_mut(self.placed).filter(|slot| slot.stage1.is_some())?;
        self.placed += 1;
        Some((seq, slot))
    }

    /// Takes the next chunk that can be merged.
    pub fn merge(&mut self) -> Option<(Stage1, Stage2, PartitionTime)> {
        let Slot { stage1, time, stage2 } = self.slots.front_mut()?;
        if stage2.is_none() || time.is_none() {
            return None;
        }
        let done = (stage1.take()?, stage2.take()?, time.take()?);
        self.slots.pop_front();
        self.first += 1;
        self.placed = self.placed.saturating_sub(1);
        Some(done)
    }

    /// Takes the epoch whose chunks are all merged.
    pub fn end(&mut self) -> Option<Cut> {
        self.cuts.pop_front_if(|cut| cut.end == self.first)
    }

    fn seq(&self, index: usize) -> Seq {
        self.first.saturating_add(u64::try_from(index).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{NO_TIME, Partition, PartitionRef, SourceId};

    fn parsed(records: u64) -> Stage1 {
        Stage1 {
            from: PartitionRef { source: SourceId(0), partition: Partition(0) },
            partition: "p".into(),
            received_us: 0,
            records,
            bytes: 0,
            max_time: NO_TIME,
            for_windows: Vec::new(),
            shipped: Vec::new(),
            matched: Vec::new(),
            rows_out: Vec::new(),
            rejects: Vec::new(),
            made_null: Vec::new(),
        }
    }

    fn place_all(flow: &mut Flow) -> Vec<Seq> {
        let mut placed = Vec::new();
        while let Some((seq, slot)) = flow.place() {
            let (delay_us, pipeline_watermark) = (0, NO_TIME);
            slot.time =
                Some(PartitionTime { max_before_chunk: NO_TIME, delay_us, pipeline_watermark });
            slot.stage2 = Some(Stage2::default());
            placed.push(seq);
        }
        placed
    }

    fn merge_all(flow: &mut Flow) -> Vec<u64> {
        std::iter::from_fn(|| flow.merge()).map(|(stage1, ..)| stage1.records).collect()
    }

    #[test]
    fn chunks_are_placed_and_merged_in_order() {
        let mut flow = Flow::default();
        let seqs: Vec<Seq> = (0..3).map(|_| flow.add()).collect();
        flow.slot(seqs[1]).unwrap().stage1 = Some(parsed(1));
        assert!(place_all(&mut flow).is_empty(), "the first is not parsed");
        flow.slot(seqs[0]).unwrap().stage1 = Some(parsed(0));
        assert_eq!(place_all(&mut flow), [0, 1]);
        assert_eq!(merge_all(&mut flow), [0, 1]);
        flow.slot(seqs[2]).unwrap().stage1 = Some(parsed(2));
        assert_eq!(place_all(&mut flow), [2]);
        assert_eq!(merge_all(&mut flow), [2]);
        assert_eq!(flow.chunks(), 0);
        assert!(flow.slot(seqs[2]).is_none(), "it is merged");
    }

    #[test]
    fn the_next_epoch_is_placed_only_when_this_one_has_ended() {
        let mut flow = Flow::default();
        let first = flow.add();
        flow.cut(EpochFacts { epoch: 7, ..EpochFacts::default() }, Vec::new(), Vec::new());
        let second = flow.add();
        for (seq, records) in [(first, 1), (second, 2)] {
            flow.slot(seq).unwrap().stage1 = Some(parsed(records));
        }
        assert_eq!(place_all(&mut flow), [first]);
        assert!(flow.end().is_none(), "its chunk is not merged");
        assert_eq!(merge_all(&mut flow), [1]);
        assert!(place_all(&mut flow).is_empty(), "the epoch has not ended");
        assert_eq!(flow.end().map(|cut| cut.facts.epoch), Some(7));
        assert_eq!(place_all(&mut flow), [second]);
        assert_eq!(merge_all(&mut flow), [2]);
        assert!(flow.end().is_none());
        flow.cut(EpochFacts::default(), Vec::new(), Vec::new());
        assert!(flow.end().is_some(), "an epoch without chunks ends at once");
    }
}
