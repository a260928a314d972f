//! What rules promise, with native evaluators.

mod alerts;
mod cuts;
mod keyed;
mod native;
mod state;
mod template;
