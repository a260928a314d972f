//! The shipped pipeline files: their plans, and the tests they carry.

use crate::support::{millstream, root};

#[test]
fn shipped_pipelines_pass_their_own_tests() {
    let mut command = millstream();
    command.arg("test");
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("pipelines")).expect("pipelines") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            command.arg(path);
            files += 1;
        }
    }
    assert!(files >= 4, "{files} pipeline files");
    let output = command.output().expect("start millstream");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(!text.contains("no [[tests]]"), "{text}");
    assert!(text.trim_end().ends_with("0 failed"), "{text}");
}

#[test]
fn check_shows_the_plan() {
    let output = millstream()
        .args(["check"])
        .arg(root().join("pipelines/log-analysis.toml"))
        .output()
        .expect("start millstream");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["window error_rate", "error_rate float64", "rule ddos", "plugin   zscore"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}
