//! Streams and windows.

use std::ops::Range;

use super::keys::{Context, Owner, given, is_bad};
use crate::config::model::{self, Located, OutputMode, WindowKind};
use crate::config::units::format_duration_us;
use crate::config::wire::{self, Entries, Key, Output, Sql};
use crate::diag::Diagnostic;

/// A row is in `size / slide` windows; more than this is a typing error.
const MAX_OVERLAP: i64 = 10_000;

const KINDS: &str = "tumbling = \"1 minute\", sliding = { size = \"5 minutes\", slide = \"1 minute\" }, \
                     session = { gap = \"30 minutes\" }, count = 100, global = true";

/// Column names and where they stand.
type Names = Vec<(String, Range<usize>)>;

impl Context<'_> {
    pub fn stream(&mut self, typed: wire::Stream, owner: &Owner) -> Option<model::Stream> {
        let inputs = self.inputs(typed.input, typed.inputs, owner);
        let unnest = self.unnest(typed.unnest);
        let derive = self.columns(typed.derive);
        let filter = sql(typed.r#where);
        let select_span = typed.select.as_ref().map(|field| field.span.clone());
        let select = self.named_columns(typed.select);
        if let (Some(Some(columns)), Some(span)) = (&select, select_span)
            && columns.is_empty()
        {
            self.push(
                Diagnostic::error(format!("`{}.select` keeps no column", owner.path))
                    .at(span)
                    .help("leave `select` out to keep all columns"),
            );
            return None;
        }
        Some(model::Stream {
            inputs: inputs?,
            unnest: unnest?,
            derive: derive?,
            filter: filter?,
            select: select?,
        })
    }

    fn unnest(&mut self, key: Key<Entries<Sql>>) -> Option<Option<(String, Located<String>)>> {
        let Some(field) = key else { return Some(None) };
        let span = field.span.clone();
        let mut columns = self.columns(Some(field))?;
        if columns.len() == 1 {
            return Some(columns.pop());
        }
        self.push(
            Diagnostic::error(format!("`unnest` takes one column, found {}", columns.len()))
                .at(span)
                .help("write unnest = { word = \"string_to_array(line, ' ')\" }"),
        );
        None
    }

    pub fn window(&mut self, typed: wire::Window, owner: &Owner) -> Option<model::Window> {
        let output = match self.or(typed.output, Output::Append) {
            Some(Output::Append) => Some(OutputMode::Append),
            Some(Output::Update) => Some(OutputMode::Update),
            Some(Output::Complete) => Some(OutputMode::Complete),
            None => None,
        };
        let aligned = typed.tumbling.is_some() || typed.sliding.is_some();
        let emits_when_closed = output == Some(OutputMode::Append);
        let trigger_fits = if emits_when_closed {
            self.refuse(
                &typed.trigger,
                "trigger",
                "with output = \"append\"",
                "set output = \"update\" or \"complete\", or remove `trigger`",
            )
        } else {
            Some(())
        };
        let lateness_fits = if !aligned {
            self.refuse(
                &typed.allowed_lateness,
                "allowed_lateness",
                "with session, count and global windows",
                "raise the source's watermark delay instead",
            )
        } else if output.is_some() && !emits_when_closed {
            self.refuse(
                &typed.allowed_lateness,
                "allowed_lateness",
                "with output = \"update\" or \"complete\"",
                "raise the source's watermark delay instead",
            )
        } else {
            Some(())
        };
        let kind = self.window_kind(
            Kinds {
                tumbling: typed.tumbling,
                sliding: typed.sliding,
                session: typed.session,
                count: typed.count,
                global: typed.global,
                offset: typed.offset,
            },
            owner,
        );
        let inputs = self.inputs(typed.input, typed.inputs, owner);
        let filter = sql(typed.r#where);
        let groups = [
            ("group_by", column_spans_of(&typed.group_by)),
            ("aggregate", column_spans(&typed.aggregate)),
            ("derive", column_spans(&typed.derive)),
        ];
        let unique = self.unique_columns(&groups);
        let group_by = self.named_columns(typed.group_by);
        let aggregate = self.aggregate(typed.aggregate, owner);
        let derive = self.columns(typed.derive);
        let having = sql(typed.having);
        let trigger = self.duration(typed.trigger, "trigger", 1_000);
        let lateness = self.duration_or(typed.allowed_lateness, "allowed_lateness", 0, 0);
        trigger_fits?;
        lateness_fits?;
        unique?;
        Some(model::Window {
            inputs: inputs?,
            kind: kind?,
            filter: filter?,
            group_by: group_by?.unwrap_or_default(),
            aggregate: aggregate?,
            derive: derive?,
            having: having?,
            output: output?,
            trigger_us: trigger?,
            allowed_lateness_us: lateness?,
        })
    }

    fn aggregate(
        &mut self,
        key: Key<Entries<Sql>>,
        owner: &Owner,
    ) -> Option<Vec<(String, Located<String>)>> {
        let example = "aggregate = { total = \"count(*)\" }";
        let Some(field) = key else {
            self.required(key, "aggregate", example, owner);
            return None;
        };
        let span = field.span.clone();
        let columns = self.columns(Some(field))?;
        if columns.is_empty() {
            self.push(
                Diagnostic::error(format!("`{}.aggregate` is empty", owner.path))
                    .at(span)
                    .help(format!("write for example {example}")),
            );
            return None;
        }
        Some(columns)
    }

    /// Groups, aggregates and derived columns stand side by side in the result.
    fn unique_columns(&mut self, groups: &[(&str, Names)]) -> Option<()> {
        let mut seen: Vec<(&str, &str)> = Vec::new();
        let mut unique = Some(());
        for (table, columns) in groups {
            for (name, span) in columns {
                let earlier = seen.iter().find(|(other, of)| other == name && of != table);
                if let Some((_, earlier)) = earlier {
                    self.push(
                        Diagnostic::error(format!("two columns of the result are called `{name}`"))
                            .at(span.clone())
                            .label(format!("already in `{earlier}`"))
                            .help("rename one of the two"),
                    );
                    unique = None;
                }
                seen.push((name, table));
            }
        }
        unique
    }

    fn window_kind(&mut self, typed: Kinds, owner: &Owner) -> Option<WindowKind> {
        let spans = [
            ("tumbling", typed.tumbling.as_ref().map(|field| field.span.clone())),
            ("sliding", typed.sliding.as_ref().map(|field| field.span.clone())),
            ("session", typed.session.as_ref().map(|field| field.span.clone())),
            ("count", typed.count.as_ref().map(|field| field.span.clone())),
            ("global", typed.global.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let offset_fits = if typed.tumbling.is_some() || typed.sliding.is_some() {
            Some(())
        } else {
            self.refuse(
                &typed.offset,
                "offset",
                "but with tumbling and sliding windows",
                "remove `offset`",
            )
        };
        let offset_span = typed.offset.as_ref().map(|field| field.span.clone()).unwrap_or_default();
        let offset = self.duration_or(typed.offset, "offset", 0, 0);
        let kind = if typed.tumbling.is_some() {
            let size = self.duration(typed.tumbling, "tumbling", 1);
            self.tumbling(size??, offset?, offset_span)
        } else if typed.sliding.is_some() {
            let sliding = given(typed.sliding)?;
            self.sliding(sliding, offset?, offset_span, owner)
        } else if typed.session.is_some() {
            let session = given(typed.session)?;
            let inner = owner.inner("session", &session.span);
            let gap = self.required(session.value.gap, "gap", "gap = \"30 minutes\"", &inner)?;
            let key = Some(wire::Field { span: gap.span, value: Some(gap.value) });
            self.duration(key, "gap", 1)?.map(|gap_us| WindowKind::Session { gap_us })
        } else if typed.count.is_some() {
            self.count64(typed.count, "count", 1..=i64::MAX)?.map(|rows| WindowKind::Count { rows })
        } else if typed.global.is_some() {
            let global = given(typed.global)?;
            if !global.value {
                self.push(
                    Diagnostic::error("`global = false` chooses no window")
                        .at(global.span)
                        .help(format!("use one of: {KINDS}")),
                );
                return None;
            }
            Some(WindowKind::Global)
        } else if self.is_misspelt(owner, &["tumbling", "sliding", "session", "count", "global"]) {
            None
        } else {
            self.push(
                Diagnostic::error(format!("`{}` does not say which window it is", owner.path))
                    .at(owner.span.clone())
                    .help(format!("add one of: {KINDS}")),
            );
            None
        };
        offset_fits?;
        kind.filter(|_| alone)
    }

    fn tumbling(&mut self, size: i64, offset: i64, span: Range<usize>) -> Option<WindowKind> {
        self.offset_below(offset, size, "size", span)?;
        Some(WindowKind::Tumbling { size_us: size, offset_us: offset })
    }

    fn sliding(
        &mut self,
        sliding: Located<wire::Sliding>,
        offset: i64,
        offset_span: Range<usize>,
        owner: &Owner,
    ) -> Option<WindowKind> {
        let owner = owner.inner("sliding", &sliding.span);
        let bad = is_bad(&sliding.value.size) || is_bad(&sliding.value.slide);
        let size = self.required(sliding.value.size, "size", "size = \"5 minutes\"", &owner);
        let slide = self.required(sliding.value.slide, "slide", "slide = \"1 minute\"", &owner);
        if bad {
            return None;
        }
        let (size, slide) = (size?, slide?);
        let slide_span = slide.span.clone();
        let read = |cx: &mut Self, name: &str, located: Located<wire::Duration>| {
            let key = Some(wire::Field { span: located.span, value: Some(located.value) });
            cx.duration(key, name, 1).flatten()
        };
        let size_us = read(self, "size", size);
        let slide_us = read(self, "slide", slide);
        let (size_us, slide_us) = (size_us?, slide_us?);
        if slide_us > size_us {
            self.push(
                Diagnostic::error(
                    "`slide` is longer than `size`: rows between windows would be lost",
                )
                .at(slide_span)
                .label(format!("must be at most {}", format_duration_us(size_us))),
            );
            return None;
        }
        if size_us / slide_us > MAX_OVERLAP {
            self.push(
                Diagnostic::error(format!(
                    "`slide` is too short: every row would be in {} windows",
                    size_us / slide_us
                ))
                .at(slide_span)
                .label(format!("at most {MAX_OVERLAP} windows may overlap")),
            );
            return None;
        }
        self.offset_below(offset, slide_us, "slide", offset_span)?;
        Some(WindowKind::Sliding { size_us, slide_us, offset_us: offset })
    }

    fn offset_below(
        &mut self,
        offset: i64,
        limit: i64,
        name: &str,
        span: Range<usize>,
    ) -> Option<()> {
        if offset < limit {
            return Some(());
        }
        let equal = format_duration_us(offset.checked_rem(limit).unwrap_or(0));
        self.push(
            Diagnostic::error(format!("`offset` is not shorter than the {name}"))
                .at(span)
                .label(format!("must be less than {}", format_duration_us(limit)))
                .help(format!("offset = \"{equal}\" gives the same windows")),
        );
        None
    }
}

/// The keys that say which window it is.
struct Kinds {
    tumbling: Key<wire::Duration>,
    sliding: Key<wire::Sliding>,
    session: Key<wire::Session>,
    count: Key<i64>,
    global: Key<bool>,
    offset: Key<wire::Duration>,
}

/// Returns an optional SQL text. Outer `None`: it could not be read.
pub(super) fn sql(key: Key<Sql>) -> Option<Option<Located<String>>> {
    let Some(field) = key else { return Some(None) };
    Some(Some(Located { value: field.value?.0, span: field.span }))
}

fn column_spans(key: &Key<Entries<Sql>>) -> Vec<(String, Range<usize>)> {
    let entries = key.as_ref().and_then(|field| field.value.as_ref());
    entries
        .map(|all| all.0.iter().map(|(name, _)| (name.text.clone(), name.span.clone())).collect())
        .unwrap_or_default()
}

fn column_spans_of(key: &Key<wire::Columns>) -> Vec<(String, Range<usize>)> {
    match key.as_ref().and_then(|field| field.value.as_ref()) {
        Some(wire::Columns::Names(list)) => {
            list.iter().filter_map(|item| Some((item.value.clone()?, item.span.clone()))).collect()
        }
        Some(wire::Columns::Table(entries)) => {
            entries.0.iter().map(|(name, _)| (name.text.clone(), name.span.clone())).collect()
        }
        None => Vec::new(),
    }
}
