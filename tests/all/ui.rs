//! What a user sees who checks a pipeline that cannot run: `tests/ui/invalid/*.toml` and `*.err`.
//!
//! Every file there is shown to the binary, those that the configuration refuses and those that
//! only the plan does. A line `# --set KEY=VALUE` at the top of a file is an override.
//! `MILLSTREAM_BLESS=1` writes what was found; read it line by line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{millstream, plugins, root};

/// Fewer pairs than this mean that files were lost.
const LEAST_PAIRS: usize = 70;

fn folder() -> PathBuf {
    root().join("tests/ui/invalid")
}

fn overrides(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map_while(|line| line.strip_prefix('#'))
        .filter_map(|line| line.trim().strip_prefix("--set "))
}

/// Returns what a user would see, with what differs from machine to machine named instead.
fn shown(path: &Path, text: &str) -> (Option<i32>, String) {
    let mut command = millstream();
    command.current_dir(folder()).arg("check").arg(path.file_name().expect("a file name"));
    for value in overrides(text) {
        command.arg("--set").arg(value);
    }
    let output = command.output().expect("start millstream");
    let mut shown = String::from_utf8_lossy(&output.stdout).into_owned();
    shown.push_str(&String::from_utf8_lossy(&output.stderr));
    let target = plugins().parent().expect("target/plugins").display().to_string();
    (output.status.code(), without_digests(&shown.replace(&target, "$TARGET"), text))
}

/// Replaces the digests of built plugins; those that stand in the file stay.
fn without_digests(shown: &str, text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for char in shown.chars().chain(['\n']) {
        if char.is_ascii_hexdigit() {
            run.push(char);
            continue;
        }
        if run.len() == 64 && !text.contains(&run) {
            run = "$SHA256".into();
        }
        out.push_str(&run);
        run.clear();
        out.push(char);
    }
    out.pop();
    out
}

#[test]
fn invalid_pipelines_say_what_is_wrong() {
    let bless = std::env::var_os("MILLSTREAM_BLESS").is_some();
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .expect("tests/ui/invalid")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= LEAST_PAIRS, "only {} files", paths.len());
    let mut wrong = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a readable pipeline file");
        let (code, found) = shown(path, &text);
        assert_eq!(code, Some(2), "{}\n{found}", path.display());
        let mut told = BTreeSet::new();
        for problem in found.split("\n\n") {
            assert!(told.insert(problem), "twice in {}:\n{problem}", path.display());
        }
        let expected_path = path.with_extension("err");
        if bless {
            fs::write(&expected_path, &found).expect("a writable folder");
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if expected != found {
            wrong.push(format!("{}\nexpected:\n{expected}\nfound:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nrun with MILLSTREAM_BLESS=1 and read", wrong.join("\n\n"));
}

#[test]
fn every_expected_message_has_its_pipeline() {
    for entry in fs::read_dir(folder()).expect("tests/ui/invalid") {
        let path = entry.expect("an entry").path();
        let pipeline = path.with_extension("toml");
        assert!(pipeline.is_file(), "{} belongs to no pipeline", path.display());
        assert!(path.with_extension("err").is_file(), "{} has no .err", path.display());
    }
}
