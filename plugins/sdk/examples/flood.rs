//! A rule that raises one alert when a key has too many rows in a short time.

use millstream_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The column of times.
    column: String,
    /// So many rows …
    rows: u32,
    /// … within so many seconds are a flood.
    seconds: i64,
}

struct Flood {
    at: ColumnRef,
    before: u32,
    within_us: i64,
}

/// What is remembered for each key.
#[derive(Default, Serialize, Deserialize)]
struct Quiet {
    until_us: i64,
}

impl Rule for Flood {
    const NAME: &'static str = "flood";
    const SUMMARY: &'static str = "too many rows of a key in a short time";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object",
        "required": ["column", "rows", "seconds"],
        "properties": {"column": {"type": "string"}, "rows": {"type": "integer", "minimum": 2},
            "seconds": {"type": "integer", "minimum": 1}}}"#;
    const STATE_VERSION: Option<u32> = Some(1);
    type Config = Config;
    type State = Quiet;

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        let at = input.column(&config.column)?;
        Ok(Self {
            at,
            before: config.rows.saturating_sub(1),
            within_us: config.seconds.saturating_mul(1_000_000),
        })
    }

    fn plan(&self) -> RulePlan {
        let attributes = vec![Field::float64("rows_a_second")];
        RulePlan { attributes, history: self.before, history_columns: Vec::new() }
    }

    fn on_row(&self, quiet: &mut Quiet, row: Row<'_>, history: History<'_>, out: &mut Output<'_>) {
        // The host keeps the key's last rows. With fewer than asked for there is no flood yet.
        let first = history.get(0).filter(|_| history.len() >= self.before as usize);
        let times = row.timestamp(self.at).zip(first.and_then(|row| row.timestamp(self.at)));
        let Some((now, first)) = times else { return };
        let seconds = (now - first) as f64 / 1e6;
        let rate = f64::from(self.before + 1) / seconds.max(1e-6);
        if now - first > self.within_us || now < quiet.until_us {
            out.annotate(&[rate.into()]);
            return;
        }
        let message = format!("{} rows within {seconds} s", self.before + 1);
        out.alert(Severity::Critical, &message, &[rate.into()]);
        quiet.until_us = now + self.within_us;
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::new(
            "the third row within ten seconds, once",
            r#"{"column": "at", "rows": 3, "seconds": 10}"#,
            r#"[{"at": 0}, {"at": 20000000}, {"at": 21000000}, {"at": 22500000}, {"at": 23000000}]"#,
            r#"["3 rows within 2.5 s"]"#,
        )]
    }
}

millstream_sdk::export_rule!(Flood);

#[test]
fn samples() {
    millstream_sdk::testing::check_rule::<Flood>();
}
