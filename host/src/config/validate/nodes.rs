//! Parsers, transforms, rules and sinks.

use std::ops::Range;

use super::keys::{Context, Owner, given};
use super::windows::sql;
use crate::config::model::{self, Located, RowOrder, RuleKind, Severity, SinkKind};
use crate::config::wire::{self, Key};
use crate::diag::Diagnostic;

const MAX_CONSOLE: i64 = 1_000_000;

impl Context<'_> {
    pub fn parser(&mut self, typed: wire::Parser, owner: &Owner) -> Option<model::Parser> {
        let input = self.required(typed.input, "input", "input = \"logs\"", owner);
        let plugin = self
            .required(typed.plugin, "plugin", "plugin = \"json\"", owner)
            .and_then(|plugin| self.plugin(plugin, owner));
        let config = self.settings(typed.config);
        let event_time = self.optional_name(typed.event_time, "event_time");
        Some(model::Parser {
            input: input?,
            plugin: plugin?,
            config: config?,
            event_time: event_time?,
        })
    }

    pub fn transform(&mut self, typed: wire::Transform, owner: &Owner) -> Option<model::Transform> {
        let inputs = self.inputs(typed.input, typed.inputs, owner);
        let plugin = self
            .required(typed.plugin, "plugin", "plugin = { path = \"geo.wasm\" }", owner)
            .and_then(|plugin| self.plugin(plugin, owner));
        let config = self.settings(typed.config);
        Some(model::Transform { inputs: inputs?, plugin: plugin?, config: config? })
    }

    /// Asks for a text that is not empty. Outer `None`: reported.
    fn optional_name(&mut self, key: Key<String>, name: &str) -> Option<Option<Located<String>>> {
        if key.is_none() {
            return Some(None);
        }
        let text = given(key)?;
        if text.value.is_empty() {
            self.push(Diagnostic::error(format!("`{name}` is empty")).at(text.span));
            return None;
        }
        Some(Some(text))
    }

    pub fn rule(&mut self, typed: wire::Rule, owner: &Owner) -> Option<model::Rule> {
        let inputs = self.inputs(typed.input, typed.inputs, owner);
        let key = match typed.key {
            None => Some(Vec::new()),
            list => given(list).and_then(|list| self.names("key column", list.value)),
        };
        let keyed = key.as_ref().is_some_and(|key| !key.is_empty());
        let spans = [
            ("when", typed.when.as_ref().map(|field| field.span.clone())),
            ("plugin", typed.plugin.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let mut fits = Some(());
        if typed.when.is_some() && typed.plugin.is_none() {
            let why = "with `when`";
            let config = self.refuse(&typed.config, "config", why, "it is a plugin's; remove it");
            let help = "a condition keeps no state; remove it";
            let ttl = self.refuse(&typed.state_ttl, "state_ttl", why, help);
            fits = config.and(ttl);
        }
        let is_plugin = typed.plugin.is_some();
        let kind = if is_plugin {
            let plugin = given(typed.plugin).and_then(|plugin| self.plugin(plugin, owner));
            let config = self.settings(typed.config);
            plugin.zip(config).map(|(plugin, config)| RuleKind::Plugin { plugin, config })
        } else if typed.when.is_some() {
            sql(typed.when).flatten().map(RuleKind::When)
        } else if self.is_misspelt(owner, &["when", "plugin"]) {
            None
        } else {
            self.push(
                Diagnostic::error(format!("`{}` has no condition", owner.path))
                    .at(owner.span.clone())
                    .help("add when = \"error_rate > 5.0\" or plugin = \"zscore\""),
            );
            None
        };
        let severity = self.severity(typed.severity);
        let message = self.message(typed.message);
        let ttl = self.duration(typed.state_ttl, "state_ttl", 1_000);
        if is_plugin && keyed && ttl == Some(None) {
            self.push(
                Diagnostic::warning(format!(
                    "`{}` keeps the state of every key for ever",
                    owner.path
                ))
                .at(owner.span.clone())
                .help("set state_ttl = \"7 days\", longer than any pause of a key"),
            );
        }
        let order = self.or(typed.order, wire::Order::Arrival);
        let revisions = self.or(typed.revisions, false);
        fits?;
        let rule = model::Rule {
            inputs: inputs?,
            key: key?,
            kind: kind?,
            severity: severity?,
            message: message?,
            state_ttl_us: ttl?,
            order: match order? {
                wire::Order::Arrival => RowOrder::Arrival,
                wire::Order::EventTime => RowOrder::EventTime,
            },
            revisions: revisions?,
        };
        alone.then_some(rule)
    }

    fn severity(&mut self, key: Key<wire::Severity>) -> Option<Option<Severity>> {
        let Some(field) = key else { return Some(None) };
        Some(Some(match field.value? {
            wire::Severity::Info => Severity::Info,
            wire::Severity::Warning => Severity::Warning,
            wire::Severity::Critical => Severity::Critical,
        }))
    }

    /// Checks the braces of a message template.
    fn message(&mut self, key: Key<String>) -> Option<Option<Located<String>>> {
        if key.is_none() {
            return Some(None);
        }
        let message = given(key)?;
        if let Some((fault, part)) = template_fault(&message.value) {
            let place = self.file.part_of(&message.span, &message.value, part);
            self.push(
                Diagnostic::error(format!("bad message template: {fault}"))
                    .at(place)
                    .help("write {column} for a column's value, {{ and }} for braces"),
            );
            return None;
        }
        Some(Some(message))
    }

    pub fn sink(&mut self, typed: wire::Sink, owner: &Owner) -> Option<model::Sink> {
        let (inputs, kind) = match typed {
            wire::Sink::Kafka(mut typed) => {
                let inputs = self.inputs(typed.input.take(), typed.inputs.take(), owner);
                (inputs, SinkKind::Kafka(Box::new(self.kafka_sink(*typed, owner)?)))
            }
            wire::Sink::Console(typed) => {
                let inputs = self.inputs(typed.input, typed.inputs, owner);
                let format = self.or(typed.format, wire::ConsoleFormat::Table);
                let truncate = self.count(typed.truncate, "truncate", 0..=MAX_CONSOLE, 40);
                let max_rows = self.count(typed.max_rows, "max_rows", 0..=MAX_CONSOLE, 20);
                let sink = model::ConsoleSink {
                    format: match format? {
                        wire::ConsoleFormat::Table => model::ConsoleFormat::Table,
                        wire::ConsoleFormat::Jsonl => model::ConsoleFormat::Jsonl,
                        wire::ConsoleFormat::Alerts => model::ConsoleFormat::Alerts,
                    },
                    truncate: truncate?,
                    max_rows: max_rows?,
                };
                (inputs, SinkKind::Console(sink))
            }
            wire::Sink::File(mut typed) => {
                let inputs = self.inputs(typed.input.take(), typed.inputs.take(), owner);
                (inputs, SinkKind::File(self.file_sink(typed, owner)?))
            }
            wire::Sink::Discard(typed) => {
                (self.inputs(typed.input, typed.inputs, owner), SinkKind::Discard)
            }
        };
        Some(model::Sink { inputs: inputs?, kind })
    }

    fn file_sink(&mut self, typed: wire::FileSink, owner: &Owner) -> Option<model::FileSink> {
        let path = self
            .required(typed.path, "path", "path = \"out/alerts\"", owner)
            .and_then(|path| self.path("path", path));
        let format = self.or(typed.format, wire::FileFormat::Jsonl);
        let visible = self.or(typed.visible, wire::Visible::Roll);
        let fits = if visible == Some(wire::Visible::Commit) {
            let help = "one plain file is never rolled; remove `roll` or set visible = \"roll\"";
            self.refuse(&typed.roll, "roll", "with visible = \"commit\"", help)
        } else {
            Some(())
        };
        let roll = self.roll(typed.roll);
        fits?;
        let (roll_us, roll_bytes) = roll?;
        Some(model::FileSink {
            path: path?.value,
            format: match format? {
                wire::FileFormat::Jsonl => model::FileFormat::Jsonl,
                wire::FileFormat::Csv => model::FileFormat::Csv,
            },
            visible: match visible? {
                wire::Visible::Roll => model::Visible::Roll,
                wire::Visible::Commit => model::Visible::Commit,
            },
            roll_us,
            roll_bytes,
        })
    }

    fn roll(&mut self, key: Key<wire::Roll>) -> Option<(i64, u64)> {
        let (every, bytes) = (300_000_000, 128_000_000);
        let Some(field) = key else { return Some((every, bytes)) };
        let typed = field.value?;
        let every = self.duration_or(typed.every, "every", 1_000, every);
        let bytes = self.size(typed.max_bytes, "max_bytes", 1..=super::keys::MAX_SIZE, bytes);
        every.zip(bytes)
    }
}

/// Returns what is wrong with the braces of a template, and where in it.
fn template_fault(text: &str) -> Option<(&'static str, Range<usize>)> {
    let mut open: Option<usize> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, character)) = chars.next() {
        let doubled = open.is_none() && chars.peek().is_some_and(|(_, next)| *next == character);
        match (character, open) {
            ('{' | '}', None) if doubled => {
                chars.next();
            }
            ('{', None) => open = Some(at),
            ('{', Some(start)) => return Some(("a brace within braces", start..at + 1)),
            ('}', Some(start)) if start + 1 == at => {
                return Some(("no column between the braces", start..at + 1));
            }
            ('}', Some(_)) => open = None,
            ('}', None) => return Some(("a closing brace without an opening one", at..at + 1)),
            _ => {}
        }
    }
    open.map(|start| ("an opening brace without a closing one", start..text.len()))
}

#[cfg(test)]
mod unit {
    use super::template_fault;

    #[test]
    fn template_braces_must_match() {
        for good in ["", "plain", "{a}", "{a b} {{x}} {c}", "{{{a}}}"] {
            assert_eq!(template_fault(good), None, "{good}");
        }
        for (bad, part) in [("a {b", 2..4), ("a } b", 2..3), ("{}", 0..2), ("{a {b}", 0..4)] {
            assert_eq!(template_fault(bad).map(|(_, part)| part), Some(part), "{bad}");
        }
    }
}
