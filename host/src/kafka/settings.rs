//! What is known about librdkafka's settings without a broker.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use regex::Regex;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It reads.
    Source,
    /// It writes.
    Sink,
}

/// Returns what to do instead, when a setting is not the user's to decide.
pub fn ours(name: &str, value: Option<&str>, role: Role) -> Option<&'static str> {
    Some(match name {
        "isolation.level" => {
            if value == Some("read_committed") {
                return None;
            }
            "input is always read committed: what an aborted transaction wrote never happened"
        }
        "bootstrap.servers" | "metadata.broker.list" => "use `brokers`",
        "group.id" if role == Role::Source => "use `group`",
        "group.id" => "a sink has no group",
        "transactional.id" => "use `transactional_id` of the sink",
        "transaction.timeout.ms" => "use `transaction_timeout` of the sink",
        "compression.type" | "compression.codec" => "use `compression`",
        "auto.offset.reset" => "use `start_offset` and `fail_on_data_loss`",
        "enable.auto.commit"
        | "auto.commit.enable"
        | "enable.auto.offset.store"
        | "auto.commit.interval.ms" => {
            "offsets are committed together with state and output; remove it"
        }
        "enable.partition.eof"
        | "enable.idempotence"
        | "acks"
        | "request.required.acks"
        | "enable.gapless.guarantee" => "delivery guarantees depend on it; remove it",
        "group.instance.id"
        | "group.protocol"
        | "group.remote.assignor"
        | "partition.assignment.strategy" => {
            "partitions are assigned by millstream, not by the group; remove it"
        }
        "security.protocol" | "sasl.mechanism" | "sasl.mechanisms" | "sasl.username"
        | "sasl.password" => "use `security`",
        "allow.auto.create.topics" => "topics are created by whoever runs the cluster; remove it",
        "log.queue" | "opaque" => "it is used inside; remove it",
        _ => return None,
    })
}

/// Returns true for settings whose value must not stand in a file.
pub fn is_secret(name: &str) -> bool {
    name.ends_with("password")
        || name.ends_with("secret")
        || name.ends_with(".pem") && name.contains("key")
        || name == "sasl.oauthbearer.config"
}

/// Checks a setting's name and value.
///
/// # Errors
/// What librdkafka has against it.
pub fn check_property(name: &str, value: &str) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(_, fault, _, _)) => Err(fault),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the expression for whole names of topics.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn topic_pattern(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        // The last line says what is wrong; those before show where.
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_are_ours_name_a_remedy() {
        for (name, value, role, expected) in [
            ("isolation.level", "read_uncommitted", Role::Source, Some("always read committed")),
            ("isolation.level", "read_committed", Role::Source, None),
            ("enable.auto.commit", "true", Role::Source, Some("together with state")),
            ("group.id", "x", Role::Source, Some("use `group`")),
            ("group.id", "x", Role::Sink, Some("no group")),
            ("transactional.id", "x", Role::Sink, Some("transactional_id")),
            ("sasl.password", "x", Role::Sink, Some("use `security`")),
            ("linger.ms", "5", Role::Sink, None),
        ] {
            match (ours(name, Some(value), role), expected) {
                (Some(found), Some(part)) => assert!(found.contains(part), "{name}: {found}"),
                (found, expected) => assert_eq!(found, expected, "{name}"),
            }
        }
    }

    #[test]
    fn unknown_settings_are_refused_by_librdkafka_itself() {
        assert_eq!(check_property("linger.ms", "5"), Ok(()));
        for (name, value, part) in [
            ("linger.mss", "5", "No such configuration property"),
            ("linger.ms", "x", "Invalid value"),
        ] {
            let fault = check_property(name, value).unwrap_err();
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        let pattern = topic_pattern("logs-.*|events").unwrap();
        for (topic, expected) in
            [("logs-a", true), ("events", true), ("xlogs-a", false), ("events2", false)]
        {
            assert_eq!(pattern.is_match(topic), expected, "{topic}");
        }
        assert!(topic_pattern("logs-(").unwrap_err().contains("unclosed group"));
    }

    #[test]
    fn secrets_are_known_by_name() {
        for (name, expected) in [
            ("ssl.key.password", true),
            ("ssl.keystore.password", true),
            ("ssl.key.pem", true),
            ("ssl.ca.pem", false),
            ("sasl.oauthbearer.client.secret", true),
            ("linger.ms", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
    }
}
