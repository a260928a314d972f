//! The start of a pipeline that keeps state: take over, then read what counts, then go on from it.

use super::authority::{Authority, AuthorityError};
use super::catalog::{Catalog, CatalogError};
use super::decide::{self, Decision, Start, StartFacts};
use super::manifest::Manifest;
use super::nodes::{self, NodeState};
use super::restore::{self, RestoreError};
use crate::faults;
use crate::plan::Plan;

/// Where a run goes on.
pub struct Opened {
    /// The checkpoint; none when the run begins anew.
    pub manifest: Option<Manifest>,
    /// The state of each node.
    pub states: Vec<NodeState>,
}

/// Why a pipeline cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The authority does not let it.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A checkpoint cannot be loaded.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl OpenError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Authority(AuthorityError::Refused { remedy, .. }) => Some(remedy.clone()),
            Self::Authority(_) => None,
            Self::Restore(error) => Some(error.remedy()),
        }
    }
}

impl From<CatalogError> for OpenError {
    fn from(error: CatalogError) -> Self {
        Self::Restore(RestoreError::Catalog(error))
    }
}

/// Takes a pipeline over and loads the state that counts. The order is what makes it safe: whoever
/// had the pipeline before can commit no more once what counts is read.
///
/// # Errors
/// When the authority or the store cannot be used, or when only the operator can decide how to go
/// on.
pub fn open(
    catalog: &Catalog,
    authority: &mut dyn Authority,
    plan: &Plan,
    start: &Start,
) -> Result<Opened, OpenError> {
    let store_of = catalog.owner()?;
    let committed_before = catalog.committed_before()?;
    let mut facts = StartFacts {
        pipeline: &plan.name,
        store_of: store_of.as_deref(),
        committed_before,
        pointer: None,
    };
    // Another pipeline's store must not be taken over.
    if store_of.as_deref().is_some_and(|found| found != plan.name) {
        decide::start(&facts, start).map_err(RestoreError::Start)?;
    }
    let pointer = match authority.take_over() {
        Ok(pointer) => pointer,
        // The operator has decided already.
        Err(AuthorityError::Refused { what, .. }) if *start != Start::Continue => {
            tracing::warn!(%what, "the commit authority names no checkpoint");
            None
        }
        Err(error) => return Err(error.into()),
    };
    facts.pointer = pointer.as_ref();
    let decision = decide::start(&facts, start).map_err(RestoreError::Start)?;
    if store_of.is_none() {
        catalog.claim(&plan.name)?;
    }
    let Decision::Load(id) = decision else {
        return Ok(Opened { manifest: None, states: nodes::empty(plan) });
    };
    let id = if faults::mutant("named-checkpoint") { newest(catalog)?.unwrap_or(id) } else { id };
    let manifest = catalog.read_manifest(&id)?;
    let states = restore::load(catalog, plan, &manifest)?;
    Ok(Opened { manifest: Some(manifest), states })
}

/// What a broken version might load instead: tests show that it is noticed.
fn newest(catalog: &Catalog) -> Result<Option<String>, CatalogError> {
    Ok(catalog.manifests()?.pop().map(|listed| listed.name))
}
