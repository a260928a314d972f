//! The families: name, kind, labels, meaning. `docs/metrics.md` is made from this.

use std::fmt::Write as _;

/// What a family measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Times in buckets, in seconds.
    Histogram,
}

/// A family of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its meaning, one sentence.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) const $constant: &str = $name;)*
        /// All families, in the order of the page.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

families! {
    INPUT_RECORDS: Counter "millstream_input_records_total" []
        "Records read from all sources.";
    INPUT_BYTES: Counter "millstream_input_bytes_total" []
        "Bytes of these records.";
    SOURCE_LAG_BYTES: Gauge "millstream_source_lag_bytes" ["source"]
        "What is there to read and was not read yet, of sources that count bytes and have an end.";
    SOURCE_LAG_RECORDS: Gauge "millstream_source_lag_records" ["source"]
        "What is there to read and was not read yet, of sources that count records.";
    SOURCE_WATERMARK_LAG: Gauge "millstream_source_watermark_lag_seconds" ["source"]
        "How far the source's watermark is behind the clock; absent before it has one and after its end.";
    NODE_ROWS: Counter "millstream_node_rows_total" ["node"]
        "Rows that left a node.";
    NODE_REJECTS: Counter "millstream_node_rejects_total" ["node", "reason"]
        "Records and rows that a node refused.";
    NODE_NULLS: Counter "millstream_node_null_values_total" ["node"]
        "Values that became null in a node's SQL: divisions by zero, failed casts, overflows.";
    NODE_STATE: Gauge "millstream_node_state_bytes" ["node"]
        "Memory of a node's state.";
    WINDOW_ROWS: Counter "millstream_window_rows_total" ["node"]
        "Rows that a window was given, late ones included.";
    WINDOW_LATE: Counter "millstream_window_late_rows_total" ["node"]
        "Rows that were late for at least one of their windows.";
    WINDOW_FIRED: Counter "millstream_window_fired_total" ["node"]
        "Windows that fired, of all keys together.";
    WINDOW_OPEN: Gauge "millstream_window_open_windows" ["node"]
        "Windows that are open.";
    RULE_ALERTS: Counter "millstream_rule_alerts_total" ["rule", "severity"]
        "Alerts raised.";
    PLUGIN_CALLS: Counter "millstream_plugin_calls_total" ["plugin"]
        "Calls of a plugin on the data path.";
    PLUGIN_FAILURES: Counter "millstream_plugin_failures_total" ["plugin"]
        "Calls that failed: traps, deadlines, memory, output that is none.";
    PLUGIN_CPU: Counter "millstream_plugin_cpu_seconds_total" ["plugin"]
        "CPU time that a plugin took on the data path.";
    EPOCHS: Counter "millstream_engine_epochs_total" []
        "Epochs ended.";
    EPOCH_SECONDS: Histogram "millstream_engine_epoch_seconds" []
        "Time from the end of one epoch to the end of the next.";
    COMMITS: Counter "millstream_commit_commits_total" []
        "Commits recorded.";
    COMMIT_ABORTS: Counter "millstream_commit_aborts_total" []
        "Commits that were aborted; what they covered was done again.";
    COMMIT_SECONDS: Histogram "millstream_commit_seconds" []
        "Time from the begin of a commit until it was recorded.";
    CHECKPOINT_BYTES: Gauge "millstream_checkpoint_bytes" []
        "Bytes of the last checkpoint.";
    CHECKPOINT_BYTES_WRITTEN: Counter "millstream_checkpoint_written_bytes_total" []
        "Bytes that commits wrote for their checkpoints.";
    CHECKPOINT_AGE: Gauge "millstream_checkpoint_age_seconds" []
        "Time since the last commit was recorded; absent before the first.";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" []
        "Memory of the process.";
    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "CPU time of the process.";
}

/// Returns the page of the metrics, in Markdown.
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `millstream run --admin 127.0.0.1:9187 FILE`, or `[admin] listen = \"127.0.0.1:9187\"` in the \
         pipeline file,\nserves:\n\n\
         | path | what |\n| --- | --- |\n\
         | `/metrics` | everything below, in Prometheus' text format |\n\
         | `/livez` | 200 while the process answers |\n\
         | `/readyz` | 200 while the pipeline runs; 503 while it starts or ends |\n\n\
         Metrics are brought up to date once an epoch. Counters start at 0 with the process.\n\n\
         | name | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for Family { name, kind, labels, help } in FAMILIES {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    page.push_str("\nMade from the program by `cargo xtask bless`.\n");
    page
}
