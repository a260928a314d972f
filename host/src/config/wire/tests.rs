//! `[[tests]]`: what a pipeline should do with given records.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Entries, Field, Json, Key};

/// A test: records go in, watermarks move, and nodes have given rows in the end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Test {
    /// What the test shows; unique in the file.
    ///
    /// `name = "counts errors by service"`
    #[schemars(required)]
    pub name: Key<String>,
    /// Records of the only step. For more steps use `[[tests.steps]]` instead.
    ///
    /// `records = [{ service = "auth", status_code = 500 }, "not json"]`
    pub records: Key<Vec<Field<Record>>>,
    /// The source of `records`. May be left out when the pipeline has one source.
    ///
    /// `source = "logs"`
    pub source: Key<String>,
    /// Steps in order; see below.
    ///
    /// `[[tests.steps]]`
    pub steps: Key<Vec<Field<TestStep>>>,
    /// The rows of nodes in the end, in any order; columns that are left out are not compared. Also `<parser>.rejects`, `<window>.late` and `<rule>.rows`.
    ///
    /// `expect = { error_rate = [{ service = "auth", errors = 1 }], "events.rejects" = [] }`
    #[schemars(required)]
    pub expect: Key<Entries<Json>>,
}

/// One step of a test: records, or a watermark.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct TestStep {
    /// The source. May be left out when the pipeline has one source.
    ///
    /// `source = "logs"`
    pub source: Key<String>,
    /// Records to read: strings as they are, tables as JSON. Either this or `watermark`.
    ///
    /// `records = [{ service = "auth", status_code = 500 }, "not json"]`
    pub records: Key<Vec<Field<Record>>>,
    /// Moves the source's watermark to this time. Either this or `records`.
    ///
    /// `watermark = "2025-01-01T00:01:00Z"`
    pub watermark: Key<String>,
}

/// A record: text as it is, or a table that is written as JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(in crate::config) enum Record {
    #[serde(rename = "$text")]
    Text(String),
    #[serde(rename = "$table")]
    Table(Entries<Json>),
}
