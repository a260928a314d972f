//! Builds the hostile guests, once, and loads them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use crate::config::model::Limits;
use crate::plugin::{CompileCommand, PluginRuntime, PluginVersion, RuntimeOptions};

static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "--profile", "guest", "--examples"])
        .args(["--target", "wasm32-unknown-unknown", "-p", "millstream-hostile-guests"])
        .arg("--target-dir")
        .arg(&*TARGET);
    let output = cargo.output().expect("cargo runs");
    assert!(
        output.status.success(),
        "the hostile guests do not build (rustup target add wasm32-unknown-unknown?):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    TARGET.join("wasm32-unknown-unknown/guest/examples")
});

/// Where the guests are built, and kept compiled from run to run.
static TARGET: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("target/guests"));

static RUNTIME: LazyLock<Arc<PluginRuntime>> =
    LazyLock::new(|| PluginRuntime::new(options(TARGET.join("compiled"))).unwrap());

/// Returns the file of a hostile guest.
pub fn guest(name: &str) -> PathBuf {
    BUILT.join(format!("{name}.wasm"))
}

/// Returns options for a runtime that compiles with this test binary.
pub fn options(cache: PathBuf) -> RuntimeOptions {
    let command = CompileCommand {
        program: std::env::current_exe().unwrap(),
        args: ["plugin::tests::compile_child", "--exact", "--nocapture"].map(Into::into).into(),
    };
    RuntimeOptions { cache_dir: Some(cache), ..RuntimeOptions::new(command) }
}

/// Returns the runtime that tests share.
pub fn runtime() -> &'static Arc<PluginRuntime> {
    &RUNTIME
}

/// Returns tight limits.
pub fn limits() -> Limits {
    Limits { memory_bytes: 16 << 20, deadline_us: 100_000, output_bytes: 8 << 20 }
}

/// Loads a hostile guest under tight limits.
pub fn load(name: &str) -> Arc<PluginVersion> {
    runtime().load(&guest(name), name, None, &limits()).unwrap()
}
