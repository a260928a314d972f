//! Writes rows in the order of their arrival.

use super::fields::Request;
use super::plan::Plan;
use super::random::Draw;
use super::record_j::{self, RecordJ};
use super::service_json::{self, Fault};
use super::settings::{Format, Settings, SettingsError};
use super::timeline::{Delay, Event, Timeline};
use super::truth::Truth;
use super::{access_log, user_events};
use crate::config::units::parse_duration_us;

/// A stream of rows.
#[derive(Debug)]
pub struct Generator {
    plan: Plan,
    rows: u64,
    kind: Kind,
    /// Rows of each incident, in the order of the plan.
    touched: Vec<u64>,
    out_of_order: u64,
    late: u64,
    malformed: u64,
    /// First and last event time written.
    span_us: Option<(i64, i64)>,
}

#[derive(Debug)]
enum Kind {
    RecordJ(RecordJ),
    Timeline(Timeline),
}

impl Generator {
    /// Starts the stream that `settings` describe.
    ///
    /// # Errors
    /// When a setting has a value that it cannot have.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut plan = Plan::new(settings)?;
        let kind = if plan.format == Format::RecordJ {
            if settings.start.is_none() {
                plan.start_us = record_j::START_US;
            }
            // A thousand rows a second, whatever the rate.
            if let (None, Some(duration)) = (plan.rows, &settings.duration) {
                plan.rows =
                    parse_duration_us(duration).ok().and_then(|us| u64::try_from(us / 1000).ok());
            }
            Kind::RecordJ(RecordJ::new(
                settings.seed.unwrap_or(record_j::SEED),
                plan.start_us,
                settings.late.unwrap_or(0.0),
            ))
        } else {
            Kind::Timeline(Timeline::new(&plan))
        };
        Ok(Self {
            rows: 0,
            kind,
            touched: vec![0; plan.incidents.len()],
            out_of_order: 0,
            late: 0,
            malformed: 0,
            span_us: None,
            plan,
        })
    }

    /// Returns how many rows were written or skipped.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the number of rows there will be in all, when the settings say it.
    pub fn total_rows(&self) -> Option<u64> {
        self.plan.rows
    }

    /// Appends the next row without a newline; returns false at the end.
    pub fn write_row(&mut self, out: &mut Vec<u8>) -> bool {
        if self.is_over() {
            return false;
        }
        match &mut self.kind {
            Kind::RecordJ(records) => self.late += u64::from(records.write_row(out)),
            Kind::Timeline(timeline) => {
                let Some(event) = timeline.next(&self.plan) else { return false };
                self.write_event(out, &event);
            }
        }
        self.rows += 1;
        true
    }

    /// Appends up to `rows` rows, each with a newline; returns how many. Fewer means the end.
    pub fn fill(&mut self, out: &mut Vec<u8>, rows: usize) -> usize {
        for written in 0..rows {
            if !self.write_row(out) {
                return written;
            }
            out.push(b'\n');
        }
        rows
    }

    /// Steps over up to `rows` rows, which the ground truth then leaves out; returns how many.
    pub fn skip(&mut self, rows: u64) -> u64 {
        for skipped in 0..rows {
            if self.is_over() {
                return skipped;
            }
            match &mut self.kind {
                Kind::RecordJ(records) => records.step(),
                Kind::Timeline(timeline) => {
                    if timeline.next(&self.plan).is_none() {
                        return skipped;
                    }
                }
            }
            self.rows += 1;
        }
        rows
    }

    /// Returns what was put into the rows written so far.
    pub fn truth(&self) -> Vec<Truth> {
        let incidents = self.plan.incidents.iter().zip(&self.touched).map(|(incident, rows)| {
            let kind = incident.kind.name();
            Truth::new(kind, &incident.target, incident.start_us, incident.end_us, *rows)
        });
        let (from_us, to_us) = self.span_us.unwrap_or((self.plan.start_us, self.plan.start_us));
        let end_us = to_us.saturating_add(1);
        let shares = [
            ("out-of-order", self.out_of_order),
            ("late", self.late),
            ("malformed", self.malformed),
        ]
        .into_iter()
        .filter(|(_, rows)| *rows > 0)
        .map(|(kind, rows)| Truth::new(kind, "*", from_us, end_us, rows));
        incidents.chain(shares).collect()
    }

    fn is_over(&self) -> bool {
        self.plan.rows.is_some_and(|rows| self.rows >= rows)
    }

    fn write_event(&mut self, out: &mut Vec<u8>, event: &Event) {
        let mut draw = Draw::of(self.plan.seed, event.stream << 1, event.number);
        let plan = &self.plan;
        // Rows of floods stay whole, so that the truth about them is exact.
        let mut malformed = draw.chance(plan.malformed) && event.stream == 0;
        let fault = draw.below(3);
        let incident = match plan.format {
            Format::ServiceJson => {
                let request = Request::new(plan, event, &mut draw);
                malformed = malformed && request.incident.is_none();
                let fault = malformed.then_some(match fault {
                    0 => Fault::Cut,
                    1 => Fault::NoTimestamp,
                    _ => Fault::WordStatus,
                });
                service_json::write_row(out, plan, event, &request, fault, &mut draw);
                request.incident
            }
            Format::ApacheCombined | Format::NginxCombined => {
                let request = Request::new(plan, event, &mut draw);
                malformed = malformed && request.incident.is_none();
                access_log::write_row(out, plan, event, &request, malformed, &mut draw);
                request.incident
            }
            Format::UserEvents => user_events::write_row(out, plan, event, malformed, &mut draw),
            Format::RecordJ => None,
        };
        if let Some(rows) = incident.and_then(|index| self.touched.get_mut(index)) {
            *rows += 1;
        }
        self.malformed += u64::from(malformed);
        self.late += u64::from(event.delay == Delay::Late);
        self.out_of_order += u64::from(event.delay == Delay::OutOfOrder);
        let (from_us, to_us) = self.span_us.unwrap_or((event.time_us, event.time_us));
        self.span_us = Some((from_us.min(event.time_us), to_us.max(event.time_us)));
    }
}
