//! The commit authority that is a Kafka transaction.
//!
//! One transaction holds the outputs of a commit and, as committed offsets of the pipeline's
//! group, all input positions; with each stands the checkpoint's name. All become visible or none.
//!
//! Who may commit is decided by the transactional id: `init_transactions` shuts everybody else out.
//! As a producer is also shut out when its own transaction took too long, each instance leaves a
//! random **claim** with an offset of a second group, `<group>.holder`, when it takes over. Whoever
//! is shut out reads it: if it is another's, the pipeline is another's; if it is ours, nobody has
//! taken over, and we begin anew.
//!
//! librdkafka cannot tell a late answer to one transaction from an answer to the next (KIP-890). So
//! after any timeout or lost connection in a transaction its producer is dropped and the next
//! transaction has a new one.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError as RdKafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{self, CONNECT_PATIENCE, Consumer, Producer, failed, first_answer};
use super::error::KafkaError;
use super::outgoing::Outgoing;
use super::pointers::agree;
use super::produce::{STEP, not_written, produce};
use super::reader::{self, Committed, Reader, TopicFilter, TopicPartition};
use super::topics::serve;
use super::verdict::{Facts, Verdict, is_for_good, judge};
use crate::checkpoint::{Authority, AuthorityError, CommitPositions, Pointer, Tenure};
use crate::clock::Stopwatch;
use crate::config::model::{
    Delivery, KafkaConnection, KafkaSink, KafkaSource, KafkaTopic, cluster,
};
use crate::failpoint;
use crate::faults;

/// How long a question, or the end of a transaction, may take before it is asked again.
const ASK: Duration = Duration::from_secs(5);

/// How often it is asked again.
const ASK_TIMES: u32 = 3;

const REMEDY: &str = "to restore offsets from a checkpoint: `millstream recover --from-checkpoint \
                      ID`; to begin anew: `millstream run --reset`";

/// What the transactions of a pipeline need.
#[derive(Clone, Debug)]
pub struct TransactionSettings {
    /// The cluster of the sinks.
    pub connection: KafkaConnection,
    /// How records are compressed, as Kafka calls it.
    pub compression: &'static str,
    /// What fences other instances.
    pub transactional_id: String,
    /// How long the brokers wait for the end of a transaction.
    pub timeout: Duration,
    /// The group of the committed offsets.
    pub group: String,
    /// What the sources on this cluster read.
    pub topics: Vec<TopicFilter>,
    /// A topic whose partition 0 has the pointer when no source is on this cluster.
    pub carrier: Option<String>,
}

impl TransactionSettings {
    /// Returns the settings of a pipeline with these Kafka sources and sinks; none when no sink
    /// is exactly-once. The configuration has made sure that sinks agree.
    ///
    /// # Errors
    /// When a source's pattern is none.
    pub fn of<'a>(
        sources: impl Iterator<Item = &'a KafkaSource>,
        sinks: impl Iterator<Item = &'a KafkaSink>,
    ) -> Result<Option<Self>, KafkaError> {
        let exact = |sink: &&KafkaSink| matches!(sink.delivery, Delivery::ExactlyOnce { .. });
        let sinks: Vec<&KafkaSink> = sinks.filter(exact).collect();
        let Some(first) = sinks.first() else { return Ok(None) };
        let Delivery::ExactlyOnce { transactional_id, timeout_us } = &first.delivery else {
            return Ok(None);
        };
        let fixed = sinks.iter().find_map(|sink| match &sink.topic {
            KafkaTopic::Fixed(name) => Some(name.value.clone()),
            KafkaTopic::Column(_) => None,
        });
        let mut group = transactional_id.clone();
        let mut topics = Vec::new();
        let ours = first.connection.cluster();
        for source in sources.filter(|source| source.connection.cluster() == ours) {
            group.clone_from(&source.group);
            topics.push(TopicFilter::of(&source.topics)?);
        }
        Ok(Some(Self {
            connection: first.connection.clone(),
            compression: first.compression,
            transactional_id: transactional_id.clone(),
            timeout: Duration::from_micros(u64::try_from(*timeout_us).unwrap_or(0)),
            group,
            topics,
            carrier: fixed,
        }))
    }

    fn holder_group(&self) -> String {
        format!("{}.holder", self.group)
    }
}

/// Commits by transactions.
pub struct KafkaAuthority {
    settings: TransactionSettings,
    /// Our cluster, as positions name it.
    cluster: String,
    /// Random; says that we hold the pipeline.
    claim: String,
    /// The claim has been left.
    claimed: bool,
    /// Asks about the group's offsets.
    group: Option<Consumer>,
    /// Asks about the claim.
    holder: Option<Consumer>,
    /// Where the claim stands, and the pointer when there is no source.
    carrier: Option<TopicPartition>,
    producer: Option<Producer>,
    /// The transaction that is open.
    open: Option<Open>,
    last: Option<Pointer>,
}

/// An open transaction.
#[derive(Clone, Copy)]
struct Open {
    since: Stopwatch,
    /// How many troubles the producer had seen before.
    troubles: u64,
}

type Result<T, E = AuthorityError> = std::result::Result<T, E>;

impl KafkaAuthority {
    /// Returns the authority; nothing is asked of the cluster yet.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(settings: TransactionSettings, tenure: Tenure) -> Self {
        Self {
            cluster: cluster(&settings.connection.brokers.value),
            settings,
            claim: tenure.owner,
            claimed: tenure.held,
            group: None,
            holder: None,
            carrier: None,
            producer: None,
            open: None,
            last: None,
        }
    }

    /// Returns all partitions that sources read on this cluster.
    fn partitions(&self) -> Result<Vec<TopicPartition>, KafkaError> {
        let mut all = Vec::new();
        for topics in &self.settings.topics {
            let (connection, group) = (&self.settings.connection, &self.settings.group);
            all.extend(Reader::connect(connection, group, topics.clone())?.partitions()?);
        }
        all.sort();
        all.dedup();
        Ok(all)
    }

    /// Makes the consumers that ask, and finds the partition that carries the claim.
    fn connect(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let carrier = match (partitions.first(), &self.settings.carrier) {
            (Some(partition), _) => partition.clone(),
            (None, Some(topic)) => TopicPartition::new(topic, 0),
            (None, None) => {
                let what = "no topic is known in advance that could carry the pointer".into();
                return Err(KafkaError::Settings { what });
            }
        };
        let config = client::config(&self.settings.connection)?;
        self.group = Some(client::consumer(config.clone(), &self.settings.group)?);
        self.holder = Some(client::consumer(config, &self.settings.holder_group())?);
        self.carrier = Some(carrier);
        Ok(())
    }

    /// Returns whose claim stands; none when there is none.
    fn holder(&self) -> Result<Option<Vec<u8>>, KafkaError> {
        let (Some(consumer), Some(carrier)) = (&self.holder, &self.carrier) else {
            return Ok(None);
        };
        let found = ask(consumer, std::slice::from_ref(carrier))?;
        let claim = found.into_iter().next().filter(|one| one.offset.is_some());
        Ok(claim.map(|one| one.metadata))
    }

    /// Returns what is committed for these partitions.
    fn pointer(&self, partitions: Vec<TopicPartition>) -> Result<Option<Pointer>> {
        let asked =
            if partitions.is_empty() { self.carrier.iter().cloned().collect() } else { partitions };
        let Some(group) = &self.group else { return Ok(None) };
        let found = ask(group, &asked).map_err(|error| self.cannot(&error))?;
        agree(&self.settings.group, &found).map_err(|disagreement| AuthorityError::Refused {
            what: disagreement.what,
            remedy: REMEDY.to_owned(),
        })
    }

    /// Refuses to go on when somebody else's claim stands.
    fn check_holder(&self) -> Result<()> {
        let holder = self.holder().map_err(|error| self.cannot(&error))?;
        match holder {
            Some(claim) if claim != self.claim.as_bytes() => Err(self.fenced()),
            _ => Ok(()),
        }
    }

    fn fenced(&self) -> AuthorityError {
        let id = &self.settings.transactional_id;
        AuthorityError::Fenced {
            what: format!("the brokers have shut transactional id `{id}` out for us"),
        }
    }

    /// Makes a new producer and shuts everybody else out.
    fn init(&mut self) -> Result<()> {
        self.producer = None;
        self.open = None;
        if self.claimed {
            self.check_holder()?;
        }
        let producer = self.new_producer().map_err(|error| self.cannot(&error))?;
        let mut times = 0;
        loop {
            let Err(error) = producer.init_transactions(ASK) else { break };
            serve(&producer);
            times += 1;
            match judge(Facts::of(&error)) {
                Verdict::Retry if times < ASK_TIMES => {}
                Verdict::Fenced => return Err(self.lost()),
                Verdict::Refuse => return Err(refused(&failed("begin transactions", &error))),
                _ => {
                    let brokers = self.settings.connection.brokers.value.clone();
                    let last = producer.client().context().last();
                    let last = last.map_or_else(|| error.to_string(), |(_, w)| client::tidy(&w));
                    return Err(self.cannot(&KafkaError::Unreachable { brokers, last }));
                }
            }
        }
        self.producer = Some(producer);
        if self.claimed {
            // Somebody may have taken over while we were on our way.
            self.check_holder()?;
        }
        Ok(())
    }

    fn new_producer(&self) -> Result<Producer, KafkaError> {
        let settings = &self.settings;
        let config = client::config(&settings.connection)?;
        let transaction = (settings.transactional_id.as_str(), settings.timeout);
        let producer = client::producer(config, settings.compression, Some(transaction))?;
        let topic = self.carrier.as_ref().map(|carrier| Arc::clone(&carrier.topic));
        // Asking first makes `init_transactions` quick.
        first_answer(
            &settings.connection.brokers.value,
            producer.client().context(),
            CONNECT_PATIENCE,
            |wait| producer.client().fetch_metadata(topic.as_deref(), wait),
            || serve(&producer),
        )?;
        Ok(producer)
    }

    /// Leaves our claim, in a transaction of its own.
    fn leave_claim(&mut self) -> Result<()> {
        self.begin()?;
        let carrier = self.carrier.clone();
        let at = carrier.iter().map(|carrier| (carrier, 0));
        let offsets = offsets(at, &self.claim).map_err(|error| self.cannot(&error))?;
        self.end(&offsets, Group::Holder)?;
        self.claimed = true;
        Ok(())
    }

    /// Begins a transaction if none is open.
    fn begin(&mut self) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        if self.producer.is_none() {
            self.init()?;
        }
        let Some(producer) = &self.producer else { return Err(self.doubt("no producer")) };
        let troubles = producer.client().context().troubles();
        match producer.begin_transaction() {
            Ok(()) => {
                self.open = Some(Open { since: Stopwatch::start(), troubles });
                Ok(())
            }
            Err(error) => Err(self.judged("begin a transaction", &error)),
        }
    }

    /// Adds offsets to the open transaction and commits it.
    fn end(&mut self, offsets: &TopicPartitionList, group: Group) -> Result<()> {
        let consumer = match group {
            Group::Pipeline => &self.group,
            Group::Holder => &self.holder,
        };
        let metadata = consumer.as_ref().and_then(rdkafka::consumer::Consumer::group_metadata);
        let Some(metadata) = metadata else { return Err(self.doubt("no group")) };
        let point = |name: &str| matches!(group, Group::Pipeline) && failpoint!(name);
        if point("kafka::before-offsets") {
            return Err(self.abort("injected before the offsets"));
        }
        self.repeat("add offsets to a transaction", |producer| {
            producer.send_offsets_to_transaction(offsets, &metadata, ASK)
        })?;
        if point("kafka::after-offsets") {
            return Err(self.abort("injected after the offsets"));
        }
        self.repeat("commit a transaction", |producer| producer.commit_transaction(ASK))?;
        if point("kafka::after-commit") {
            return Err(self.doubt("injected after the commit"));
        }
        self.closed();
        Ok(())
    }

    /// Calls until it works, or it is clear that it will not.
    fn repeat(
        &mut self,
        action: &str,
        call: impl Fn(&Producer) -> std::result::Result<(), RdKafkaError>,
    ) -> Result<()> {
        loop {
            let Some(producer) = &self.producer else { return Err(self.doubt("no producer")) };
            let Err(error) = call(producer) else { return Ok(()) };
            serve(producer);
            let late = self.open.is_none_or(|open| open.since.elapsed() >= self.settings.timeout);
            if judge(Facts::of(&error)) != Verdict::Retry || late {
                return Err(self.judged(action, &error));
            }
        }
    }

    /// Notes that a transaction has ended, and drops a producer that has seen trouble in it.
    fn closed(&mut self) {
        let Some(open) = self.open.take() else { return };
        let troubled = |producer: &Producer| {
            serve(producer);
            producer.client().context().troubles() != open.troubles
        };
        if self.producer.as_ref().is_some_and(troubled) {
            tracing::debug!("a transaction saw timeouts or lost connections: a new producer");
            self.producer = None;
        }
    }

    /// Returns our error for one of a transaction, and leaves no transaction open.
    fn judged(&mut self, action: &str, error: &RdKafkaError) -> AuthorityError {
        match judge(Facts::of(error)) {
            Verdict::Fenced => self.lost(),
            Verdict::Refuse => {
                let _ = self.abort("");
                refused(&failed(action, error))
            }
            Verdict::Abort => self.abort(&format!("cannot {action}: {error}")),
            Verdict::Retry | Verdict::Doubt => {
                self.doubt(&format!("cannot {action}: {error}; its outcome is unknown"))
            }
        }
    }

    /// The brokers do not know our producer any more: another instance, or a transaction that took
    /// too long.
    fn lost(&mut self) -> AuthorityError {
        self.producer = None;
        self.open = None;
        if !self.claimed {
            return self.fenced();
        }
        match self.holder() {
            Ok(Some(claim)) if claim != self.claim.as_bytes() => self.fenced(),
            Ok(_) => AuthorityError::Aborted {
                what: "the transaction took longer than its timeout".into(),
            },
            Err(error) => AuthorityError::Aborted {
                what: format!("the producer was shut out, by whom is not known yet: {error}"),
            },
        }
    }

    /// Gives the open transaction up.
    fn abort(&mut self, what: &str) -> AuthorityError {
        let aborted = match &self.producer {
            Some(producer) if self.open.is_some() => {
                let result = producer.abort_transaction(ASK);
                serve(producer);
                result
            }
            _ => Ok(()),
        };
        match aborted {
            Ok(()) => self.closed(),
            Err(error) => {
                tracing::debug!(%error, "cannot abort a transaction: a new producer");
                self.producer = None;
                self.open = None;
            }
        }
        // Failed deliveries of an aborted transaction are no concern of the next one.
        if self.producer.as_ref().is_some_and(|p| p.client().context().deliveries().1 > 0) {
            self.producer = None;
        }
        AuthorityError::Aborted { what: what.to_owned() }
    }

    fn doubt(&mut self, what: &str) -> AuthorityError {
        self.producer = None;
        self.open = None;
        AuthorityError::Aborted { what: what.to_owned() }
    }

    /// Returns our error for a cluster that cannot be worked with. Whoever has the pipeline tries
    /// again when brokers are away for a while.
    fn cannot(&self, error: &KafkaError) -> AuthorityError {
        if self.claimed && (error.retry_helps() || matches!(error, KafkaError::Failed { .. })) {
            return AuthorityError::Aborted { what: error.to_string() };
        }
        refused(error)
    }

    /// Returns our error for records that were not taken, and leaves no transaction open.
    fn not_delivered(&mut self, failure: &client::Failure, count: u64) -> AuthorityError {
        let fatal = self.producer.as_ref().and_then(|producer| producer.client().fatal_error());
        if let Some((code, what)) = fatal {
            let facts = Facts { code, fatal: true, retriable: false, abortable: false };
            return match judge(facts) {
                Verdict::Fenced => self.lost(),
                _ => self.doubt(&what),
            };
        }
        let error = not_written(failure, count);
        let aborted = self.abort(&error.to_string());
        if is_for_good(failure.code) { refused(&error) } else { aborted }
    }

    /// Waits until all records have arrived.
    fn drain(&mut self) -> Result<()> {
        loop {
            let Some(producer) = &self.producer else { return Err(self.doubt("no producer")) };
            let context = Arc::clone(producer.client().context());
            let left = producer.in_flight_count();
            if let Some(failure) = context.take_failure() {
                return Err(self.not_delivered(&failure, context.deliveries().1));
            }
            if left == 0 {
                return Ok(());
            }
            if self.open.is_none_or(|open| open.since.elapsed() >= self.settings.timeout) {
                let what = format!("{left} records did not arrive within the transaction's time");
                return Err(self.abort(&what));
            }
            producer.poll(STEP);
        }
    }
}

/// Whose offsets a transaction sets.
#[derive(Clone, Copy)]
enum Group {
    Pipeline,
    Holder,
}

impl Authority for KafkaAuthority {
    fn take_over(&mut self) -> Result<Option<Pointer>> {
        let partitions = self.partitions().map_err(|error| self.cannot(&error))?;
        self.connect(&partitions).map_err(|error| self.cannot(&error))?;
        // Who reads first what is committed may read what is still to change.
        let early = faults::mutant("init-first").then(|| self.pointer(partitions.clone()));
        if early.is_some() {
            failpoint!("kafka::before-init");
        }
        self.init()?;
        if !self.claimed {
            self.leave_claim()?;
        }
        let pointer = early.unwrap_or_else(|| self.pointer(partitions))?;
        self.last.clone_from(&pointer);
        Ok(pointer)
    }

    fn current(&mut self) -> Result<Option<Pointer>> {
        let partitions = self.partitions().map_err(|error| self.cannot(&error))?;
        self.connect(&partitions).map_err(|error| self.cannot(&error))?;
        self.pointer(partitions)
    }

    fn send(&mut self, records: Vec<Outgoing>) -> Result<()> {
        if records.iter().all(Outgoing::is_empty) {
            return Ok(());
        }
        self.begin()?;
        for record in records.iter().flat_map(Outgoing::iter) {
            let Some(producer) = &self.producer else { return Err(self.doubt("no producer")) };
            if let Err(code) = produce(producer, &record) {
                let topic = record.topic.to_owned();
                return Err(self.not_delivered(&client::Failure { topic, code }, 1));
            }
            failpoint!("kafka::produced");
        }
        self.drain()?;
        failpoint!("kafka::delivered");
        Ok(())
    }

    fn commit(&mut self, pointer: &Pointer, positions: &CommitPositions) -> Result<()> {
        self.begin()?;
        let ours: Vec<(TopicPartition, i64)> = positions
            .iter()
            .filter(|(brokers, _)| cluster(brokers) == self.cluster)
            .flat_map(|(_, positions)| positions)
            .map(|at| (TopicPartition::new(&at.topic, at.partition), at.offset))
            .collect();
        let text = pointer.to_string();
        let list = if ours.is_empty() {
            let carrier = self.carrier.clone();
            offsets(carrier.iter().map(|carrier| (carrier, 0)), &text)
        } else {
            offsets(ours.iter().map(|(partition, offset)| (partition, *offset)), &text)
        };
        let list = list.map_err(|error| self.cannot(&error))?;
        self.end(&list, Group::Pipeline)?;
        self.last = Some(pointer.clone());
        Ok(())
    }

    fn holds(&mut self) -> Result<bool> {
        let holder = self.holder().map_err(|error| self.cannot(&error))?;
        if let Some(claim) = holder {
            return Ok(claim == self.claim.as_bytes());
        }
        // The claim has expired: what stands is ours if nobody has committed since.
        let Some(group) = &self.group else { return Ok(false) };
        let partitions = self.partitions().map_err(|error| self.cannot(&error))?;
        let asked =
            if partitions.is_empty() { self.carrier.iter().cloned().collect() } else { partitions };
        let found = ask(group, &asked).map_err(|error| self.cannot(&error))?;
        Ok(agree(&self.settings.group, &found).is_ok_and(|pointer| pointer == self.last))
    }
}

/// Asks for committed offsets, a few times: a transaction that is being committed delays them.
fn ask(consumer: &Consumer, partitions: &[TopicPartition]) -> Result<Vec<Committed>, KafkaError> {
    let mut times = 0;
    loop {
        let found = reader::committed(consumer, partitions, ASK);
        let _ = consumer.poll(Duration::ZERO);
        times += 1;
        match found {
            Err(KafkaError::Failed { .. }) if times < ASK_TIMES => {}
            other => return other,
        }
    }
}

/// Returns offsets that all carry the same text.
fn offsets<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, i64)>,
    text: &str,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let mut element = list.add_partition(&partition.topic, partition.partition);
        // Once for each element: a second call would leak the first text.
        element.set_metadata(text);
        element
            .set_offset(Offset::Offset(offset))
            .map_err(|error| failed(format!("commit offset {offset} of {partition}"), &error))?;
    }
    Ok(list)
}

fn refused(error: &KafkaError) -> AuthorityError {
    AuthorityError::Refused { what: error.to_string(), remedy: error.help().to_owned() }
}
