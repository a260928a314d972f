//! A plugin written, built and used outside this repository, as `plugins/README.md` says.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{millstream, root};

/// Returns the first block of a kind in plugins/README.md below a heading.
fn listing(heading: &str, kind: &str) -> String {
    let text = fs::read_to_string(root().join("plugins/README.md")).expect("plugins/README.md");
    let after = text.split_once(heading).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let fence = format!("```{kind}\n");
    let block = after.split_once(&fence).unwrap_or_else(|| panic!("no {kind} block")).1;
    block.split_once("```").expect("its end").0.to_owned()
}

/// Builds a plugin crate in a temporary folder and returns the folder.
fn build(name: &str, source: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nmillstream-sdk = {{ path = \"{}\" }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\n\
         [workspace]\n",
        root().join("plugins/sdk").display()
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("manifest");
    // The versions that this repository has tested with.
    fs::copy(root().join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("lock file");
    fs::create_dir(folder.path().join("src")).expect("src");
    fs::write(folder.path().join("src/lib.rs"), source).expect("source");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target", "wasm32-unknown-unknown", "--quiet"])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .env_remove("RUSTFLAGS")
        .status()
        .expect("start cargo");
    assert!(status.success(), "the plugin of plugins/README.md does not build");
    folder
}

fn wasm(folder: &Path, name: &str) -> String {
    let file = format!("target/wasm32-unknown-unknown/release/{name}.wasm");
    folder.join(file).display().to_string()
}

#[test]
fn a_parser_and_a_rule_from_outside_run() {
    let parser = build("key_value", &listing("A parser", "rust"));
    let rule = build("flood", &listing("A rule", "rust"));
    let folder = tempfile::tempdir().expect("temporary folder");
    let pipeline = listing("In a pipeline file", "toml")
        .replace("KEY_VALUE_WASM", &wasm(parser.path(), "key_value"))
        .replace("FLOOD_WASM", &wasm(rule.path(), "flood"));
    let file = folder.path().join("pipeline.toml");
    fs::write(&file, pipeline).expect("pipeline");
    fs::write(folder.path().join("input.log"), listing("Input", "text")).expect("input");
    let output = millstream().arg("run").arg("-q").arg(&file).output().expect("start millstream");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let alerts = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(alerts.lines().count(), 1, "{alerts}");
    assert!(alerts.contains("\"rule\":\"flood\""), "{alerts}");
}
