//! Deletes checkpoints that nobody needs.
//!
//! A checkpoint goes only when later ones are known to be committed, and never while another
//! process may have the pipeline: the authority is asked first. The whole plan is made before
//! anything is deleted; what cannot be read is left alone.

use super::authority::{Authority, AuthorityError};
use super::catalog::{Catalog, CatalogError};
use super::decide::{Kept, garbage};
use super::manifest::Manifest;
use crate::clock::now_us;
use crate::failpoint;
use crate::faults;

/// Checkpoints collected at once, so that the authority is not asked for each.
const AT_ONCE: usize = 8;

/// What is younger than this may be somebody's work under way.
const ORPHAN_AGE_US: i64 = 3_600_000_000;

/// See the module.
pub struct Collector {
    catalog: Catalog,
    keep: usize,
    /// Committed checkpoints that are there, oldest first.
    kept: Vec<Kept>,
    /// Others that were there at the start and are too young to be deleted: their objects stay.
    others: Vec<Kept>,
}

fn kept(manifest: &Manifest) -> Kept {
    let objects = manifest.objects.iter().map(|object| object.name.clone()).collect();
    Kept { id: manifest.id.clone(), objects }
}

impl Collector {
    /// Returns a collector that leaves `keep` checkpoints besides the one that counts.
    pub fn new(catalog: Catalog, keep: usize) -> Self {
        Self { catalog, keep, kept: Vec::new(), others: Vec::new() }
    }

    /// Finds the checkpoints before the one that the run goes on from, and deletes what earlier
    /// runs left behind.
    pub fn begin(&mut self, from: Option<&Manifest>, authority: &mut dyn Authority) {
        if let Err(error) = self.sweep(from, authority) {
            tracing::warn!(%error, "what earlier runs left behind stays");
        }
    }

    fn sweep(
        &mut self,
        from: Option<&Manifest>,
        authority: &mut dyn Authority,
    ) -> Result<(), CatalogError> {
        let Some(from) = from else { return Ok(()) };
        let mut parent = from.parent.clone();
        self.kept.push(kept(from));
        while let Some(id) = parent {
            // It may have been collected by now.
            let Ok(manifest) = self.catalog.read_manifest(&id) else { break };
            self.kept.insert(0, kept(&manifest));
            parent = manifest.parent;
        }
        let old = now_us().saturating_sub(ORPHAN_AGE_US);
        let pinned = self.catalog.pinned()?;
        let mut gone = Vec::new();
        for listed in self.catalog.manifests()? {
            if self.kept.iter().any(|kept| kept.id == listed.name) {
                continue;
            }
            match self.catalog.read_manifest(&listed.name) {
                Ok(manifest) if listed.modified_us < old && !pinned.contains(&listed.name) => {
                    gone.push(kept(&manifest))
                }
                Ok(manifest) => self.others.push(kept(&manifest)),
                Err(error) => {
                    tracing::warn!(%error, "a checkpoint that cannot be read is left alone");
                    return Ok(());
                }
            }
        }
        let orphans: Vec<String> = self
            .catalog
            .objects()?
            .into_iter()
            .filter(|object| object.modified_us < old)
            .filter(|object| {
                let needs = |kept: &Kept| kept.objects.contains(&object.name);
                !self.kept.iter().any(needs) && !self.others.iter().any(needs)
            })
            .map(|object| object.name)
            .collect();
        if gone.is_empty() && orphans.is_empty() || !may_delete(authority) {
            return Ok(());
        }
        for kept in gone {
            self.catalog.delete_manifest(&kept.id)?;
        }
        for object in orphans {
            self.catalog.delete_object(&object)?;
        }
        Ok(())
    }

    /// Takes note of a checkpoint that counts now.
    pub fn committed(&mut self, manifest: &Manifest) {
        self.kept.push(kept(manifest));
    }

    /// Deletes what is beyond the number to keep, when there is enough of it.
    pub fn collect(&mut self, authority: &mut dyn Authority) {
        let most = self.keep.saturating_add(1);
        if self.kept.len() < most.saturating_add(AT_ONCE) || !may_delete(authority) {
            return;
        }
        let rest = self.kept.split_off(self.kept.len() - most);
        let gone = std::mem::replace(&mut self.kept, rest);
        failpoint!("collect::planned");
        if let Err(error) = self.delete(&gone) {
            // They are found again by the next start.
            tracing::warn!(%error, "old checkpoints are left behind");
        }
    }

    fn delete(&self, gone: &[Kept]) -> Result<(), CatalogError> {
        // Manifests first, so that none is left that names what is gone.
        for kept in gone {
            self.catalog.delete_manifest(&kept.id)?;
            failpoint!("collect::manifest-deleted");
        }
        let rest: Vec<Kept> = self.kept.iter().chain(&self.others).cloned().collect();
        for object in garbage(&rest, gone) {
            self.catalog.delete_object(object)?;
        }
        Ok(())
    }
}

fn may_delete(authority: &mut dyn Authority) -> bool {
    if faults::mutant("collect-fence") {
        return true;
    }
    match authority.holds() {
        Ok(holds) => holds,
        Err(AuthorityError::Fenced { .. }) => false,
        Err(error) => {
            tracing::warn!(%error, "the commit authority does not answer; nothing is deleted");
            false
        }
    }
}
