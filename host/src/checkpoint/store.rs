//! Where checkpoints are kept: a local folder or an object store.
//!
//! Objects are created and never changed. What fails for a reason that may pass is tried again,
//! and said; whether an object that could not be created is there all the same is found out by
//! reading it back.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::runtime::{Builder, Runtime};

use crate::config::model::StateStore;
use crate::faults;

/// How often an operation is tried.
const ATTEMPTS: u32 = 6;

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be used.
    #[error("cannot use the state folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The URL cannot be used.
    #[error("cannot use the state store {url}: {what}")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        what: String,
    },
    /// Reading or writing failed, also when tried again.
    #[error("cannot {action} {object} in {place}: {source}")]
    Failed {
        /// What was to be done.
        action: &'static str,
        /// The object.
        object: String,
        /// The store.
        place: String,
        /// Why.
        source: Box<Error>,
    },
    /// The runtime of the store's client cannot be started.
    #[error("cannot start the client of the state store: {source}")]
    Runtime {
        /// Why.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Folder { .. } => "make the folder writable, or name another: [state] path".into(),
            Self::Url { .. } => "correct [state] url, or the store's environment variables".into(),
            Self::Failed { .. } => "nothing was committed; look at the store (space, rights, \
                                    network) and start again: the run goes on from the last commit"
                .into(),
            Self::Runtime { .. } => "look at the limits of this process".into(),
        }
    }
}

/// What became of a new object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there, with these bytes.
    New,
    /// Another one has the name.
    Exists,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name within the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// When it was made, microseconds since the Unix epoch.
    pub modified_us: i64,
}

/// A store of one pipeline.
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
    runtime: Runtime,
}

impl Store {
    /// Opens a store; a local folder is made when it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or the URL is not one of a store.
    pub fn open(store: &StateStore) -> Result<Self, StoreError> {
        match store {
            StateStore::Folder(path) => {
                let inner = local(path)?;
                Self::over(Arc::new(inner), Path::default(), path.display().to_string())
            }
            StateStore::Url(url) => {
                let bad = |what: String| StoreError::Url { url: url.clone(), what };
                let parsed = reqwest::Url::parse(url).map_err(|error| bad(error.to_string()))?;
                let (inner, prefix) = object_store::parse_url_opts(&parsed, variables())
                    .map_err(|error| bad(error.to_string()))?;
                Self::over(Arc::from(inner), prefix, url.clone())
            }
        }
    }

    /// Returns a store over any object store.
    ///
    /// # Errors
    /// When its runtime cannot be started.
    pub fn over(
        inner: Arc<dyn ObjectStore>,
        prefix: Path,
        place: String,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoreError::Runtime { source })?;
        Ok(Self { inner, prefix, place, runtime })
    }

    /// Returns how people call the store.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Creates an object. An object with the same bytes that is there already counts as created.
    ///
    /// # Errors
    /// When the store fails.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, StoreError> {
        let payload = PutPayload::from(bytes.to_vec());
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.attempt("write", name, |path| {
            let (payload, options) = (payload.clone(), options.clone());
            async move {
                match self.inner.put_opts(&path, payload, options).await {
                    Ok(_) => Ok(Created::New),
                    Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                        Ok(Created::Exists)
                    }
                    Err(error) => Err(error),
                }
            }
        })?;
        if put == Created::Exists && self.read(name)?.as_deref() == Some(bytes) {
            return Ok(Created::New);
        }
        Ok(put)
    }

    /// Returns an object's bytes; nothing when it is not there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.attempt("read", name, |path| async move {
            match self.inner.get(&path).await {
                Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Returns the objects of a folder, by name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError> {
        let mut all = self.attempt("list", folder, |path| async move {
            let found = match self.inner.list_with_delimiter(Some(&path)).await {
                Ok(found) => found,
                Err(Error::NotFound { .. }) => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            let listed = found.objects.into_iter().filter_map(|object| {
                Some(Listed {
                    name: object.location.filename()?.to_owned(),
                    bytes: object.size,
                    modified_us: object.last_modified.timestamp_micros(),
                })
            });
            Ok(listed.collect())
        })?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// When the store fails.
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.attempt("delete", name, |path| async move {
            match self.inner.delete(&path).await {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn attempt<T, F>(
        &self,
        action: &'static str,
        name: &str,
        work: impl Fn(Path) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let path = name.split('/').fold(self.prefix.clone(), |path, part| path.join(part));
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let result = match faults::store(action, name) {
                faults::StoreFault::Before(error) => Err(error),
                faults::StoreFault::After(error) => {
                    let _lost = self.runtime.block_on(work(path.clone()));
                    Err(error)
                }
                faults::StoreFault::None => self.runtime.block_on(work(path.clone())),
            };
            let error = match result {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !may_pass(&error) {
                let (object, place) = (name.to_owned(), self.place.clone());
                return Err(StoreError::Failed { action, object, place, source: Box::new(error) });
            }
            tracing::warn!(action, object = name, store = %self.place, attempt, %error, "the state store failed; trying again");
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2);
            attempt += 1;
        }
    }
}

fn local(path: &FilePath) -> Result<LocalFileSystem, StoreError> {
    let folder = |source| StoreError::Folder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(folder)?;
    let opened = LocalFileSystem::new_with_prefix(path)
        .map_err(|error| folder(std::io::Error::other(error.to_string())))?;
    Ok(opened.with_fsync(!faults::mutant("fsync")))
}

/// The environment variables of the stores' clients, as their options are called.
fn variables() -> impl Iterator<Item = (String, String)> {
    let ours =
        |name: &str| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    std::env::vars()
        .filter(move |(name, _)| ours(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
}

/// Returns whether trying again can help.
fn may_pass(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_store_forces_what_it_writes_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let opened = local(folder.path()).unwrap();
        // Off by default, and without it a crash of the machine can take a commit back.
        let shown = format!("{opened:?}");
        assert!(shown.contains("fsync: true"), "{shown}");
    }

    #[test]
    fn an_object_is_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StateStore::Folder(folder.path().to_owned())).unwrap();
        assert_eq!(store.create("a/b", b"one").unwrap(), Created::New);
        assert_eq!(store.create("a/b", b"one").unwrap(), Created::New);
        assert_eq!(store.create("a/b", b"two").unwrap(), Created::Exists);
        assert_eq!(store.read("a/b").unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(store.read("a/c").unwrap(), None);
        assert_eq!(store.list("a").unwrap().len(), 1);
        store.delete("a/b").unwrap();
        store.delete("a/b").unwrap();
        assert_eq!(store.list("a").unwrap(), []);
        assert_eq!(store.list("nowhere").unwrap(), []);
    }

    #[test]
    fn a_url_that_is_none_is_refused() {
        let refused = Store::open(&StateStore::Url("s3://".into()));
        assert!(matches!(refused, Err(StoreError::Url { .. })));
    }
}
