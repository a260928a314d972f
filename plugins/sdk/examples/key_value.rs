//! A parser of records like `at=1757678400000 user=Ada took=12.5`.

use millstream_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Makes users lower-case.
    #[serde(default)]
    lower: bool,
}

struct KeyValue(Config);

impl Parser for KeyValue {
    const NAME: &'static str = "key-value";
    const SUMMARY: &'static str = "key=value pairs separated by spaces";
    const CONFIG_SCHEMA: &'static str =
        r#"{"type": "object", "properties": {"lower": {"type": "boolean"}}}"#;
    const REJECTS: &'static [RejectCode] = &[
        RejectCode::new("not_utf8", "the record is not UTF-8"),
        RejectCode::new("bad_number", "`at` or `took` is no number"),
    ];
    type Config = Config;

    fn configure(config: Config) -> Result<Self, Fault> {
        Ok(Self(config))
    }

    fn schema(&self) -> Schema {
        vec![Field::timestamp("at"), Field::text("user"), Field::float64("took")]
    }

    fn parse(&self, record: &[u8], row: &mut RowBuilder<'_>) -> Result<(), Reject> {
        let text = std::str::from_utf8(record).map_err(|_| Reject(0))?;
        for pair in text.split_ascii_whitespace() {
            match pair.split_once('=') {
                Some(("at", ms)) => {
                    let ms: i64 = ms.parse().map_err(|_| Reject(1))?;
                    row.set_timestamp(0, ms.checked_mul(1000).ok_or(Reject(1))?);
                }
                Some(("user", user)) if self.0.lower => row.set(1, &user.to_lowercase()),
                Some(("user", user)) => row.set(1, user),
                Some(("took", took)) => row.set(2, took.parse::<f64>().map_err(|_| Reject(1))?),
                _ => {}
            }
        }
        Ok(())
    }

    fn samples() -> Vec<Sample> {
        let two = r#"[{"user": "ada", "took": 1.5}]"#;
        vec![
            Sample::new("two", r#"{"lower": true}"#, "user=Ada took=1.5", two),
            Sample::new("no number", "{}", "took=long", r#"{"reject": "bad_number"}"#),
        ]
    }
}

millstream_sdk::export_parser!(KeyValue);

#[test]
fn samples() {
    millstream_sdk::testing::check_parser::<KeyValue>();
}
