// Included by the examples that are parsers; they define `during_describe`.

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "parser-plugin" });

use exports::millstream::plugin::meta::{self, Descriptor, RejectCode, Sample};
use exports::millstream::plugin::parser::{self, Parsed, Rejects};
use millstream::plugin::host_log::{Level, log};
use millstream::plugin::types::{
    Buffer, Column, DataType, Dictionary, Fault, Field, Table, TextBuffer,
};
use millstream_hostile_guests::{Text, bitmap, burn, misbehave, value};

struct Plugin;
export!(Plugin);

impl meta::Guest for Plugin {
    fn describe() -> Descriptor {
        let mut descriptor = Descriptor {
            name: "hostile-parser".into(),
            version: "1.2.3".into(),
            summary: "does what it is told".into(),
            config_schema: "{}".into(),
            reject_codes: vec![
                RejectCode { name: "refused".into(), meaning: "the record says REJECT".into() },
                RejectCode { name: "other".into(), meaning: "another reason".into() },
            ],
            state_version: None,
            samples: vec![
                Sample {
                    note: "text and its length".into(),
                    config: "{}".into(),
                    input: b"abc".to_vec(),
                    expected: r#"[{"text":"abc","length":3}]"#.into(),
                },
                Sample {
                    note: "a refusal".into(),
                    config: "{}".into(),
                    input: b"REJECT".to_vec(),
                    expected: r#"{"reject":"refused"}"#.into(),
                },
                Sample {
                    note: "a sample that is wrong".into(),
                    config: "{}".into(),
                    input: b"abc".to_vec(),
                    expected: r#"[{"text":"abc","length":4}]"#.into(),
                },
            ],
        };
        during_describe(&mut descriptor);
        descriptor
    }
}

fn field(name: &str, data_type: DataType) -> Field {
    Field { name: name.into(), data_type, nullable: false, logical: None }
}

impl parser::Guest for Plugin {
    fn configure(config: String) -> Result<Vec<Field>, Fault> {
        for word in ["TRAP", "PANIC", "LOOP", "ALLOC", "STACK"] {
            if config.contains(word) {
                misbehave(word);
            }
        }
        if config.contains("REFUSE") {
            return Err(Fault::Config("no such \x1b[31mcolumn".into()));
        }
        if config.contains("FAULT") {
            return Err(Fault::Internal("broken".into()));
        }
        let second = if config.contains("DUPLICATE") { "text" } else { "length" };
        Ok(vec![field("text", DataType::Text), field(second, DataType::Int64)])
    }

    fn parse(records: TextBuffer, received_us: Vec<i64>) -> Result<Parsed, Fault> {
        let mut text = Text::default();
        let mut length = Vec::new();
        let mut validity = None;
        let mut source = Vec::new();
        let mut one_to_one = true;
        let mut rejects = Rejects { records: Vec::new(), codes: Vec::new() };
        let mut words = Vec::new();
        for record in 0..received_us.len() {
            let bytes = value(&records.offsets, &records.data, record);
            let word = std::str::from_utf8(bytes).unwrap_or("");
            misbehave(word);
            let mut times = 1;
            match word {
                "FAULT" => return Err(Fault::Internal("met FAULT".into())),
                "REJECT" => {
                    rejects.records.push(record as u32);
                    rejects.codes.push(0);
                    times = 0;
                }
                "TWICE" => {
                    one_to_one = false;
                    times = 2;
                }
                "LEAK" => std::mem::forget(std::hint::black_box(vec![1_u8; 2 << 20])),
                "BURN" => burn(20),
                "LOG" => {
                    for line in 0..1000 {
                        log(Level::Info, &format!("line {line} \x1b[2J {}", "x".repeat(5000)));
                    }
                }
                _ => {}
            }
            words.push(word);
            for _ in 0..times {
                text.push(bytes);
                length.push(bytes.len() as i64);
                source.push(record as u32);
            }
        }
        let rows = length.len() as u32;
        let mut values = Buffer::Text(TextBuffer { offsets: text.offsets, data: text.data });
        let mut rows_said = rows;
        let mut columns_said = 2;
        for word in words {
            match (word, &mut values) {
                ("BADOFFSETS", Buffer::Text(text)) => text.offsets[0] = 7,
                ("FALLING", Buffer::Text(text)) => text.offsets[rows as usize] = -1,
                ("BEYOND", Buffer::Text(text)) => text.offsets[rows as usize] = i32::MAX,
                ("NONUTF8", Buffer::Text(text)) => text.data[0] = 0xff,
                ("WRONGLEN", _) => {
                    length.pop();
                }
                ("WRONGROWS", _) => rows_said = u32::MAX,
                ("WRONGTYPE", values) => *values = Buffer::Float64(vec![0.0; rows as usize]),
                ("MISSING", _) => columns_said = 1,
                ("NULLS", _) => validity = Some(vec![0; rows.div_ceil(8) as usize]),
                ("SHORTBITMAP", _) => validity = Some(bitmap(&[])),
                ("HUGE", Buffer::Text(text)) => text.data.resize(9 << 20, b'x'),
                ("BADCODE", values) => {
                    *values = Buffer::Dictionary(Dictionary {
                        codes: vec![1; rows as usize],
                        values: TextBuffer { offsets: vec![0, 1], data: b"x".to_vec() },
                    });
                }
                ("BOMB", values) => {
                    *values = Buffer::Dictionary(Dictionary {
                        codes: vec![0; rows as usize],
                        values: TextBuffer { offsets: vec![0, 3 << 20], data: vec![b'x'; 3 << 20] },
                    });
                }
                ("BADSOURCE", _) => {
                    one_to_one = false;
                    source.fill(u32::MAX);
                }
                ("BADREJECT", _) => {
                    rejects.records = vec![0];
                    rejects.codes = vec![99];
                }
                _ => {}
            }
        }
        let mut columns = vec![
            Column { validity, values },
            Column { validity: None, values: Buffer::Int64(length) },
        ];
        columns.truncate(columns_said);
        Ok(Parsed {
            output: Table { rows: rows_said, columns },
            source: (!one_to_one).then_some(source),
            rejects,
        })
    }
}
