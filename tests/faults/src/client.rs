//! What the suite asks of the broker.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const LONG: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(1);

/// A cluster's topics.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Where clients connect.
    pub address: String,
}

impl Topics {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// When the broker does not.
    pub fn create(&self, name: &str, partitions: i32) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(LONG)).request_timeout(Some(LONG));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for made in runtime.block_on(admin.create_topics([&topic], &options))? {
            made.map_err(|(name, code)| anyhow::anyhow!("cannot create topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// Returns a producer that writes by transactions.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn transactions(&self, id: &str) -> Result<Transactions> {
        let mut config = self.config();
        config.set("transactional.id", id).set("linger.ms", "1");
        let producer: BaseProducer = config.create()?;
        producer.init_transactions(LONG)?;
        Ok(Transactions { producer })
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        let mut config = self.config();
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        Ok(config.create()?)
    }

    /// Returns the partitions of a topic.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn partitions(&self, topic: &str) -> Result<i32> {
        let consumer = self.consumer("suite")?;
        let metadata = consumer.fetch_metadata(Some(topic), LONG)?;
        let found = metadata.topics().first().context("the topic")?.partitions().len();
        Ok(i32::try_from(found)?)
    }

    /// Returns all committed values of a topic.
    ///
    /// # Errors
    /// When they cannot be read, or a transaction is still open at its end.
    pub fn read(&self, topic: &str) -> Result<Vec<String>> {
        let consumer = self.consumer("suite")?;
        let partitions = self.partitions(topic)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut values = Vec::new();
        let mut left = partitions;
        while left > 0 {
            match consumer.poll(LONG) {
                Some(Ok(message)) => {
                    let value = message.payload().unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Err(error)) => return Err(error).context(format!("read {topic}")),
                None => bail!("{topic} cannot be read to its end: a transaction is open"),
            }
        }
        Ok(values)
    }

    /// Returns the offset behind the last record of each partition, control records included.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let consumer = self.consumer("suite")?;
        let mut ends = BTreeMap::new();
        for partition in 0..self.partitions(topic)? {
            let (_, end) = consumer.fetch_watermarks(topic, partition, LONG)?;
            ends.insert(partition, end);
        }
        Ok(ends)
    }

    /// Returns the committed offset and its metadata of each partition.
    ///
    /// # Errors
    /// When the broker does not answer, or an offset is missing.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, (i64, String)>> {
        let consumer = self.consumer(group)?;
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)? {
            list.add_partition(topic, partition);
        }
        let found = consumer.committed_offsets(list, LONG)?;
        let mut all = BTreeMap::new();
        for element in found.elements() {
            let Offset::Offset(offset) = element.offset() else {
                bail!("partition {} of {topic} has no committed offset", element.partition());
            };
            all.insert(element.partition(), (offset, element.metadata().to_owned()));
        }
        Ok(all)
    }
}

/// Writes by transactions.
pub struct Transactions {
    producer: BaseProducer,
}

impl Transactions {
    /// Writes values and commits.
    ///
    /// # Errors
    /// When the broker does not take them.
    pub fn commit(&mut self, topic: &str, partition: i32, values: &[String]) -> Result<()> {
        self.write(topic, partition, values)?;
        Ok(self.producer.commit_transaction(LONG)?)
    }

    /// Writes values and gives the transaction up.
    ///
    /// # Errors
    /// When the broker does not take them.
    pub fn abort(&mut self, topic: &str, partition: i32, values: &[String]) -> Result<()> {
        self.write(topic, partition, values)?;
        Ok(self.producer.abort_transaction(LONG)?)
    }

    fn write(&self, topic: &str, partition: i32, values: &[String]) -> Result<()> {
        self.producer.begin_transaction()?;
        for value in values {
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
            self.producer.send(record).map_err(|(error, _)| error)?;
        }
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(STEP);
        }
        Ok(())
    }
}
