//! Worker threads: tasks out, results back.
//!
//! With one worker everything runs on the calling thread and there is no channel. With more, the
//! calling thread is one of the workers: it takes a task itself whenever no result is waiting, so
//! that no core idles while it merges.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::error::EngineError;
use super::worker::{Stage1, Stage2, Wiring, Work, Worker};
use crate::data::Rows;
use crate::plan::{NodeId, Plan};
use crate::window::PartitionTime;

/// A piece of work; `slot` is the chunk's place in the epoch.
pub enum Task {
    /// Parse a chunk and run the stateless nodes.
    Parse {
        /// The chunk's place in the epoch.
        slot: usize,
        /// The chunk.
        work: Box<Work>,
    },
    /// Pre-aggregate a chunk's rows.
    Combine {
        /// The chunk's place in the epoch.
        slot: usize,
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
        /// The chunk's place in the epoch.
        slot: usize,
        /// What it gave.
        result: Result<Stage1, EngineError>,
    },
    /// A chunk is pre-aggregated.
    Combined {
        /// The chunk's place in the epoch.
        slot: usize,
        /// What it gave.
        result: Result<Stage2, EngineError>,
    },
}

/// The workers of one pipeline.
pub struct Pool {
    own: Worker,
    threads: Option<Threads>,
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
            return Ok(Self { own, threads: None });
        }
        // Unbounded, but never more than an epoch's chunks are in them.
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
        Ok(Self { own, threads: Some(Threads { tasks, queue, results, handles }) })
    }

    /// Returns the caller's own worker when there is no other.
    pub fn alone(&mut self) -> Option<&mut Worker> {
        self.threads.is_none().then_some(&mut self.own)
    }

    /// Queues a task.
    pub fn submit(&self, task: Task) {
        if let Some(threads) = &self.threads {
            // The caller holds a receiver, so the channel cannot be closed.
            let _ = threads.tasks.send(task);
        }
    }

    /// Returns the next result, working on a task meanwhile when none is there.
    ///
    /// # Errors
    /// When all workers are gone.
    pub fn next(&mut self) -> Result<Done, EngineError> {
        let Some(threads) = &self.threads else {
            return Err(EngineError::WorkersGone);
        };
        if let Ok(done) = threads.results.try_recv() {
            return Ok(done);
        }
        if let Ok(task) = threads.queue.try_recv() {
            return Ok(run(&mut self.own, task));
        }
        threads.results.recv().map_err(|_| EngineError::WorkersGone)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
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
        Task::Parse { slot, work } => {
            Done::Parsed { slot, result: guarded(|| worker.parse(&work)) }
        }
        Task::Combine { slot, rows, time, watermarks } => {
            let result = guarded(|| worker.combine(rows, &time, &watermarks));
            Done::Combined { slot, result }
        }
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        Err(EngineError::Panic { text })
    })
}
