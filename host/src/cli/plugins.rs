//! Where plugins are found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::model::{PluginRef, PluginSource};
use crate::diag::Diagnostic;
use crate::plan::Plugins;
use crate::plugin::{PluginRuntime, PluginVersion};

/// Looks plugins up in folders and loads them.
pub struct PluginFolders {
    runtime: Arc<PluginRuntime>,
    folders: Vec<PathBuf>,
}

impl PluginFolders {
    /// Returns the folders for a pipeline file: its own `[plugins] dirs`, then
    /// `MILLSTREAM_PLUGINS`, then `plugins` beside this executable or one above.
    pub fn new(runtime: Arc<PluginRuntime>, configured: &[PathBuf]) -> Self {
        let mut folders = configured.to_vec();
        folders.extend(standard_folders());
        let mut seen = std::collections::BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        Self { runtime, folders }
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let file = format!("{name}.wasm");
        self.folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file())
    }

    /// Returns the names of the plugins there are.
    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for folder in &self.folders {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "wasm")
                    && let Some(stem) = path.file_stem()
                {
                    names.push(stem.to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names.dedup();
        names
    }

    fn missing(&self, name: &str, plugin: &PluginRef) -> Diagnostic {
        let names = self.names();
        let problem = Diagnostic::error(format!("there is no plugin `{name}`"))
            .at(plugin.source.span.clone())
            .suggest(name, "plugins found", names.iter().map(String::as_str));
        let folders: Vec<String> =
            self.folders.iter().map(|folder| folder.display().to_string()).collect();
        problem.help(format!(
            "looked for {name}.wasm in {}; `plugin = {{ path = \"…\" }}` names a file",
            folders.join(", ")
        ))
    }
}

/// Returns the folders in which plugins are looked up whatever the pipeline says.
pub fn standard_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(dirs) = std::env::var_os("MILLSTREAM_PLUGINS") {
        folders.extend(std::env::split_paths(&dirs));
    }
    let executable = std::env::current_exe().ok();
    if let Some(folder) = executable.as_deref().and_then(Path::parent) {
        folders.push(folder.join("plugins"));
        if let Some(above) = folder.parent() {
            folders.push(above.join("plugins"));
        }
    }
    folders
}

impl Plugins for PluginFolders {
    fn load(&self, plugin: &PluginRef) -> Result<Arc<PluginVersion>, Diagnostic> {
        let (path, name) = match &plugin.source.value {
            PluginSource::Name(name) => match self.find(name) {
                Some(path) => (path, name.clone()),
                None => return Err(self.missing(name, plugin)),
            },
            PluginSource::Path(path) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                (path.clone(), name)
            }
        };
        let sha256 = plugin.sha256.as_ref().map(|digest| digest.value.as_str());
        self.runtime.load(&path, &name, sha256, &plugin.limits).map_err(|error| {
            let span = match (&error, &plugin.sha256) {
                (crate::plugin::PluginError::Digest { .. }, Some(digest)) => digest.span.clone(),
                _ => plugin.source.span.clone(),
            };
            let mut problem = Diagnostic::error(error.to_string()).at(span);
            problem.help.extend(error.help());
            problem
        })
    }
}
