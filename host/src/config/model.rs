//! A pipeline file as it is meant: validated, with the place of every text that can still be wrong.
//!
//! The wire types next door say what may be typed; these say what it means. Durations are
//! microseconds, sizes bytes. SQL texts and names that refer to other nodes keep their span, so
//! that the plan can point at them.

mod kafka;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

pub use kafka::{
    Delivery, KafkaConnection, KafkaSink, KafkaSource, KafkaTopic, KafkaTopics, Property, Sasl,
    Secret, StartOffset, Tls, cluster,
};

/// A value and its byte range in the pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Byte range in the file. Beyond the file's end for values from `--set` (`SourceFile` knows
    /// them); empty at 0 for defaults.
    pub span: Range<usize>,
}

/// A whole pipeline file. Nodes of a kind are in file order.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The pipeline's name; part of alert ids and of transactional ids.
    pub name: String,
    /// Threads and epochs.
    pub engine: Engine,
    /// Where plugins are looked up by bare name, after the folder of the pipeline file.
    pub plugin_dirs: Vec<PathBuf>,
    /// Where poison records and rejects are written, besides being counted.
    pub dead_letters: Option<DeadLetters>,
    /// Where state is kept; none: nothing is.
    pub state: Option<State>,
    /// Where the running pipeline can be asked; none: nowhere.
    pub admin: Option<Admin>,
    /// Where records come from. At least one.
    pub sources: Vec<Node<Source>>,
    /// Records to rows.
    pub parsers: Vec<Node<Parser>>,
    /// Rows to rows by plugin.
    pub transforms: Vec<Node<Transform>>,
    /// Rows to rows by SQL.
    pub streams: Vec<Node<Stream>>,
    /// Aggregates.
    pub windows: Vec<Node<Window>>,
    /// Alerts.
    pub rules: Vec<Node<Rule>>,
    /// Where rows go.
    pub sinks: Vec<Node<Sink>>,
    /// Tests of the pipeline.
    pub tests: Vec<Test>,
}

/// A named node and where its table starts in the file.
#[derive(Clone, Debug)]
pub struct Node<T> {
    /// The node's name, unique in the pipeline; it also names the node's state.
    pub name: String,
    /// Byte range of the table's header name.
    pub span: Range<usize>,
    /// The definition.
    pub config: T,
}

/// Threads and epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Threads that parse, combine and merge. At least 1. Default: one a core.
    pub workers: usize,
    /// Longest time an epoch gathers input.
    pub epoch_us: i64,
    /// Most rows of an epoch.
    pub epoch_rows: usize,
    /// Most bytes of an epoch.
    pub epoch_bytes: usize,
    /// Most records in one call of a plugin.
    pub batch_rows: usize,
    /// How long SIGTERM may take.
    pub shutdown_timeout_us: i64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism()
                .map_or(1, std::num::NonZero::get)
                .min(1024),
            epoch_us: 100_000,
            epoch_rows: 262_144,
            epoch_bytes: 64 << 20,
            batch_rows: 8192,
            shutdown_timeout_us: 10_000_000,
        }
    }
}

/// Checkpoints: where, when, how many.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Where they are.
    pub store: Located<StateStore>,
    /// How many are kept besides the one that counts. At least 1.
    pub keep: usize,
    /// Most memory of all state; none: no limit.
    pub max_bytes: Option<u64>,
    /// Time between two commits.
    pub commit_interval_us: i64,
    /// Outputs waiting for a commit, in bytes, before it comes early.
    pub commit_bytes: usize,
}

/// Where checkpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateStore {
    /// A local folder.
    Folder(PathBuf),
    /// An object store.
    Url(String),
}

/// Metrics and health over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin {
    /// An address of this machine alone.
    pub listen: std::net::SocketAddr,
}

/// Where rejected records are written.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetters {
    /// A file of JSON lines.
    pub path: PathBuf,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What is read.
    pub kind: SourceKind,
    /// How event time advances.
    pub watermark: Watermark,
}

/// What a source reads.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// Topics of a Kafka cluster.
    Kafka(Box<KafkaSource>),
    /// One or several files, each one partition.
    File(FileSource),
    /// All files of a folder, present and future.
    Directory(DirectorySource),
    /// The standard input, one partition.
    Stdin,
    /// Rows `timestamp` (RFC 3339) and `value` (0, 1, 2, …) as JSON records, at a fixed rate.
    Rate(RateSource),
    /// The built-in log generator.
    Generator(GeneratorSource),
}

/// Files, each a partition.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    /// At least one; no two are the same text.
    pub paths: Vec<Located<PathBuf>>,
    /// Keep reading as the file grows, through rotation and truncation.
    pub follow: bool,
    /// Longest record; a longer one is cut out and counted as a reject.
    pub max_record_bytes: usize,
}

/// The files of a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectorySource {
    /// The folder.
    pub path: Located<PathBuf>,
    /// A file name pattern with `*` and `?`.
    pub pattern: String,
    /// Pick up files that appear later; without it the run ends after those present.
    pub watch: bool,
    /// Most new files opened in an epoch.
    pub max_files_per_epoch: usize,
    /// Each file its own partition, instead of one partition in (modification time, name) order.
    pub per_file_partitions: bool,
    /// Longest record; a longer one is cut out and counted as a reject.
    pub max_record_bytes: usize,
}

/// Rows at a fixed rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSource {
    /// At least 1.
    pub rows_per_second: u64,
    /// None: for ever.
    pub rows: Option<u64>,
    /// At least 1.
    pub partitions: u32,
}

/// See `generate`: the same settings as `millstream generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorSource {
    /// The settings as typed, for `generate::Settings`.
    pub settings: serde_json::Value,
    /// Rows a second in real time; none: as fast as possible.
    pub rows_per_second: Option<u64>,
    /// At least 1.
    pub partitions: u32,
}

/// How a source's partitions advance event time.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// The watermark is the highest event time seen minus this.
    pub delay_us: i64,
    /// A partition without rows for this long stops holding the pipeline's watermark back.
    pub idle_timeout_us: Option<i64>,
    /// Rows further ahead of the host's clock are rejected, so that one bad clock cannot close
    /// all windows. None: no limit.
    pub max_ahead_us: Option<i64>,
    /// How far a partition may be ahead of the slowest before it has to wait. None: twice the
    /// largest window that reads the source, or no limit without one.
    pub max_drift_us: Option<i64>,
}

/// A plugin that turns records into rows.
#[derive(Clone, Debug)]
pub struct Parser {
    /// The name of a source.
    pub input: Located<String>,
    /// The plugin.
    pub plugin: PluginRef,
    /// The plugin's own settings, a JSON object; keys in file order.
    pub config: Located<serde_json::Value>,
    /// The column that holds the event time; none: the time the record was received.
    pub event_time: Option<Located<String>>,
}

/// A plugin that turns rows into rows.
#[derive(Clone, Debug)]
pub struct Transform {
    /// One or more inputs with the same schema.
    pub inputs: Vec<Located<String>>,
    /// The plugin.
    pub plugin: PluginRef,
    /// The plugin's own settings, a JSON object; keys in file order.
    pub config: Located<serde_json::Value>,
}

/// A plugin, what it must be and what it may use.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginRef {
    /// Where it is.
    pub source: Located<PluginSource>,
    /// The digest it must have, 64 lower-case hex digits.
    pub sha256: Option<Located<String>>,
    /// What it may use.
    pub limits: Limits,
}

/// Where a plugin is.
#[derive(Clone, Debug, PartialEq)]
pub enum PluginSource {
    /// A bare name: `<name>.wasm` in a plugin directory.
    Name(String),
    /// A path, relative to the pipeline file.
    Path(PathBuf),
}

/// What a plugin may use. Defaults in `Limits::default`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most memory of an instance.
    pub memory_bytes: usize,
    /// CPU time of one call.
    pub deadline_us: i64,
    /// Most bytes returned by one call.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, deadline_us: 1_000_000, output_bytes: 64 << 20 }
    }
}

/// Rows to rows by SQL. Applied in the order unnest, derive, where, select.
#[derive(Clone, Debug)]
pub struct Stream {
    /// One or more inputs with the same schema.
    pub inputs: Vec<Located<String>>,
    /// Column name and the SQL of a list; one row for each element.
    pub unnest: Option<(String, Located<String>)>,
    /// Columns added: name and SQL.
    pub derive: Vec<(String, Located<String>)>,
    /// Rows kept. None: all.
    pub filter: Option<Located<String>>,
    /// The columns kept, in this order: name and SQL. None: all. `select = ["service"]` is
    /// `("service", "\"service\"")`.
    pub select: Option<Vec<(String, Located<String>)>>,
}

/// Aggregates over groups of rows. The names in `group_by`, `aggregate` and `derive` differ.
#[derive(Clone, Debug)]
pub struct Window {
    /// One or more inputs with the same schema.
    pub inputs: Vec<Located<String>>,
    /// Which window it is.
    pub kind: WindowKind,
    /// Rows aggregated. None: all.
    pub filter: Option<Located<String>>,
    /// Column name and SQL. `group_by = ["service"]` is `("service", "\"service\"")`: the name as
    /// a quoted SQL identifier, so that any name works.
    pub group_by: Vec<(String, Located<String>)>,
    /// Column name and SQL aggregate. At least one.
    pub aggregate: Vec<(String, Located<String>)>,
    /// Columns added to the result: name and SQL.
    pub derive: Vec<(String, Located<String>)>,
    /// Result rows kept. None: all.
    pub having: Option<Located<String>>,
    /// When results are emitted.
    pub output: OutputMode,
    /// Processing time between two outputs of update and complete mode. None: each epoch.
    pub trigger_us: Option<i64>,
    /// How long a closed window takes late rows. 0 but for time windows in append mode.
    pub allowed_lateness_us: i64,
}

/// Which window it is. Durations are positive, `offset_us` is from 0 to below the size or slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// `[start, end)` aligned to the Unix epoch plus `offset_us`.
    Tumbling {
        /// From start to end.
        size_us: i64,
        /// Moves all starts.
        offset_us: i64,
    },
    /// A window of `size_us` starts every `slide_us`.
    Sliding {
        /// From start to end.
        size_us: i64,
        /// From start to start; at most the size.
        slide_us: i64,
        /// Moves all starts.
        offset_us: i64,
    },
    /// Ends when a key has had no row for `gap_us`.
    Session {
        /// The pause that ends a session.
        gap_us: i64,
    },
    /// Every `rows` rows of a key.
    Count {
        /// At least 1.
        rows: u64,
    },
    /// One window for ever.
    Global,
}

/// When a window's results are emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// Each window once, when it closes.
    Append,
    /// The groups that changed, each trigger.
    Update,
    /// The whole table, each trigger.
    Complete,
}

/// Raises alerts.
#[derive(Clone, Debug)]
pub struct Rule {
    /// One or more inputs with the same schema.
    pub inputs: Vec<Located<String>>,
    /// Columns of the input that make the key.
    pub key: Vec<Located<String>>,
    /// Who judges the rows.
    pub kind: RuleKind,
    /// Fixed severity; a plugin's own otherwise, "warning" for `when` rules.
    pub severity: Option<Severity>,
    /// Template with `{column}` places and `{{`, `}}` for braces, which match. None: the plugin's message, or the condition.
    pub message: Option<Located<String>>,
    /// Host-kept state of a key is dropped when its last row is older than this, in event time.
    pub state_ttl_us: Option<i64>,
    /// In which order rows are judged.
    pub order: RowOrder,
    /// Also evaluate revisions of windows.
    pub revisions: bool,
}

/// Who judges a rule's rows.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// An alert for every row for which the SQL condition is true.
    When(Located<String>),
    /// A plugin with state of its own for each key.
    Plugin {
        /// The plugin.
        plugin: PluginRef,
        /// The plugin's own settings, a JSON object; keys in file order.
        config: Located<serde_json::Value>,
    },
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Someone should look.
    Warning,
    /// Someone must act.
    Critical,
}

/// In which order a rule sees rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// As rows come; deterministic within a partition.
    Arrival,
    /// Held until the watermark, then by (event time, partition, position).
    EventTime,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub struct Sink {
    /// One or more inputs.
    pub inputs: Vec<Located<String>>,
    /// What is written.
    pub kind: SinkKind,
}

/// What a sink writes.
#[derive(Clone, Debug)]
pub enum SinkKind {
    /// Topics of a Kafka cluster.
    Kafka(Box<KafkaSink>),
    /// The standard output.
    Console(ConsoleSink),
    /// Files.
    File(FileSink),
    /// Counts rows and keeps an order-independent checksum.
    Discard,
}

/// The standard output.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleSink {
    /// How rows look.
    pub format: ConsoleFormat,
    /// Longest text shown in a table cell; 0: no limit.
    pub truncate: usize,
    /// Most rows of a table shown at once; 0: no limit.
    pub max_rows: usize,
}

/// How rows look on the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleFormat {
    /// An aligned table for each batch.
    Table,
    /// A JSON object a line.
    Jsonl,
    /// Time, severity, rule and message of an alert a line.
    Alerts,
}

/// Files of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// `visible = "commit"`: this file is appended to. Otherwise parts are made in this folder.
    pub path: PathBuf,
    /// How rows are written.
    pub format: FileFormat,
    /// When rows can be seen.
    pub visible: Visible,
    /// A part is full after this time. Without meaning for `Visible::Commit`.
    pub roll_us: i64,
    /// A part is full with so many bytes. Without meaning for `Visible::Commit`.
    pub roll_bytes: u64,
}

/// How rows are written to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values below a header.
    Csv,
}

/// When rows in a file can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// A part is published by rename when it is full.
    Roll,
    /// Rows are appended to one plain file.
    Commit,
}

/// One `[[tests]]` entry of a pipeline file.
#[derive(Clone, Debug)]
pub struct Test {
    /// Unique in the file.
    pub name: Located<String>,
    /// Steps in order.
    pub steps: Vec<TestStep>,
    /// Expected rows by node or secondary output ("error_rate", "events.rejects").
    pub expect: BTreeMap<String, Located<Vec<serde_json::Value>>>,
}

/// One step of a test. The source exists; its span is empty when it was left out.
#[derive(Clone, Debug)]
pub enum TestStep {
    /// Raw records into a source (a JSON object is written as JSON text).
    Records {
        /// The source that reads them.
        source: Located<String>,
        /// The records in order.
        records: Vec<String>,
    },
    /// Moves the source's watermark to this time by ending the epoch there.
    Watermark {
        /// The source.
        source: Located<String>,
        /// The new watermark.
        time_us: i64,
    },
}
