//! Compiled plugins on disk, so that a start does not compile.
//!
//! ```text
//! <dir>/<sha256 of the wasm>-<hash of engine, settings and gate>.cwasm
//!
//! bytes 0..8    "MSARTE01"
//! bytes 8..24   xxh3-128 of the rest, big endian
//! bytes 24..    what Engine::precompile_component returned
//! ```
//!
//! Loading such a file means running what it holds, so the folder must belong to this user alone
//! (mode 0700), and a file that is not exactly as it was written is thrown away.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::hash::{hash64, hash128};

use super::error::PluginError;
use super::gate;

const MAGIC: &[u8; 8] = b"MSARTE01";
const HEADER_BYTES: usize = 24;

/// A folder of compiled plugins for one engine.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    engine_hash: u64,
    counter: AtomicU64,
}

impl Cache {
    /// Opens the folder `dir`, or the usual one, and makes it when it is not there.
    pub(super) fn open(dir: Option<PathBuf>, engine: &Engine) -> Result<Self, PluginError> {
        let dir = match dir {
            Some(dir) => dir,
            None => usual_dir()?,
        };
        let error = |reason: String| PluginError::Cache { path: dir.clone(), reason };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|source| error(source.to_string()))?;
        let meta = fs::metadata(&dir).map_err(|source| error(source.to_string()))?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(error("belongs to another user".into()));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(error(format!("other users have access (mode {:o})", meta.mode() & 0o777)));
        }
        let mut hasher = Collect(Vec::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        gate::FEATURES.bits().hash(&mut hasher);
        Ok(Self { dir, engine_hash: hash64(&hasher.0), counter: AtomicU64::new(0) })
    }

    /// Returns the file for the plugin with this digest.
    pub(super) fn path(&self, sha256: &str) -> PathBuf {
        self.dir.join(format!("{sha256}-{:016x}.cwasm", self.engine_hash))
    }

    /// Returns the name of a file for the compiler to write, not used before.
    pub(super) fn temporary(&self, sha256: &str) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let time = crate::clock::now_us();
        self.dir.join(format!("{sha256}.{pid}.{time}.{number}.tmp"))
    }

    /// Gives the compiler's file its name.
    pub(super) fn publish(&self, temporary: &Path, sha256: &str) -> Result<(), PluginError> {
        let path = self.path(sha256);
        fs::rename(temporary, &path)
            .map_err(|source| PluginError::Cache { path, reason: source.to_string() })
    }

    /// Returns the compiled plugin with this digest, if it is there and whole. A damaged file is
    /// deleted.
    pub(super) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read compiled plugin");
                return None;
            }
        };
        let reason = match unwrap(&bytes) {
            None => "damaged".to_owned(),
            Some(artefact) => match deserialize(engine, artefact) {
                Ok(component) => return Some(component),
                Err(error) => format!("{error:#}"),
            },
        };
        tracing::warn!(path = %path.display(), reason, "compiled plugin thrown away");
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot delete compiled plugin");
        }
        None
    }
}

/// Returns the component in `artefact`, which `unwrap` returned.
#[expect(unsafe_code, reason = "the one place that loads machine code; proof below")]
fn deserialize(engine: &Engine, artefact: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` demands bytes that a wasmtime made with `Engine::precompile_component`
    // and nobody changed. These come from a file that only our own compile child writes, in a
    // folder that `Cache::open` found to be ours with access for nobody else, and their checksum
    // was verified on the very copy that is passed here. Artefacts of other wasmtime versions or
    // settings are refused by `deserialize` itself.
    unsafe { Component::deserialize(engine, artefact) }
}

/// Writes what the compiler made to `path`, which must not exist.
pub(super) fn write(path: &Path, artefact: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&hash128(artefact).to_be_bytes())?;
    file.write_all(artefact)?;
    file.sync_all()
}

/// Returns what follows the header when the file is whole.
fn unwrap(bytes: &[u8]) -> Option<&[u8]> {
    let (header, artefact) = bytes.split_at_checked(HEADER_BYTES)?;
    let (magic, sum) = header.split_at_checked(MAGIC.len())?;
    (magic == MAGIC && sum == hash128(artefact).to_be_bytes()).then_some(artefact)
}

fn usual_dir() -> Result<PathBuf, PluginError> {
    let from =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(dir) = from("XDG_CACHE_HOME") {
        return Ok(dir.join("millstream"));
    }
    from("HOME").map(|home| home.join(".cache").join("millstream")).ok_or_else(|| {
        PluginError::Cache {
            path: PathBuf::from("~/.cache/millstream"),
            reason: "neither XDG_CACHE_HOME nor HOME is set".into(),
        }
    })
}

/// Collects what is hashed, to hash it with a function that does not change.
struct Collect(Vec<u8>);

impl Hasher for Collect {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        hash64(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::engine::new_engine;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_damaged_file_is_not_unwrapped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write(&path, b"machine code").unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(unwrap(&bytes), Some(&b"machine code"[..]));
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert_eq!(unwrap(&damaged), None, "byte {index}");
            assert_eq!(unwrap(&bytes[..index]), None, "cut at {index}");
        }
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let engine = new_engine().unwrap();
        let path = dir.path().join("cache");
        Cache::open(Some(path.clone()), &engine).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = Cache::open(Some(path), &engine).unwrap_err();
        assert!(matches!(error, PluginError::Cache { .. }), "{error}");
        assert!(error.help().unwrap().contains("0700"));
    }
}
