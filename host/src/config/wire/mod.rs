//! What may be typed in a pipeline file.
//!
//! One struct for each table, one doc comment for each key. The comments become the reference
//! page and the JSON Schema: first the meaning, then, as the last paragraph, the key as TOML.
//! Defaults stand in `extend("default" = …)` and are applied by `validate`; a test compares them.
//!
//! Every key is an optional `Field`, so that one bad key never hides another. What must be there
//! is marked `schemars(required)` and asked for by `validate`.

mod kafka;
mod leaf;
mod nodes;
mod sources;
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use kafka::*;
pub(super) use leaf::{Duration, Entries, Field, Json, Key, Size, Sql};
pub(super) use nodes::*;
pub(super) use sources::*;
pub(super) use tests::*;

/// A pipeline: named nodes that refer to each other by name, and settings for all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipeline {
    /// The pipeline's name, part of alert ids. Letters, digits, `_` and `-`.
    ///
    /// `name = "log-analysis"`
    #[schemars(required)]
    pub name: Key<String>,
    /// Threads and epochs.
    pub engine: Key<Engine>,
    /// Where plugins are found.
    pub plugins: Key<Plugins>,
    /// Where rejected records are written, besides being counted. Without it they are only counted.
    pub dead_letters: Key<DeadLetters>,
    /// Where state is kept, so that a restart goes on where the last run was. Without it nothing is kept: every run begins anew.
    pub state: Key<State>,
    /// When results become visible and state is kept. Needs `[state]`.
    pub commit: Key<Commit>,
    /// Where a running pipeline can be asked how it goes: metrics and health over HTTP. Without it nobody can.
    pub admin: Key<Admin>,
    /// Where records come from.
    pub sources: Key<Entries<Source>>,
    /// Plugins that turn records into rows.
    pub parsers: Key<Entries<Parser>>,
    /// Plugins that turn rows into rows.
    pub transforms: Key<Entries<Transform>>,
    /// Rows to rows by SQL.
    pub streams: Key<Entries<Stream>>,
    /// Aggregates over groups of rows in event time.
    pub windows: Key<Entries<Window>>,
    /// Conditions and plugins that raise alerts.
    pub rules: Key<Entries<Rule>>,
    /// Where rows go.
    pub sinks: Key<Entries<Sink>>,
    /// Tests of the pipeline, run by `millstream test FILE`.
    pub tests: Key<Vec<Field<Test>>>,
}

/// Threads and epochs. An epoch is the unit in which input is read and results appear.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Engine {
    /// Threads that parse and aggregate. Default: one for each core.
    ///
    /// `workers = 4`
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Key<i64>,
    /// The longest time in which an epoch gathers input.
    ///
    /// `epoch = "100ms"`
    #[schemars(extend("default" = "100ms"))]
    pub epoch: Key<Duration>,
    /// The most rows of an epoch; it ends early when they are there.
    ///
    /// `epoch_rows = 100000`
    #[schemars(range(min = 1), extend("default" = 262144))]
    pub epoch_rows: Key<i64>,
    /// The most bytes of an epoch; it ends early when they are there.
    ///
    /// `epoch_bytes = "16 MiB"`
    #[schemars(extend("default" = "64 MiB"))]
    pub epoch_bytes: Key<Size>,
    /// The most records in one call of a plugin.
    ///
    /// `batch_rows = 8192`
    #[schemars(range(min = 1, max = 1048576), extend("default" = 8192))]
    pub batch_rows: Key<i64>,
    /// How long finishing the epoch may take after SIGTERM or Ctrl-C.
    ///
    /// `shutdown_timeout = "10 seconds"`
    #[schemars(extend("default" = "10s"))]
    pub shutdown_timeout: Key<Duration>,
}

/// Where plugins with a bare name are found, after the folder of the pipeline file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plugins {
    /// Folders that hold `<name>.wasm`, searched in this order. Relative to the pipeline file.
    ///
    /// `dirs = ["plugins", "/usr/lib/millstream/plugins"]`
    #[schemars(extend("default" = []))]
    pub dirs: Key<Vec<Field<String>>>,
}

/// Where records that no plugin could read and rows that no sink took are written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetters {
    /// A file of JSON lines, appended to. Relative to the pipeline file.
    ///
    /// `path = "out/dead-letters.jsonl"`
    #[schemars(required)]
    pub path: Key<String>,
}

/// Where checkpoints are kept, how many, and how much memory state may take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// A local folder for this pipeline alone. Relative to the pipeline file. Either this or `url`.
    ///
    /// `path = "state/log-analysis"`
    pub path: Key<String>,
    /// An object store: S3, Google Cloud Storage or Azure, with its usual environment variables for region, endpoint and credentials. Either this or `path`.
    ///
    /// `url = "s3://bucket/log-analysis"`
    pub url: Key<String>,
    /// How many checkpoints are kept besides the one that counts.
    ///
    /// `keep = 10`
    #[schemars(range(min = 1, max = 10000), extend("default" = 3))]
    pub keep: Key<i64>,
    /// The most memory that state may take. The pipeline stops with a clear error instead of being killed. Default: no limit.
    ///
    /// `max_bytes = "2 GiB"`
    pub max_bytes: Key<Size>,
}

/// When outputs become visible: together with the input positions and the state of the same moment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Commit {
    /// The time between two commits. Default: 1 second with `[state] path`, 10 seconds with `url`.
    ///
    /// `interval = "100ms"`
    pub interval: Key<Duration>,
    /// Outputs that wait for a commit. With more than this it comes early.
    ///
    /// `max_bytes = "16 MiB"`
    #[schemars(extend("default" = "64 MiB"))]
    pub max_bytes: Key<Size>,
}

/// Metrics for Prometheus at `/metrics`, health at `/livez` and `/readyz`. `run --admin ADDRESS` overrides it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// The address to listen on, of this machine only: there is no authentication yet.
    ///
    /// `listen = "127.0.0.1:9187"`
    #[schemars(required)]
    pub listen: Key<String>,
}
