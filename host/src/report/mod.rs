//! The closing summary.
