//! What is asked of single keys: presence, range, exclusion. One function for each question.

use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use crate::config::de::{Misspelt, join};
use crate::config::model::{self, Located};
use crate::config::units::{format_duration_us, format_size};
use crate::config::wire::{self, Columns, Duration, Entries, Field, Json, Key, Size, Sql};
use crate::diag::{Diagnostic, SourceFile};

/// A hundred years: longer durations are typing errors, and sums of a few stay within range.
pub(super) const MAX_DURATION_US: i64 = 100 * 365 * 86_400 * 1_000_000;

/// A million million bytes: larger sizes are typing errors.
pub(super) const MAX_SIZE: u64 = 1 << 40;

/// Columns by name, each with its SQL.
type NamedSql = Vec<(String, Located<String>)>;

/// Where problems go and what paths are relative to.
pub(super) struct Context<'a> {
    pub file: &'a SourceFile,
    pub folder: &'a Path,
    pub misspelt: &'a Misspelt,
    /// The pipeline's name; empty when it has none, which is reported.
    pub pipeline: String,
    /// Whether the file has `[state]`.
    pub keeps_state: bool,
    pub problems: &'a mut Vec<Diagnostic>,
}

/// The table that is being judged: its dotted path and where to point when a key is missing.
pub(super) struct Owner {
    pub path: String,
    pub span: Range<usize>,
}

impl Owner {
    /// Returns a table within this one that stands at `span`.
    pub fn inner(&self, key: &str, span: &Range<usize>) -> Self {
        Self { path: format!("{}.{key}", self.path), span: span.clone() }
    }

    /// Returns the words that tell where a key is missing.
    fn place(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) }
    }
}

/// Returns the value of a key that is there and could be read.
pub(super) fn given<T>(key: Key<T>) -> Option<Located<T>> {
    let field = key?;
    Some(Located { value: field.value?, span: field.span })
}

/// Returns what a key that could not be read was reported for: nothing more is to be said.
pub(super) fn is_bad<T>(key: &Key<T>) -> bool {
    key.as_ref().is_some_and(|field| field.value.is_none())
}

impl Context<'_> {
    pub fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Asks for a key that must be there.
    pub fn required<T>(
        &mut self,
        key: Key<T>,
        name: &str,
        example: &str,
        owner: &Owner,
    ) -> Option<Located<T>> {
        if key.is_none() && !self.is_misspelt(owner, &[name]) {
            self.push(
                Diagnostic::error(format!("missing key `{name}`{}", owner.place()))
                    .at(owner.span.clone())
                    .help(format!("add it: {example}")),
            );
        }
        given(key)
    }

    /// Returns whether one of these keys was meant by an unknown key that has been reported.
    pub fn is_misspelt(&self, owner: &Owner, names: &[&str]) -> bool {
        names.iter().any(|name| self.misspelt.contains(&join(&owner.path, name)))
    }

    /// Asks for a key with a default; `None` only when it could not be read.
    pub fn or<T>(&mut self, key: Key<T>, default: T) -> Option<T> {
        match key {
            None => Some(default),
            Some(field) => field.value,
        }
    }

    /// Asks that only one of several keys is there. Returns whether that holds.
    pub fn at_most_one(&mut self, owner: &Owner, keys: &[(&str, Option<Range<usize>>)]) -> bool {
        let mut there = keys.iter().filter_map(|(name, span)| Some((*name, span.clone()?)));
        let Some((first, _)) = there.next() else { return true };
        let mut alone = true;
        for (name, span) in there {
            alone = false;
            self.push(
                Diagnostic::error(format!(
                    "`{first}` and `{name}` exclude each other{}",
                    owner.place()
                ))
                .at(span)
                .help(format!("keep `{first}` or `{name}`")),
            );
        }
        alone
    }

    /// Refuses a key that has no meaning here, and says why.
    pub fn refuse<T>(&mut self, key: &Key<T>, name: &str, why: &str, help: &str) -> Option<()> {
        let Some(field) = key else { return Some(()) };
        self.push(
            Diagnostic::error(format!("`{name}` has no meaning {why}"))
                .at(field.span.clone())
                .help(help),
        );
        None
    }

    /// Asks for an integer within a range. Outer `None`: reported.
    pub fn integer(
        &mut self,
        key: Key<i64>,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<i64>> {
        let Some(field) = key else { return Some(None) };
        let value = field.value?;
        if range.contains(&value) {
            return Some(Some(value));
        }
        let (least, most) = range.into_inner();
        let wanted = if most == i64::MAX {
            format!("at least {least}")
        } else {
            format!("from {least} to {most}")
        };
        self.push(
            Diagnostic::error(format!("`{name}` is out of range: {value}"))
                .at(field.span)
                .label(format!("must be {wanted}")),
        );
        None
    }

    /// Asks for a count that fits `usize`.
    pub fn count(
        &mut self,
        key: Key<i64>,
        name: &str,
        range: RangeInclusive<i64>,
        default: usize,
    ) -> Option<usize> {
        let value = self.integer(key, name, range)?;
        Some(value.and_then(|value| usize::try_from(value).ok()).unwrap_or(default))
    }

    /// Asks for a count that fits `u32`.
    pub fn count32(
        &mut self,
        key: Key<i64>,
        name: &str,
        range: RangeInclusive<i64>,
        default: u32,
    ) -> Option<u32> {
        let value = self.integer(key, name, range)?;
        Some(value.and_then(|value| u32::try_from(value).ok()).unwrap_or(default))
    }

    /// Asks for a count of 64 bits; inner `None`: not given.
    pub fn count64(
        &mut self,
        key: Key<i64>,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Option<u64>> {
        let value = self.integer(key, name, range)?;
        Some(value.and_then(|value| u64::try_from(value).ok()))
    }

    /// Asks for a duration of at least `least`. Outer `None`: reported.
    pub fn duration(&mut self, key: Key<Duration>, name: &str, least: i64) -> Option<Option<i64>> {
        let Some(field) = key else { return Some(None) };
        let Duration(us) = field.value?;
        if (least..=MAX_DURATION_US).contains(&us) {
            return Some(Some(us));
        }
        let wanted = if us < least {
            format!("must be at least {}", format_duration_us(least))
        } else {
            "must be at most a hundred years".into()
        };
        self.push(
            Diagnostic::error(format!("`{name}` is out of range: {}", format_duration_us(us)))
                .at(field.span)
                .label(wanted),
        );
        None
    }

    /// Asks for a duration with a default.
    pub fn duration_or(
        &mut self,
        key: Key<Duration>,
        name: &str,
        least: i64,
        default: i64,
    ) -> Option<i64> {
        self.duration(key, name, least).map(|given| given.unwrap_or(default))
    }

    /// Asks for a size with a default.
    pub fn size(
        &mut self,
        key: Key<Size>,
        name: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Option<u64> {
        let Some(field) = key else { return Some(default) };
        let Size(bytes) = field.value?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let (least, most) = range.into_inner();
        self.push(
            Diagnostic::error(format!("`{name}` is out of range: {}", format_size(bytes)))
                .at(field.span)
                .label(format!("must be from {} to {}", format_size(least), format_size(most))),
        );
        None
    }

    /// Asks for a size that fits `usize`.
    pub fn memory(
        &mut self,
        key: Key<Size>,
        name: &str,
        range: RangeInclusive<u64>,
        default: usize,
    ) -> Option<usize> {
        let default = u64::try_from(default).unwrap_or(u64::MAX);
        let bytes = self.size(key, name, range, default)?;
        Some(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Returns a path as the process must use it: relative to the pipeline file's folder when it
    /// stands in the file, and as it is when it was typed on the command line.
    pub fn resolve(&self, path: Located<String>) -> Located<PathBuf> {
        let Located { value, span } = path;
        let value = if self.file.is_override(&span) {
            PathBuf::from(value)
        } else {
            self.folder.join(value)
        };
        Located { value, span }
    }

    /// Asks for a path that is not empty, and resolves it.
    pub fn path(&mut self, name: &str, path: Located<String>) -> Option<Located<PathBuf>> {
        if path.value.is_empty() {
            self.push(Diagnostic::error(format!("`{name}` is empty")).at(path.span));
            return None;
        }
        Some(self.resolve(path))
    }

    /// Checks the letters of a name.
    pub fn name(&mut self, what: &str, name: &str, span: &Range<usize>) {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(good) {
            self.push(
                Diagnostic::error(format!("{name:?} is not a {what}"))
                    .at(span.clone())
                    .help("names are made of letters a-z and A-Z, digits, `_` and `-`"),
            );
        }
    }

    /// Collects a list of names; reports empty ones and those given twice.
    pub fn names(&mut self, what: &str, list: Vec<Field<String>>) -> Option<Vec<Located<String>>> {
        let mut all: Option<Vec<Located<String>>> = Some(Vec::with_capacity(list.len()));
        let mut seen: Vec<String> = Vec::new();
        for item in list {
            let span = item.span;
            let Some(value) = item.value else {
                all = None;
                continue;
            };
            let fault = if value.is_empty() {
                Some(format!("the {what} is empty"))
            } else if seen.contains(&value) {
                Some(format!("the {what} `{value}` is given twice"))
            } else {
                None
            };
            if let Some(fault) = fault {
                self.push(Diagnostic::error(fault).at(span));
                all = None;
                continue;
            }
            seen.push(value.clone());
            if let Some(all) = &mut all {
                all.push(Located { value, span });
            }
        }
        all
    }

    /// Asks for `input` or `inputs`.
    pub fn inputs(
        &mut self,
        input: Key<String>,
        inputs: Key<Vec<Field<String>>>,
        owner: &Owner,
    ) -> Option<Vec<Located<String>>> {
        let spans = [
            ("input", input.as_ref().map(|field| field.span.clone())),
            ("inputs", inputs.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let list = match (input, inputs) {
            (None, Some(several)) => {
                let list = given(Some(several))?;
                if list.value.is_empty() {
                    self.push(
                        Diagnostic::error(format!("`inputs` is empty{}", owner.place()))
                            .at(list.span)
                            .help("name at least one node"),
                    );
                    return None;
                }
                list.value
            }
            (None, None) if self.is_misspelt(owner, &["inputs"]) => return None,
            (one, _) => {
                let one = self.required(one, "input", "input = \"events\"", owner)?;
                vec![Field { span: one.span, value: Some(one.value) }]
            }
        };
        self.names("input", list).filter(|_| alone)
    }

    /// Collects named SQL texts in file order.
    pub fn columns(&mut self, key: Key<Entries<Sql>>) -> Option<Vec<(String, Located<String>)>> {
        let Some(field) = key else { return Some(Vec::new()) };
        let mut all = Some(Vec::new());
        for (name, sql) in field.value?.0 {
            if name.text.is_empty() {
                self.push(Diagnostic::error("a column name is empty").at(name.span));
                all = None;
                continue;
            }
            match (given(Some(sql)), &mut all) {
                (Some(sql), Some(all)) => {
                    all.push((name.text, Located { value: sql.value.0, span: sql.span }));
                }
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    /// Collects columns given by name or by SQL. A name becomes a quoted SQL identifier.
    pub fn named_columns(&mut self, key: Key<Columns>) -> Option<Option<NamedSql>> {
        let Some(field) = key else { return Some(None) };
        let span = field.span;
        match field.value? {
            Columns::Table(entries) => {
                self.columns(Some(Field { span, value: Some(entries) })).map(Some)
            }
            Columns::Names(list) => {
                let names = self.names("column", list)?;
                let quote = |name: Located<String>| {
                    let sql = format!("\"{}\"", name.value.replace('"', "\"\""));
                    (name.value, Located { value: sql, span: name.span })
                };
                Some(Some(names.into_iter().map(quote).collect()))
            }
        }
    }

    /// Asks for a plugin.
    pub fn plugin(
        &mut self,
        plugin: Located<wire::Plugin>,
        owner: &Owner,
    ) -> Option<model::PluginRef> {
        let span = plugin.span;
        let table = match plugin.value {
            wire::Plugin::Name(name) => {
                let name = self.plugin_name(Located { value: name, span })?;
                return Some(model::PluginRef {
                    source: name,
                    sha256: None,
                    limits: model::Limits::default(),
                });
            }
            wire::Plugin::Table(table) => *table,
        };
        let owner = owner.inner("plugin", &span);
        let spans = [
            ("path", table.path.as_ref().map(|field| field.span.clone())),
            ("name", table.name.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(&owner, &spans);
        let source = if table.name.is_some() {
            given(table.name).and_then(|name| self.plugin_name(name))
        } else {
            let path = self.required(table.path, "path", "path = \"plugins/json.wasm\"", &owner);
            path.and_then(|path| self.path("path", path)).map(|path| Located {
                value: model::PluginSource::Path(path.value),
                span: path.span,
            })
        };
        let sha256 = self.sha256(table.sha256);
        let limits = self.limits(table.limits);
        let plugin = model::PluginRef { source: source?, sha256: sha256?, limits: limits? };
        alone.then_some(plugin)
    }

    fn plugin_name(&mut self, name: Located<String>) -> Option<Located<model::PluginSource>> {
        let text = &name.value;
        if text.contains(['/', '\\']) || text.ends_with(".wasm") {
            let help = format!("name a file with a table: plugin = {{ path = {text:?} }}");
            self.push(
                Diagnostic::error(format!("{text:?} is a path, not the bare name of a plugin"))
                    .at(name.span)
                    .help(help),
            );
            return None;
        }
        let before = self.problems.len();
        self.name("plugin name", text, &name.span);
        (self.problems.len() == before)
            .then_some(Located { value: model::PluginSource::Name(name.value), span: name.span })
    }

    fn sha256(&mut self, key: Key<String>) -> Option<Option<Located<String>>> {
        if key.is_none() {
            return Some(None);
        }
        let digest = given(key)?;
        let value = digest.value.to_ascii_lowercase();
        if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some(Some(Located { value, span: digest.span }));
        }
        self.push(
            Diagnostic::error("`sha256` is not a SHA-256 digest")
                .at(digest.span)
                .label(format!(
                    "must be 64 hex digits, has {} characters",
                    digest.value.chars().count()
                ))
                .help("`sha256sum FILE.wasm` prints it"),
        );
        None
    }

    fn limits(&mut self, key: Key<wire::Limits>) -> Option<model::Limits> {
        let default = model::Limits::default();
        let Some(field) = key else { return Some(default) };
        let typed = field.value?;
        let memory = self.memory(typed.memory, "memory", 1 << 20..=4 << 30, default.memory_bytes);
        let deadline = self.duration_or(typed.deadline, "deadline", 1_000, default.deadline_us);
        let output = self.memory(typed.output, "output", 1 << 10..=4 << 30, default.output_bytes);
        Some(model::Limits { memory_bytes: memory?, deadline_us: deadline?, output_bytes: output? })
    }

    /// Reads a plugin's settings, with their place; an empty one when there are none.
    pub fn settings(&mut self, key: Key<Entries<Json>>) -> Option<Located<serde_json::Value>> {
        let span = key.as_ref().map_or(0..0, |field| field.span.clone());
        self.json_object(key).map(|value| Located { value, span })
    }

    /// Collects a table of any values as a JSON object, keys in file order.
    pub fn json_object(&mut self, key: Key<Entries<Json>>) -> Option<serde_json::Value> {
        let Some(field) = key else { return Some(serde_json::Value::Object(Default::default())) };
        object(field.value?).map(serde_json::Value::Object)
    }
}

/// Returns the entries as a JSON object, keys in file order.
pub(super) fn object(entries: Entries<Json>) -> Option<serde_json::Map<String, serde_json::Value>> {
    entries.0.into_iter().map(|(name, value)| Some((name.text, value.value?.0))).collect()
}
