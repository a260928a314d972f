//! The rule of the README: alerts when a value falls far below the one before.
#![cfg(target_arch = "wasm32")]

use millstream_sdk::prelude::*;

#[derive(Deserialize)]
struct Config {
    column: String,
    /// Alert below this share of the value before.
    below: f64,
}

struct Drop {
    column: ColumnRef,
    below: f64,
}

impl Rule for Drop {
    const NAME: &'static str = "drop";
    const SUMMARY: &'static str = "a value far below the one before";
    const CONFIG_SCHEMA: &'static str = r#"{"type": "object", "required": ["column", "below"],
        "properties": {"column": {"type": "string"}, "below": {"type": "number"}}}"#;
    type Config = Config;
    type State = ();

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        Ok(Self { column: input.number(&config.column)?, below: config.below })
    }

    fn plan(&self) -> RulePlan {
        RulePlan { attributes: vec![Field::float64("share")], history: 1, ..RulePlan::default() }
    }

    fn on_row(&self, _: &mut (), row: Row<'_>, history: History<'_>, out: &mut Output<'_>) {
        let before = history.last().and_then(|row| row.f64(self.column));
        if let (Some(now), Some(before)) = (row.f64(self.column), before) {
            let share = now / before;
            if share < self.below {
                out.alert(
                    Severity::Warning,
                    &format!("fell from {before} to {now}"),
                    &[share.into()],
                );
            } else {
                out.annotate(&[share.into()]);
            }
        }
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::new(
            "a fall to a tenth",
            r#"{"column": "x", "below": 0.5}"#,
            r#"[{"x": 10}, {"x": 9}, {"x": 1}]"#,
            r#"["fell from 9 to 1"]"#,
        )]
    }
}

millstream_sdk::export_rule!(Drop);

#[test]
fn samples() {
    millstream_sdk::testing::check_rule::<Drop>();
}
