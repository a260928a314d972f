//! What a plugin says of itself, and how it refuses.

pub use crate::bindings::types::Fault;

/// A reason for which a plugin refuses a record. Its place in `REJECTS` is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectCode {
    /// A short snake_case name, used as a label: `invalid_json`.
    pub name: &'static str,
    /// What it means, for the reference.
    pub meaning: &'static str,
}

impl RejectCode {
    /// A code.
    #[must_use]
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning }
    }
}

/// Refuses one record. Holds the number of a [`RejectCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject(pub u16);

/// One input with what is expected of it. The host runs samples before it takes a new version
/// into use, and [`crate::testing`] runs them in unit tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the sample shows.
    pub note: String,
    /// The configuration for this sample, as JSON.
    pub config: String,
    /// A parser: one record. A transform or rule: a JSON array of row objects.
    pub input: Vec<u8>,
    /// A JSON array of the rows that come out (a rule: of its alerts' messages), or
    /// `{"reject":"<code>"}`. Times are microseconds since the Unix epoch.
    pub expected: String,
}

impl Sample {
    /// A sample.
    pub fn new(
        note: impl Into<String>,
        config: impl Into<String>,
        input: impl Into<Vec<u8>>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            note: note.into(),
            config: config.into(),
            input: input.into(),
            expected: expected.into(),
        }
    }
}

/// What `describe` returns, free of any one world's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The plugin's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// JSON Schema of its `config` table.
    pub config_schema: &'static str,
    /// The reject codes it uses.
    pub rejects: &'static [RejectCode],
    /// The version of the state it writes.
    pub state_version: Option<u32>,
    /// Inputs with what is expected of them.
    pub samples: Vec<Sample>,
}

pub(crate) fn read_config<C: serde::de::DeserializeOwned>(config: &str) -> Result<C, Fault> {
    let config = if config.trim().is_empty() { "{}" } else { config };
    serde_json::from_str(config).map_err(|error| {
        // The position is one in the JSON that the host made, which the user never wrote.
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Fault::Config(text)
    })
}
