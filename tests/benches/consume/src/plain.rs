//! librdkafka's batch consumer as its manual shows it: all partitions in one queue.

#![expect(unsafe_code, reason = "the baseline is librdkafka's own interface")]

use std::ptr;
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const BATCH: usize = 8192;

/// Reads so many records and adds up their lengths.
pub fn read(brokers: &str, topic: &str, partitions: i32, records: u64) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench-plain")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let mut messages = vec![ptr::null_mut::<sys::rd_kafka_message_t>(); BATCH];
    let (mut count, mut bytes) = (0_u64, 0_usize);
    // SAFETY: the consumer lives until the end; the queue is destroyed before it; librdkafka writes
    // at most `BATCH` pointers to messages, each of which is valid and freed here once.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        while count < records {
            let got = sys::rd_kafka_consume_batch_queue(queue, 100, messages.as_mut_ptr(), BATCH);
            for message in messages.iter().take(usize::try_from(got).unwrap_or(0)) {
                if (**message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    count += 1;
                    bytes += (**message).len;
                }
                sys::rd_kafka_message_destroy(*message);
            }
        }
        sys::rd_kafka_queue_destroy(queue);
    }
    ensure!(bytes == usize::try_from(count)? * super::RECORD, "{bytes} bytes in {count} records");
    Ok(())
}
