use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::model::{
    Delivery, KafkaSink, KafkaSource, KafkaTopic, KafkaTopics, Property, Secret, SinkKind,
    SourceKind, StartOffset,
};
use crate::config::parse;

/// The Kafka nodes of a pipeline that is right.
fn read(source: &str, sink: &str, rest: &str) -> (KafkaSource, KafkaSink) {
    let text = format!(
        r#"
        name = "p"
        {rest}
        [sources.logs]
        type = "kafka"
        brokers = "b:1, a:1"
        {source}
        [parsers.events]
        input = "logs"
        plugin = "json"
        [sinks.out]
        input = "events"
        type = "kafka"
        brokers = "a:1,b:1"
        {sink}
        "#
    );
    let loaded = parse(&text, Path::new("conf/p.toml"), &[]).unwrap_or_else(|e| panic!("{e}"));
    let pipeline = loaded.pipeline;
    let (SourceKind::Kafka(source), SinkKind::Kafka(sink)) =
        (&pipeline.sources[0].config.kind, &pipeline.sinks[0].config.kind)
    else {
        panic!("{pipeline:?}")
    };
    (KafkaSource::clone(source), KafkaSink::clone(sink))
}

#[test]
fn defaults() {
    let (source, sink) = read(r#"topics = ["logs"]"#, r#"topic = "out""#, "");
    assert_eq!(source.connection.brokers.value, "b:1,a:1");
    assert_eq!(source.connection.cluster(), sink.connection.cluster());
    assert_eq!((source.group.as_str(), source.start), ("millstream-p", StartOffset::Earliest));
    assert_eq!((source.bounded, source.fail_on_data_loss), (false, true));
    assert_eq!((source.max_record_bytes, source.max_rows_per_epoch), (1 << 20, None));
    assert_eq!((source.connection.tls, source.connection.sasl), (None, None));
    assert_eq!((sink.delivery, sink.compression), (Delivery::AtLeastOnce, "none"));
    let (_, sink) = read(r#"topics = ["logs"]"#, r#"topic = "out""#, "state.path = \"s\"");
    let (transactional_id, timeout_us) = ("millstream-p".into(), 15_000_000);
    assert_eq!(sink.delivery, Delivery::ExactlyOnce { transactional_id, timeout_us });
}

#[test]
fn every_key() {
    let (source, sink) = read(
        r#"
        topic_pattern = "logs-.*"
        start_offset = { offsets = { "logs-a:0" = 5, "logs-a:1" = 0 } }
        end_offset = "latest"
        group = "g"
        fail_on_data_loss = false
        max_record = "1 KiB"
        max_rows_per_epoch = 7
        discover_interval = "1 minute"
        properties = { "fetch.max.bytes" = 104857600, "check.crcs" = true, "ssl.key.password" = { env = "E" } }
        [sources.logs.security]
        tls = true
        ca = "ca.pem"
        certificate = "/abs/client.pem"
        key = "client.key"
        key_password = { file = "key.txt" }
        verify = false
        mechanism = "SCRAM-SHA-512"
        username = "me"
        password = { env = "PASSWORD" }
        "#,
        r#"
        topic_column = "team"
        key = ["a", "b"]
        delivery = "exactly-once"
        compression = "zstd"
        transactional_id = "t"
        transaction_timeout = "1 minute"
        "#,
        "state.path = \"s\"",
    );
    let KafkaTopics::Pattern(pattern) = &source.topics else { panic!("{source:?}") };
    assert_eq!(pattern.value, "logs-.*");
    let offsets = BTreeMap::from([(("logs-a".to_owned(), 0), 5), (("logs-a".to_owned(), 1), 0)]);
    assert_eq!(source.start, StartOffset::Offsets(offsets));
    assert_eq!((source.bounded, source.group.as_str()), (true, "g"));
    assert_eq!((source.max_record_bytes, source.max_rows_per_epoch), (1024, Some(7)));
    assert_eq!((source.fail_on_data_loss, source.discover_us), (false, 60_000_000));
    let text = |text: &str| Property::Text(text.to_owned());
    let expected = [
        ("fetch.max.bytes".to_owned(), text("104857600")),
        ("check.crcs".to_owned(), text("true")),
        ("ssl.key.password".to_owned(), Property::Secret(Secret::Env("E".into()))),
    ];
    assert_eq!(source.connection.properties, expected);
    let tls = source.connection.tls.expect("tls");
    assert_eq!(tls.ca, Some(PathBuf::from("conf/ca.pem")));
    let pair = (PathBuf::from("/abs/client.pem"), PathBuf::from("conf/client.key"));
    assert_eq!(tls.certificate, Some(pair));
    assert_eq!(tls.key_password, Some(Secret::File(PathBuf::from("conf/key.txt"))));
    assert!(!tls.verify);
    let sasl = source.connection.sasl.expect("sasl");
    assert_eq!((sasl.mechanism, sasl.username.as_str()), ("SCRAM-SHA-512", "me"));
    assert_eq!(sasl.password, Secret::Env("PASSWORD".into()));
    assert!(matches!(&sink.topic, KafkaTopic::Column(column) if column.value == "team"));
    let key: Vec<&str> = sink.key.iter().map(|name| name.value.as_str()).collect();
    assert_eq!((key.as_slice(), sink.compression), (&["a", "b"][..], "zstd"));
    let (transactional_id, timeout_us) = ("t".into(), 60_000_000);
    assert_eq!(sink.delivery, Delivery::ExactlyOnce { transactional_id, timeout_us });
}

#[test]
fn beginnings() {
    let at = |text: &str| {
        read(&format!("topics = [\"logs\"]\nstart_offset = {text}"), "topic = \"out\"", "").0.start
    };
    assert_eq!(at("\"latest\""), StartOffset::Latest);
    assert_eq!(at("\"committed\""), StartOffset::Committed);
    let time = at("{ timestamp = \"2025-01-01T00:00:00Z\" }");
    assert_eq!(time, StartOffset::Timestamp(1_735_689_600_000_000));
}
