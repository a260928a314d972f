//! A pipeline file as it is meant: validated, with the place of every text that can still be wrong.
//!
//! The wire types next door say what may be typed; these say what it means. Durations are
//! microseconds, sizes bytes. SQL texts and names that refer to other nodes keep their span, so
//! that the plan can point at them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// A value and its byte range in the pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Byte range in the file; empty at 0 for values that come from `--set` or a default.
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
    pub sources: Vec<Node<Source>>,
    pub parsers: Vec<Node<Parser>>,
    pub streams: Vec<Node<Stream>>,
    pub windows: Vec<Node<Window>>,
    pub rules: Vec<Node<Rule>>,
    pub sinks: Vec<Node<Sink>>,
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

#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetters {
    /// A file of JSON lines.
    pub path: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Source {
    pub kind: SourceKind,
    pub watermark: Watermark,
}

#[derive(Clone, Debug)]
pub enum SourceKind {
    /// One or several files, each one partition.
    File(FileSource),
    /// All files of a folder, present and future.
    Directory(DirectorySource),
    Stdin,
    /// Rows `timestamp` (RFC 3339) and `value` (0, 1, 2, …) as JSON records, at a fixed rate.
    Rate(RateSource),
    /// The built-in log generator.
    Generator(GeneratorSource),
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileSource {
    pub paths: Vec<Located<PathBuf>>,
    /// Keep reading as the file grows, through rotation and truncation.
    pub follow: bool,
    /// Longest record; a longer one is cut out and counted as a reject.
    pub max_record_bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DirectorySource {
    pub path: Located<PathBuf>,
    /// A file name pattern with `*` and `?`.
    pub pattern: String,
    /// Pick up files that appear later; without it the run ends after those present.
    pub watch: bool,
    pub max_files_per_epoch: usize,
    /// Each file its own partition, instead of one partition in (modification time, name) order.
    pub per_file_partitions: bool,
    pub max_record_bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RateSource {
    pub rows_per_second: u64,
    /// None: for ever.
    pub rows: Option<u64>,
    pub partitions: u32,
}

/// See `generate`: the same settings as `millstream generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorSource {
    /// The settings as typed, for `generate::Settings`.
    pub settings: serde_json::Value,
    /// Rows a second in real time; none: as fast as possible.
    pub rows_per_second: Option<u64>,
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
}

#[derive(Clone, Debug)]
pub struct Parser {
    pub input: Located<String>,
    pub plugin: PluginRef,
    /// The plugin's own settings, as JSON.
    pub config: serde_json::Value,
    /// The column that holds the event time; none: the time the record was received.
    pub event_time: Option<Located<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PluginRef {
    pub source: Located<PluginSource>,
    /// Lower-case hex.
    pub sha256: Option<Located<String>>,
    pub limits: Limits,
}

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
    pub memory_bytes: usize,
    /// CPU time of one call.
    pub deadline_us: i64,
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
    pub derive: Vec<(String, Located<String>)>,
    pub filter: Option<Located<String>>,
    /// The columns kept, in this order: name and SQL. None: all.
    pub select: Option<Vec<(String, Located<String>)>>,
}

#[derive(Clone, Debug)]
pub struct Window {
    pub inputs: Vec<Located<String>>,
    pub kind: WindowKind,
    pub filter: Option<Located<String>>,
    /// Column name and SQL. `group_by = ["service"]` is `("service", "service")`.
    pub group_by: Vec<(String, Located<String>)>,
    pub aggregate: Vec<(String, Located<String>)>,
    pub derive: Vec<(String, Located<String>)>,
    pub having: Option<Located<String>>,
    pub output: OutputMode,
    /// Processing time between two outputs of update and complete mode. None: each epoch.
    pub trigger_us: Option<i64>,
    pub allowed_lateness_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// `[start, end)` aligned to the Unix epoch plus `offset_us`.
    Tumbling { size_us: i64, offset_us: i64 },
    /// A window of `size_us` starts every `slide_us`.
    Sliding { size_us: i64, slide_us: i64, offset_us: i64 },
    /// Ends when a key has had no row for `gap_us`.
    Session { gap_us: i64 },
    /// Every `rows` rows of a key.
    Count { rows: u64 },
    /// One window for ever.
    Global,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputMode {
    /// Each window once, when it closes.
    Append,
    /// The groups that changed, each trigger.
    Update,
    /// The whole table, each trigger.
    Complete,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub inputs: Vec<Located<String>>,
    /// Columns of the input that make the key.
    pub key: Vec<Located<String>>,
    pub kind: RuleKind,
    /// Fixed severity; a plugin's own otherwise, "warning" for `when` rules.
    pub severity: Option<Severity>,
    /// Template with `{column}` places. None: the plugin's message, or the condition.
    pub message: Option<Located<String>>,
    /// Host-kept state of a key is dropped when its last row is older than this, in event time.
    pub state_ttl_us: Option<i64>,
    pub order: RowOrder,
    /// Also evaluate revisions of windows.
    pub revisions: bool,
}

#[derive(Clone, Debug)]
pub enum RuleKind {
    /// An alert for every row for which the SQL condition is true.
    When(Located<String>),
    Plugin {
        plugin: PluginRef,
        config: serde_json::Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// As rows come; deterministic within a partition.
    Arrival,
    /// Held until the watermark, then by (event time, partition, position).
    EventTime,
}

#[derive(Clone, Debug)]
pub struct Sink {
    pub inputs: Vec<Located<String>>,
    pub kind: SinkKind,
}

#[derive(Clone, Debug)]
pub enum SinkKind {
    Console(ConsoleSink),
    File(FileSink),
    /// Counts rows and keeps an order-independent checksum.
    Discard,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConsoleSink {
    pub format: ConsoleFormat,
    /// Longest text shown in a table cell; 0: no limit.
    pub truncate: usize,
    /// Most rows of a table shown at once.
    pub max_rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleFormat {
    Table,
    Jsonl,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// `visible = "commit"`: this file is appended to. Otherwise parts are made in this folder.
    pub path: PathBuf,
    pub format: FileFormat,
    pub visible: Visible,
    pub roll_us: i64,
    pub roll_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Jsonl,
    Csv,
}

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
    pub name: Located<String>,
    /// Steps in order.
    pub steps: Vec<TestStep>,
    /// Expected rows by node or secondary output ("error_rate", "events.rejects").
    pub expect: BTreeMap<String, Located<Vec<serde_json::Value>>>,
}

#[derive(Clone, Debug)]
pub enum TestStep {
    /// Raw records into a source (a JSON object is written as JSON text).
    Records { source: Located<String>, records: Vec<String> },
    /// Moves the source's watermark to this time by ending the epoch there.
    Watermark { source: Located<String>, time_us: i64 },
}
