//! What cannot be read, and what the user is told.

use std::error::Error;
use std::fs;

use super::*;

fn open_error(folder: &Path, path: &str, follow: bool) -> SourceError {
    FileSource::open(&file_config(&[path], follow), SourceId(0), folder).err().unwrap()
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("file"), "x\n").unwrap();
    // The fault is in force even for root.
    assert!(fs::read(path.join("file/below")).is_err());

    let error = open_error(path, "missing", false);
    assert!(error.to_string().ends_with("/missing`"), "{error}");
    assert!(error.help().unwrap().contains("follow = true"));
    FileSource::open(&file_config(&["missing"], true), SourceId(0), path).unwrap();

    for follow in [false, true] {
        let error = open_error(path, "file/below", follow);
        assert!(error.to_string().starts_with("cannot open `"), "{error}");
        assert!(error.to_string().ends_with("/file/below`"), "{error}");
        assert!(error.source().is_some());
        assert!(error.help().unwrap().contains("is a file"));

        let error = open_error(path, ".", follow);
        assert!(error.to_string().ends_with("is a folder, not a file"), "{error}");
        assert!(error.help().unwrap().contains("directory"));

        let error = open_error(path, "/dev/null", follow);
        assert_eq!(error.to_string(), "`/dev/null` is not a regular file");
    }

    let error = open_error(path, "*.log", false);
    assert!(matches!(error, SourceError::NoMatch { .. }), "{error}");
}

#[test]
fn patterns_and_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["b/x.log", "a/x.log", "a/y.log", "a/.z.log", "a/x*.log"] {
        fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
        fs::write(path.join(name), "x\n").unwrap();
    }
    fs::create_dir(path.join("a/folder.log")).unwrap();
    for (patterns, expected) in [
        (&["*/x.log", "a/?.log"][..], &["a/x.log", "b/x.log", "a/y.log"][..]),
        (&["b/x.log", "*/*.log"], &["b/x.log", "a/x*.log", "a/x.log", "a/y.log"]),
        // A file with a `*` in its name is meant literally.
        (&["a/x*.log"], &["a/x*.log"]),
    ] {
        let source = open_file(path, patterns, false);
        let found: Vec<_> = source.partitions().iter().map(|p| p.name.to_string()).collect();
        let expected: Vec<_> =
            expected.iter().map(|name| path.join(name).display().to_string()).collect();
        assert_eq!(found, expected, "{patterns:?}");
    }
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x\n").unwrap();
    for (path, message, help) in [
        ("missing", "there is no folder `", "create the folder"),
        ("file", "is not a folder", "type = \"file\""),
        ("file/below", "cannot list `", "is a file"),
    ] {
        let config = model::DirectorySource {
            path: located(path),
            pattern: "*".into(),
            watch: true,
            max_files_per_epoch: 1,
            per_file_partitions: false,
            max_record_bytes: 100,
        };
        let error = DirectorySource::open(&config, SourceId(0), folder.path()).err().unwrap();
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.help().unwrap().contains(help), "{error}: {:?}", error.help());
    }
}

#[test]
fn a_wrong_generator() {
    let config = model::GeneratorSource {
        settings: serde_json::json!({ "format": "service-jsonn" }),
        rows_per_second: None,
        partitions: 1,
    };
    let error = GeneratorSource::new(&config, SourceId(0)).err().unwrap();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("service-jsonn") && cause.contains("record-j"), "{cause}");
}
