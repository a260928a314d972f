//! The objects of a pipeline's store, by what they are.
//!
//! ```text
//! pipeline                     whose store this is, JSON
//! committed                    written after the first commit: from then on a lost pointer stops
//! manifests/<checkpoint>       see `manifest`
//! savepoints/<checkpoint>      this one is not collected
//! objects/<random>             see `object`
//! commits/<number>             see `folder`, when the store is the commit authority
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::authority::CheckpointId;
use super::manifest::{FORMAT, Manifest, ManifestError, ObjectKind, ObjectNote};
use super::object::{self, ObjectError, Section};
use super::store::{Created, Listed, Store, StoreError};
use crate::failpoint;
use crate::faults;

const PIPELINE: &str = "pipeline";
const COMMITTED: &str = "committed";
const MANIFESTS: &str = "manifests";
const OBJECTS: &str = "objects";
const SAVEPOINTS: &str = "savepoints";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    format: u32,
    pipeline: String,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something that is named is not there.
    #[error("{what} {name} is missing in {place}")]
    Missing {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// The store.
        place: String,
    },
    /// A manifest cannot be used.
    #[error("checkpoint {id} in {place}: {source}")]
    Manifest {
        /// The checkpoint.
        id: CheckpointId,
        /// The store.
        place: String,
        /// Why.
        source: ManifestError,
    },
    /// An object cannot be used.
    #[error("object {OBJECTS}/{name} in {place}: {source}")]
    Object {
        /// The object.
        name: String,
        /// The store.
        place: String,
        /// Why.
        source: ObjectError,
    },
    /// An object is not the one that the manifest means.
    #[error("object {OBJECTS}/{name} in {place} is damaged: it is not what its checkpoint names")]
    Damaged {
        /// The object.
        name: String,
        /// The store.
        place: String,
    },
    /// The store's own note cannot be read.
    #[error("`{PIPELINE}` in {place} is not the note of a state folder: {source}")]
    Foreign {
        /// The store.
        place: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A random name is taken, or a test wants a failure.
    #[error("cannot create {name} in {place}: the name is taken")]
    Taken {
        /// The object.
        name: String,
        /// The store.
        place: String,
    },
}

impl CatalogError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Store(error) => error.remedy(),
            Self::Manifest { source: ManifestError::Newer { .. }, .. } => {
                "run it with the version that wrote it, or a later one".into()
            }
            Self::Foreign { .. } => "name an empty folder: [state] path".into(),
            Self::Taken { .. } => "start again".into(),
            _ => "`millstream checkpoints verify FILE` looks at all of them; go on from another: \
                  `run --from-checkpoint ID` (results since then come twice), or begin anew: \
                  `run --reset`"
                .into(),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<Store>,
}

impl Catalog {
    /// Returns the catalog of a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn place(&self) -> String {
        self.store.place().to_owned()
    }

    /// Returns the pipeline that the store belongs to; nothing when it is new.
    ///
    /// # Errors
    /// When the store fails or is something else.
    pub fn owner(&self) -> Result<Option<String>, CatalogError> {
        let Some(bytes) = self.store.read(PIPELINE)? else { return Ok(None) };
        let owner: Owner = serde_json::from_slice(&bytes)
            .map_err(|source| CatalogError::Foreign { place: self.place(), source })?;
        Ok(Some(owner.pipeline))
    }

    /// Makes the store this pipeline's.
    ///
    /// # Errors
    /// When the store fails, or another pipeline was quicker.
    pub fn claim(&self, pipeline: &str) -> Result<(), CatalogError> {
        let owner = Owner { format: FORMAT, pipeline: pipeline.to_owned() };
        let bytes = serde_json::to_vec(&owner)
            .map_err(|source| CatalogError::Foreign { place: self.place(), source })?;
        self.create(PIPELINE, &bytes)
    }

    /// Returns whether a checkpoint was ever committed.
    ///
    /// # Errors
    /// When the store fails.
    pub fn committed_before(&self) -> Result<bool, CatalogError> {
        Ok(self.store.read(COMMITTED)?.is_some())
    }

    /// Notes that checkpoints are committed from here on.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_committed(&self) -> Result<(), CatalogError> {
        // An older note says the same.
        self.store.create(COMMITTED, b"true\n")?;
        Ok(())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<(), CatalogError> {
        match self.store.create(name, bytes)? {
            Created::New => Ok(()),
            Created::Exists => {
                Err(CatalogError::Taken { name: name.to_owned(), place: self.place() })
            }
        }
    }

    /// Writes an object with state.
    ///
    /// # Errors
    /// When the columns cannot be written or the store fails.
    pub fn write_object(
        &self,
        name: String,
        kind: ObjectKind,
        sections: &[Section],
    ) -> Result<ObjectNote, CatalogError> {
        let bytes = object::encode(sections).map_err(|source| CatalogError::Object {
            name: name.clone(),
            place: self.place(),
            source,
        })?;
        let taken = |place| CatalogError::Taken { name: name.clone(), place };
        if failpoint!("object::before-write") {
            return Err(taken(self.place()));
        }
        self.create(&format!("{OBJECTS}/{name}"), &bytes)?;
        if failpoint!("object::after-write") {
            return Err(taken(self.place()));
        }
        Ok(ObjectNote::of(name, kind, &bytes))
    }

    /// Reads an object back, and makes sure that it is the one that was noted.
    ///
    /// # Errors
    /// When it is missing or damaged, or the store fails.
    pub fn read_object(&self, note: &ObjectNote) -> Result<Vec<Section>, CatalogError> {
        let (name, place) = (note.name.clone(), self.place());
        let Some(bytes) = self.store.read(&format!("{OBJECTS}/{name}"))? else {
            return Err(CatalogError::Missing { what: "object", name, place });
        };
        if !note.fits(&bytes) && !faults::mutant("manifest-check") {
            return Err(CatalogError::Damaged { name, place });
        }
        object::decode(&bytes).map_err(|source| CatalogError::Object { name, place, source })
    }

    /// Writes a manifest. Everything it names must be there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), CatalogError> {
        let id = manifest.id.clone();
        let place = self.place();
        let bytes = manifest.encode().map_err(|source| CatalogError::Manifest {
            id: id.clone(),
            place,
            source,
        })?;
        let name = format!("{MANIFESTS}/{id}");
        if failpoint!("manifest::before-write") {
            return Err(CatalogError::Taken { name, place: self.place() });
        }
        self.create(&name, &bytes)?;
        if failpoint!("manifest::after-write") {
            return Err(CatalogError::Taken { name, place: self.place() });
        }
        Ok(())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is missing, damaged or of a later version, or the store fails.
    pub fn read_manifest(&self, id: &str) -> Result<Manifest, CatalogError> {
        let place = self.place();
        let Some(bytes) = self.store.read(&format!("{MANIFESTS}/{id}"))? else {
            return Err(CatalogError::Missing { what: "checkpoint", name: id.to_owned(), place });
        };
        let failed =
            |source| CatalogError::Manifest { id: id.to_owned(), place: self.place(), source };
        Manifest::decode(&bytes).map_err(failed)
    }

    /// Returns the manifests that are there, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn manifests(&self) -> Result<Vec<Listed>, CatalogError> {
        let mut all = self.store.list(MANIFESTS)?;
        all.sort_by(|a, b| (a.modified_us, &a.name).cmp(&(b.modified_us, &b.name)));
        Ok(all)
    }

    /// Returns the objects that are there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn objects(&self) -> Result<Vec<Listed>, CatalogError> {
        Ok(self.store.list(OBJECTS)?)
    }

    /// Keeps a checkpoint from being collected.
    ///
    /// # Errors
    /// When the store fails.
    pub fn pin(&self, id: &str) -> Result<(), CatalogError> {
        self.create(&format!("{SAVEPOINTS}/{id}"), b"true\n")
    }

    /// Returns the checkpoints that are not collected.
    ///
    /// # Errors
    /// When the store fails.
    pub fn pinned(&self) -> Result<BTreeSet<String>, CatalogError> {
        Ok(self.store.list(SAVEPOINTS)?.into_iter().map(|listed| listed.name).collect())
    }

    /// Deletes a manifest.
    ///
    /// # Errors
    /// When the store fails.
    pub fn delete_manifest(&self, id: &str) -> Result<(), CatalogError> {
        Ok(self.store.delete(&format!("{MANIFESTS}/{id}"))?)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When the store fails.
    pub fn delete_object(&self, name: &str) -> Result<(), CatalogError> {
        Ok(self.store.delete(&format!("{OBJECTS}/{name}"))?)
    }
}
