//! The pipeline file.

pub mod model;
