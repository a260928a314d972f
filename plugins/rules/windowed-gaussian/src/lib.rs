//! The rule `windowed-gaussian`: how unlikely a value is under a normal distribution fitted to the
//! key's previous values.
//!
//! The detector of that name in the Numenta Anomaly Benchmark, point by point. Its score is 1 - Q,
//! where Q is the probability that a normal variable with mean and population deviation of the
//! window is further out, on the value's side, than the value: 0.5 at the mean, towards 1 on both
//! sides. The very first value scores 0; a deviation of zero counts as 0.000001. While the window
//! fills, it holds all previous values; then it moves on by `step` values at a time. A null, or a
//! value that is not finite, has no score and does not count.

mod moments;

use millstream_sdk::prelude::*;
use moments::Window;

/// Most blocks of `step` values in a window.
const MAX_BLOCKS: u32 = 10_000;

/// What stands for a deviation of zero.
const LEAST_DEVIATION: f64 = 0.000_001;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    column: String,
    #[serde(default = "default_window")]
    window: u32,
    #[serde(default = "default_step")]
    step: u32,
    #[serde(default = "default_threshold")]
    threshold: f64,
    #[serde(default = "default_min_rows")]
    min_rows: u32,
    #[serde(default)]
    severity: Level,
}

fn default_window() -> u32 {
    6400
}

fn default_step() -> u32 {
    100
}

fn default_threshold() -> f64 {
    0.99999
}

fn default_min_rows() -> u32 {
    100
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
pub struct WindowedGaussian {
    config: Config,
    column: ColumnRef,
}

/// Returns the score of a value under a distribution.
fn score(value: f64, figures: Option<(f64, f64)>) -> f64 {
    let Some((mean, deviation)) = figures else { return 0.0 };
    let deviation = if deviation == 0.0 { LEAST_DEVIATION } else { deviation };
    // Below the mean, the tail is that of the value mirrored at the mean.
    let value = if value < mean { 2.0 * mean - value } else { value };
    let z = (value - mean) / deviation;
    1.0 - 0.5 * libm::erfc(z / core::f64::consts::SQRT_2)
}

impl Rule for WindowedGaussian {
    const NAME: &'static str = "windowed-gaussian";
    const SUMMARY: &'static str = "how unlikely a value is, judged by the key's previous values";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const STATE_VERSION: Option<u32> = Some(1);
    type Config = Config;
    type State = Window;

    fn configure(config: Config, input: &Input) -> Result<Self, Fault> {
        let (window, step) = (config.window, config.step);
        if step == 0 || window == 0 || !window.is_multiple_of(step) {
            return Err(Fault::Config("`window` must be a multiple of `step`".into()));
        }
        if window / step > MAX_BLOCKS {
            let message = format!("`window` must be at most {MAX_BLOCKS} times `step`");
            return Err(Fault::Config(message));
        }
        if !(0.5..=1.0).contains(&config.threshold) {
            return Err(Fault::Config("`threshold` must be from 0.5 to 1".into()));
        }
        let column = input.number(&config.column)?;
        Ok(Self { config, column })
    }

    fn plan(&self) -> RulePlan {
        RulePlan { attributes: vec![Field::float64("anomaly_score")], ..RulePlan::default() }
    }

    fn on_row(&self, state: &mut Window, row: Row<'_>, _: History<'_>, out: &mut Output<'_>) {
        let config = &self.config;
        let Some(value) = row.f64(self.column).filter(|value| value.is_finite()) else {
            out.annotate(&[]);
            return;
        };
        let figures = state.figures();
        let score = score(value, figures);
        if score >= config.threshold && state.count() >= config.min_rows {
            let (mean, deviation) = figures.unwrap_or_default();
            let message = format!(
                "{} {} is unlikely (score {score:.6}): mean {mean:.3}, standard deviation \
                 {deviation:.3}",
                config.column,
                row.display(self.column),
            );
            let severity = match config.severity {
                Level::Info => Severity::Info,
                Level::Warning => Severity::Warning,
                Level::Critical => Severity::Critical,
            };
            out.alert(severity, &message, &[score.into()]);
        } else {
            out.annotate(&[score.into()]);
        }
        state.add(value, config.window, config.step);
    }

    fn samples() -> Vec<Sample> {
        vec![Sample::new(
            "a value far from four others",
            r#"{"column": "x", "min_rows": 4}"#,
            r#"[{"x": 1.0}, {"x": 2.0}, {"x": 2.0}, {"x": 1.0}, {"x": 9.0}, {"x": 1.5}]"#,
            r#"["x 9 is unlikely (score 1.000000): mean 1.500, standard deviation 0.500"]"#,
        )]
    }
}

millstream_sdk::export_rule!(WindowedGaussian);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_rule_testing::{annotate, reference};
    use millstream_sdk::testing::check_rule;
    use serde_json::{Value as Json, json};

    fn scores(config: &str, values: &[f64]) -> Vec<f64> {
        let rows: Vec<Json> = values.iter().map(|value| json!({"value": value})).collect();
        annotate::<WindowedGaussian>(config, &[Field::float64("value")], "k", &rows)
            .iter()
            .map(|entry| entry.attributes["anomaly_score"].as_f64().expect("a score"))
            .collect()
    }

    /// The detector as its authors wrote it: all values kept, two passes for each.
    fn naive(values: &[f64], size: usize, step: usize) -> Vec<f64> {
        let (mut window, mut waiting): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let mut figures = None;
        let mut scores = Vec::new();
        for value in values {
            scores.push(score(*value, figures));
            if window.len() < size {
                window.push(*value);
            } else {
                waiting.push(*value);
                if waiting.len() < step {
                    continue;
                }
                window.drain(..step);
                window.append(&mut waiting);
            }
            #[expect(clippy::cast_precision_loss, reason = "a few thousand values")]
            let count = window.len() as f64;
            let mean = window.iter().sum::<f64>() / count;
            let squares: f64 = window.iter().map(|x| (x - mean) * (x - mean)).sum();
            figures = Some((mean, (squares / count).sqrt()));
        }
        scores
    }

    fn assert_close(actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (index, (a, b)) in actual.iter().zip(expected).enumerate() {
            assert!((a - b).abs() <= 1e-9, "row {index}: {a} {b}");
        }
    }

    #[test]
    fn samples() {
        check_rule::<WindowedGaussian>();
    }

    #[test]
    fn the_window_moves_on_in_steps() {
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from(u32::try_from(seed >> 40).expect("24 bits")) / 1000.0
        };
        let values: Vec<f64> = (0..2000).map(|_| 1e6 + next()).collect();
        for (window, step) in [(6400, 100), (640, 10), (100, 100), (12, 4), (5, 1)] {
            let config = format!(r#"{{"column": "value", "window": {window}, "step": {step}}}"#);
            assert_close(&scores(&config, &values), &naive(&values, window, step));
        }
    }

    #[test]
    fn equal_values_have_no_deviation() {
        let config = r#"{"column": "value", "window": 4, "step": 2}"#;
        let scores = scores(config, &[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.2]);
        assert_eq!(scores, [0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]);
    }

    #[test]
    fn nulls_have_no_score() {
        let rows = [json!({"value": 1.0}), json!({}), json!({"value": 1.0})];
        let config = r#"{"column": "value"}"#;
        let said = annotate::<WindowedGaussian>(config, &[Field::float64("value")], "k", &rows);
        let scores: Vec<_> = said.iter().map(|e| e.attributes["anomaly_score"].clone()).collect();
        assert_eq!(scores, [json!(0.0), json!(null), json!(0.5)]);
    }

    #[test]
    fn wrong_options_are_refused() {
        for (options, expected) in [
            (r#""window": 10, "step": 3"#, "`window` must be a multiple of `step`"),
            (r#""window": 0"#, "`window` must be a multiple of `step`"),
            (r#""step": 0"#, "`window` must be a multiple of `step`"),
            (r#""window": 20000, "step": 1"#, "`window` must be at most 10000 times `step`"),
            (r#""threshold": 1.5"#, "`threshold` must be from 0.5 to 1"),
        ] {
            let config = format!(r#"{{"column": "value", {options}}}"#);
            let schema = vec![Field::float64("value")];
            let host =
                millstream_sdk::rule::RuleHost::<WindowedGaussian>::configure(&config, schema);
            assert_eq!(host.map(|_| ()), Err(Fault::Config(expected.into())));
        }
    }

    #[test]
    fn scores_are_those_of_the_benchmark() {
        for name in ["24ae8d", "53ea38", "5f5533", "77c1ca"] {
            let name = format!("ec2_cpu_utilization_{name}.csv");
            let expected = format!("anomalies/windowed_gaussian/windowedGaussian_{name}");
            let (Some(series), Some(expected)) =
                (reference(&format!("anomalies/{name}")), reference(&expected))
            else {
                return;
            };
            let column = |text: &str, column: usize| -> Vec<f64> {
                let cell = |line: &str| line.split(',').nth(column).map(str::to_owned);
                let number = |cell: String| cell.trim().parse().expect("a number");
                text.lines().skip(1).filter_map(cell).map(number).collect()
            };
            let actual = scores(r#"{"column": "value"}"#, &column(&series, 1));
            assert_eq!(actual.len(), 4032);
            assert_close(&actual, &column(&expected, 2));
        }
    }
}
