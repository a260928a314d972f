//! From a checkpoint to the state of a plan's nodes.

use super::catalog::{Catalog, CatalogError};
use super::decide::{self, StartProblem};
use super::manifest::{Manifest, ObjectKind, ObjectNote};
use super::nodes::{self, NodeState, StateError};
use crate::failpoint;
use crate::plan::Plan;

/// Why a checkpoint cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The pipeline or the store is not what it was.
    #[error(transparent)]
    Start(#[from] StartProblem),
    /// An object cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// State does not fit.
    #[error("checkpoint {id}: {source}")]
    State {
        /// The checkpoint.
        id: String,
        /// Why.
        source: StateError,
    },
    /// The checkpoint is another pipeline's.
    #[error("checkpoint {id} is of pipeline `{found}`")]
    OtherPipeline {
        /// The checkpoint.
        id: String,
        /// Whose it is.
        found: String,
    },
}

impl RestoreError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Start(problem) => problem.remedy().to_owned(),
            Self::Catalog(error) => error.remedy(),
            Self::State { .. } => {
                "the definition of a node has changed: run with the file as it was, or begin anew: \
                 `run --reset`"
                    .into()
            }
            Self::OtherPipeline { .. } => {
                "each pipeline needs a folder of its own: change [state] path, or `name` back"
                    .into()
            }
        }
    }
}

/// Returns the state of each node as of a checkpoint.
///
/// # Errors
/// When the checkpoint is not one of this plan, or anything of it is missing or damaged.
pub fn load(
    catalog: &Catalog,
    plan: &Plan,
    manifest: &Manifest,
) -> Result<Vec<NodeState>, RestoreError> {
    if manifest.pipeline != plan.name {
        let (id, found) = (manifest.id.clone(), manifest.pipeline.clone());
        return Err(RestoreError::OtherPipeline { id, found });
    }
    decide::fits(&manifest.definitions, &nodes::definitions(plan))?;
    let mut states = nodes::empty(plan);
    put_together(catalog, plan, &manifest.objects, &mut states).map_err(|error| match error {
        PutError::Catalog(error) => RestoreError::Catalog(error),
        PutError::State(source) => RestoreError::State { id: manifest.id.clone(), source },
    })?;
    Ok(states)
}

pub(super) enum PutError {
    Catalog(CatalogError),
    State(StateError),
}

/// Applies objects in order.
pub(super) fn put_together(
    catalog: &Catalog,
    plan: &Plan,
    objects: &[ObjectNote],
    states: &mut [NodeState],
) -> Result<(), PutError> {
    for object in objects {
        failpoint!("restore::object");
        let sections = catalog.read_object(object).map_err(PutError::Catalog)?;
        match object.kind {
            ObjectKind::Base => nodes::load(plan, states, &sections),
            ObjectKind::Delta => nodes::apply(plan, states, &sections),
        }
        .map_err(PutError::State)?;
    }
    Ok(())
}
