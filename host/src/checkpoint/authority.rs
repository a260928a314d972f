//! Who decides which checkpoint counts.

use std::fmt;

use crate::kafka::Outgoing;

/// Names a checkpoint: 32 lower-case hex digits, random.
pub type CheckpointId = String;

/// What the authority keeps: the checkpoint that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The checkpoint's name.
    pub checkpoint: CheckpointId,
    /// The first epoch that it does not cover.
    pub epoch: u64,
}

/// The version of the text form of a pointer.
const VERSION: &str = "1";

impl Pointer {
    /// Returns the pointer in a text of `1;<checkpoint>;<epoch>;<crc>`, as it stands in Kafka's
    /// offset metadata.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.rsplit_once(';')?;
        let (version, rest) = body.split_once(';')?;
        let (checkpoint, epoch) = rest.split_once(';')?;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let named = checkpoint.len() == 32 && checkpoint.chars().all(hex);
        let whole = crc == checksum(body) && version == VERSION && named;
        whole.then_some(())?;
        Some(Self { checkpoint: checkpoint.to_owned(), epoch: epoch.parse().ok()? })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = format!("{VERSION};{};{}", self.checkpoint, self.epoch);
        write!(f, "{body};{}", checksum(&body))
    }
}

fn checksum(body: &str) -> String {
    let hash = crate::hash::hash64(body.as_bytes());
    format!("{:08x}", hash & 0xffff_ffff)
}

/// Where a Kafka partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPosition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset of the next record.
    pub offset: i64,
}

/// Where each partition of each Kafka source goes on, with the brokers of its source.
pub type CommitPositions = Vec<(String, Vec<TopicPosition>)>;

/// Names the checkpoint that counts, and fences whoever did so before.
///
/// One thread calls it, in the order `take_over`, then for each commit `send`, `commit`.
pub trait Authority: Send {
    /// Takes the pipeline over: whoever had it can commit no more. Returns the pointer committed
    /// last; none when there never was one.
    ///
    /// # Errors
    /// When the authority cannot be reached, or what it holds cannot be understood.
    fn take_over(&mut self) -> Result<Option<Pointer>, AuthorityError>;

    /// Returns the pointer committed last, without taking anything over.
    ///
    /// # Errors
    /// As [`Authority::take_over`].
    fn current(&mut self) -> Result<Option<Pointer>, AuthorityError>;

    /// Sends records that become visible with the commit. Returns when all have arrived.
    ///
    /// # Errors
    /// [`AuthorityError::Aborted`]: nothing of this commit will be visible.
    fn send(&mut self, records: Vec<Outgoing>) -> Result<(), AuthorityError>;

    /// Makes what was sent visible and `pointer` the one that counts: both or none. The checkpoint
    /// it names must be durable.
    ///
    /// # Errors
    /// [`AuthorityError::Aborted`] when none happened, or when it is not known what happened: then
    /// `take_over` tells.
    fn commit(
        &mut self,
        pointer: &Pointer,
        positions: &CommitPositions,
    ) -> Result<(), AuthorityError>;

    /// Returns true while this process is still the one that may commit; asked before anything is
    /// deleted.
    ///
    /// # Errors
    /// When the authority cannot be reached.
    fn holds(&mut self) -> Result<bool, AuthorityError>;
}

/// Whether this process has a pipeline, over all the times that it takes it over.
///
/// A process that goes back to the last commit takes its own pipeline over again. When another has
/// done so meanwhile, it must not take it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The process: random, the same for its whole life.
    pub owner: String,
    /// It has taken the pipeline over before.
    pub held: bool,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Another process has the pipeline.
    #[error("another instance of this pipeline has taken over: {what}")]
    Fenced {
        /// How it showed.
        what: String,
    },
    /// The commit is undone or in doubt: state goes back to what `take_over` returns, and the
    /// epochs since are run again.
    #[error("the commit was aborted: {what}")]
    Aborted {
        /// Why.
        what: String,
    },
    /// Nothing was done, and trying again would not help.
    #[error("{what}")]
    Refused {
        /// Why.
        what: String,
        /// What to do about it.
        remedy: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_survives_its_text() {
        let pointer = Pointer { checkpoint: "0123456789abcdef0123456789abcdef".into(), epoch: 42 };
        let text = pointer.to_string();
        assert!(text.len() < 200 && text.is_ascii(), "{text}");
        assert_eq!(Pointer::parse(&text), Some(pointer));
    }

    #[test]
    fn a_changed_text_is_no_pointer() {
        let pointer = Pointer { checkpoint: "0123456789abcdef0123456789abcdef".into(), epoch: 42 };
        let text = pointer.to_string();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(Pointer::parse(&changed), None, "{changed}");
        }
        for text in ["", ";", "1;;;", "1;0123456789abcdef0123456789abcdef;42"] {
            assert_eq!(Pointer::parse(text), None, "{text}");
        }
    }
}
