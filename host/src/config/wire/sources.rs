//! `[sources.*]`: where records come from.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Field, Json, KafkaSource, Key, Size};

/// Where records come from. `type` says how.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(tag = "type")]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Source {
    Kafka(Box<KafkaSource>),
    File(FileSource),
    Directory(DirectorySource),
    Stdin(StdinSource),
    Rate(RateSource),
    Generator(GeneratorSource),
}

/// One or several files, each a partition of its own; a record is a line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FileSource {
    /// The file. Relative to the pipeline file. Either this or `paths`.
    ///
    /// `path = "/var/log/app.log"`
    pub path: Key<String>,
    /// Several files. Either this or `path`.
    ///
    /// `paths = ["a.log", "b.log"]`
    pub paths: Key<Vec<Field<String>>>,
    /// Keep reading as the file grows, through rotation and truncation. Otherwise the source ends at the end of its files.
    ///
    /// `follow = true`
    #[schemars(extend("default" = false))]
    pub follow: Key<bool>,
    /// The longest record; a longer one is cut out and counted as a reject.
    ///
    /// `max_record = "64 KiB"`
    #[schemars(extend("default" = "1 MiB"))]
    pub max_record: Key<Size>,
    /// How event time advances.
    ///
    /// `watermark = { delay = "10 seconds", idle_timeout = "30 seconds" }`
    pub watermark: Key<Watermark>,
}

/// All files of a folder, those present and, with `watch`, those to come.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DirectorySource {
    /// The folder. Relative to the pipeline file.
    ///
    /// `path = "/var/spool/events"`
    #[schemars(required)]
    pub path: Key<String>,
    /// Names of the files to read, with `*` and `?`.
    ///
    /// `pattern = "*.jsonl"`
    #[schemars(extend("default" = "*"))]
    pub pattern: Key<String>,
    /// Pick up files that appear later. Otherwise the source ends after the files present.
    ///
    /// `watch = true`
    #[schemars(extend("default" = false))]
    pub watch: Key<bool>,
    /// The most new files opened in one epoch.
    ///
    /// `max_files_per_epoch = 10`
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub max_files_per_epoch: Key<i64>,
    /// One partition in the order of modification time and name, or a partition for each file.
    ///
    /// `partitions = "per-file"`
    #[schemars(extend("default" = "single"))]
    pub partitions: Key<Partitions>,
    /// The longest record; a longer one is cut out and counted as a reject.
    ///
    /// `max_record = "64 KiB"`
    #[schemars(extend("default" = "1 MiB"))]
    pub max_record: Key<Size>,
    /// How event time advances.
    ///
    /// `watermark = { delay = "10 seconds" }`
    pub watermark: Key<Watermark>,
}

/// How the files of a folder become partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Partitions {
    Single,
    PerFile,
}

/// The standard input; a record is a line. Ends when the input ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct StdinSource {
    /// How event time advances.
    ///
    /// `watermark = { delay = "10 seconds" }`
    pub watermark: Key<Watermark>,
}

/// JSON records `timestamp` (the time they are due) and `value` (0, 1, 2, …) at a fixed rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RateSource {
    /// Rows a second.
    ///
    /// `rows_per_second = 100`
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 1))]
    pub rows_per_second: Key<i64>,
    /// End after so many rows. Default: never.
    ///
    /// `rows = 1000`
    #[schemars(range(min = 1))]
    pub rows: Key<i64>,
    /// Partitions the rows are dealt out to.
    ///
    /// `partitions = 3`
    #[schemars(range(min = 1, max = 1024), extend("default" = 1))]
    pub partitions: Key<i64>,
    /// How event time advances.
    ///
    /// `watermark = { delay = "1 second" }`
    pub watermark: Key<Watermark>,
}

/// Made-up logs and events, the same as `millstream generate` writes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct GeneratorSource {
    /// What is generated: the settings of `millstream generate`.
    ///
    /// `settings = { format = "service-json", seed = 1, rows = 100000 }`
    #[schemars(extend("default" = {}))]
    pub settings: Key<super::Entries<Json>>,
    /// Rows a second in real time. Default: as fast as possible.
    ///
    /// `rows_per_second = 1000`
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rows_per_second: Key<i64>,
    /// Partitions the rows are dealt out to.
    ///
    /// `partitions = 3`
    #[schemars(range(min = 1, max = 1024), extend("default" = 1))]
    pub partitions: Key<i64>,
    /// How event time advances.
    ///
    /// `watermark = { delay = "1 minute" }`
    pub watermark: Key<Watermark>,
}

/// How a source's partitions advance event time. Windows close when the watermark reaches their end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Watermark {
    /// How far the watermark stays behind the highest event time seen. Rows later than that are late.
    ///
    /// `delay = "10 minutes"`
    #[schemars(extend("default" = "0s"))]
    pub delay: Key<Duration>,
    /// A partition that had no rows for this long no longer holds windows open. Default: it holds them for ever.
    ///
    /// `idle_timeout = "30 seconds"`
    pub idle_timeout: Key<Duration>,
    /// Rows further ahead of the clock are rejected, so that one wrong clock cannot close all windows. Default: no limit.
    ///
    /// `max_ahead = "1 hour"`
    pub max_ahead: Key<Duration>,
    /// How far in event time a partition may be ahead of the slowest one before reading it waits, so that a backlog does not fill the state. Results do not depend on it. Default: twice the largest window that reads the source; without a window no limit.
    ///
    /// `max_drift = "1 hour"`
    pub max_drift: Key<Duration>,
}
