//! What the user can ask of the generator.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Settings of `millstream generate` and of `type = "generator"` sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What rows look like: `format = "service-json"`.
    pub format: Format,
    /// How many rows: `rows = 1000000`.
    pub rows: Option<u64>,
    /// How much event time: `duration = "1 hour"`. With `rows`, sets the rate. Without both, rows
    /// never end.
    pub duration: Option<String>,
    /// Event time of the start, RFC 3339: `start = "2025-09-12T12:00:00Z"`.
    pub start: Option<String>,
    /// Mean rows per second of event time, over a day: `rate = 100`.
    pub rate: f64,
    /// How much the rate swings over the day, 0 (not at all) to 1: `diurnal = 0.5`.
    pub diurnal: f64,
    /// Share of rows that arrive up to `max_disorder` late: `out_of_order = 0.05`.
    pub out_of_order: f64,
    /// Most delay of an out-of-order row: `max_disorder = "2 seconds"`.
    pub max_disorder: String,
    /// Share of rows that arrive between `max_disorder` and `max_lateness` late: `late = 0.01`.
    /// For `record-j`: share of rows with 60 s extra delay. Default 0.01; 0 for `record-j`.
    pub late: Option<f64>,
    /// Most delay of a late row: `max_lateness = "5 minutes"`.
    pub max_lateness: String,
    /// Share of rows that no parser takes: `malformed = 0.003`.
    pub malformed: f64,
    /// Number of services: `services = 8`.
    pub services: u32,
    /// Number of users: `users = 400`.
    pub users: u32,
    /// The same seed gives the same bytes: `seed = 42`.
    pub seed: Option<u64>,
    /// What goes wrong: `incidents = "none"`, `"default"` or a list of tables such as
    /// `{ kind = "latency-shift", target = "search-service", start = "10 minutes", length = "5 minutes", strength = 8 }`.
    pub incidents: Incidents,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::ServiceJson,
            rows: None,
            duration: None,
            start: None,
            rate: 100.0,
            diurnal: 0.0,
            out_of_order: 0.05,
            max_disorder: "2 seconds".into(),
            late: None,
            max_lateness: "2 minutes".into(),
            malformed: 0.0,
            services: 8,
            users: 400,
            seed: None,
            incidents: Incidents::None,
        }
    }
}

impl Settings {
    /// Reads settings as a pipeline file gives them.
    ///
    /// # Errors
    /// When a key is unknown or has the wrong type.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, SettingsError> {
        if value.is_null() {
            return Ok(Self::default());
        }
        Self::deserialize(value).map_err(|error| SettingsError::Shape { reason: error.to_string() })
    }
}

/// What rows look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Service logs, a JSON object a line.
    #[default]
    ServiceJson,
    /// Apache's combined access log.
    ApacheCombined,
    /// nginx's combined access log.
    NginxCombined,
    /// User events, a JSON object a line.
    UserEvents,
    /// The benchmark record.
    RecordJ,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 5] = [
        Self::ServiceJson,
        Self::ApacheCombined,
        Self::NginxCombined,
        Self::UserEvents,
        Self::RecordJ,
    ];

    /// Returns the format's name in a pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceJson => "service-json",
            Self::ApacheCombined => "apache-combined",
            Self::NginxCombined => "nginx-combined",
            Self::UserEvents => "user-events",
            Self::RecordJ => "record-j",
        }
    }

    /// Returns whether the incident shows in this format.
    pub fn shows(self, kind: IncidentKind) -> bool {
        match kind {
            IncidentKind::LatencyShift => self == Self::ServiceJson,
            IncidentKind::ErrorSpike => !matches!(self, Self::UserEvents | Self::RecordJ),
            IncidentKind::Ddos | IncidentKind::Scanner => self != Self::RecordJ,
        }
    }
}

impl std::str::FromStr for Format {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| {
            SettingsError::Value {
                field: "format",
                value: text.into(),
                expected: "service-json, apache-combined, nginx-combined, user-events or record-j",
            }
        })
    }
}

/// What goes wrong in the generated stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Incidents {
    /// Nothing.
    #[default]
    None,
    /// One of each kind the format can show, spread over the duration.
    Default,
    /// These.
    List(Vec<Incident>),
}

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// What: `kind = "error-spike"`.
    pub kind: IncidentKind,
    /// A service, or an address for `ddos` and `scanner`: `target = "203.0.113.66"`.
    pub target: Option<String>,
    /// From the start of the stream: `start = "10 minutes"`.
    pub start: String,
    /// `length = "5 minutes"`.
    pub length: String,
    /// `latency-shift`: factor. `error-spike`: share of requests that fail. `ddos`, `scanner`:
    /// requests a second.
    pub strength: Option<f64>,
}

/// A kind of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentKind {
    /// A service answers slowly.
    LatencyShift,
    /// A service answers with errors.
    ErrorSpike,
    /// One address floods a service, as very few users.
    Ddos,
    /// One address tries all services and many paths.
    Scanner,
}

impl IncidentKind {
    /// Returns the kind's name in a pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyShift => "latency-shift",
            Self::ErrorSpike => "error-spike",
            Self::Ddos => "ddos",
            Self::Scanner => "scanner",
        }
    }
}

impl Serialize for Incidents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Default => serializer.serialize_str("default"),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Incidents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Incidents;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"none\", \"default\" or a list of incidents")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Incidents, E> {
                match text {
                    "none" => Ok(Incidents::None),
                    "default" => Ok(Incidents::Default),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Incidents, A::Error> {
                let mut list = Vec::new();
                while let Some(incident) = seq.next_element()? {
                    list.push(incident);
                }
                Ok(Incidents::List(list))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// Settings that cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A key or type is wrong.
    #[error("the settings cannot be read: {reason}")]
    Shape {
        /// What is wrong.
        reason: String,
    },
    /// A value is wrong.
    #[error("`{field}` cannot be `{value}`: expected {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// An incident that the format does not show.
    #[error("the format `{}` cannot show the incident `{}`", format.name(), kind.name())]
    Invisible {
        /// The format.
        format: Format,
        /// The incident.
        kind: IncidentKind,
    },
    /// An incident with a service that does not exist.
    #[error("there is no service `{target}` to have the incident `{}`", kind.name())]
    NoService {
        /// The incident.
        kind: IncidentKind,
        /// The service.
        target: String,
        /// The services there are.
        services: Vec<String>,
    },
}

impl SettingsError {
    /// Returns what the user can do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::NoService { services, .. } => {
                Some(format!("the services are {}", services.join(", ")))
            }
            Self::Invisible { .. } => Some(
                "`service-json` shows all incidents; `incidents = \"default\"` takes those the \
                      format shows"
                    .into(),
            ),
            Self::Shape { .. } | Self::Value { .. } => None,
        }
    }
}
