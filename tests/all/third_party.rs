//! Plugins written, built and used outside this repository, as `plugins/README.md` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{millstream, root};

/// Returns the n-th block of a kind in plugins/README.md below a heading.
fn listing(heading: &str, kind: &str, n: usize) -> String {
    let text = fs::read_to_string(root().join("plugins/README.md")).expect("plugins/README.md");
    let heading = format!("\n## {heading}\n");
    let after = text.split_once(&heading).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let fence = format!("```{kind}\n");
    let block = after.split(&fence).nth(n + 1).unwrap_or_else(|| panic!("no {kind} block"));
    block.split_once("```").expect("its end").0.to_owned()
}

/// Writes a file and the folders above it.
fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    fs::write(path, text).expect("file");
}

#[test]
fn a_parser_and_a_rule_from_outside_run() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let folder = folder.path();
    let sdk = root().join("plugins/sdk").display().to_string();
    let manifest = listing("Two crates", "toml", 1).replace("../../millstream/plugins/sdk", &sdk);
    assert!(manifest.contains(&sdk), "{manifest}");
    write(folder, "Cargo.toml", &listing("Two crates", "toml", 0));
    write(folder, "key_value/Cargo.toml", &manifest);
    write(folder, "flood/Cargo.toml", &manifest.replace("key_value", "flood"));
    write(folder, "key_value/src/lib.rs", &listing("A parser", "rust", 0));
    write(folder, "flood/src/lib.rs", &listing("A rule", "rust", 0));
    // The versions that this repository has tested with, which are on this machine already.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("lock file");
    // Outside the temporary folder, so that the next run finds the SDK built.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("third-party");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-unknown-unknown", "--offline", "--quiet"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("start cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    for name in ["key_value", "flood"] {
        let wasm = format!("wasm32-unknown-unknown/release/{name}.wasm");
        write(folder, &format!("target/{wasm}"), "");
        fs::copy(target.join(&wasm), folder.join("target").join(&wasm)).expect("plugin");
    }
    write(folder, "pipeline.toml", &listing("In a pipeline file", "toml", 0));
    write(folder, "input.log", &listing("Input", "text", 0));
    let mut command = millstream();
    command.current_dir(folder).args(["run", "--summary-json", "pipeline.toml"]);
    let output = command.output().expect("start millstream");
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{summary}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), listing("Output", "text", 0));
    assert!(summary.contains("\"bad_number\":1"), "{summary}");
}
