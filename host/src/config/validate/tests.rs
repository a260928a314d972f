//! `[[tests]]`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::NodeName;
use super::keys::{Context, Owner, given, object};
use crate::config::model::{self, Located, TestStep};
use crate::config::wire::{self, Entries, Field, Json, Key, Record};
use crate::diag::Diagnostic;
use crate::time::parse_timestamp_us;

/// The rows by node, as they are expected.
type Expect = BTreeMap<String, Located<Vec<Value>>>;

impl Context<'_> {
    pub fn tests(
        &mut self,
        key: Key<Vec<Field<wire::Test>>>,
        nodes: &[NodeName],
    ) -> Option<Vec<model::Test>> {
        let Some(field) = key else { return Some(Vec::new()) };
        let mut all: Option<Vec<model::Test>> = Some(Vec::new());
        let mut names: Vec<String> = Vec::new();
        for (index, test) in field.value?.into_iter().enumerate() {
            let owner = Owner { path: format!("tests[{index}]"), span: test.span };
            let test = test.value.and_then(|test| self.test(test, &owner, nodes, &mut names));
            match (test, &mut all) {
                (Some(test), Some(all)) => all.push(test),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    fn test(
        &mut self,
        typed: wire::Test,
        owner: &Owner,
        nodes: &[NodeName],
        names: &mut Vec<String>,
    ) -> Option<model::Test> {
        let name = self.required(typed.name, "name", "name = \"counts errors\"", owner);
        if let Some(name) = &name {
            if names.contains(&name.value) {
                self.push(
                    Diagnostic::error(format!("two tests are called {:?}", name.value))
                        .at(name.span.clone())
                        .help("rename one of the two"),
                );
            }
            names.push(name.value.clone());
        }
        let spans = [
            ("records", typed.records.as_ref().map(|field| field.span.clone())),
            ("steps", typed.steps.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let steps = if typed.steps.is_some() {
            let help = "each step has a `source` of its own";
            let fits = self.refuse(&typed.source, "source", "beside `steps`", help);
            let steps = given(typed.steps).and_then(|steps| self.steps(steps.value, owner, nodes));
            fits.and(steps)
        } else if typed.records.is_some() {
            let step =
                wire::TestStep { source: typed.source, records: typed.records, watermark: None };
            self.step(step, owner, nodes).map(|step| vec![step])
        } else {
            self.push(
                Diagnostic::error(format!("`{}` reads nothing", owner.path))
                    .at(owner.span.clone())
                    .help("add records = [\"…\"] or [[tests.steps]]"),
            );
            None
        };
        let example = "[tests.expect] with a list of rows for each node";
        let expect = self
            .required(typed.expect, "expect", example, owner)
            .and_then(|expect| self.expect(expect.value, nodes));
        let test = model::Test { name: name?, steps: steps?, expect: expect? };
        alone.then_some(test)
    }

    fn steps(
        &mut self,
        typed: Vec<Field<wire::TestStep>>,
        owner: &Owner,
        nodes: &[NodeName],
    ) -> Option<Vec<TestStep>> {
        let mut all = Some(Vec::new());
        for (index, step) in typed.into_iter().enumerate() {
            let owner = owner.inner(&format!("steps[{index}]"), &step.span);
            let step = step.value.and_then(|step| self.step(step, &owner, nodes));
            match (step, &mut all) {
                (Some(step), Some(all)) => all.push(step),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    fn step(
        &mut self,
        typed: wire::TestStep,
        owner: &Owner,
        nodes: &[NodeName],
    ) -> Option<TestStep> {
        let spans = [
            ("records", typed.records.as_ref().map(|field| field.span.clone())),
            ("watermark", typed.watermark.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let source = self.test_source(typed.source, owner, nodes);
        let step = if typed.records.is_some() {
            let mut records = Some(Vec::new());
            for record in given(typed.records)?.value {
                match (record.value.and_then(record_text), &mut records) {
                    (Some(text), Some(records)) => records.push(text),
                    (Some(_), None) => {}
                    (None, _) => records = None,
                }
            }
            TestStep::Records { source: source?, records: records? }
        } else {
            let example = "watermark = \"2025-01-01T00:01:00Z\", or records = [\"…\"]";
            let text = self.required(typed.watermark, "watermark", example, owner)?;
            match parse_timestamp_us(&text.value) {
                Ok(time_us) => TestStep::Watermark { source: source?, time_us },
                Err(error) => {
                    self.push(
                        Diagnostic::error(format!("`watermark`: {error}"))
                            .at(text.span)
                            .help("write a time as \"2025-01-01T00:01:00Z\""),
                    );
                    return None;
                }
            }
        };
        alone.then_some(step)
    }

    fn test_source(
        &mut self,
        key: Key<String>,
        owner: &Owner,
        nodes: &[NodeName],
    ) -> Option<Located<String>> {
        let sources: Vec<&str> =
            nodes.iter().filter(|node| node.1 == "sources").map(|node| node.0.as_str()).collect();
        if key.is_some() {
            let source = given(key)?;
            if !sources.contains(&source.value.as_str()) {
                self.push(
                    Diagnostic::error(format!("no source is called `{}`", source.value))
                        .at(source.span)
                        .suggest(&source.value, "sources", sources),
                );
                return None;
            }
            return Some(source);
        }
        if let [only] = sources.as_slice() {
            return Some(Located { value: (*only).to_string(), span: 0..0 });
        }
        if !sources.is_empty() {
            self.push(
                Diagnostic::error(format!("`{}` does not say which source it is for", owner.path))
                    .at(owner.span.clone())
                    .help(format!("add source = {:?}", sources.first().unwrap_or(&"logs"))),
            );
        }
        None
    }

    fn expect(&mut self, typed: Entries<Json>, nodes: &[NodeName]) -> Option<Expect> {
        let mut all = Some(Expect::new());
        for (name, field) in typed.0 {
            let span = field.span;
            let found = field.value.and_then(|json| match json.0 {
                // `events.rejects = […]` without quotes is a table within a table.
                Value::Object(inner) => inner
                    .into_iter()
                    .map(|(part, rows)| Some((format!("{}.{part}", name.text), rows_of(rows)?)))
                    .collect::<Option<Vec<_>>>(),
                rows => Some(vec![(name.text.clone(), rows_of(rows)?)]),
            });
            let Some(found) = found else {
                self.push(
                    Diagnostic::error(format!("`expect.{}` is not a list of rows", name.text))
                        .at(span)
                        .help("write [{ column = value, … }, …], or [] for no rows"),
                );
                all = None;
                continue;
            };
            for (output, rows) in found {
                if !self.knows_output(&output, &name.span, nodes) {
                    all = None;
                } else if let Some(all) = &mut all {
                    all.insert(output, Located { value: rows, span: span.clone() });
                }
            }
        }
        all
    }

    /// Checks that a node or secondary output exists, as far as names tell.
    fn knows_output(
        &mut self,
        output: &str,
        span: &std::ops::Range<usize>,
        nodes: &[NodeName],
    ) -> bool {
        let mut known: Vec<String> = Vec::new();
        for (name, kind, _) in nodes {
            let second = match *kind {
                "parsers" | "transforms" => Some("rejects"),
                "windows" => Some("late"),
                "rules" => Some("rows"),
                "streams" => None,
                _ => continue,
            };
            known.push(name.clone());
            known.extend(second.map(|second| format!("{name}.{second}")));
        }
        if known.iter().any(|name| name == output) {
            return true;
        }
        self.push(
            Diagnostic::error(format!("no node has the output `{output}`"))
                .at(span.clone())
                .suggest(output, "outputs", known.iter().map(String::as_str)),
        );
        false
    }
}

fn rows_of(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(rows) if rows.iter().all(Value::is_object) => Some(rows),
        _ => None,
    }
}

fn record_text(record: Record) -> Option<String> {
    match record {
        Record::Text(text) => Some(text),
        Record::Table(entries) => Some(Value::Object(object(entries)?).to_string()),
    }
}
