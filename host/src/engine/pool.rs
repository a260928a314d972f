//! Worker threads: tasks out, results back.
//!
//! The calling thread is one of the workers: it takes a task itself whenever no result is waiting,
//! so that no core idles while it merges. With one worker there is no other thread and no channel.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::error::EngineError;
use super::flow::Seq;
use super::wiring::Wiring;
use super::worker::{Stage1, Stage2, Work, Worker};
use crate::data::{Chunk, Rows};
use crate::plan::{NodeId, Plan};
use crate::window::PartitionTime;

/// Chunks a worker may have on their way: enough that it never waits for the caller's next turn at
/// the sources, few enough that little memory is held.
const CHUNKS_OF_A_WORKER: usize = 4;

/// A piece of work on the chunk `seq`.
pub enum Task {
    /// Parse a chunk and run the stateless nodes.
    Parse {
        /// The chunk's number.
        seq: Seq,
        /// The chunk.
        work: Box<Work>,
    },
    /// Pre-aggregate a chunk's rows.
    Combine {
        /// The chunk's number.
        seq: Seq,
        /// The rows of each window.
        rows: Vec<(NodeId, Rows)>,
        /// The chunk's place in event time.
        time: PartitionTime,
        /// Each node's watermark at the start of the epoch.
        watermarks: Arc<[i64]>,
    },
}

/// A result.
pub enum Done {
    /// A chunk is parsed.
    Parsed {
        /// The chunk's number.
        seq: Seq,
        /// What it gave.
        result: Result<Stage1, EngineError>,
        /// The chunk, of no more use but for its memory.
        chunk: Chunk,
    },
    /// A chunk is pre-aggregated.
    Combined {
        /// The chunk's number.
        seq: Seq,
        /// What it gave.
        result: Result<Stage2, EngineError>,
    },
}

/// The workers of one pipeline.
pub struct Pool {
    own: Worker,
    workers: Workers,
}

enum Workers {
    /// The caller alone, with its tasks.
    Alone(VecDeque<Task>),
    Threads(Threads),
}

struct Threads {
    tasks: Sender<Task>,
    /// The caller takes tasks too.
    queue: Receiver<Task>,
    results: Receiver<Done>,
    handles: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `workers` workers, of which the caller is one.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        plan: &Arc<Plan>,
        wiring: &Arc<Wiring>,
        workers: usize,
    ) -> Result<Self, EngineError> {
        let own = Worker::new(Arc::clone(plan), Arc::clone(wiring));
        if workers <= 1 {
            return Ok(Self { own, workers: Workers::Alone(VecDeque::new()) });
        }
        // Unbounded, but the caller never lets more than `limit` chunks be on their way.
        let (tasks, queue) = unbounded::<Task>();
        let (answers, results) = unbounded::<Done>();
        let mut handles = Vec::with_capacity(workers - 1);
        for number in 1..workers {
            let mut worker = Worker::new(Arc::clone(plan), Arc::clone(wiring));
            let (queue, answers) = (queue.clone(), answers.clone());
            let handle = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    while let Ok(task) = queue.recv() {
                        if answers.send(run(&mut worker, task)).is_err() {
                            return;
                        }
                    }
                })
                .map_err(|source| EngineError::Thread { source })?;
            handles.push(handle);
        }
        let threads = Threads { tasks, queue, results, handles };
        Ok(Self { own, workers: Workers::Threads(threads) })
    }

    /// Returns how many chunks may be on their way before the caller should stop reading. One
    /// worker takes chunk after chunk, each while its bytes are in the cache.
    pub fn limit(&self) -> usize {
        match &self.workers {
            Workers::Alone(_) => 1,
            Workers::Threads(threads) => (threads.handles.len() + 1) * CHUNKS_OF_A_WORKER,
        }
    }

    /// Queues a task.
    pub fn submit(&mut self, task: Task) {
        match &mut self.workers {
            // What was just parsed is combined first, while it is in the cache.
            Workers::Alone(tasks) => match task {
                Task::Parse { .. } => tasks.push_back(task),
                Task::Combine { .. } => tasks.push_front(task),
            },
            // The caller holds a receiver, so the channel cannot be closed.
            Workers::Threads(threads) => drop(threads.tasks.send(task)),
        }
    }

    /// Returns a result that is there already.
    pub fn ready(&self) -> Option<Done> {
        match &self.workers {
            Workers::Alone(_) => None,
            Workers::Threads(threads) => threads.results.try_recv().ok(),
        }
    }

    /// Returns the next result, working on a task meanwhile when none is there. There must be a
    /// task on its way.
    ///
    /// # Errors
    /// When all workers are gone.
    pub fn next(&mut self) -> Result<Done, EngineError> {
        let Self { own, workers } = self;
        match workers {
            Workers::Alone(tasks) => {
                let task = tasks.pop_front().ok_or(EngineError::WorkersGone)?;
                Ok(run(own, task))
            }
            Workers::Threads(threads) => {
                if let Ok(done) = threads.results.try_recv() {
                    return Ok(done);
                }
                if let Ok(task) = threads.queue.try_recv() {
                    return Ok(run(own, task));
                }
                threads.results.recv().map_err(|_| EngineError::WorkersGone)
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let alone = Workers::Alone(VecDeque::new());
        if let Workers::Threads(threads) = std::mem::replace(&mut self.workers, alone) {
            let Threads { tasks, queue, handles, .. } = threads;
            // Whatever was queued is of no use to anybody: drain it, and let the threads end.
            while queue.try_recv().is_ok() {}
            drop(queue);
            drop(tasks);
            for handle in handles {
                // A worker's panic was caught and reported as a result.
                let _ = handle.join();
            }
        }
    }
}

/// Runs a task; a panic becomes an error, so that nobody waits for ever.
fn run(worker: &mut Worker, task: Task) -> Done {
    match task {
        Task::Parse { seq, work } => {
            let result = guarded(|| worker.parse(&work));
            Done::Parsed { seq, result, chunk: work.chunk }
        }
        Task::Combine { seq, rows, time, watermarks } => {
            let result = guarded(|| worker.combine(rows, &time, &watermarks));
            Done::Combined { seq, result }
        }
    }
}

/// Turns a panic into an error.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(EngineError::Panic { text })
    })
}
