//! The page, and what a scrape shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = reference_markdown();
    if std::env::var_os("MILLSTREAM_BLESS").is_some() {
        fs::write(&path, &page).expect("a writable folder");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "docs/metrics.md is out of date; run with MILLSTREAM_BLESS=1");
}

#[test]
fn names_keep_to_the_conventions() {
    let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), FAMILIES.len());
    for Family { name, kind, help, .. } in FAMILIES {
        assert!(name.starts_with("millstream_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), name.contains("_seconds") && *kind != Kind::Counter);
        assert!(help.ends_with('.') && !help.contains('|'), "{name}: {help}");
    }
}

/// The value of a sample.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_scrape_shows_what_was_told() {
    let metrics = Metrics::new().unwrap();
    let text = metrics.text().unwrap();
    assert_eq!(sample(&text, "millstream_commit_commits_total"), Some(0.0));
    assert_eq!(sample(&text, "millstream_checkpoint_age_seconds"), None);
    assert!(sample(&text, "process_resident_memory_bytes").is_some_and(|bytes| bytes > 1e6));
    metrics.commit(Duration::from_millis(20), 5_000, 5_000);
    metrics.commit(Duration::from_millis(900), 3_000, 8_000);
    metrics.aborted();
    metrics.add("millstream_node_rejects_total", &["events", "not_json"], 3.0);
    let text = metrics.text().unwrap();
    for (name, expected) in [
        ("millstream_commit_commits_total", 2.0),
        ("millstream_commit_aborts_total", 1.0),
        ("millstream_commit_seconds_count", 2.0),
        ("millstream_commit_seconds_bucket{le=\"0.025\"}", 1.0),
        ("millstream_commit_seconds_bucket{le=\"1\"}", 2.0),
        ("millstream_checkpoint_bytes", 8_000.0),
        ("millstream_checkpoint_written_bytes_total", 8_000.0),
        ("millstream_node_rejects_total{node=\"events\",reason=\"not_json\"}", 3.0),
    ] {
        assert_eq!(sample(&text, name), Some(expected), "{name}\n{text}");
    }
    assert!(sample(&text, "millstream_checkpoint_age_seconds").is_some_and(|age| age >= 0.0));
    // A second scrape counts nothing twice.
    let cpu = |text: &str| sample(text, "process_cpu_seconds_total").unwrap();
    assert!(cpu(&metrics.text().unwrap()) >= cpu(&text));
}
