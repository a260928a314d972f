//! What a plugin says of itself.

use std::sync::Arc;

use super::bindings::exports::millstream::plugin::meta;
use super::error::PluginError;
use super::instance::Core;
use super::log::clean;
use super::validate::BadOutput;

/// Longest name of a plugin or a reject code.
const MAX_NAME_BYTES: usize = 64;
/// Most reject codes: they are labels of metrics.
const MAX_REJECT_CODES: usize = 256;
const MAX_SAMPLES: usize = 1_000;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The name the author gave it.
    pub name: String,
    /// The version the author gave it.
    pub version: String,
    /// One line about what it does.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// The reasons for which it refuses records. `ParseOutcome::rejects` has indices into this.
    pub reject_codes: Vec<RejectCode>,
    /// The version of the state that it writes; none when it keeps no state.
    pub state_version: Option<u32>,
    /// Inputs with what is expected of them.
    pub samples: Vec<Sample>,
}

impl Descriptor {
    /// Returns the name of a reject code by its index. Those that calls return are checked to exist.
    pub fn reject_reason(&self, code: u16) -> Arc<str> {
        let code = self.reject_codes.get(usize::from(code));
        code.map_or_else(|| Arc::from("unknown"), |code| Arc::clone(&code.name))
    }
}

/// A reason to refuse a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectCode {
    /// Its name, used as a label: "invalid_json". Shared, as it goes with each reject.
    pub name: Arc<str>,
    /// What it means.
    pub meaning: String,
}

/// One input with what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the sample shows.
    pub note: String,
    /// The configuration, as JSON.
    pub config: String,
    /// A parser: one record. Others: a JSON array of row objects.
    pub input: Vec<u8>,
    /// A JSON array of rows or of messages, or `{"reject":"<code>"}`.
    pub expected: String,
}

/// Asks the plugin.
pub(super) fn describe(core: &Core) -> Result<Descriptor, PluginError> {
    let engine_error = |error: wasmtime::Error| PluginError::Engine { reason: error.to_string() };
    let indices = meta::GuestIndices::new(&core.pre).map_err(engine_error)?;
    let (_, raw) = core.once(
        "describe",
        |store, instance| indices.load(store, instance),
        |store, guest| guest.call_describe(store),
    )?;
    check(raw).map_err(|bad| core.nonsense("describe", bad))
}

fn check(raw: meta::Descriptor) -> Result<Descriptor, BadOutput> {
    if raw.name.is_empty() || raw.name.len() > MAX_NAME_BYTES || raw.version.len() > MAX_NAME_BYTES
    {
        return Err(BadOutput(format!("name or version is empty or longer than {MAX_NAME_BYTES}")));
    }
    if raw.reject_codes.len() > MAX_REJECT_CODES || raw.samples.len() > MAX_SAMPLES {
        return Err(BadOutput("too many reject codes or samples".into()));
    }
    let config_schema = serde_json::from_str(&raw.config_schema)
        .map_err(|error| BadOutput(format!("config-schema is not JSON: {error}")))?;
    let mut reject_codes: Vec<RejectCode> = Vec::with_capacity(raw.reject_codes.len());
    for code in raw.reject_codes {
        let good = !code.name.is_empty()
            && code.name.len() <= MAX_NAME_BYTES
            && code.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !good || reject_codes.iter().any(|known| *known.name == *code.name) {
            let name = clean(&code.name);
            return Err(BadOutput(format!(
                "reject code {name:?} is not snake_case or comes twice"
            )));
        }
        reject_codes.push(RejectCode { name: code.name.into(), meaning: clean(&code.meaning) });
    }
    let samples = raw.samples.into_iter().map(|sample| Sample {
        note: clean(&sample.note),
        config: sample.config,
        input: sample.input,
        expected: sample.expected,
    });
    Ok(Descriptor {
        name: clean(&raw.name),
        version: clean(&raw.version),
        summary: clean(&raw.summary),
        config_schema,
        reject_codes,
        state_version: raw.state_version,
        samples: samples.collect(),
    })
}
