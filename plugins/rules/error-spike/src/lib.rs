//! The rule `error-spike`: a value that jumps up against the key's previous row.
//!
//! Every row is annotated. With a column `x` the attributes are `prev_x`, the value in the key's
//! previous row (not the previous minute), and `x_change`, the difference. The first row of a key
//! has neither; a null on either side gives no difference.

use millstream_sdk::prelude::*;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    column: String,
    #[serde(default = "default_min_change")]
    min_change: f64,
    #[serde(default)]
    severity: Level,
}

fn default_min_change() -> f64 {
    10.0
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Info,
    #[default]
    Warning,
    Critical,
}

/// The rule.
#[derive(Debug)]
pub struct ErrorSpike {
    config: Config,
    column: ColumnRef,
}

impl Rule for ErrorSpike {
    const NAME: &'static str = "error-spike";
    const SUMMARY: &'static str = "a value that jumps up against the key's previous row";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    type Config = Config;
    type State = ();

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        if config.min_change.is_nan() || config.min_change < 0.0 {
            return Err(Fault::Config("`min_change` must not be below 0".into()));
        }
        let column = input.number(&config.column)?;
        Ok(Self { config, column })
    }

    fn plan(&self) -> RulePlan {
        let column = &self.config.column;
        RulePlan {
            attributes: vec![
                Field::float64(format!("prev_{column}")),
                Field::float64(format!("{column}_change")),
            ],
            history: 1,
            history_columns: vec![column.clone()],
        }
    }

    fn on_row(&self, _: &mut (), row: Row<'_>, history: History<'_>, out: &mut Output<'_>) {
        let before = history.last().and_then(|last| last.f64(self.column));
        let change = row.f64(self.column).zip(before).map(|(now, before)| now - before);
        let values = [before.into(), change.into()];
        match change {
            Some(change) if change > self.config.min_change => {
                let message = format!(
                    "{} rose by {change:.2} from {:.2} to {:.2}",
                    self.config.column,
                    before.unwrap_or_default(),
                    row.f64(self.column).unwrap_or_default(),
                );
                let severity = match self.config.severity {
                    Level::Info => Severity::Info,
                    Level::Warning => Severity::Warning,
                    Level::Critical => Severity::Critical,
                };
                out.alert(severity, &message, &values);
            }
            _ => out.annotate(&values),
        }
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::new(
            "up by more than ten, then down, then up by exactly ten",
            r#"{"column": "rate"}"#,
            r#"[{"rate": 50.0}, {"rate": 61.5}, {"rate": 2.0}, {"rate": 12.0}]"#,
            r#"["rate rose by 11.50 from 50.00 to 61.50"]"#,
        )]
    }
}

millstream_sdk::export_rule!(ErrorSpike);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_rule_testing::{annotate, close, json_lines, reference};
    use millstream_sdk::testing::check_rule;
    use serde_json::json;

    #[test]
    fn samples() {
        check_rule::<ErrorSpike>();
    }

    #[test]
    fn a_null_on_either_side_is_no_change() {
        let x = [Some(0.0), None, Some(50.0), Some(70.0)];
        let rows: Vec<_> = x.iter().map(|x| json!({"x": x})).collect();
        let said = annotate::<ErrorSpike>(r#"{"column": "x"}"#, &[Field::float64("x")], "k", &rows);
        let alerts: Vec<bool> = said.iter().map(|entry| entry.alert).collect();
        assert_eq!(alerts, [false, false, false, true]);
    }

    #[test]
    fn spikes_are_those_of_the_reference() {
        let read = |name: &str| reference(&format!("log-analytics/expected/{name}.jsonl"));
        let (Some(rows), Some(spikes)) = (read("error_rate"), read("error_rate_spikes")) else {
            return;
        };
        let rows = json_lines(&rows);
        let schema = [Field::text("service"), Field::float64("error_rate")];
        let config = r#"{"column": "error_rate", "min_change": 10}"#;
        let said = annotate::<ErrorSpike>(config, &schema, "service", &rows);
        let alerts: Vec<_> = rows.iter().zip(&said).filter(|(_, entry)| entry.alert).collect();
        let spikes = json_lines(&spikes);
        assert_eq!((alerts.len(), spikes.len()), (32, 32));
        for ((row, entry), expected) in alerts.iter().zip(&spikes) {
            for name in ["window_start", "service"] {
                assert_eq!(row[name], expected[name]);
            }
            for name in ["prev_error_rate", "error_rate_change"] {
                let (actual, expected) = (&entry.attributes[name], &expected[name]);
                assert!(close(actual, expected), "{name}: {actual} {expected}");
            }
        }
    }
}
