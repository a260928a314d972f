//! Runs `tests/ui/invalid/*.toml` against `*.err`.
//!
//! Files that are right as far as this room can tell are left to the plan's own test. A line
//! `# --set KEY=VALUE` at the top of a file is an override. `MILLSTREAM_BLESS=1` writes what was
//! found; read it line by line.

use std::fs;
use std::path::{Path, PathBuf};

use super::parse;

/// Fewer pairs than this that fail here mean that this room has become too lenient.
const LEAST_PAIRS: usize = 30;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/ui/invalid")
}

/// Returns what a user would see, or none when the file passes.
fn rendered(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).expect("a readable pipeline file");
    let overrides: Vec<String> = text
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .filter_map(|line| line.trim().strip_prefix("--set "))
        .map(str::to_string)
        .collect();
    let name = Path::new(path.file_name().expect("a file name"));
    parse(&text, name, &overrides).err().map(|refused| format!("{refused}\n"))
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
    let mut pairs = 0;
    let mut wrong = Vec::new();
    for path in &paths {
        let Some(found) = rendered(path) else { continue };
        pairs += 1;
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
    assert!(pairs >= LEAST_PAIRS, "only {pairs} of {} files fail here", paths.len());
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pipeline-reference.md");
    let page = super::reference_markdown();
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        fs::write(&path, &page).expect("a writable folder");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/pipeline-reference.md is out of date; run with MILLSTREAM_BLESS=1"
    );
}
