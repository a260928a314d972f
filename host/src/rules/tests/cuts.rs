//! The same rows give the same results however they are cut, and after any restart.

use proptest::prelude::*;

use super::native::*;
use crate::config::model::RowOrder;
use crate::data::{NO_TIME, Rows};
use crate::rules::*;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Everything a rule said, in order.
#[derive(Debug, Default, PartialEq)]
struct Said {
    alerts: Vec<String>,
    rows: Vec<String>,
    poison: Vec<PoisonRow>,
}

impl Said {
    fn add(&mut self, output: RuleOutput) {
        self.alerts.extend(show(&output.alerts.batch, &[]));
        self.rows.extend(show(&output.rows.batch, &[]));
        self.poison.extend(output.poison);
    }
}

fn restarted(settings: &KeyedSettings, rule: &KeyedRule) -> KeyedRule {
    let state = rule.state().unwrap();
    let again = KeyedRule::from_state(settings.clone(), &state).unwrap();
    assert_eq!(again.state().unwrap(), state, "the state comes back as it was");
    again
}

fn event() -> impl Strategy<Value = Event> {
    let x = prop_oneof![
        4 => (0..25i32).prop_map(f64::from),
        1 => Just(-1.0),
        1 => Just(-99.0),
        1 => Just(f64::NAN)
    ];
    (0..100i64, 0..3usize, x).prop_map(|(at, name, x)| (at, NAMES[name], x))
}

/// One partition's log, cut after these numbers of rows.
fn epochs(events: &[Event], cuts: &[usize]) -> Vec<(usize, usize)> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (events.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(events.len());
    let starts = std::iter::once(0).chain(ends.clone());
    starts.zip(ends.clone()).collect()
}

fn highest(events: &[Event]) -> i64 {
    events.iter().map(|event| event.0).max().unwrap_or(NO_TIME)
}

fn arrival(
    events: &[Event],
    cuts: &[usize],
    ttl: Option<i64>,
    call_rows: usize,
    restart: bool,
) -> Said {
    let settings = KeyedSettings { state_ttl_us: ttl, call_rows, ..settings(RowOrder::Arrival) };
    let mut rule = KeyedRule::new(settings.clone()).unwrap();
    let (mut said, mut sum) = (Said::default(), Sum::default());
    let all = rows(0, 0, events);
    for (from, to) in epochs(events, cuts) {
        let clock = RowClock { max_before_us: highest(&events[..from]), delay_us: 0 };
        said.add(rule.push(&slice(&all, from, to), clock, &mut sum).unwrap());
        if restart {
            rule = restarted(&settings, &rule);
        }
    }
    said
}

/// Two partitions, read in epochs of their own; the watermark is that of the slower.
fn event_time(logs: &[Vec<Event>; 2], cuts: &[Vec<usize>; 2], how: &How, restart: bool) -> Said {
    let settings = KeyedSettings {
        state_ttl_us: how.ttl,
        call_rows: how.call_rows,
        ..settings(RowOrder::EventTime)
    };
    let mut rule = KeyedRule::new(settings.clone()).unwrap();
    let mut sum = Sum { silence: how.silence, again: how.again, ..Sum::default() };
    let mut said = Said::default();
    let all: Vec<Rows> = (0u32..).zip(logs).map(|(number, log)| rows(number, 0, log)).collect();
    let epochs: Vec<_> = logs.iter().zip(cuts).map(|(log, cuts)| epochs(log, cuts)).collect();
    let most = epochs.iter().map(Vec::len).max().unwrap();
    let mut seen = [NO_TIME; 2];
    for epoch in 0..most {
        for number in 0..2 {
            let Some((from, to)) = epochs[number].get(epoch).copied() else { continue };
            // Chunk maxima start anew with each chunk; the partition's maximum is handed in.
            let log = &logs[number][from..to];
            let chunk = rows(u32::try_from(number).unwrap(), i64::try_from(from).unwrap(), log);
            let clock = RowClock { max_before_us: seen[number], delay_us: how.delay };
            assert_eq!(chunk.batch, slice(&all[number], from, to).batch);
            said.add(rule.push(&chunk, clock, &mut sum).unwrap());
            seen[number] = seen[number].max(highest(log));
        }
        let slowest = *seen.iter().min().unwrap();
        if slowest != NO_TIME {
            said.add(rule.advance(slowest - how.delay, &mut sum).unwrap());
        }
        if restart {
            rule = restarted(&settings, &rule);
        }
    }
    said.add(rule.advance(i64::MAX, &mut sum).unwrap());
    said
}

#[derive(Clone, Debug)]
struct How {
    delay: i64,
    ttl: Option<i64>,
    silence: Option<i64>,
    again: bool,
    call_rows: usize,
}

fn how() -> impl Strategy<Value = How> {
    let options = |range: std::ops::Range<i64>| proptest::option::of(range);
    (0..40i64, options(0..50), options(-5..30), any::<bool>(), 1..9usize).prop_map(
        |(delay, ttl, silence, again, call_rows)| How {
            delay,
            ttl,
            silence,
            again: again && silence.is_some_and(|gap| gap > 0),
            call_rows,
        },
    )
}

fn log() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 0..40)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..40usize, 0..8)
}

proptest! {
    #[test]
    fn arrival_order_does_not_depend_on_cuts(
        events in log(),
        cuts in cuts(),
        ttl in proptest::option::of(0..50i64),
        call_rows in 1..9usize,
        restart in any::<bool>(),
    ) {
        let whole = arrival(&events, &[], ttl, 8192, false);
        prop_assert_eq!(arrival(&events, &cuts, ttl, call_rows, restart), whole);
    }

    #[test]
    fn event_time_order_does_not_depend_on_cuts(
        logs in [log(), log()],
        cuts in [cuts(), cuts()],
        how in how(),
        restart in any::<bool>(),
    ) {
        let whole = event_time(&logs, &[vec![], vec![]], &How { call_rows: 8192, ..how.clone() }, false);
        prop_assert_eq!(event_time(&logs, &cuts, &how, restart), whole);
    }
}
