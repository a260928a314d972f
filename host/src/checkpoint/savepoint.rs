//! Checkpoints that people ask for: whole, by themselves, and never collected.

use super::authority::{Authority, Pointer};
use super::catalog::Catalog;
use super::manifest::{Manifest, ObjectKind};
use super::open::OpenError;
use super::restore::{self, RestoreError};
use super::{nodes, random_id};
use crate::plan::Plan;

/// How often it is tried when the checkpoint that counts is collected meanwhile.
const TRIES: u32 = 5;

/// Writes a savepoint of the checkpoint that counts now. The pipeline may be running: nothing of
/// it is touched. Returns nothing when there is no checkpoint yet.
///
/// # Errors
/// When the authority or the store cannot be used.
pub fn savepoint(
    catalog: &Catalog,
    authority: &mut dyn Authority,
    plan: &Plan,
    now_us: i64,
) -> Result<Option<Manifest>, OpenError> {
    let mut tries = 0;
    loop {
        let Some(Pointer { checkpoint, .. }) = authority.current()? else { return Ok(None) };
        tries += 1;
        match copy(catalog, plan, &checkpoint, now_us) {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(RestoreError::Catalog(super::CatalogError::Missing { .. })) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn copy(catalog: &Catalog, plan: &Plan, id: &str, now_us: i64) -> Result<Manifest, RestoreError> {
    let kept = catalog.read_manifest(id)?;
    let mut states = restore::load(catalog, plan, &kept)?;
    let failed = |source| RestoreError::State { id: kept.id.clone(), source };
    let sections = nodes::base(plan, &mut states).map_err(failed)?;
    let base = catalog.write_object(random_id(), ObjectKind::Base, &sections)?;
    let id = random_id();
    // Pinned before it is there, so that no collection finds it unpinned.
    catalog.pin(&id)?;
    let manifest = Manifest {
        id,
        parent: Some(kept.id.clone()),
        created_us: now_us,
        objects: vec![base],
        ..kept
    };
    catalog.write_manifest(&manifest)?;
    Ok(manifest)
}
