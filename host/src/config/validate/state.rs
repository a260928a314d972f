//! `[state]` and `[commit]`.

use super::keys::{Context, MAX_SIZE, Owner, given, is_bad};
use crate::config::model::{self, Located, StateStore};
use crate::config::wire::{self, Key};
use crate::diag::Diagnostic;

const LOCAL_INTERVAL_US: i64 = 1_000_000;
const REMOTE_INTERVAL_US: i64 = 10_000_000;
const COMMIT_BYTES: usize = 64 << 20;

/// The schemes that a URL may have.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "abfs://", "file://"];

impl Context<'_> {
    pub fn state(
        &mut self,
        state: Key<wire::State>,
        commit: Key<wire::Commit>,
    ) -> Option<Option<model::State>> {
        let Some(field) = state else {
            self.refuse(
                &commit,
                "commit",
                "without `[state]`: nothing is kept, so results are visible with each epoch",
                "add a table: [state] with path = \"state\"",
            )?;
            return Some(None);
        };
        let owner = Owner { path: "state".into(), span: field.span };
        let typed = field.value?;
        let keep = self.count(typed.keep, "keep", 1..=10_000, 3);
        let limited = typed.max_bytes.is_some();
        let max_bytes = self.size(typed.max_bytes, "max_bytes", 1 << 20..=MAX_SIZE, u64::MAX);
        let store = self.store(typed.path, typed.url, &owner);
        let local = !matches!(&store, Some(Located { value: StateStore::Url(_), .. }));
        let default_us = if local { LOCAL_INTERVAL_US } else { REMOTE_INTERVAL_US };
        let (interval, bytes) = match commit {
            None => (Some(default_us), Some(COMMIT_BYTES)),
            Some(field) => {
                let typed = field.value?;
                let interval = self.duration_or(typed.interval, "interval", 1_000, default_us);
                (interval, self.memory(typed.max_bytes, "max_bytes", 1..=MAX_SIZE, COMMIT_BYTES))
            }
        };
        Some(Some(model::State {
            store: store?,
            keep: keep?,
            max_bytes: max_bytes.map(|bytes| limited.then_some(bytes))?,
            commit_interval_us: interval?,
            commit_bytes: bytes?,
        }))
    }

    fn store(
        &mut self,
        path: Key<String>,
        url: Key<String>,
        owner: &Owner,
    ) -> Option<Located<StateStore>> {
        let span = |key: &Key<String>| key.as_ref().map(|field| field.span.clone());
        if !self.at_most_one(owner, &[("path", span(&path)), ("url", span(&url))]) {
            return None;
        }
        if is_bad(&url) {
            return None;
        }
        let Some(url) = given(url) else {
            let path = self.required(path, "path", "path = \"state\"", owner)?;
            let Located { value, span } = self.path("path", path)?;
            return Some(Located { value: StateStore::Folder(value), span });
        };
        if !SCHEMES.iter().any(|scheme| url.value.starts_with(scheme)) {
            self.push(
                Diagnostic::error(format!("{:?} is not the URL of an object store", url.value))
                    .at(url.span)
                    .help("s3://bucket/folder, gs://bucket/folder or az://container/folder; a local folder goes into `path`"),
            );
            return None;
        }
        Some(Located { value: StateStore::Url(url.value), span: url.span })
    }
}
