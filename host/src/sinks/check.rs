//! What can be said about a sink before it runs.

use arrow::datatypes::{DataType, Schema};
use thiserror::Error;

use super::SinkInput;
use crate::config::model::{
    ConsoleFormat, Delivery, FileFormat, KafkaSink, KafkaTopic, SinkKind, Visible,
};
use crate::encode::{ALERT_COLUMNS, EncodeError, check_schema};

/// The column that names the node, in sinks with several inputs.
pub const NODE_COLUMN: &str = "node";

/// Why a sink of a pipeline file cannot work.
#[derive(Debug, Error)]
pub enum SinkProblem {
    /// An input has a column without a text form.
    #[error("input `{node}`: {source}")]
    Unwritable {
        /// The input.
        node: String,
        /// Which column and type.
        source: EncodeError,
    },
    /// A CSV file has one header.
    #[error(
        "a CSV file has the same columns in every row, but inputs `{first}` and `{second}` differ \
         in column {column}"
    )]
    DifferentColumns {
        /// The first input.
        first: String,
        /// The one that differs.
        second: String,
        /// The first column that differs, from 1.
        column: usize,
    },
    /// Several inputs are told apart by a column that one of them already has.
    #[error("input `{node}` has a column `node`, which names the input in a sink with several")]
    NodeColumn {
        /// The input.
        node: String,
    },
    /// A column that the sink names is not there.
    #[error("input `{node}` has no column `{column}`")]
    NoColumn {
        /// The input.
        node: String,
        /// The column it lacks.
        column: String,
    },
    /// The column that names a topic must be a text.
    #[error("input `{node}`: column `{column}` names a topic, but is no text")]
    TopicNotText {
        /// The input.
        node: String,
        /// The column.
        column: String,
    },
    /// Lines of alerts need the columns of alerts.
    #[error("input `{node}` has no alerts: it has no column `{column}`")]
    NoAlerts {
        /// The input.
        node: String,
        /// The column it lacks.
        column: &'static str,
    },
}

impl SinkProblem {
    /// Returns the input at fault.
    pub fn input(&self) -> &str {
        match self {
            Self::Unwritable { node, .. }
            | Self::NodeColumn { node }
            | Self::NoColumn { node, .. }
            | Self::TopicNotText { node, .. }
            | Self::NoAlerts { node, .. } => node,
            Self::DifferentColumns { second, .. } => second,
        }
    }

    /// Returns what to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unwritable { .. } => "cast the column in a stream's `select`",
            Self::NoColumn { .. } => {
                "correct `key` or `topic_column`, or add the column in a stream's `select`"
            }
            Self::TopicNotText { .. } => "cast it in a stream's `select`, or choose another column",
            Self::DifferentColumns { .. } => "use `format = \"jsonl\"`, or one sink for each input",
            Self::NoAlerts { .. } => "name rules in `inputs`, or use `format = \"table\"`",
            Self::NodeColumn { .. } => {
                "rename the column in a stream's `select`, or use one sink for each input"
            }
        }
    }
}

/// Returns everything that is wrong with a sink of this kind for these inputs.
pub fn check(kind: &SinkKind, inputs: &[SinkInput]) -> Vec<SinkProblem> {
    let mut problems = Vec::new();
    for input in inputs {
        if let Err(source) = check_schema(&input.schema) {
            problems.push(SinkProblem::Unwritable { node: input.node.clone(), source });
        }
        if inputs.len() > 1
            && shows_node(kind)
            && input.schema.column_with_name(NODE_COLUMN).is_some()
        {
            problems.push(SinkProblem::NodeColumn { node: input.node.clone() });
        }
        if let SinkKind::Kafka(kafka) = kind {
            problems.extend(kafka_columns(kafka, input));
        }
        if let SinkKind::Console(console) = kind
            && console.format == ConsoleFormat::Alerts
            && let Some(column) = lacking(&input.schema)
        {
            problems.push(SinkProblem::NoAlerts { node: input.node.clone(), column });
        }
    }
    if let (SinkKind::File(file), Some((first, others))) = (kind, inputs.split_first())
        && file.format == FileFormat::Csv
    {
        problems.extend(others.iter().filter_map(|other| {
            let column = first_difference(first, other)?;
            let (first, second) = (first.node.clone(), other.node.clone());
            Some(SinkProblem::DifferentColumns { first, second, column })
        }));
    }
    problems
}

/// Returns what a sink promises about the rows, as `check` prints it.
pub fn promise(kind: &SinkKind) -> &'static str {
    match kind {
        SinkKind::Kafka(kafka) => match &kafka.delivery {
            Delivery::ExactlyOnce { .. } => {
                "exactly once: rows become visible with the commit, for readers of committed records"
            }
            Delivery::AtLeastOnce => {
                "at least once: rows since the last commit are written again after a crash"
            }
        },
        SinkKind::Console(_) => "at least once: what was shown before a crash is shown again",
        SinkKind::Discard => "nothing: rows are counted and dropped",
        SinkKind::File(file) => match file.visible {
            Visible::Roll => "exactly once: a part is published when it is full and committed",
            Visible::Commit => {
                "exactly once after a restart: the file is cut back to its last commit; another \
                 process that still writes to it is noticed, but not kept out"
            }
        },
    }
}

/// Returns what is wrong with the columns that make a record's key and topic.
fn kafka_columns(sink: &KafkaSink, input: &SinkInput) -> Vec<SinkProblem> {
    let topic = match &sink.topic {
        KafkaTopic::Column(column) => Some(column.value.as_str()),
        KafkaTopic::Fixed(_) => None,
    };
    let mut names: Vec<&str> = sink.key.iter().map(|name| name.value.as_str()).collect();
    names.extend(topic.filter(|topic| !names.contains(topic)));
    let problem = |name: &str| {
        let (node, column) = (input.node.clone(), name.to_owned());
        match input.schema.column_with_name(name) {
            None => Some(SinkProblem::NoColumn { node, column }),
            Some((_, field)) => {
                let text = matches!(
                    field.data_type(),
                    DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
                );
                (topic == Some(name) && !text).then_some(SinkProblem::TopicNotText { node, column })
            }
        }
    };
    names.into_iter().filter_map(problem).collect()
}

/// Returns the first column of alerts that rows lack.
fn lacking(schema: &Schema) -> Option<&'static str> {
    ALERT_COLUMNS.into_iter().find(|name| schema.column_with_name(name).is_none())
}

/// Returns true for kinds whose rows name their node when there are several inputs.
fn shows_node(kind: &SinkKind) -> bool {
    match kind {
        SinkKind::Console(console) => console.format == ConsoleFormat::Jsonl,
        SinkKind::File(_) | SinkKind::Kafka(_) => true,
        SinkKind::Discard => false,
    }
}

/// Returns the first column, from 1, whose name or type differs.
fn first_difference(a: &SinkInput, b: &SinkInput) -> Option<usize> {
    let (a, b) = (a.schema.fields(), b.schema.fields());
    let same = a
        .iter()
        .zip(b)
        .take_while(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
        .count();
    (same < a.len().max(b.len())).then_some(same + 1)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;
    use crate::config::model::{ConsoleSink, FileSink};

    fn file(format: FileFormat) -> SinkKind {
        SinkKind::File(FileSink {
            path: PathBuf::from("out"),
            format,
            visible: Visible::Roll,
            roll_us: 1,
            roll_bytes: 1,
        })
    }

    fn input(node: &str, columns: &[(&str, DataType)]) -> SinkInput {
        let fields: Vec<_> =
            columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect();
        SinkInput { node: node.into(), schema: Arc::new(Schema::new(fields)) }
    }

    #[test]
    fn problems() {
        let a = input("a", &[("x", DataType::Int64), ("y", DataType::Utf8)]);
        let shorter = input("b", &[("x", DataType::Int64)]);
        let other_type = input("c", &[("x", DataType::Utf8), ("y", DataType::Utf8)]);
        let node = input("d", &[("node", DataType::Utf8)]);
        let decimal = input("e", &[("z", DataType::Decimal128(10, 2))]);
        let alerts = input("f", &ALERT_COLUMNS.map(|name| (name, DataType::Utf8)));
        let console = |format| SinkKind::Console(ConsoleSink { format, truncate: 0, max_rows: 1 });
        let cases: [(SinkKind, Vec<&SinkInput>, &[&str]); 11] = [
            (file(FileFormat::Csv), vec![&a], &[]),
            (file(FileFormat::Csv), vec![&a, &a], &[]),
            (file(FileFormat::Jsonl), vec![&a, &shorter, &other_type], &[]),
            (
                file(FileFormat::Csv),
                vec![&a, &shorter, &other_type],
                &["`a` and `b` differ in column 2", "`a` and `c` differ in column 1"],
            ),
            (file(FileFormat::Jsonl), vec![&node], &[]),
            (file(FileFormat::Jsonl), vec![&node, &a], &["input `d` has a column `node`"]),
            (console(ConsoleFormat::Table), vec![&node, &a], &[]),
            (console(ConsoleFormat::Jsonl), vec![&a, &node], &["input `d` has a column `node`"]),
            (console(ConsoleFormat::Alerts), vec![&alerts, &alerts], &[]),
            (
                console(ConsoleFormat::Alerts),
                vec![&a, &alerts],
                &["input `a` has no alerts: it has no column `event_time`"],
            ),
            (SinkKind::Discard, vec![&decimal], &["input `e`: column `z` has type Decimal128"]),
        ];
        for (kind, inputs, expected) in cases {
            let inputs: Vec<_> = inputs.into_iter().cloned().collect();
            let problems = check(&kind, &inputs);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.to_string().contains(expected), "{problem}");
                assert!(!problem.remedy().is_empty());
            }
            assert!(!promise(&kind).is_empty());
        }
    }
}
