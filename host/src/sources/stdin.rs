//! Standard input, or any stream of bytes that can be read once.
//!
//! A thread reads, so that an epoch never hangs on a silent writer; a bounded channel lets it run
//! ahead by a few blocks. Positions are running byte offsets. What was read cannot be read again:
//! after a crash, what was not committed is lost. A restart reads another stream; its positions
//! go on from the last one committed, so that no two records of a pipeline have the same.
//!
//! The thread cannot be woken from its read and is therefore not joined: it ends with its input,
//! with the source at the next block, or with the process.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::frame::{Framed, Framer};
use super::lane_source::LaneSource;
use super::lanes::{Lane, Lanes, Stop};
use super::writer::Writer;
use super::{Progress, ProgressUnit, SourceError, SourceState};
use crate::data::{PartitionName, SourceId};

/// How much is read at once: what a pipe holds.
const BLOCK_BYTES: usize = 64 << 10;

/// How many blocks may wait.
const BLOCKS: usize = 64;

/// The longest record; a longer one is cut out.
const MAX_RECORD_BYTES: usize = 16 << 20;

/// Standard input as a source of one partition.
pub struct StdinSource {
    lanes: Lanes<StreamLane>,
}

impl StdinSource {
    /// Reads `input`.
    pub fn new(id: SourceId, input: Box<dyn Read + Send>) -> Self {
        Self::resume(id, input, &SourceState::default())
    }

    /// Reads `input`, which is not what was read before `state`; positions go on from there. A
    /// partition that was finished stays so.
    pub fn resume(id: SourceId, input: Box<dyn Read + Send>, state: &SourceState) -> Self {
        let partition = state.partitions.first();
        let lane = StreamLane {
            framer: Framer::new(
                partition.map_or(0, |partition| partition.position),
                MAX_RECORD_BYTES,
                BLOCK_BYTES,
            ),
            input: Some(input),
            blocks: None,
            next: None,
            ended: false,
            finished: partition.is_some_and(|partition| partition.finished),
        };
        Self { lanes: Lanes::new(id, vec![lane]) }
    }
}

impl LaneSource for StdinSource {
    type Lane = StreamLane;

    fn lanes(&self) -> &Lanes<StreamLane> {
        &self.lanes
    }

    fn lanes_mut(&mut self) -> &mut Lanes<StreamLane> {
        &mut self.lanes
    }

    fn progress(&self) -> Progress {
        let done = self.lanes.iter().map(|lane| u64::try_from(lane.position()).unwrap_or(0)).sum();
        Progress { done, total: None, unit: ProgressUnit::Bytes }
    }
}

type Block = io::Result<Vec<u8>>;

pub(super) struct StreamLane {
    framer: Framer,
    /// Moves to the thread when it starts.
    input: Option<Box<dyn Read + Send>>,
    blocks: Option<Receiver<Block>>,
    /// A block that came while waiting.
    next: Option<Block>,
    /// No block will come again.
    ended: bool,
    finished: bool,
}

impl StreamLane {
    fn start(&mut self) -> Result<(), SourceError> {
        let Some(input) = self.input.take() else { return Ok(()) };
        let (sender, receiver) = bounded(BLOCKS);
        std::thread::Builder::new()
            .name("millstream-stdin".into())
            .spawn(move || forward(input, &sender))
            .map_err(SourceError::Stdin)?;
        self.blocks = Some(receiver);
        Ok(())
    }

    /// Returns the next block if one is there.
    fn receive(&mut self) -> Option<Block> {
        if let Some(block) = self.next.take() {
            return Some(block);
        }
        match self.blocks.as_ref().map(Receiver::try_recv) {
            Some(Ok(block)) => Some(block),
            Some(Err(TryRecvError::Empty)) => None,
            Some(Err(TryRecvError::Disconnected)) | None => {
                self.ended = true;
                None
            }
        }
    }
}

impl Lane for StreamLane {
    fn name(&self) -> PartitionName {
        Arc::from("stdin")
    }

    fn tick(&mut self, _now_us: i64) -> Result<(), SourceError> {
        if self.finished { Ok(()) } else { self.start() }
    }

    fn pull(&mut self, out: &mut Writer<'_>) -> Result<Stop, SourceError> {
        if self.finished {
            return Ok(Stop::Ended);
        }
        loop {
            match self.framer.take(out) {
                Framed::Rows => return Ok(Stop::Rows),
                Framed::Bytes => return Ok(Stop::Bytes),
                Framed::NeedBytes => {}
            }
            match self.receive() {
                Some(block) => {
                    let block = block.map_err(SourceError::Stdin)?;
                    let mut rest = block.as_slice();
                    while !rest.is_empty() {
                        let space = self.framer.space();
                        let (now, later) = rest.split_at(space.len().min(rest.len()));
                        if let Some(space) = space.get_mut(..now.len()) {
                            space.copy_from_slice(now);
                        }
                        self.framer.filled(now.len());
                        rest = later;
                    }
                }
                None if !self.ended => return Ok(Stop::Idle),
                None => {
                    if self.framer.take_tail(out) == Framed::Bytes {
                        return Ok(Stop::Bytes);
                    }
                    self.finished = true;
                    self.framer.release();
                    return Ok(Stop::Ended);
                }
            }
        }
    }

    fn wait(&mut self, most: Duration) -> Result<bool, SourceError> {
        use crossbeam_channel::RecvTimeoutError::{Disconnected, Timeout};
        match self.blocks.as_ref().map(|blocks| blocks.recv_timeout(most)) {
            Some(Ok(block)) => {
                self.next = Some(block);
                Ok(true)
            }
            Some(Err(Timeout)) => Ok(false),
            Some(Err(Disconnected)) | None => Ok(true),
        }
    }

    fn seek(&mut self, position: i64) -> Result<(), SourceError> {
        if position == self.position() {
            return Ok(());
        }
        Err(SourceError::Gone {
            partition: "stdin".into(),
            position,
            reason: "standard input can be read only once",
        })
    }

    fn position(&self) -> i64 {
        self.framer.position()
    }

    fn finished(&self) -> bool {
        self.finished
    }
}

/// Reads `input` to its end and hands the blocks on.
fn forward(mut input: Box<dyn Read + Send>, blocks: &Sender<Block>) {
    loop {
        let mut block = vec![0; BLOCK_BYTES];
        let (block, last) = match input.read(&mut block) {
            Ok(0) => return,
            Ok(read) => {
                block.truncate(read);
                (Ok(block), false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => (Err(error), true),
        };
        if blocks.send(block).is_err() || last {
            return;
        }
    }
}
