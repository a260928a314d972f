//! The parser of the README: `level=warn took=12.5` to columns.
#![cfg(target_arch = "wasm32")]

use millstream_sdk::prelude::*;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    lower: bool,
}

struct KeyValue(Config);

impl Parser for KeyValue {
    const NAME: &'static str = "key-value";
    const SUMMARY: &'static str = "key=value pairs separated by spaces";
    const CONFIG_SCHEMA: &'static str =
        r#"{"type": "object", "properties": {"lower": {"type": "boolean"}}}"#;
    const REJECTS: &'static [RejectCode] =
        &[RejectCode::new("bad_record", "not UTF-8, or `took` is no number")];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        Ok(Self(config))
    }

    fn schema(&self) -> Schema {
        vec![Field::text("level"), Field::float64("took")]
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        let text = std::str::from_utf8(record).map_err(|_| Reject(0))?;
        for pair in text.split_ascii_whitespace() {
            match pair.split_once('=') {
                Some(("level", level)) if self.0.lower => row.set(0, &level.to_lowercase()),
                Some(("level", level)) => row.set(0, level),
                Some(("took", took)) => row.set(1, took.parse::<f64>().map_err(|_| Reject(0))?),
                _ => {}
            }
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new("both", "{}", "level=warn took=1.5", r#"[{"level": "warn", "took": 1.5}]"#),
            Sample::new("no number", "{}", "took=long", r#"{"reject": "bad_record"}"#),
        ]
    }
}

millstream_sdk::export_parser!(KeyValue);

#[test]
fn samples() {
    millstream_sdk::testing::check_parser::<KeyValue>();
}
