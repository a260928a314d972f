//! The calls to librdkafka that its Rust layer lacks: batches, wake-ups, metadata of offsets.
//!
//! The one module here with `unsafe`. Each batch call costs about half of what polling single
//! messages does, and the records' bytes are borrowed from librdkafka until they are copied into a
//! chunk, once.

#![expect(unsafe_code, reason = "librdkafka is C; each line says why it holds")]

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::client::Consumer;
use super::error::KafkaError;
use super::reader::TopicPartition;

/// Wakes a reader when one of several partitions has records.
///
/// librdkafka writes a byte into a socket when a queue is no longer empty.
#[derive(Debug)]
pub struct WakeUp {
    reader: UnixStream,
    writer: UnixStream,
}

impl WakeUp {
    /// Returns a new one.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        // librdkafka's threads must never wait for us.
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }

    /// Waits until there may be something, at most so long. Returns false when the time is over.
    pub fn wait(&self, most: Duration) -> bool {
        if most.is_zero() || self.reader.set_read_timeout(Some(most)).is_err() {
            return false;
        }
        let mut bytes = [0u8; 256];
        matches!((&self.reader).read(&mut bytes), Ok(count) if count > 0)
    }
}

/// The records of one partition, as librdkafka fetches them.
pub struct PartitionQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Must outlive the queue.
    _wake: Arc<WakeUp>,
    /// Must outlive the queue.
    _client: Arc<Consumer>,
}

// SAFETY: librdkafka's queues may be used from any thread; this one is used by one at a time, as
// all methods that change it need it alone or are locked inside librdkafka.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Returns the queue of a partition. Its records come here and nowhere else, also after
    /// assignments. None when there is no such partition.
    pub fn open(
        client: &Arc<Consumer>,
        topic: &str,
        partition: i32,
        wake: &Arc<WakeUp>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client lives as long as the Arc; the topic is a C string; librdkafka copies
        // it.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(
                client.client().native_ptr(),
                topic.as_ptr(),
                partition,
            )
        };
        let queue = NonNull::new(queue)?;
        // SAFETY: the queue was just made and is ours. A null destination takes away the forwarding
        // to the consumer's queue, for good.
        unsafe { sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut()) };
        let payload = [1u8];
        // SAFETY: the payload is copied; the socket stays open, as `_wake` lives as long as the
        // queue, and `drop` switches the events off first.
        unsafe {
            sys::rd_kafka_queue_io_event_enable(
                queue.as_ptr(),
                wake.writer.as_raw_fd(),
                payload.as_ptr().cast(),
                payload.len(),
            );
        }
        Some(Self { queue, _wake: Arc::clone(wake), _client: Arc::clone(client) })
    }

    /// Fills an empty batch with at most `most` items. Waits at most `wait` when there is none.
    pub fn fill(&self, batch: &mut Batch, most: usize, wait: Duration) {
        batch.clear();
        batch.items.reserve(most);
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let slots = batch.items.spare_capacity_mut();
        let most = most.min(slots.len());
        // SAFETY: the queue lives; `slots` has room for `most` pointers, which is all that
        // librdkafka writes. `MaybeUninit<*mut T>` has the layout of `*mut T`.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait,
                slots.as_mut_ptr().cast(),
                most,
            )
        };
        // A negative count is an error of arguments that are all ours: nothing was written.
        let count = usize::try_from(count).unwrap_or(0).min(most);
        // SAFETY: the first `count` slots were written by the call above.
        unsafe { batch.items.set_len(count) };
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue lives until the second call, and nobody else has it.
        unsafe {
            sys::rd_kafka_queue_io_event_enable(self.queue.as_ptr(), -1, ptr::null(), 0);
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// What librdkafka gave and was not taken yet.
///
/// Must be dropped, or empty, before the client it came from: keep it in front of the queue.
#[derive(Default)]
pub struct Batch {
    items: Vec<*mut sys::rd_kafka_message_t>,
    next: usize,
}

// SAFETY: messages belong to whoever got them and may be used and freed on any thread.
unsafe impl Send for Batch {}

/// One thing a partition gives.
#[derive(Debug)]
pub enum Item<'a> {
    /// A record.
    Record {
        /// Its offset.
        offset: i64,
        /// Its value; none for a tombstone.
        payload: Option<&'a [u8]>,
    },
    /// There is nothing at this offset yet.
    End {
        /// The offset of the next record, or before it.
        offset: i64,
    },
    /// The partition cannot be read.
    Failed(PartitionFault),
}

/// What a partition says instead of giving a record.
#[derive(Debug)]
pub struct PartitionFault {
    code: RDKafkaErrorCode,
    text: String,
}

impl PartitionFault {
    /// Returns what it means; none for what passes by itself.
    pub fn judge(self, partition: &TopicPartition) -> Option<KafkaError> {
        KafkaError::judge(self.code, self.text, partition)
    }
}

impl Batch {
    /// Returns the next item.
    #[inline]
    pub fn peek(&self) -> Option<Item<'_>> {
        let message = *self.items.get(self.next)?;
        // SAFETY: `fill` got a valid message, and it is freed only by `pop` and `clear`, which need
        // the batch alone; the item borrows it.
        let message = unsafe { &*message };
        Some(match message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                let payload = NonNull::new(message.payload.cast::<u8>());
                Item::Record {
                    offset: message.offset,
                    // SAFETY: librdkafka gives `len` bytes at `payload`, unchanged until the
                    // message is freed.
                    payload: payload.map(|bytes| unsafe {
                        std::slice::from_raw_parts(bytes.as_ptr(), message.len)
                    }),
                }
            }
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => {
                Item::End { offset: message.offset }
            }
            code => {
                // SAFETY: the message is valid, and the text is a C string that lives as long.
                let text = unsafe {
                    let text = sys::rd_kafka_message_errstr(message);
                    (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
                };
                Item::Failed(PartitionFault { code: code.into(), text: text.unwrap_or_default() })
            }
        })
    }

    /// Frees the next item.
    #[inline]
    pub fn pop(&mut self) {
        if let Some(message) = self.items.get(self.next) {
            // SAFETY: a valid message that nobody else has; `next` moves on, so it is never seen
            // again.
            unsafe { sys::rd_kafka_message_destroy(*message) };
            self.next += 1;
        }
    }

    /// Returns true when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.next >= self.items.len()
    }

    /// Frees what is left.
    pub fn clear(&mut self) {
        while !self.is_empty() {
            self.pop();
        }
        self.items.clear();
        self.next = 0;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Returns the texts that stand with offsets, in the order of the list; any bytes may be there.
///
/// The Rust layer's own accessor panics when they are not UTF-8.
pub fn metadata(list: &TopicPartitionList) -> Vec<Vec<u8>> {
    // SAFETY: the list is valid as long as it is borrowed.
    let native = unsafe { &*list.ptr() };
    let count = usize::try_from(native.cnt).unwrap_or(0);
    if native.elems.is_null() {
        return Vec::new();
    }
    // SAFETY: `elems` has `cnt` elements, which nobody changes while the list is borrowed.
    let elements = unsafe { std::slice::from_raw_parts(native.elems, count) };
    let bytes = |element: &sys::rd_kafka_topic_partition_t| {
        let start = NonNull::new(element.metadata.cast::<u8>());
        start.map_or_else(Vec::new, |start| {
            // SAFETY: librdkafka keeps `metadata_size` bytes at `metadata`.
            unsafe { std::slice::from_raw_parts(start.as_ptr(), element.metadata_size) }.to_vec()
        })
    };
    elements.iter().map(bytes).collect()
}

/// Returns the offset behind a partition's last record as far as fetches have told, without asking
/// anyone.
pub fn known_end(client: &Consumer, topic: &str, partition: i32) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0i64, 0i64);
    // SAFETY: the client lives; the topic is a C string; both numbers are ours to be written.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}
