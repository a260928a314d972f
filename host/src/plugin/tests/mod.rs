//! The host against plugins that do everything a plugin must not.

mod guests;
mod loading;
mod parsers;
mod rules;
mod transforms;

use super::compile::CHILD_VARIABLE;

/// Not a test: what the compile child runs, as a test binary has no subcommands.
#[test]
fn compile_child() {
    if std::env::var_os(CHILD_VARIABLE).is_some() {
        std::process::exit(super::compile_child_main());
    }
}
