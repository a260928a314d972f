//! A rule that counts rows by key in its state, and does what the first text column says.
//!
//! Each row gets an entry "<count>:<text>" with the attributes `count` and `seen`: how many earlier
//! rows of the key it could look at, of at most two.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "rule-plugin" });

use exports::millstream::plugin::meta::{self, Descriptor, Sample};
use exports::millstream::plugin::rule::{self, Annotations, Outcome, Plan, RuleCall, Severity};
use millstream::plugin::types::{Buffer, Column, DataType, Fault, Field, Table, TextBuffer};
use millstream_hostile_guests::{Text, bitmap, misbehave, value};

struct Plugin;
export!(Plugin);

const HISTORY: u32 = 2;

impl meta::Guest for Plugin {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hostile-rule".into(),
            version: "0.3.0".into(),
            summary: "counts, and does what it is told".into(),
            config_schema: "{}".into(),
            reject_codes: Vec::new(),
            state_version: Some(1),
            samples: vec![Sample {
                note: "alerts are marked".into(),
                config: "{}".into(),
                input: br#"[{"text":"a"},{"text":"!b"}]"#.to_vec(),
                expected: r#"["2:!b"]"#.into(),
            }],
        }
    }
}

fn int64(name: &str) -> Field {
    Field { name: name.into(), data_type: DataType::Int64, nullable: false, logical: None }
}

impl rule::Guest for Plugin {
    fn configure(config: String, input: Vec<Field>) -> Result<Plan, Fault> {
        for word in ["TRAP", "PANIC", "LOOP", "ALLOC", "STACK"] {
            if config.contains(word) {
                misbehave(word);
            }
        }
        let history_columns = if config.contains("NOCOLUMN") {
            vec!["nope".into()]
        } else {
            vec![input[0].name.clone()]
        };
        let attributes = vec![int64("count"), int64("seen")];
        Ok(Plan { attributes, history: HISTORY, history_columns })
    }

    fn evaluate(call: RuleCall) -> Result<Outcome, Fault> {
        let Buffer::Text(texts) = &call.rows.columns[0].values else { unreachable!() };
        let Buffer::Text(history) = &call.history.columns[0].values else { unreachable!() };
        assert_eq!(history.offsets.len() as u32, call.history.rows + 1);
        let (mut rows, mut alerts, mut messages) = (Vec::new(), Vec::new(), Text::default());
        let (mut counts, mut seen) = (Vec::new(), Vec::new());
        let (mut state_keys, mut states) = (Vec::new(), Text::default());
        let (mut dropped_keys, mut timer_keys, mut timers_us) = (vec![], vec![], vec![]);
        let keys = call.key_offsets.len() - 1;
        let mut late_entries = Vec::new();
        let mut bad = "";
        for key in 0..keys {
            let had = call.has_state[key / 8] >> (key % 8) & 1 == 1;
            let state = value(&call.states.offsets, &call.states.data, key);
            let before = if had { i64::from_le_bytes(state.try_into().unwrap()) } else { 0 };
            let mut count = before;
            let mut earlier = call.history_offsets[key + 1] - call.history_offsets[key];
            let mut dropped = false;
            for row in call.key_offsets[key]..call.key_offsets[key + 1] {
                let bytes = value(&texts.offsets, &texts.data, row as usize);
                let word = std::str::from_utf8(bytes).unwrap();
                misbehave(word);
                count += 1;
                match word {
                    "DROP" => (count, dropped) = (0, true),
                    // A timer that is due at once, and traps.
                    "FUSE" => {
                        timer_keys.push(key as u32);
                        timers_us.push(-13);
                    }
                    "TIMER" => {
                        timer_keys.push(key as u32);
                        timers_us.push(call.watermark_us + count);
                    }
                    "BADROW" | "BADSTATE" | "BADTIMER" | "BADBITS" | "BADDROP" => bad = word,
                    _ => {}
                }
                dropped &= word == "DROP";
                rows.push(row);
                alerts.push(word.starts_with('!'));
                messages.push(format!("{count}:{word}").as_bytes());
                counts.push(count);
                seen.push(i64::from(earlier));
                earlier = (earlier + 1).min(HISTORY);
            }
            for (due, time_us) in call.timer_keys.iter().zip(&call.timers_us) {
                if *due as usize == key {
                    if *time_us == -13 {
                        misbehave("TRAP");
                    }
                    late_entries.push((call.rows.rows + key as u32, *time_us, count));
                }
            }
            if dropped {
                dropped_keys.push(key as u32);
            } else if count != before {
                state_keys.push(key as u32);
                states.push(&count.to_le_bytes());
            }
        }
        for (row, time_us, count) in late_entries {
            rows.push(row);
            alerts.push(true);
            messages.push(format!("timer {time_us}").as_bytes());
            counts.push(count);
            seen.push(0);
        }
        let mut is_alert = bitmap(&alerts);
        match bad {
            "BADROW" => rows[0] = u32::MAX,
            "BADSTATE" => state_keys[0] = 77,
            "BADDROP" => dropped_keys.push(77),
            "BADTIMER" => (timer_keys, timers_us) = (vec![77], vec![0]),
            "BADBITS" => is_alert.push(0),
            _ => {}
        }
        let severity = |alert: &bool| if *alert { Severity::Critical } else { Severity::Info };
        let column = |values| Column { validity: None, values: Buffer::Int64(values) };
        let attributes =
            Table { rows: rows.len() as u32, columns: vec![column(counts), column(seen)] };
        let annotations = Annotations {
            rows,
            is_alert,
            severities: alerts.iter().map(severity).collect(),
            messages: TextBuffer { offsets: messages.offsets, data: messages.data },
            attributes,
        };
        let states = TextBuffer { offsets: states.offsets, data: states.data };
        Ok(Outcome { annotations, state_keys, states, dropped_keys, timer_keys, timers_us })
    }
}
