//! Makes one base of a base and its deltas, beside the stream.
//!
//! It does what a restart would do, and writes what it has: nothing of the running pipeline is
//! touched. The next manifest names the base in place of what it covers.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::catalog::Catalog;
use super::manifest::{ObjectKind, ObjectNote};
use super::restore::{PutError, put_together};
use super::{nodes, random_id};
use crate::failpoint;
use crate::plan::Plan;

/// Deltas of fewer bytes than this are not worth the work.
const LEAST_BYTES: u64 = 4 << 20;

/// More deltas than this are too many to read one by one, however small.
const MOST_DELTAS: usize = 64;

/// Returns whether a base should be made: when the deltas have grown to what the base is, or are
/// many. So a restart reads at most about twice the state.
pub fn is_due(objects: &[ObjectNote]) -> bool {
    let of = |kind: ObjectKind| objects.iter().filter(move |object| object.kind == kind);
    let bytes = |kind| of(kind).map(|object| object.bytes).sum::<u64>();
    let deltas = bytes(ObjectKind::Delta);
    of(ObjectKind::Delta).count() > MOST_DELTAS
        || deltas >= LEAST_BYTES.max(bytes(ObjectKind::Base))
}

/// A base under way.
pub struct Compaction {
    thread: JoinHandle<Option<ObjectNote>>,
    covered: Vec<ObjectNote>,
}

impl Compaction {
    /// Starts making a base of `objects`.
    pub fn start(catalog: Catalog, plan: Arc<Plan>, objects: Vec<ObjectNote>) -> Option<Self> {
        let covered = objects.clone();
        let work = move || compact(&catalog, &plan, &objects);
        match std::thread::Builder::new().name("compaction".into()).spawn(work) {
            Ok(thread) => Some(Self { thread, covered }),
            Err(error) => {
                tracing::warn!(%error, "no thread for compaction; deltas stay");
                None
            }
        }
    }

    /// Returns whether it is over.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end and puts the base in place of what it covers.
    pub fn finish(self, objects: &mut Vec<ObjectNote>) {
        let Ok(Some(base)) = self.thread.join() else { return };
        if objects.starts_with(&self.covered) {
            objects.splice(..self.covered.len(), [base]);
        }
    }
}

/// Returns the base; nothing when it cannot be made, which is told: the deltas are still there.
fn compact(catalog: &Catalog, plan: &Plan, objects: &[ObjectNote]) -> Option<ObjectNote> {
    let mut states = nodes::empty(plan);
    if failpoint!("compact::before-read") {
        return None;
    }
    let told = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "state could not be compacted; deltas stay");
        None
    };
    match put_together(catalog, plan, objects, &mut states) {
        Ok(()) => {}
        Err(PutError::Catalog(error)) => return told(&error),
        Err(PutError::State(error)) => return told(&error),
    }
    let sections = match nodes::base(plan, &mut states) {
        Ok(sections) => sections,
        Err(error) => return told(&error),
    };
    match catalog.write_object(random_id(), ObjectKind::Base, &sections) {
        Ok(note) => Some(note),
        Err(error) => told(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_made_when_deltas_have_grown() {
        let note =
            |kind, bytes| ObjectNote { name: String::new(), kind, bytes, hash: String::new() };
        let base = |bytes| note(ObjectKind::Base, bytes);
        let delta = |bytes| note(ObjectKind::Delta, bytes);
        let cases = [
            (vec![], false),
            (vec![delta(1 << 20)], false),
            (vec![delta(4 << 20)], true),
            (vec![base(64 << 20), delta(8 << 20)], false),
            (vec![base(64 << 20), delta(32 << 20), delta(32 << 20)], true),
            (vec![delta(10); 64], false),
            (vec![delta(10); 65], true),
        ];
        for (objects, due) in cases {
            assert_eq!(is_due(&objects), due, "{objects:?}");
        }
    }
}
