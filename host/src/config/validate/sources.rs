//! Settings for the whole pipeline, and sources.

use super::keys::{Context, MAX_SIZE, Owner, given};
use crate::config::model::{self, Located};
use crate::config::wire::{self, Key};
use crate::diag::Diagnostic;

const MAX_RATE: i64 = 1_000_000_000;
const DEFAULT_MAX_RECORD: usize = 1 << 20;

impl Context<'_> {
    pub fn engine(&mut self, key: Key<wire::Engine>) -> Option<model::Engine> {
        let mut engine = model::Engine::default();
        let Some(field) = key else { return Some(engine) };
        let typed = field.value?;
        let workers = self.count(typed.workers, "workers", 1..=1024, engine.workers);
        let epoch = self.duration_or(typed.epoch, "epoch", 1_000, engine.epoch_us);
        let rows = self.count(typed.epoch_rows, "epoch_rows", 1..=i64::MAX, engine.epoch_rows);
        let bytes = self.memory(typed.epoch_bytes, "epoch_bytes", 1..=MAX_SIZE, engine.epoch_bytes);
        let batch = self.count(typed.batch_rows, "batch_rows", 1..=1 << 20, engine.batch_rows);
        let shutdown = self.duration_or(
            typed.shutdown_timeout,
            "shutdown_timeout",
            1_000,
            engine.shutdown_timeout_us,
        );
        engine.workers = workers?;
        engine.epoch_us = epoch?;
        engine.epoch_rows = rows?;
        engine.epoch_bytes = bytes?;
        engine.batch_rows = batch?;
        engine.shutdown_timeout_us = shutdown?;
        Some(engine)
    }

    pub fn plugin_dirs(&mut self, key: Key<wire::Plugins>) -> Option<Vec<std::path::PathBuf>> {
        let Some(field) = key else { return Some(Vec::new()) };
        let dirs = field.value?.dirs;
        if dirs.is_none() {
            return Some(Vec::new());
        }
        let dirs = self.names("folder", given(dirs)?.value)?;
        Some(dirs.into_iter().map(|dir| self.resolve(dir).value).collect())
    }

    pub fn dead_letters(
        &mut self,
        key: Key<wire::DeadLetters>,
    ) -> Option<Option<model::DeadLetters>> {
        let Some(field) = key else { return Some(None) };
        let owner = Owner { path: "dead_letters".into(), span: field.span };
        let path =
            self.required(field.value?.path, "path", "path = \"dead-letters.jsonl\"", &owner)?;
        Some(Some(model::DeadLetters { path: self.path("path", path)?.value }))
    }

    pub fn source(&mut self, typed: wire::Source, owner: &Owner) -> Option<model::Source> {
        // (the kind, its watermark, whether it has an end)
        let (kind, watermark, bounded) = match typed {
            wire::Source::Kafka(mut typed) => {
                let bounded = typed.end_offset.is_some();
                let watermark = self.watermark(typed.watermark.take());
                let kind = self.kafka_source(*typed, owner);
                (kind.map(|kind| model::SourceKind::Kafka(Box::new(kind))), watermark, bounded)
            }
            wire::Source::File(mut typed) => {
                let bounded = typed.follow.as_ref().and_then(|field| field.value) != Some(true);
                let watermark = self.watermark(typed.watermark.take());
                (self.file_source(typed, owner).map(model::SourceKind::File), watermark, bounded)
            }
            wire::Source::Directory(mut typed) => {
                let bounded = typed.watch.as_ref().and_then(|field| field.value) != Some(true);
                let watermark = self.watermark(typed.watermark.take());
                let kind = self.directory_source(typed, owner);
                (kind.map(model::SourceKind::Directory), watermark, bounded)
            }
            wire::Source::Stdin(typed) => {
                (Some(model::SourceKind::Stdin), self.watermark(typed.watermark), true)
            }
            wire::Source::Rate(mut typed) => {
                let watermark = self.watermark(typed.watermark.take());
                (self.rate_source(typed).map(model::SourceKind::Rate), watermark, true)
            }
            wire::Source::Generator(mut typed) => {
                let watermark = self.watermark(typed.watermark.take());
                (self.generator_source(typed).map(model::SourceKind::Generator), watermark, true)
            }
        };
        let watermark = watermark?;
        if !bounded && watermark.idle_timeout_us.is_none() {
            self.push(
                Diagnostic::warning(format!("`{}` has no idle_timeout", owner.path))
                    .at(owner.span.clone())
                    .label("when it falls quiet, its last windows stay open")
                    .help("set watermark = { idle_timeout = \"30 seconds\" }"),
            );
        }
        Some(model::Source { kind: kind?, watermark })
    }

    fn file_source(&mut self, typed: wire::FileSource, owner: &Owner) -> Option<model::FileSource> {
        let spans = [
            ("path", typed.path.as_ref().map(|field| field.span.clone())),
            ("paths", typed.paths.as_ref().map(|field| field.span.clone())),
        ];
        let alone = self.at_most_one(owner, &spans);
        let paths = if typed.paths.is_some() {
            self.paths(typed.paths)
        } else {
            let path = self.required(typed.path, "path", "path = \"app.log\"", owner);
            path.and_then(|path| self.path("path", path)).map(|path| vec![path])
        };
        let follow = self.or(typed.follow, false);
        let max_record =
            self.memory(typed.max_record, "max_record", 1..=1 << 30, DEFAULT_MAX_RECORD);
        let source =
            model::FileSource { paths: paths?, follow: follow?, max_record_bytes: max_record? };
        alone.then_some(source)
    }

    fn paths(
        &mut self,
        key: Key<Vec<wire::Field<String>>>,
    ) -> Option<Vec<Located<std::path::PathBuf>>> {
        let list = given(key)?;
        if list.value.is_empty() {
            self.push(
                Diagnostic::error("`paths` is empty").at(list.span).help("name at least one file"),
            );
            return None;
        }
        let paths = self.names("path", list.value)?;
        Some(paths.into_iter().map(|path| self.resolve(path)).collect())
    }

    fn directory_source(
        &mut self,
        typed: wire::DirectorySource,
        owner: &Owner,
    ) -> Option<model::DirectorySource> {
        let path = self
            .required(typed.path, "path", "path = \"/var/spool/events\"", owner)
            .and_then(|path| self.path("path", path));
        let pattern = self.or(typed.pattern.clone(), "*".into());
        if let Some(field) = &typed.pattern
            && field.value.as_ref().is_some_and(|text| text.is_empty() || text.contains('/'))
        {
            self.push(
                Diagnostic::error("`pattern` is not a pattern of file names")
                    .at(field.span.clone())
                    .help("write for example \"*.jsonl\"; folders belong into `path`"),
            );
        }
        let watch = self.or(typed.watch, false);
        let files =
            self.count(typed.max_files_per_epoch, "max_files_per_epoch", 1..=1_000_000, 1000);
        let partitions = self.or(typed.partitions, wire::Partitions::Single);
        let max_record =
            self.memory(typed.max_record, "max_record", 1..=1 << 30, DEFAULT_MAX_RECORD);
        Some(model::DirectorySource {
            path: path?,
            pattern: pattern?,
            watch: watch?,
            max_files_per_epoch: files?,
            per_file_partitions: partitions? == wire::Partitions::PerFile,
            max_record_bytes: max_record?,
        })
    }

    fn rate_source(&mut self, typed: wire::RateSource) -> Option<model::RateSource> {
        let rate = self.count64(typed.rows_per_second, "rows_per_second", 1..=MAX_RATE);
        let rows = self.count64(typed.rows, "rows", 1..=i64::MAX);
        let partitions = self.count32(typed.partitions, "partitions", 1..=1024, 1);
        Some(model::RateSource {
            rows_per_second: rate?.unwrap_or(1),
            rows: rows?,
            partitions: partitions?,
        })
    }

    fn generator_source(&mut self, typed: wire::GeneratorSource) -> Option<model::GeneratorSource> {
        let settings = self.json_object(typed.settings);
        let rate = self.count64(typed.rows_per_second, "rows_per_second", 1..=MAX_RATE);
        let partitions = self.count32(typed.partitions, "partitions", 1..=1024, 1);
        Some(model::GeneratorSource {
            settings: settings?,
            rows_per_second: rate?,
            partitions: partitions?,
        })
    }

    fn watermark(&mut self, key: Key<wire::Watermark>) -> Option<model::Watermark> {
        let Some(field) = key else {
            return Some(model::Watermark {
                delay_us: 0,
                idle_timeout_us: None,
                max_ahead_us: None,
                max_drift_us: None,
            });
        };
        let typed = field.value?;
        let delay = self.duration_or(typed.delay, "delay", 0, 0);
        let idle = self.duration(typed.idle_timeout, "idle_timeout", 1_000);
        let ahead = self.duration(typed.max_ahead, "max_ahead", 0);
        let drift = self.duration(typed.max_drift, "max_drift", 1_000);
        Some(model::Watermark {
            delay_us: delay?,
            idle_timeout_us: idle?,
            max_ahead_us: ahead?,
            max_drift_us: drift?,
        })
    }
}
