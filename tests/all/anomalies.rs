//! The windowed-Gaussian rule against NAB's scores.

use crate::support::{data, run, set};

pub const PIPELINE: &str = r#"
name = "anomalies"
[sources.series]
type = "file"
path = "series.csv"
[parsers.points]
input = "series"
plugin = "csv"
event_time = "timestamp"
config = { header = ["timestamp", "value"], columns = { timestamp = "timestamp", value = "float64" } }
[rules.gaussian]
input = "points"
plugin = "windowed-gaussian"
config = { column = "value" }
"#;

#[test]
fn windowed_gaussian_reproduces_nab() {
    for series in ["24ae8d", "53ea38", "5f5533", "77c1ca"] {
        let name = format!("ec2_cpu_utilization_{series}.csv");
        let Some(input) = data(&format!("anomalies/{name}")) else { return };
        let Some(scores) = data(&format!("anomalies/windowed_gaussian/windowedGaussian_{name}"))
        else {
            return;
        };
        let scores = std::fs::read_to_string(scores).expect("scores");
        let expected: Vec<f64> = scores
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(2).expect("a score").parse().expect("a number"))
            .collect();
        let result =
            run(PIPELINE, &["gaussian.rows"], &[set("sources.series.path", input.display())]);
        let mine: Vec<f64> = result
            .rows("gaussian.rows")
            .iter()
            .map(|row| row["anomaly_score"].as_f64().expect("a score"))
            .collect();
        assert_eq!(mine.len(), expected.len(), "{name}");
        for (line, (mine, expected)) in mine.iter().zip(&expected).enumerate() {
            assert!(
                (mine - expected).abs() <= 1e-9,
                "{name}:{}: {mine}, expected {expected}",
                line + 2
            );
        }
    }
}
