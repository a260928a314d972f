//! The rule `threshold`: a value beyond a bound, with a severity for each bound.
//!
//! Every row is annotated. With a column `x` the attribute `x_threshold` is the bound of the band
//! the row is in, null when it is in none. A key that comes back below its bounds resolves silently:
//! there is no alert for it. A null is in no band.

use millstream_sdk::prelude::*;

/// The `config` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    column: String,
    #[serde(default)]
    comparison: Comparison,
    bands: Vec<Band>,
    #[serde(default = "one")]
    for_rows: u32,
    #[serde(default = "yes")]
    repeat: bool,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Comparison {
    #[default]
    #[serde(rename = ">")]
    Above,
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<")]
    Below,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
}

impl Comparison {
    #[expect(clippy::float_cmp, reason = "the user asks for equality")]
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Equal => value == bound,
            Self::NotEqual => value != bound,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::AtLeast => "at or above",
            Self::Below => "below",
            Self::AtMost => "at or below",
            Self::Equal => "equal to",
            Self::NotEqual => "not equal to",
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Band {
    value: f64,
    #[serde(default)]
    severity: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Info,
    #[default]
    Warning,
    Critical,
}

/// What is remembered of a key while it is in a band.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// For each band, rows in a row for which its comparison held.
    runs: Vec<u32>,
    /// The band, from 1, that the key is in; 0: none.
    band: u8,
}

/// The rule.
#[derive(Debug)]
pub struct Threshold {
    column: ColumnRef,
    config: Config,
}

impl Rule for Threshold {
    const NAME: &'static str = "threshold";
    const SUMMARY: &'static str = "a value beyond a bound, with severity bands";
    const CONFIG_SCHEMA: &'static str = include_str!("config.schema.json");
    const STATE_VERSION: Option<u32> = Some(1);
    type Config = Config;
    type State = State;

    fn configure(mut config: Config, input: &Input) -> Result<Self, Fault> {
        if !(1..=16).contains(&config.bands.len()) {
            return Err(Fault::Config("`bands` must have from 1 to 16 bands".into()));
        }
        if config.for_rows == 0 {
            return Err(Fault::Config("`for_rows` must be at least 1".into()));
        }
        config.bands.sort_by_key(|band| band.severity);
        Ok(Self { column: input.number(&config.column)?, config })
    }

    fn plan(&self) -> RulePlan {
        let attributes = vec![Field::float64(format!("{}_threshold", self.config.column))];
        RulePlan { attributes, ..RulePlan::default() }
    }

    fn on_row(&self, state: &mut State, row: Row<'_>, _: History<'_>, out: &mut Output<'_>) {
        let config = &self.config;
        let value = row.f64(self.column);
        state.runs.resize(config.bands.len(), 0);
        let (mut reached, mut number) = (None, 0_u8);
        for ((band, run), place) in config.bands.iter().zip(&mut state.runs).zip(1_u8..) {
            let holds = value.is_some_and(|value| config.comparison.holds(value, band.value));
            *run = if holds { run.saturating_add(1).min(config.for_rows) } else { 0 };
            if *run >= config.for_rows {
                (reached, number) = (Some(*band), place);
            }
        }
        let before = usize::from(state.band).checked_sub(1).and_then(|n| config.bands.get(n));
        state.band = number;
        match reached {
            None => out.annotate(&[]),
            Some(band) => {
                let rises = before.is_none_or(|before| band.severity > before.severity);
                let values = [band.value.into()];
                if rises || config.repeat {
                    out.alert(severity(band.severity), &self.message(row, band), &values);
                } else {
                    out.annotate(&values);
                }
            }
        }
        let needs_state = config.for_rows > 1 || !config.repeat;
        if !needs_state || state.runs.iter().all(|run| *run == 0) {
            out.clear_state();
        }
    }

    fn samples() -> Vec<Sample> {
        let bands = r#"[{"value": 500}, {"value": 1000, "severity": "critical"}]"#;
        let rows = r#"[{"ms": 400}, {"ms": 600}, {"ms": 1200}, {"ms": 1300}, {"ms": 500}]"#;
        vec![
            Sample::new(
                "every row beyond a bound",
                format!(r#"{{"column": "ms", "bands": {bands}}}"#),
                rows,
                r#"["ms 600 is above 500", "ms 1200 is above 1000", "ms 1300 is above 1000"]"#,
            ),
            Sample::new(
                "only when it gets worse",
                format!(r#"{{"column": "ms", "bands": {bands}, "repeat": false}}"#),
                rows,
                r#"["ms 600 is above 500", "ms 1200 is above 1000"]"#,
            ),
            Sample::new(
                "two rows in a row",
                r#"{"column": "ms", "comparison": "<=", "bands": [{"value": 9}], "for_rows": 2}"#,
                r#"[{"ms": 9}, {"ms": 10}, {"ms": 9}, {"ms": 8}]"#,
                r#"["ms 8 is at or below 9 for 2 rows"]"#,
            ),
        ]
    }
}

impl Threshold {
    fn message(&self, row: Row<'_>, band: Band) -> String {
        let config = &self.config;
        let value = row.display(self.column);
        let mut text =
            format!("{} {value} is {} {}", config.column, config.comparison.words(), band.value);
        if config.for_rows > 1 {
            text.push_str(&format!(" for {} rows", config.for_rows));
        }
        text
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Info => Severity::Info,
        Level::Warning => Severity::Warning,
        Level::Critical => Severity::Critical,
    }
}

millstream_sdk::export_rule!(Threshold);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_rule_testing::annotate;
    use millstream_sdk::testing::check_rule;
    use serde_json::{Value as Json, json};

    #[test]
    fn samples() {
        check_rule::<Threshold>();
    }

    fn alerts(config: &str, values: &[Option<f64>]) -> Vec<usize> {
        let rows: Vec<Json> = values.iter().map(|x| json!({"x": x})).collect();
        let said = annotate::<Threshold>(config, &[Field::float64("x")], "k", &rows);
        (0..).zip(said).filter(|(_, entry)| entry.alert).map(|(row, _)| row).collect()
    }

    #[test]
    fn comparisons() {
        let values = [Some(1.0), Some(2.0), Some(3.0), None, Some(f64::NAN)];
        for (comparison, expected) in [
            (">", vec![2]),
            (">=", vec![1, 2]),
            ("<", vec![0]),
            ("<=", vec![0, 1]),
            ("==", vec![1]),
            ("!=", vec![0, 2]),
        ] {
            let config = format!(
                r#"{{"column": "x", "comparison": "{comparison}", "bands": [{{"value": 2}}]}}"#
            );
            assert_eq!(alerts(&config, &values), expected, "{comparison}");
        }
    }

    #[test]
    fn a_null_interrupts_a_run_and_what_resolves_can_rise_again() {
        let config = r#"{"column": "x", "bands": [{"value": 0}], "for_rows": 2, "repeat": false}"#;
        let on = Some(1.0);
        let values = [on, None, on, on, on, Some(0.0), on, on];
        assert_eq!(alerts(config, &values), [3, 7]);
    }

    #[test]
    fn wrong_options_are_refused() {
        for (config, expected) in [
            (r#"{"column": "x", "bands": []}"#, "`bands` must have from 1 to 16 bands"),
            (
                r#"{"column": "x", "bands": [{"value": 1}], "for_rows": 0}"#,
                "`for_rows` must be at least 1",
            ),
            (
                r#"{"column": "y", "bands": [{"value": 1}]}"#,
                "the input has no column `y`; it has x",
            ),
        ] {
            let schema = vec![Field::float64("x")];
            let host = millstream_sdk::rule::RuleHost::<Threshold>::configure(config, schema);
            assert_eq!(host.map(|_| ()), Err(Fault::Config(expected.into())));
        }
    }
}
