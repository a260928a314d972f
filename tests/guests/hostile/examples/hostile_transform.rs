//! A transform that does what the first text column of each row says.

#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "transform-plugin" });

use exports::millstream::plugin::meta::{self, Descriptor, RejectCode, Sample};
use exports::millstream::plugin::transform::{self, Transformed};
use millstream::plugin::types::{Buffer, Column, DataType, Fault, Field, Table, TextBuffer};
use millstream_hostile_guests::{Text, misbehave, value};

struct Plugin;
export!(Plugin);

impl meta::Guest for Plugin {
    fn describe() -> Descriptor {
        Descriptor {
            name: "hostile-transform".into(),
            version: "0.0.1".into(),
            summary: "does what it is told".into(),
            config_schema: "{}".into(),
            reject_codes: vec![RejectCode { name: "refused".into(), meaning: "REJECT".into() }],
            state_version: None,
            samples: vec![Sample {
                note: "upper case".into(),
                config: "{}".into(),
                input: br#"[{"text":"abc","n":1},{"text":"d","n":2}]"#.to_vec(),
                expected: r#"[{"upper":"ABC"},{"upper":"D"}]"#.into(),
            }],
        }
    }
}

impl transform::Guest for Plugin {
    fn configure(_: String, input: Vec<Field>) -> Result<Vec<Field>, Fault> {
        if input.first().map(|field| field.data_type) != Some(DataType::Text) {
            return Err(Fault::Config("the first column must be text".into()));
        }
        let name = "upper".into();
        Ok(vec![Field { name, data_type: DataType::Text, nullable: true, logical: None }])
    }

    fn apply(input: Table) -> Result<Transformed, Fault> {
        let Buffer::Text(texts) = &input.columns[0].values else { unreachable!() };
        let mut upper = Text::default();
        let (mut source, mut reject_rows) = (Vec::new(), Vec::new());
        for row in 0..input.rows {
            let bytes = value(&texts.offsets, &texts.data, row as usize);
            let word = std::str::from_utf8(bytes).unwrap();
            misbehave(word);
            if word == "REJECT" {
                reject_rows.push(row);
                continue;
            }
            for _ in 0..if word == "TWICE" { 2 } else { 1 } {
                upper.push(word.to_uppercase().as_bytes());
                source.push(row);
            }
        }
        let rows = source.len() as u32;
        let values = Buffer::Text(TextBuffer { offsets: upper.offsets, data: upper.data });
        let reject_codes = vec![0; reject_rows.len()];
        Ok(Transformed {
            output: Table { rows, columns: vec![Column { validity: None, values }] },
            source: Some(source),
            reject_rows,
            reject_codes,
        })
    }
}
