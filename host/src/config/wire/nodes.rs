//! The nodes after the sources: parsers, transforms, streams, windows, rules, sinks.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Entries, Field, Json, KafkaSink, Key, Size, Sql};

/// A plugin that turns a source's records into rows. Records it refuses are `<name>.rejects`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Parser {
    /// The source.
    ///
    /// `input = "logs"`
    #[schemars(required)]
    pub input: Key<String>,
    /// The plugin, by name or as a table.
    ///
    /// `plugin = "json"`
    #[schemars(required)]
    pub plugin: Key<Plugin>,
    /// The plugin's own settings; `millstream plugin inspect` shows them.
    ///
    /// `config = { columns = { timestamp = "timestamp", status = "int64" } }`
    #[schemars(extend("default" = {}))]
    pub config: Key<Entries<Json>>,
    /// The column that holds the event time. Default: the time at which the record was received.
    ///
    /// `event_time = "timestamp"`
    pub event_time: Key<String>,
}

/// A plugin by its bare name, found in a plugin folder, or by a table.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Plugin {
    #[serde(rename = "$text")]
    Name(String),
    #[serde(rename = "$table")]
    Table(Box<PluginTable>),
}

/// A plugin by path or name, with what it must be and what it may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PluginTable {
    /// The `.wasm` file. Relative to the pipeline file. Either this or `name`.
    ///
    /// `path = "plugins/json.wasm"`
    pub path: Key<String>,
    /// `<name>.wasm` in a plugin folder. Either this or `path`.
    ///
    /// `name = "json"`
    pub name: Key<String>,
    /// The file's SHA-256 in hex; any other file is refused. Default: not checked.
    ///
    /// `sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
    pub sha256: Key<String>,
    /// What the plugin may use.
    ///
    /// `limits = { memory = "64 MiB", deadline = "1s" }`
    pub limits: Key<Limits>,
}

/// What a plugin may use; beyond that the call fails and the record at fault is dead-lettered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// The most memory of one instance.
    ///
    /// `memory = "64 MiB"`
    #[schemars(extend("default" = "64 MiB"))]
    pub memory: Key<Size>,
    /// The most CPU time of one call.
    ///
    /// `deadline = "1s"`
    #[schemars(extend("default" = "1s"))]
    pub deadline: Key<Duration>,
    /// The most bytes returned by one call.
    ///
    /// `output = "64 MiB"`
    #[schemars(extend("default" = "64 MiB"))]
    pub output: Key<Size>,
}

/// A plugin that turns rows into rows, none or several for each, anywhere between a parser and a
/// sink. The rows keep the event time of those they were made of. Rows it refuses are
/// `<name>.rejects`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Transform {
    /// The node whose rows are read. Either this or `inputs`.
    ///
    /// `input = "events"`
    pub input: Key<String>,
    /// Several nodes with the same columns. Either this or `input`.
    ///
    /// `inputs = ["events", "more_events"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// The plugin, by name or as a table.
    ///
    /// `plugin = { path = "geo.wasm" }`
    #[schemars(required)]
    pub plugin: Key<Plugin>,
    /// The plugin's own settings; `millstream plugin inspect` shows them.
    ///
    /// `config = { column = "ip_address" }`
    #[schemars(extend("default" = {}))]
    pub config: Key<Entries<Json>>,
}

/// Rows to rows by SQL, in the order unnest, derive, where, select.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Stream {
    /// The node whose rows are read. Either this or `inputs`.
    ///
    /// `input = "events"`
    pub input: Key<String>,
    /// Several nodes with the same columns. Either this or `input`.
    ///
    /// `inputs = ["events", "more_events"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// A new column and the SQL of a list: a row for each element.
    ///
    /// `unnest = { word = "string_to_array(line, ' ')" }`
    pub unnest: Key<Entries<Sql>>,
    /// Columns to add: name and SQL. A later one may use an earlier one.
    ///
    /// `derive = { seconds = "response_time / 1000.0" }`
    #[schemars(extend("default" = {}))]
    pub derive: Key<Entries<Sql>>,
    /// Only rows for which this SQL condition is true. Default: all.
    ///
    /// `where = "status_code >= 500"`
    pub r#where: Key<Sql>,
    /// The columns to keep, in this order: names, or a table of name and SQL. Default: all.
    ///
    /// `select = ["service", "seconds"]`
    pub select: Key<Columns>,
}

/// Columns by name, or new columns by SQL; the order is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Columns {
    #[serde(rename = "$list")]
    Names(Vec<Field<String>>),
    #[serde(rename = "$table")]
    Table(Entries<Sql>),
}

/// Aggregates over groups of rows. Late rows are `<name>.late`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Window {
    /// The node whose rows are aggregated. Either this or `inputs`.
    ///
    /// `input = "events"`
    pub input: Key<String>,
    /// Several nodes with the same columns. Either this or `input`.
    ///
    /// `inputs = ["events", "more_events"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// Windows of this size, side by side. Exactly one of `tumbling`, `sliding`, `session`, `count` and `global` is needed.
    ///
    /// `tumbling = "1 minute"`
    pub tumbling: Key<Duration>,
    /// Windows of a size that start every slide, so that they overlap.
    ///
    /// `sliding = { size = "5 minutes", slide = "1 minute" }`
    pub sliding: Key<Sliding>,
    /// Windows that end when a group had no row for the gap.
    ///
    /// `session = { gap = "30 minutes" }`
    pub session: Key<Session>,
    /// Windows of so many rows of a group.
    ///
    /// `count = 100`
    #[schemars(range(min = 1))]
    pub count: Key<i64>,
    /// One window for ever; the only value is `true`.
    ///
    /// `global = true`
    pub global: Key<bool>,
    /// Moves the start of tumbling and sliding windows, which are aligned to 1970-01-01T00:00:00Z otherwise.
    ///
    /// `offset = "15 minutes"`
    #[schemars(extend("default" = "0s"))]
    pub offset: Key<Duration>,
    /// Only rows for which this SQL condition is true. Default: all.
    ///
    /// `where = "status_code is not null"`
    pub r#where: Key<Sql>,
    /// The groups: column names, or a table of name and SQL. Default: one group.
    ///
    /// `group_by = ["service"]`
    #[schemars(extend("default" = []))]
    pub group_by: Key<Columns>,
    /// Columns of the result: name and SQL aggregate.
    ///
    /// `aggregate = { total = "count(*)", errors = "count(*) filter (where status_code >= 400)" }`
    #[schemars(required)]
    pub aggregate: Key<Entries<Sql>>,
    /// Columns to add to the result: name and SQL over groups and aggregates.
    ///
    /// `derive = { error_rate = "100.0 * errors / total" }`
    #[schemars(extend("default" = {}))]
    pub derive: Key<Entries<Sql>>,
    /// Only result rows for which this SQL condition is true. Default: all.
    ///
    /// `having = "total >= 10"`
    pub having: Key<Sql>,
    /// Each window once when it closes, the groups that changed, or the whole table.
    ///
    /// `output = "update"`
    #[schemars(extend("default" = "append"))]
    pub output: Key<Output>,
    /// Time between two outputs of `update` and `complete`. Default: every epoch.
    ///
    /// `trigger = "10 seconds"`
    pub trigger: Key<Duration>,
    /// How long a closed window still takes late rows and is emitted again as a revision, numbered in the column `revision`. Tumbling and sliding windows in append mode only.
    ///
    /// `allowed_lateness = "1 minute"`
    #[schemars(extend("default" = "0s"))]
    pub allowed_lateness: Key<Duration>,
}

/// The size of sliding windows and the distance of their starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sliding {
    /// How long a window is.
    ///
    /// `size = "5 minutes"`
    #[schemars(required)]
    pub size: Key<Duration>,
    /// The time from one window's start to the next one's; at most `size`.
    ///
    /// `slide = "1 minute"`
    #[schemars(required)]
    pub slide: Key<Duration>,
}

/// The gap between sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Session {
    /// A session ends when its group had no row for this long.
    ///
    /// `gap = "30 minutes"`
    #[schemars(required)]
    pub gap: Key<Duration>,
}

/// When a window's result is emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Output {
    Append,
    Update,
    Complete,
}

/// Raises alerts, by an SQL condition or by a plugin. All rows of a plugin's rule are `<name>.rows`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rule {
    /// The node whose rows are judged. Either this or `inputs`.
    ///
    /// `input = "error_rate"`
    pub input: Key<String>,
    /// Several nodes with the same columns. Either this or `input`.
    ///
    /// `inputs = ["error_rate", "latency"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// The columns that make the key; a plugin has its own state for each key.
    ///
    /// `key = ["service"]`
    #[schemars(extend("default" = []))]
    pub key: Key<Vec<Field<String>>>,
    /// An alert for each row for which this SQL condition is true. Either this or `plugin`.
    ///
    /// `when = "error_rate > 5.0"`
    pub when: Key<Sql>,
    /// The plugin, by name or as a table. Either this or `when`.
    ///
    /// `plugin = "zscore"`
    pub plugin: Key<Plugin>,
    /// The plugin's own settings.
    ///
    /// `config = { column = "error_rate", threshold = 3.0 }`
    #[schemars(extend("default" = {}))]
    pub config: Key<Entries<Json>>,
    /// How bad it is. Default: what the plugin says; `"warning"` with `when`.
    ///
    /// `severity = "critical"`
    pub severity: Key<Severity>,
    /// The alert's text, with columns in braces, `{rate:.1}` for one decimal; `{{` is a brace. Default: what the plugin says, or the condition.
    ///
    /// `message = "{service} has {error_rate:.1} % errors"`
    pub message: Key<String>,
    /// A key's state is dropped when its last row is older than this, in event time. Plugins only. Default: never.
    ///
    /// `state_ttl = "7 days"`
    pub state_ttl: Key<Duration>,
    /// The order in which a plugin sees a key's rows: as they come, or by event time once the watermark has passed.
    ///
    /// `order = "event_time"`
    #[schemars(extend("default" = "arrival"))]
    pub order: Key<Order>,
    /// Judge revisions of windows too; see `allowed_lateness`.
    ///
    /// `revisions = true`
    #[schemars(extend("default" = false))]
    pub revisions: Key<bool>,
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Severity {
    Info,
    Warning,
    Critical,
}

/// The order of a rule's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Order {
    Arrival,
    EventTime,
}

/// Where rows go. `type` says how.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(tag = "type")]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Sink {
    Kafka(Box<KafkaSink>),
    Console(ConsoleSink),
    File(FileSink),
    Discard(DiscardSink),
}

/// The standard output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ConsoleSink {
    /// The node whose rows are shown. Either this or `inputs`.
    ///
    /// `input = "error_rate"`
    pub input: Key<String>,
    /// Several nodes, shown one after the other. Either this or `input`.
    ///
    /// `inputs = ["error_rate", "latency"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// An aligned table, JSON lines, or a line for each alert of rules.
    ///
    /// `format = "alerts"`
    #[schemars(extend("default" = "table"))]
    pub format: Key<ConsoleFormat>,
    /// The longest text in a cell of a table; 0 is no limit.
    ///
    /// `truncate = 0`
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 40))]
    pub truncate: Key<i64>,
    /// The most rows of a table shown at once; 0 is no limit.
    ///
    /// `max_rows = 100`
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 20))]
    pub max_rows: Key<i64>,
}

/// How rows look on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum ConsoleFormat {
    Table,
    Jsonl,
    Alerts,
}

/// Files, exactly once: in parts that are published when they are full, or one plain file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FileSink {
    /// The node whose rows are written. Either this or `inputs`.
    ///
    /// `input = "error_rate"`
    pub input: Key<String>,
    /// Several nodes with the same columns. Either this or `input`.
    ///
    /// `inputs = ["error_rate", "latency"]`
    pub inputs: Key<Vec<Field<String>>>,
    /// The folder of the parts; with `visible = "commit"` the file. Relative to the pipeline file.
    ///
    /// `path = "out/alerts"`
    #[schemars(required)]
    pub path: Key<String>,
    /// JSON lines, or CSV with a header.
    ///
    /// `format = "csv"`
    #[schemars(extend("default" = "jsonl"))]
    pub format: Key<FileFormat>,
    /// Rows become visible when their part is full, or with each commit in one file.
    ///
    /// `visible = "commit"`
    #[schemars(extend("default" = "roll"))]
    pub visible: Key<Visible>,
    /// When a part is full. Only with `visible = "roll"`.
    ///
    /// `roll = { every = "5 minutes", max_bytes = "128 MB" }`
    pub roll: Key<Roll>,
}

/// How rows are written to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum FileFormat {
    Jsonl,
    Csv,
}

/// When rows in a file can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Visible {
    Roll,
    Commit,
}

/// When a part of a file sink is full: whichever comes first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Roll {
    /// The longest time a part stays open.
    ///
    /// `every = "5 minutes"`
    #[schemars(extend("default" = "5m"))]
    pub every: Key<Duration>,
    /// The most bytes of a part.
    ///
    /// `max_bytes = "128 MB"`
    #[schemars(extend("default" = "128 MB"))]
    pub max_bytes: Key<Size>,
}

/// Nowhere: rows are counted and a checksum is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DiscardSink {
    /// The node whose rows are counted. Either this or `inputs`.
    ///
    /// `input = "events"`
    pub input: Key<String>,
    /// Several nodes. Either this or `input`.
    ///
    /// `inputs = ["events", "late"]`
    pub inputs: Key<Vec<Field<String>>>,
}
