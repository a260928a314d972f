//! What the settings mean: all texts read, all defaults taken.

use super::cast::{to_f64, to_i64};
use super::random::threshold;
use super::settings::{Format, Incident, IncidentKind, Incidents, Settings, SettingsError};
use crate::config::units::parse_duration_us;
use crate::time::parse_timestamp_us;

/// Where the event time starts by default.
const DEFAULT_START: &str = "2025-09-12T12:00:00Z";

/// The time over which default incidents are spread when rows never end.
const HOUR_US: i64 = 3_600_000_000;

/// Resolved settings.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub format: Format,
    pub seed: u64,
    pub start_us: i64,
    pub rows: Option<u64>,
    pub end_us: Option<i64>,
    /// Mean time between two rows, in nanoseconds.
    pub gap_ns: f64,
    /// Swing of the daily curve, in thousandths.
    pub diurnal: i64,
    /// Chances, as thresholds of random numbers.
    pub out_of_order: u64,
    pub late: u64,
    pub malformed: u64,
    pub max_disorder_us: i64,
    pub max_lateness_us: i64,
    pub services: Vec<String>,
    pub users: u64,
    pub incidents: Vec<PlannedIncident>,
}

/// An incident with its place in event time.
#[derive(Clone, Debug)]
pub(super) struct PlannedIncident {
    pub kind: IncidentKind,
    pub target: String,
    /// The number of the service it hits, if it hits one.
    pub service: Option<u64>,
    pub address: u32,
    pub start_us: i64,
    pub end_us: i64,
    pub strength: f64,
}

impl Plan {
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let start = settings.start.as_deref().unwrap_or(DEFAULT_START);
        let start_us = parse_timestamp_us(start).map_err(|_| SettingsError::Value {
            field: "start",
            value: start.into(),
            expected: "a time such as \"2025-09-12T12:00:00Z\"",
        })?;
        let duration_us = settings
            .duration
            .as_deref()
            .map(|text| positive_duration("duration", text))
            .transpose()?;
        let rate = match (settings.rows, duration_us) {
            (Some(rows), Some(duration_us)) => {
                to_f64(i64::try_from(rows).unwrap_or(i64::MAX)).max(1.0) * 1e6 / to_f64(duration_us)
            }
            _ => settings.rate,
        };
        if !(rate.is_finite() && rate > 0.0 && rate <= 1e9) {
            return Err(SettingsError::Value {
                field: "rate",
                value: rate.to_string(),
                expected: "more than 0 and at most 1000000000 rows a second",
            });
        }
        let horizon_us = duration_us
            .or(settings
                .rows
                .map(|rows| to_i64(to_f64(i64::try_from(rows).unwrap_or(i64::MAX)) * 1e6 / rate)))
            .unwrap_or(HOUR_US);
        let services = service_names(positive("services", settings.services)?);
        let late = settings.late.unwrap_or(match settings.format {
            Format::RecordJ => 0.0,
            _ => 0.01,
        });
        let max_disorder_us = duration("max_disorder", &settings.max_disorder)?;
        let max_lateness_us = duration("max_lateness", &settings.max_lateness)?;
        let mut plan = Self {
            format: settings.format,
            seed: settings.seed.unwrap_or(0),
            start_us,
            rows: settings.rows,
            // With a number of rows that number decides, so that it is exact.
            end_us: match settings.rows {
                None => duration_us.map(|duration_us| start_us.saturating_add(duration_us)),
                Some(_) => None,
            },
            gap_ns: 1e9 / rate,
            diurnal: to_i64(share("diurnal", settings.diurnal)? * 1000.0),
            out_of_order: threshold(share("out_of_order", settings.out_of_order)?),
            late: threshold(share("late", late)?),
            malformed: threshold(share("malformed", settings.malformed)?),
            max_disorder_us,
            max_lateness_us: max_lateness_us.max(max_disorder_us),
            services,
            users: u64::from(positive("users", settings.users)?),
            incidents: Vec::new(),
        };
        let wanted = match &settings.incidents {
            Incidents::None => Vec::new(),
            Incidents::Default => default_incidents(&plan, horizon_us, rate),
            Incidents::List(list) => list.clone(),
        };
        plan.incidents =
            wanted.iter().map(|incident| plan.place(incident)).collect::<Result<_, _>>()?;
        Ok(plan)
    }

    fn place(&self, incident: &Incident) -> Result<PlannedIncident, SettingsError> {
        let kind = incident.kind;
        if !self.format.shows(kind) {
            return Err(SettingsError::Invisible { format: self.format, kind });
        }
        let start_us = self.start_us.saturating_add(duration("incidents.start", &incident.start)?);
        let end_us =
            start_us.saturating_add(positive_duration("incidents.length", &incident.length)?);
        let strength = incident.strength.unwrap_or(match kind {
            IncidentKind::LatencyShift => 8.0,
            IncidentKind::ErrorSpike => 0.5,
            IncidentKind::Ddos | IncidentKind::Scanner => 20.0,
        });
        let most = if kind == IncidentKind::ErrorSpike { 1.0 } else { 1e6 };
        if !(strength > 0.0 && strength <= most) {
            return Err(SettingsError::Value {
                field: "incidents.strength",
                value: strength.to_string(),
                expected: "more than 0, and at most 1 for error-spike, 1000000 for others",
            });
        }
        let mut placed = PlannedIncident {
            kind,
            target: String::new(),
            service: None,
            address: 0,
            start_us,
            end_us,
            strength,
        };
        match kind {
            IncidentKind::LatencyShift | IncidentKind::ErrorSpike => {
                let default = self.services.first().cloned().unwrap_or_default();
                placed.target = incident.target.clone().unwrap_or(default);
                let index = self.services.iter().position(|name| *name == placed.target);
                placed.service = index.and_then(|index| u64::try_from(index).ok());
                if placed.service.is_none() {
                    return Err(SettingsError::NoService {
                        kind,
                        target: placed.target,
                        services: self.services.clone(),
                    });
                }
            }
            IncidentKind::Ddos | IncidentKind::Scanner => {
                let default =
                    if kind == IncidentKind::Ddos { "203.0.113.66" } else { "198.51.100.23" };
                placed.target = incident.target.clone().unwrap_or_else(|| default.into());
                let address: std::net::Ipv4Addr =
                    placed.target.parse().map_err(|_| SettingsError::Value {
                        field: "incidents.target",
                        value: placed.target.clone(),
                        expected: "an IPv4 address for ddos and scanner",
                    })?;
                placed.address = u32::from(address);
            }
        }
        Ok(placed)
    }
}

/// One incident of each kind that the format shows, at fixed parts of the time.
fn default_incidents(plan: &Plan, horizon_us: i64, rate: f64) -> Vec<Incident> {
    // Kind, service, start and length in hundredths of the time, strength.
    let kinds = [
        (IncidentKind::LatencyShift, Some("search-service"), 20, 8, 8.0),
        (IncidentKind::ErrorSpike, Some("payment-service"), 40, 5, 0.5),
        (IncidentKind::Ddos, None, 60, 5, (rate * 0.5).max(10.0)),
        (IncidentKind::Scanner, None, 78, 10, (rate * 0.1).max(10.0)),
    ];
    let part = |hundredths: i64| format!("{}us", (horizon_us / 100).max(1) * hundredths);
    kinds
        .into_iter()
        .filter(|(kind, ..)| plan.format.shows(*kind))
        .map(|(kind, target, start, length, strength)| Incident {
            kind,
            // With fewer services the first one gets it.
            target: target
                .filter(|target| plan.services.iter().any(|name| name == target))
                .map(str::to_owned),
            start: part(start),
            length: part(length),
            strength: Some(strength),
        })
        .collect()
}

fn service_names(count: u32) -> Vec<String> {
    const NAMES: [&str; 8] =
        ["auth", "search", "order", "payment", "user", "inventory", "notification", "report"];
    (0..count)
        .map(|index| {
            usize::try_from(index)
                .ok()
                .and_then(|index| NAMES.get(index))
                .map_or_else(|| format!("extra{index}-service"), |name| format!("{name}-service"))
        })
        .collect()
}

fn share(field: &'static str, value: f64) -> Result<f64, SettingsError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(SettingsError::Value { field, value: value.to_string(), expected: "a share from 0 to 1" })
}

fn positive(field: &'static str, value: u32) -> Result<u32, SettingsError> {
    if value > 0 {
        return Ok(value);
    }
    Err(SettingsError::Value { field, value: value.to_string(), expected: "at least 1" })
}

fn duration(field: &'static str, text: &str) -> Result<i64, SettingsError> {
    parse_duration_us(text).map_err(|_| SettingsError::Value {
        field,
        value: text.into(),
        expected: "a duration such as \"10 minutes\" or \"250ms\"",
    })
}

fn positive_duration(field: &'static str, text: &str) -> Result<i64, SettingsError> {
    match duration(field, text)? {
        0 => Err(SettingsError::Value { field, value: text.into(), expected: "more than no time" }),
        us => Ok(us),
    }
}
