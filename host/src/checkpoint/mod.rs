//! State that survives: checkpoints, and who decides which of them counts.
//!
//! A **commit** covers one or more epochs: outputs, input positions and the checkpoint's name
//! become visible together. A checkpoint is written before it is named, under a random name, so
//! nobody can overwrite another's; the pipeline's one [`Authority`] names it. What is not named is
//! garbage, whatever its date.

mod authority;

pub use authority::{Authority, AuthorityError, CommitPositions, Pointer, TopicPosition};
