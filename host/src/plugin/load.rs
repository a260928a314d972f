//! From a file to a plugin version that can be configured.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use crate::config::model::Limits;

use super::compile;
use super::describe::{Descriptor, describe};
use super::engine::PluginRuntime;
use super::error::{PluginError, PluginId};
use super::gate::{self, PluginKind, Surface};
use super::instance::Core;
use super::log::LogGate;
use super::meter::Meter;

/// One plugin file, compiled and described.
pub struct PluginVersion {
    pub(super) core: Core,
    surface: Surface,
    descriptor: Descriptor,
    path: PathBuf,
    size_bytes: u64,
}

impl std::fmt::Debug for PluginVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginVersion")
            .field("id", &self.core.id)
            .field("kind", &self.surface.kind)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl PluginRuntime {
    /// Loads the plugin in the file `path`, to be known as `name`.
    ///
    /// Compiles it in a child process unless that was done before; blocks until it is done. Loading
    /// runs the plugin's `describe` under `limits`.
    ///
    /// # Errors
    /// When the file is not there, not the one wanted (`expected_sha256`, hex), not a plugin that
    /// this host can run, or fails in `describe`.
    pub fn load(
        self: &Arc<Self>,
        path: &Path,
        name: &str,
        expected_sha256: Option<&str>,
        limits: &Limits,
    ) -> Result<Arc<PluginVersion>, PluginError> {
        let wasm = self.read(path)?;
        let sha256 = sha256_hex(&wasm);
        if let Some(expected) = expected_sha256
            && !expected.eq_ignore_ascii_case(&sha256)
        {
            let expected = expected.to_owned();
            return Err(PluginError::Digest { path: path.to_owned(), expected, found: sha256 });
        }
        let compiled = self.cache.load(&self.engine, &sha256);
        let surface = gate::check(path, &wasm, compiled.is_some())?;
        let size_bytes = u64::try_from(wasm.len()).unwrap_or(u64::MAX);
        let component = match compiled {
            Some(component) => component,
            None => self.compile(path, &wasm, &sha256)?,
        };
        let pre =
            self.linker.instantiate_pre(&component).map_err(|error| PluginError::Invalid {
                path: path.to_owned(),
                reason: super::log::clean(&format!("{error:#}")),
            })?;
        let id = PluginId { name: name.to_owned(), version: "unknown".to_owned(), sha256 };
        let mut core = Core {
            runtime: Arc::clone(self),
            pre,
            id: Arc::new(id),
            limits: limits.clone(),
            meter: Meter::default(),
            log: Arc::new(Mutex::new(LogGate::new())),
        };
        let descriptor = describe(&core)?;
        let id = PluginId { version: descriptor.version.clone(), ..(*core.id).clone() };
        core.id = Arc::new(id);
        let path = path.to_owned();
        Ok(Arc::new(PluginVersion { core, surface, descriptor, path, size_bytes }))
    }

    fn read(&self, path: &Path) -> Result<Arc<[u8]>, PluginError> {
        let error = |source| PluginError::Read { path: path.to_owned(), source };
        let limit = self.options.max_file_bytes;
        let file = File::open(path).map_err(error)?;
        let bytes = file.metadata().map_err(error)?.len();
        let mut wasm = Vec::new();
        if bytes <= limit {
            file.take(limit.saturating_add(1)).read_to_end(&mut wasm).map_err(error)?;
        }
        let bytes = bytes.max(u64::try_from(wasm.len()).unwrap_or(u64::MAX));
        if bytes > limit {
            return Err(PluginError::TooLarge { path: path.to_owned(), bytes, limit });
        }
        Ok(wasm.into())
    }

    /// Compiles a plugin into the cache.
    fn compile(
        &self,
        path: &Path,
        wasm: &Arc<[u8]>,
        sha256: &str,
    ) -> Result<Component, PluginError> {
        let options = &self.options;
        let temporary = self.cache.temporary(sha256);
        let compiled = compile::compile(
            path,
            wasm,
            sha256,
            &temporary,
            &options.compile_command,
            &options.compile_limits,
        );
        if let Err(error) = compiled {
            // Usually the child did not come to writing it.
            drop(std::fs::remove_file(&temporary));
            return Err(error);
        }
        self.cache.publish(&temporary, sha256)?;
        self.cache.load(&self.engine, sha256).ok_or_else(|| PluginError::Cache {
            path: self.cache.path(sha256),
            reason: "what was just compiled cannot be loaded".into(),
        })
    }
}

impl PluginVersion {
    /// Returns the name under which it was loaded, its version and its digest.
    pub fn id(&self) -> &Arc<PluginId> {
        &self.core.id
    }

    /// Returns what the plugin does.
    pub fn kind(&self) -> PluginKind {
        self.surface.kind
    }

    /// Returns what the plugin says of itself.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the file it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size of its file.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Returns the interfaces it imports, with versions.
    pub fn imports(&self) -> &[String] {
        &self.surface.imports
    }

    /// Returns the interfaces it exports, with versions.
    pub fn exports(&self) -> &[String] {
        &self.surface.exports
    }

    /// Returns true when it can take over state from older versions.
    pub fn migrates(&self) -> bool {
        self.surface.migrates
    }

    /// Returns what its instances have done so far.
    pub fn meter(&self) -> &Meter {
        &self.core.meter
    }

    /// Checks that the plugin is of the kind that a node needs.
    pub(super) fn expect_kind(&self, wanted: PluginKind) -> Result<(), PluginError> {
        if self.kind() == wanted {
            return Ok(());
        }
        Err(PluginError::Kind {
            name: self.core.id.name.clone(),
            wanted: wanted.name(),
            found: self.kind().name(),
        })
    }
}

/// Returns the SHA-256 of `bytes` as lower-case hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}
