//! Looks for new partitions beside the record path.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::super::SourceError;
use crate::kafka::{KafkaError, Reader, TopicPartition};

/// While no broker answers, they are asked this often.
const WHILE_DOWN: Duration = Duration::from_secs(1);

/// A thread that asks now and then; it ends with this value.
pub(super) struct Discovery {
    found: Receiver<Vec<TopicPartition>>,
    /// Found, but could not join yet.
    waiting: Vec<TopicPartition>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Discovery {
    /// Starts looking for partitions that are not `known`.
    pub fn start(
        reader: &Arc<Reader>,
        interval_us: i64,
        known: BTreeSet<TopicPartition>,
    ) -> Result<Self, SourceError> {
        let (stop, stopped) = bounded(0);
        let (send, found) = bounded(1);
        let reader = Arc::clone(reader);
        let interval = Duration::from_micros(u64::try_from(interval_us).unwrap_or(0));
        let thread = std::thread::Builder::new()
            .name("kafka-discovery".into())
            .spawn(move || look(&reader, interval, known, &stopped, &send))
            .map_err(|error| KafkaError::Failed {
                action: "start a thread".into(),
                what: error.to_string(),
            })?;
        Ok(Self { found, waiting: Vec::new(), stop: Some(stop), thread: Some(thread) })
    }

    /// Returns partitions that were not there before, in order.
    pub fn found(&mut self) -> Vec<TopicPartition> {
        let mut all = std::mem::take(&mut self.waiting);
        all.extend(self.found.try_iter().flatten());
        all
    }

    /// Takes partitions back that could not join.
    pub fn again(&mut self, partitions: Vec<TopicPartition>) {
        self.waiting = partitions;
    }
}

fn look(
    reader: &Reader,
    interval: Duration,
    mut known: BTreeSet<TopicPartition>,
    stopped: &Receiver<()>,
    send: &Sender<Vec<TopicPartition>>,
) {
    loop {
        let pause = if reader.trouble().is_some() { WHILE_DOWN.min(interval) } else { interval };
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let all = match reader.look_again() {
            Ok(all) => all,
            Err(error) => {
                tracing::debug!(%error, "cannot look for new partitions");
                continue;
            }
        };
        let new: Vec<_> = all.into_iter().filter(|partition| !known.contains(partition)).collect();
        // When the last ones have not been taken yet, these are found again.
        if !new.is_empty() && send.try_send(new.clone()).is_ok() {
            known.extend(new);
        }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
