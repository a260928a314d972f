//! Message templates.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};

use crate::data::timestamp_type;
use crate::rules::MessageTemplate;

fn schemas() -> [Schema; 2] {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    [
        Schema::new(vec![
            field("service", DataType::Utf8),
            field("error_rate", DataType::Float64),
            field("n", DataType::Int64),
            field("at", timestamp_type()),
            field("up", DataType::Boolean),
        ]),
        Schema::new(vec![field("z_score", DataType::Float64)]),
    ]
}

fn columns() -> [Vec<ArrayRef>; 2] {
    [
        vec![
            Arc::new(StringArray::from(vec![Some("auth"), None])),
            Arc::new(Float64Array::from(vec![Some(25.0), None])),
            Arc::new(Int64Array::from(vec![7, -1])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(1_757_678_460_000_000),
                Some(1_757_678_460_250_000),
            ])),
            Arc::new(BooleanArray::from(vec![true, false])),
        ],
        vec![Arc::new(Float64Array::from(vec![-2.345_678_9, 1e-9]))],
    ]
}

#[test]
fn values_are_put_in() {
    let [input, attributes] = schemas();
    let [rows, said] = columns();
    for (template, expected) in [
        ("plain", ["plain", "plain"]),
        ("", ["", ""]),
        ("rate {error_rate} on {service}", ["rate 25 on auth", "rate null on null"]),
        ("{error_rate:.2}", ["25.00", "null"]),
        ("{n:.1} {n}", ["7.0 7", "-1.0 -1"]),
        ("{z_score}", ["-2.3456789", "1e-9"]),
        ("{z_score:.0}", ["-2", "0"]),
        ("{ at }", ["2025-09-12T12:01:00Z", "2025-09-12T12:01:00.250Z"]),
        ("{{{up}}} }}", ["{true} }", "{false} }"]),
        ("ä{n}ö", ["ä7ö", "ä-1ö"]),
    ] {
        let bound = MessageTemplate::parse(template).unwrap().bind(&[&input, &attributes]).unwrap();
        let messages = bound.render(2, &[&rows, &said]).unwrap();
        assert_eq!([messages.value(0), messages.value(1)], expected, "{template}");
    }
}

#[test]
fn faults_point_at_their_place() {
    let [input, attributes] = schemas();
    for (template, span, expected) in [
        ("rate {error", 5..11, "`{` is never closed; write `{{` for a brace"),
        ("a } b", 2..3, "`}` closes nothing; write `}}` for a brace"),
        ("a {} b", 2..4, "a place in a template must name a column"),
        ("{ :.2}", 0..6, "a place in a template must name a column"),
        (
            "{n:2}",
            3..4,
            "`2` is not a format; write for example `:.2` for two digits after the point",
        ),
        (
            "{n:.99}",
            3..6,
            "`.99` is not a format; write for example `:.2` for two digits after the point",
        ),
        ("x {eror_rate}", 3..12, "no column `eror_rate`"),
        ("{zscore}", 1..7, "no column `zscore`"),
        ("{qqq}", 1..4, "no column `qqq`"),
        ("{service:.2}", 1..8, "column `service` is not a number, so `:.2` cannot apply"),
    ] {
        let parsed = MessageTemplate::parse(template);
        let error = parsed.and_then(|parsed| parsed.bind(&[&input, &attributes])).unwrap_err();
        assert_eq!((error.span(), error.to_string().as_str()), (span, expected), "{template}");
    }
}

#[test]
fn faults_say_what_to_do() {
    let [input, attributes] = schemas();
    for (template, expected) in [
        ("{eror_rate}", "did you mean `error_rate`?"),
        ("{zscore}", "did you mean `z_score`?"),
        ("{qqq}", "a message has the columns of the rule's input and the plugin's"),
        ("{service:.2}", "write `{service}`"),
    ] {
        let template = MessageTemplate::parse(template).unwrap();
        let error = template.bind(&[&input, &attributes]).unwrap_err();
        assert_eq!(error.help().as_deref(), Some(expected));
    }
}
