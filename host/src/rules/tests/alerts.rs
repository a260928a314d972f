//! Alert rows, their ids, `when` rules, and columns that clash.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::datatypes::{DataType, Field, Schema};

use super::keyed::window_rows;
use super::native::*;
use crate::config::model::{RowOrder, Severity};
use crate::data::NO_TIME;
use crate::rules::*;

fn alert_settings(change: impl FnOnce(&mut AlertSettings)) -> AlertSettings {
    let mut settings = settings(RowOrder::Arrival).alerts;
    settings.plugin_version = None;
    change(&mut settings);
    settings
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

#[test]
fn when_rules_alert_on_true_and_carry_the_other_columns() {
    let mut rule = WhenRule::new(alert_settings(|_| ()), "x > 5", false).unwrap();
    assert_eq!(
        names(rule.alert_schema()),
        [
            "alert_id",
            "rule",
            "severity",
            "message",
            "event_time",
            "name",
            "revision",
            "at",
            "x",
            "plugin_version"
        ]
    );
    let events = [(1, "a", 6.0), (2, "b", 5.0), (NO_TIME, "c", 7.0)];
    let condition = BooleanArray::from(vec![Some(true), Some(false), Some(true)]);
    let alerts = rule.evaluate(&rows(0, 0, &events), &condition).unwrap();
    let columns = ["severity", "message", "event_time", "name", "x", "plugin_version"];
    assert_eq!(
        show(&alerts.batch, &columns),
        ["warning x > 5 1970-01-01T00:00:00.000001 a 6.0 -", "warning x > 5 - c 7.0 -"]
    );
    let null = BooleanArray::from(vec![None, Some(false), None]);
    assert!(rule.evaluate(&rows(0, 0, &events), &null).unwrap().is_empty());
    let short = BooleanArray::from(vec![true]);
    assert!(rule.evaluate(&rows(0, 0, &events), &short).is_err());
}

#[test]
fn severity_and_message_come_from_the_pipeline_file() {
    let when = alert_settings(|settings| {
        settings.severity = Some(Severity::Critical);
        settings.message = Some(MessageTemplate::parse("{name} is at {x:.1}").unwrap());
    });
    let mut rule = WhenRule::new(when, "x > 5", false).unwrap();
    let yes = BooleanArray::from(vec![true]);
    let alerts = rule.evaluate(&rows(0, 0, &[(1, "a", 6.0)]), &yes).unwrap();
    assert_eq!(show(&alerts.batch, &["severity", "message"]), ["critical a is at 6.0"]);

    let mut keyed = settings_with_message("{name}: {rows} rows, x {x}");
    keyed.severity = None;
    let mut rule =
        KeyedRule::new(KeyedSettings { alerts: keyed, ..settings(RowOrder::Arrival) }).unwrap();
    let mut sum = Sum { silence: Some(5), ..Sum::default() };
    rule.push(&rows(0, 0, &[(1, "a", 6.0)]), RowClock::NEVER_LATE, &mut sum).unwrap();
    let alerts = rule.advance(10, &mut sum).unwrap().alerts;
    assert_eq!(show(&alerts.batch, &["severity", "message"]), ["info a: 1 rows, x null"]);
}

fn settings_with_message(text: &str) -> AlertSettings {
    AlertSettings {
        message: Some(MessageTemplate::parse(text).unwrap()),
        ..settings(RowOrder::Arrival).alerts
    }
}

#[test]
fn ids_depend_on_what_an_alert_is_about_and_on_nothing_else() {
    let yes = |n: usize| BooleanArray::from(vec![true; n]);
    let ids = |rule: &mut WhenRule, rows| {
        let rows: crate::data::Rows = rows;
        show(&rule.evaluate(&rows, &yes(rows.len())).unwrap().batch, &["alert_id"])
    };
    let new = |change: fn(&mut AlertSettings)| {
        WhenRule::new(alert_settings(change), "true", true).unwrap()
    };
    let event = [(1, "a", 1.0)];
    let first = ids(&mut new(|_| ()), rows(0, 0, &event));
    assert_eq!(first[0].len(), 32);
    // Fixed for ever within a format version.
    assert_eq!(first, [FIRST_ID]);
    assert_eq!(first, ids(&mut new(|_| ()), rows(0, 0, &[(9, "a", 5.0)])), "same record and key");
    let others = [
        ids(&mut new(|_| ()), rows(0, 1, &event)),
        ids(&mut new(|_| ()), rows(1, 0, &event)),
        ids(&mut new(|_| ()), rows(0, 0, &[(1, "b", 1.0)])),
        ids(&mut new(|s| s.rule = "other".into()), rows(0, 0, &event)),
        ids(&mut new(|s| s.pipeline = "other".into()), rows(0, 0, &event)),
        // Lengths go in: these would run together otherwise.
        ids(&mut new(|s| (s.pipeline, s.rule) = ("pr".into(), String::new())), rows(0, 0, &event)),
    ];
    let mut distinct: Vec<_> = others.concat();
    distinct.extend(first);
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), others.len() + 1);

    // Several alerts of a key in a window are numbered; a revision numbers them anew.
    let windows = window_rows(&[(0, 10, "a", 1.0, 0), (0, 10, "a", 2.0, 0), (0, 10, "a", 1.5, 1)]);
    let schema = windows.batch.schema();
    let settings = alert_settings(|settings| settings.input = schema);
    let mut rule = WhenRule::new(settings, "true", true).unwrap();
    let counted = ids(&mut rule, windows.clone());
    assert_ne!(counted[0], counted[1]);
    assert_eq!(counted[0], counted[2]);
    // The count goes on in the next batch and after a restart, and ends with the watermark.
    let state = rule.state().unwrap();
    let next = ids(&mut rule, slice(&windows, 0, 1));
    assert!(!counted.contains(&next[0]));
    rule.restore(&state).unwrap();
    assert_eq!(ids(&mut rule, slice(&windows, 0, 1)), next);
    rule.advance(10);
    assert_eq!(rule.memory_bytes(), 0);
}

const FIRST_ID: &str = "39bfc54b0d0e19a7825f34ae0f41aba7";

#[test]
fn columns_that_clash_or_do_not_exist_are_named() {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let text = DataType::Utf8;
    let with = |key: &[&str], inputs: Vec<Field>, attributes: Vec<Field>| {
        let mut settings = settings(RowOrder::Arrival);
        settings.alerts.key = key.iter().map(|name| (*name).to_owned()).collect();
        settings.alerts.input = Arc::new(Schema::new(inputs));
        settings.plan.attributes = Arc::new(Schema::new(attributes));
        settings.plan.history = 0;
        KeyedRule::new(settings).map(|_| ()).unwrap_err().to_string()
    };
    let list = DataType::List(Arc::new(field("item", DataType::Int64)));
    for (actual, expected) in [
        (
            with(&["nme"], vec![field("name", text.clone())], vec![]),
            "no column `nme` in the rule's input",
        ),
        (
            with(&["l"], vec![field("l", list.clone())], vec![]),
            &*format!("column `l` of type {list} cannot be a key or be kept as history"),
        ),
        (
            with(&[], vec![field("x", text.clone())], vec![field("x", text.clone())]),
            "column `x` of the rule's rows clashes with a column of its input",
        ),
        (
            with(&[], vec![field("x", text.clone())], vec![field("message", text.clone())]),
            "column `message` of the rule's alerts clashes with a column every alert has",
        ),
        (
            with(&["severity"], vec![field("severity", text.clone())], vec![]),
            "column `severity` of the rule's alerts clashes with a column every alert has",
        ),
        (
            with(&[], vec![field("is_alert", DataType::Boolean)], vec![]),
            "column `is_alert` of the rule's rows clashes with a column of its input",
        ),
    ] {
        assert_eq!(actual, expected);
    }
    // Log lines have a message; a `when` rule carries it under another name.
    let settings = alert_settings(|settings| {
        settings.key = vec![];
        settings.input = Arc::new(Schema::new(vec![field("message", text)]));
    });
    let rule = WhenRule::new(settings, "true", false).unwrap();
    assert!(names(rule.alert_schema()).contains(&"input_message"));
}
