//! The rule `zscore`: how many standard deviations a row is from its key's previous rows.
//!
//! Every row is annotated. With a column `x` the attributes are `avg_x` and `stddev_x`, mean and
//! sample standard deviation of `x` in the key's up to `rows` previous rows (not the row itself),
//! and `z_score` = (x - avg) / stddev. A row whose `x` is null takes a place among the previous rows
//! and has no part in the figures. With fewer than two values deviation and score are null; with
//! none the mean is too; with a deviation of zero the score is.

use millstream_sdk::prelude::*;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    column: String,
    #[serde(default = "default_rows")]
    rows: u32,
    #[serde(default = "default_threshold")]
    threshold: f64,
    #[serde(default = "default_min_rows")]
    min_rows: u32,
    #[serde(default)]
    min_change: f64,
    #[serde(default)]
    severity: Level,
}

fn default_rows() -> u32 {
    10
}

fn default_min_rows() -> u32 {
    2
}

fn default_threshold() -> f64 {
    2.0
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
pub struct ZScore {
    config: Config,
    column: ColumnRef,
}

/// Returns the mean, nothing for no value, and the sample standard deviation, nothing below two.
fn figures(values: &[f64]) -> (Option<f64>, Option<f64>) {
    let (mut count, mut sum) = (0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
    }
    if count == 0.0 {
        return (None, None);
    }
    let mean = sum / count;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (Some(mean), (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()))
}

impl Rule for ZScore {
    const NAME: &'static str = "zscore";
    const SUMMARY: &'static str = "how far a row is from its key's previous rows, in deviations";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    type Config = Config;
    type State = ();

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        if !(2..=100_000).contains(&config.rows) {
            return Err(Fault::Config("`rows` must be from 2 to 100000".into()));
        }
        if !(2..=config.rows).contains(&config.min_rows) {
            return Err(Fault::Config("`min_rows` must be from 2 to `rows`".into()));
        }
        if config.threshold.is_nan() || config.threshold <= 0.0 {
            return Err(Fault::Config("`threshold` must be above 0".into()));
        }
        if config.min_change.is_nan() || config.min_change < 0.0 {
            return Err(Fault::Config("`min_change` must not be negative".into()));
        }
        let column = input.number(&config.column)?;
        Ok(Self { config, column })
    }

    fn plan(&self) -> RulePlan {
        let column = &self.config.column;
        RulePlan {
            attributes: vec![
                Field::float64(format!("avg_{column}")),
                Field::float64(format!("stddev_{column}")),
                Field::float64("z_score"),
            ],
            history: self.config.rows,
            history_columns: vec![column.clone()],
        }
    }

    fn on_row(&self, _: &mut (), row: Row<'_>, history: History<'_>, out: &mut Output<'_>) {
        let before: Vec<f64> = history.numbers(self.column).collect();
        let (mean, deviation) = figures(&before);
        let known = row.f64(self.column).zip(mean).zip(deviation.filter(|d| *d != 0.0));
        let score = known.map(|((value, mean), deviation)| (value - mean) / deviation);
        let enough = u32::try_from(before.len()).is_ok_and(|rows| rows >= self.config.min_rows);
        let far =
            known.is_some_and(|((value, mean), _)| (value - mean).abs() > self.config.min_change);
        let values = [mean.into(), deviation.into(), score.into()];
        match score {
            Some(score) if enough && far && score.abs() > self.config.threshold => {
                let message = format!(
                    "{} {} is {:.2} standard deviations {} the mean {:.2} of the {} rows before",
                    self.config.column,
                    row.display(self.column),
                    score.abs(),
                    if score > 0.0 { "above" } else { "below" },
                    mean.unwrap_or_default(),
                    before.len(),
                );
                out.alert(severity(self.config.severity), &message, &values);
            }
            _ => out.annotate(&values),
        }
    }

    fn samples() -> Vec<Sample> {
        vec![
            Sample::new(
                "the last row stands out",
                r#"{"column": "x"}"#,
                r#"[{"x": 1.0}, {"x": 3.0}, {"x": 2.0}, {"x": 9.5}]"#,
                r#"["x 9.5 is 7.50 standard deviations above the mean 2.00 of the 3 rows before"]"#,
            ),
            Sample::new(
                "rows without deviation have no score",
                r#"{"column": "x", "threshold": 0.1}"#,
                r#"[{"x": 1}, {"x": 1}, {"x": 100}]"#,
                "[]",
            ),
            Sample::new(
                "no alert before there is enough to compare with",
                r#"{"column": "x", "min_rows": 4}"#,
                r#"[{"x": 1.0}, {"x": 3.0}, {"x": 2.0}, {"x": 9.5}, {"x": 30}]"#,
                r#"["x 30 is 6.81 standard deviations above the mean 3.88 of the 4 rows before"]"#,
            ),
            Sample::new(
                "no alert for a change that is small, however unusual",
                r#"{"column": "x", "min_change": 5}"#,
                r#"[{"x": 1.0}, {"x": 3.0}, {"x": 2.0}, {"x": 6.4}, {"x": 30}]"#,
                r#"["x 30 is 11.46 standard deviations above the mean 3.10 of the 4 rows before"]"#,
            ),
        ]
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Info => Severity::Info,
        Level::Warning => Severity::Warning,
        Level::Critical => Severity::Critical,
    }
}

millstream_sdk::export_rule!(ZScore);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_rule_testing::{annotate, close, json_lines, reference};
    use millstream_sdk::testing::check_rule;
    use serde_json::{Value as Json, json};

    const CONFIG: &str = r#"{"column": "avg_response_time"}"#;

    fn schema() -> Vec<Field> {
        vec![Field::text("service"), Field::float64("avg_response_time")]
    }

    #[test]
    fn samples() {
        check_rule::<ZScore>();
    }

    #[test]
    fn nulls_take_a_place_and_have_no_part() {
        let x = [Some(1.0), None, Some(3.0), None, Some(2.0), Some(2.0)];
        let rows: Vec<Json> = x.iter().map(|x| json!({"x": x})).collect();
        let config = r#"{"column": "x", "rows": 3}"#;
        let said = annotate::<ZScore>(config, &[Field::float64("x")], "k", &rows);
        let means: Vec<Json> = said.iter().map(|entry| entry.attributes["avg_x"].clone()).collect();
        // Before the last row: 3, null, 2.
        assert_eq!(
            means,
            [json!(null), json!(1.0), json!(1.0), json!(2.0), json!(3.0), json!(2.5)]
        );
    }

    #[test]
    fn wrong_options_are_refused() {
        for (config, expected) in [
            (r#"{"column": "service"}"#, "column `service` is text, not a number"),
            (r#"{"column": "avg_response_time", "rows": 1}"#, "`rows` must be from 2 to 100000"),
            (
                r#"{"column": "avg_response_time", "min_rows": 11}"#,
                "`min_rows` must be from 2 to `rows`",
            ),
            (
                r#"{"column": "avg_response_time", "min_change": -1}"#,
                "`min_change` must not be negative",
            ),
            (r#"{"column": "avg_response_time", "threshold": 0}"#, "`threshold` must be above 0"),
        ] {
            let host = millstream_sdk::rule::RuleHost::<ZScore>::configure(config, schema());
            assert_eq!(host.map(|_| ()), Err(Fault::Config(expected.into())));
        }
    }

    #[test]
    fn scores_and_anomalies_are_those_of_the_reference() {
        let read = |name: &str| reference(&format!("log-analytics/expected/{name}.jsonl"));
        let (Some(rows), Some(scores), Some(anomalies)) = (
            read("response_time_metrics"),
            read("response_time_zscores"),
            read("response_time_anomalies"),
        ) else {
            return;
        };
        let rows = json_lines(&rows);
        let said = annotate::<ZScore>(CONFIG, &schema(), "service", &rows);
        let scores = json_lines(&scores);
        assert_eq!((said.len(), scores.len()), (716, 716));
        for (entry, expected) in said.iter().zip(&scores) {
            for name in ["avg_avg_response_time", "stddev_avg_response_time", "z_score"] {
                let (actual, expected) = (&entry.attributes[name], &expected[name]);
                assert!(close(actual, expected), "{name}: {actual} {expected}");
            }
        }
        let alerts: Vec<(&Json, &Json)> = rows
            .iter()
            .zip(&said)
            .filter(|(_, entry)| entry.alert)
            .map(|(row, _)| (&row["window_start"], &row["service"]))
            .collect();
        let anomalies = json_lines(&anomalies);
        let expected: Vec<(&Json, &Json)> =
            anomalies.iter().map(|row| (&row["window_start"], &row["service"])).collect();
        assert_eq!(alerts, expected);
        assert_eq!(alerts.len(), 72);
    }
}
