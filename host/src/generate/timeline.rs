//! When what happens, and in what order it arrives.
//!
//! Streams of events in event-time order (the normal load, and one for each flood) are merged.
//! Every event arrives after the same latency; a share of them later still, and those are put
//! where they belong in the order of arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::cast::to_i64;
use super::plan::Plan;
use super::random::{Draw, nth};
use super::settings::IncidentKind;

/// How long every row takes to arrive.
const LATENCY_US: i64 = 120_000;

/// Load in each hour of a day, in thousandths of the mean; the mean of all is 1000.
const HOURS: [i64; 24] = [
    430, 350, 300, 280, 310, 420, 620, 870, 1110, 1290, 1400, 1440, 1420, 1450, 1490, 1470, 1410,
    1330, 1290, 1310, 1280, 1110, 900, 720,
];

/// How an event's arrival differs from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delay {
    None,
    OutOfOrder,
    Late,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub arrival_us: i64,
    pub time_us: i64,
    /// 0: the normal load. n: the flood of incident n - 1.
    pub stream: u64,
    /// The number within the stream.
    pub number: u64,
    pub delay: Delay,
}

/// The events of a plan, in order of arrival.
#[derive(Debug)]
pub(super) struct Timeline {
    streams: Vec<Stream>,
    delayed: BinaryHeap<Reverse<Event>>,
}

#[derive(Debug)]
struct Stream {
    id: u64,
    number: u64,
    /// Time of the next event, from the start of the plan; none: no more.
    next_ns: Option<i64>,
    end_us: Option<i64>,
    gap_ns: f64,
    diurnal: i64,
}

impl Timeline {
    pub fn new(plan: &Plan) -> Self {
        let mut streams = vec![Stream {
            id: 0,
            number: 0,
            next_ns: Some(0),
            end_us: plan.end_us,
            gap_ns: plan.gap_ns,
            diurnal: plan.diurnal,
        }];
        for (index, incident) in (1..).zip(&plan.incidents) {
            if matches!(incident.kind, IncidentKind::Ddos | IncidentKind::Scanner) {
                let from_us = incident.start_us.saturating_sub(plan.start_us);
                streams.push(Stream {
                    id: index,
                    number: 0,
                    next_ns: Some(from_us.saturating_mul(1000)),
                    end_us: Some(
                        plan.end_us.map_or(incident.end_us, |end| end.min(incident.end_us)),
                    ),
                    gap_ns: 1e9 / incident.strength,
                    diurnal: 0,
                });
            }
        }
        Self { streams, delayed: BinaryHeap::new() }
    }

    /// Returns the event that arrives next.
    pub fn next(&mut self, plan: &Plan) -> Option<Event> {
        loop {
            let next = self
                .streams
                .iter_mut()
                .filter_map(|stream| Some((stream.time_us(plan)?, stream)))
                .min_by_key(|(time_us, stream)| (*time_us, stream.id));
            let soonest = next.as_ref().map(|(time_us, _)| time_us.saturating_add(LATENCY_US));
            if let Some(Reverse(first)) = self.delayed.peek()
                && soonest.is_none_or(|soonest| first.arrival_us <= soonest)
            {
                return self.delayed.pop().map(|Reverse(event)| event);
            }
            let (time_us, stream) = next?;
            let event = stream.event(plan, time_us);
            if event.delay == Delay::None {
                return Some(event);
            }
            self.delayed.push(Reverse(event));
        }
    }
}

impl Stream {
    /// Returns the time of the next event, if there is one.
    fn time_us(&self, plan: &Plan) -> Option<i64> {
        let time_us = plan.start_us.saturating_add(self.next_ns? / 1000);
        self.end_us.is_none_or(|end_us| time_us < end_us).then_some(time_us)
    }

    fn event(&mut self, plan: &Plan, time_us: i64) -> Event {
        let mut draw = Draw::of(plan.seed, self.id << 1 | 1, self.number);
        let delay = if draw.chance(plan.late) {
            Delay::Late
        } else if draw.chance(plan.out_of_order) {
            Delay::OutOfOrder
        } else {
            Delay::None
        };
        let (least_us, most_us) = match delay {
            Delay::None => (0, 0),
            Delay::OutOfOrder => (0, plan.max_disorder_us),
            Delay::Late => (plan.max_disorder_us, plan.max_lateness_us),
        };
        let spread = u64::try_from(most_us.saturating_sub(least_us)).unwrap_or(0);
        let extra_us = match delay {
            Delay::None => 0,
            _ => least_us.saturating_add(to_signed(draw.below(spread))).saturating_add(1),
        };
        let event = Event {
            arrival_us: time_us.saturating_add(LATENCY_US).saturating_add(extra_us),
            time_us,
            stream: self.id,
            number: self.number,
            delay,
        };
        self.number += 1;
        // Between a fifth and nine fifths of the mean.
        let jitter = 200 + to_signed(draw.below(1601));
        let weight = load(time_us, self.diurnal).max(1);
        let gap_ns = self.gap_ns * super::cast::to_f64(jitter) / super::cast::to_f64(weight);
        self.next_ns = self.next_ns.and_then(|next_ns| next_ns.checked_add(to_i64(gap_ns).max(0)));
        event
    }
}

/// Returns the load at a time of day in thousandths of the mean, with a swing in thousandths.
fn load(time_us: i64, diurnal: i64) -> i64 {
    if diurnal == 0 {
        return 1000;
    }
    let second = time_us.div_euclid(1_000_000).rem_euclid(86_400);
    let hour = |hour: i64| nth(&HOURS, u64::try_from(hour % 24).unwrap_or(0));
    let (from, to) = (hour(second / 3600), hour(second / 3600 + 1));
    let here = from + (to - from) * (second % 3600) / 3600;
    1000 + (here - 1000) * diurnal / 1000
}

fn to_signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_of_a_day_has_the_mean_of_its_rate() {
        let sum: i64 = HOURS.iter().sum();
        assert_eq!(sum, 24 * 1000);
    }
}
