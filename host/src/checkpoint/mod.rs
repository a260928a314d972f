//! State that survives: checkpoints, and who decides which of them counts.
//!
//! A **commit** covers one or more epochs: outputs, input positions and the checkpoint's name
//! become visible together. A checkpoint is written before it is named, under a random name, so
//! nobody can overwrite another's; the pipeline's one [`Authority`] names it. What is not named is
//! garbage, whatever its date: nobody ever looks for the newest.
//!
//! A checkpoint is a base and the deltas since. A delta is what windows merged in the epochs of
//! the commit and what changed in rules, so writing one costs nothing of the stream's time; a base
//! is made of an old one and its deltas, beside the stream (`compact`).
//!
//! Decisions are in `decide`, without I/O. Only `store` knows the object store. Nothing here knows
//! a source or a sink but by its state.

mod authority;
mod catalog;
mod collect;
mod committer;
mod compact;
mod decide;
mod folder;
mod manifest;
mod nodes;
mod object;
mod open;
mod restore;
mod savepoint;
mod store;

pub use authority::{
    Authority, AuthorityError, CheckpointId, CommitPositions, Pointer, Tenure, TopicPosition,
};
pub use catalog::{Catalog, CatalogError};
pub use committer::{Commit, CommitError, Committed, Committer, CommitterOptions, positions};
pub use decide::{Start, StartProblem};
pub use folder::StoreAuthority;
pub use manifest::{Definition, Manifest, ManifestError, ObjectKind, ObjectNote, PluginNote};
pub use nodes::{Delta, Mark, NodeState, StateError, empty};
pub use object::{ObjectError, Section};
pub use open::{OpenError, Opened, open};
pub use restore::{RestoreError, load};
pub use savepoint::savepoint;
pub use store::{Created, Listed, Store, StoreError};

/// Returns a name that nobody else has: 128 random bits, in hex.
///
/// # Panics
/// When the operating system has no random bytes to give.
pub fn random_id() -> String {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    format!("{:032x}", u128::from_be_bytes(bytes))
}
