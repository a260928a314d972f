//! What Kafka sources and sinks must have in common.

use std::collections::BTreeMap;

use crate::config::model::{self, Delivery, KafkaTopic, KafkaTopics, SinkKind, SourceKind};
use crate::config::validate::keys::Context;
use crate::diag::Diagnostic;

impl Context<'_> {
    /// Checks what Kafka sources and sinks must have in common.
    pub fn kafka_as_a_whole(
        &mut self,
        sources: &[model::Node<model::Source>],
        sinks: &[model::Node<model::Sink>],
    ) {
        let exact: Vec<_> = sinks
            .iter()
            .filter_map(|node| match &node.config.kind {
                SinkKind::Kafka(sink) => {
                    (sink.delivery != Delivery::AtLeastOnce).then_some((node, sink))
                }
                _ => None,
            })
            .collect();
        let Some(((first, first_sink), others)) = exact.split_first() else {
            return;
        };
        let cluster = first_sink.connection.cluster();
        for (node, sink) in others {
            if sink.connection.cluster() != cluster {
                self.push(
                    Diagnostic::error("exactly-once sinks with different brokers")
                        .at(sink.connection.brokers.span.clone())
                        .label(format!("`{}` has {:?}", first.name, first_sink.connection.brokers.value))
                        .help("a transaction cannot span two clusters; set delivery = \"at-least-once\" for one of them, or use two pipelines"),
                );
            } else if let Some(key) = difference(first_sink, sink) {
                self.push(
                    Diagnostic::error(format!("exactly-once sinks with different `{key}`"))
                        .at(node.span.clone())
                        .label(format!("differs from `{}`", first.name))
                        .help(
                            "a pipeline has one transaction for all its sinks; make them the same",
                        ),
                );
            }
        }
        let on_cluster = sources.iter().any(|node| match &node.config.kind {
            SourceKind::Kafka(source) => source.connection.cluster() == cluster,
            _ => false,
        });
        let fixed = exact.iter().any(|(_, sink)| matches!(sink.topic, KafkaTopic::Fixed(_)));
        if !on_cluster && !fixed {
            self.push(
                Diagnostic::error("exactly once needs a topic that is known in advance")
                    .at(first.span.clone())
                    .label("the offset of one of its partitions carries the commit")
                    .help("add a sink with `topic`, or a Kafka source on the same brokers"),
            );
        }
        self.one_group(&cluster, sources);
    }

    /// All sources of the transaction's cluster commit under one group.
    fn one_group(&mut self, cluster: &str, sources: &[model::Node<model::Source>]) {
        let mut first: Option<(&str, &str)> = None;
        let mut topics: BTreeMap<&str, &str> = BTreeMap::new();
        for node in sources {
            let SourceKind::Kafka(source) = &node.config.kind else { continue };
            if source.connection.cluster() != cluster {
                continue;
            }
            let (name, group) = *first.get_or_insert((&node.name, &source.group));
            if group != source.group {
                self.push(
                    Diagnostic::error("exactly once with two groups on the same brokers")
                        .at(node.span.clone())
                        .label(format!("group {:?}, and {group:?} in `{name}`", source.group))
                        .help("set the same `group` in both"),
                );
            }
            let KafkaTopics::Named(named) = &source.topics else { continue };
            for topic in named {
                if let Some(other) = topics.insert(&topic.value, &node.name) {
                    self.push(
                        Diagnostic::error(format!("topic `{}` is read twice", topic.value))
                            .at(topic.span.clone())
                            .label(format!("also read by `{other}`"))
                            .help("exactly once, a group has one offset for each partition; read it once, with several parsers"),
                    );
                }
            }
        }
    }
}

/// Returns the first key in which two sinks of one transaction differ.
fn difference(a: &model::KafkaSink, b: &model::KafkaSink) -> Option<&'static str> {
    let settings = |sink: &model::KafkaSink| match &sink.delivery {
        Delivery::ExactlyOnce { transactional_id, timeout_us } => {
            (transactional_id.clone(), *timeout_us)
        }
        Delivery::AtLeastOnce => (String::new(), 0),
    };
    let ((id_a, timeout_a), (id_b, timeout_b)) = (settings(a), settings(b));
    let (a_to, b_to) = (&a.connection, &b.connection);
    [
        ("transactional_id", id_a == id_b),
        ("transaction_timeout", timeout_a == timeout_b),
        ("compression", a.compression == b.compression),
        ("security", a_to.tls == b_to.tls && a_to.sasl == b_to.sasl),
        ("properties", a_to.properties == b_to.properties),
    ]
    .into_iter()
    .find_map(|(key, same)| (!same).then_some(key))
}
