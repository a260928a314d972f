//! Files that are no plugins, plugins that fail before their first batch, compile bombs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::guests::{guest, limits, load, options, runtime};
use crate::plugin::{
    CompileCommand, CompileLimits, Failure, PluginError, PluginKind, PluginRuntime, RuntimeOptions,
    inspect,
};

/// A component that exports what a parser does, by name only; `core` is its core module.
fn component(core: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {core} (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $meta (export "describe" (func $f)))
            (instance $parser (export "configure" (func $f)) (export "parse" (func $f)))
            (export "millstream:plugin/meta@0.1.0" (instance $meta))
            (export "millstream:plugin/parser@0.1.0" (instance $parser)))"#
    );
    wat::parse_str(text).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("plugin.wasm");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }
}

fn refusal(bytes: &[u8]) -> PluginError {
    let folder = Folder::new();
    runtime().load(&folder.file(bytes), "p", None, &limits()).unwrap_err()
}

#[test]
fn a_plugin_says_what_it_is() {
    let version = load("hostile_parser");
    assert_eq!(version.kind(), PluginKind::Parser);
    assert_eq!(version.id().version, "1.2.3");
    assert_eq!(&*version.descriptor().reject_codes[0].name, "refused");
    assert_eq!(version.imports(), ["millstream:plugin/host-log@0.1.0"]);
    let config_error = version.rule("{}", &arrow::datatypes::Schema::empty()).unwrap_err();
    assert_eq!(
        config_error.to_string(),
        "plugin hostile_parser is a parser, where a rule is needed"
    );
}

#[test]
fn files_that_are_no_plugins_are_refused() {
    let whole = fs::read(guest("hostile_parser")).unwrap();
    let is_invalid = |error: &PluginError| matches!(error, PluginError::Invalid { .. });
    assert!(is_invalid(&refusal(&whole[..whole.len() / 2])));
    assert!(is_invalid(&refusal(b"not wasm")));
    assert!(is_invalid(&refusal(b"")));

    let engine = &runtime().engine;
    let precompiled = engine.precompile_component(&component("")).unwrap();
    assert!(matches!(refusal(&precompiled), PluginError::Precompiled { .. }));
    let import = wat::parse_str(r#"(component (import "wasi:io/poll@0.2.0" (instance)))"#).unwrap();
    assert!(matches!(refusal(&import), PluginError::Import { .. }));

    let missing = runtime().load(&Folder::new().cache(), "p", None, &limits()).unwrap_err();
    assert!(matches!(missing, PluginError::Read { .. }), "{missing}");
    let error = runtime().load(&guest("hostile_parser"), "p", Some("00"), &limits()).unwrap_err();
    assert!(matches!(&error, PluginError::Digest { found, .. } if found.len() == 64));
    assert!(error.help().unwrap().contains("sha256 = "));

    let folder = Folder::new();
    let small = RuntimeOptions { max_file_bytes: 1000, ..options(folder.cache()) };
    let runtime = PluginRuntime::new(small).unwrap();
    let error = runtime.load(&guest("hostile_parser"), "p", None, &limits()).unwrap_err();
    assert!(matches!(error, PluginError::TooLarge { limit: 1000, .. }), "{error}");
}

#[test]
fn plugins_that_fail_at_once_are_refused_with_the_cause() {
    let failure = |error: PluginError| match error {
        PluginError::Call { error } => (error.call, error.failure),
        other => panic!("{other}"),
    };
    let cause =
        |name: &str| failure(runtime().load(&guest(name), name, None, &limits()).unwrap_err());
    assert_eq!(cause("describe_trap"), ("describe", Failure::Trap("unreachable".into())));
    assert_eq!(cause("describe_loop"), ("describe", Failure::Deadline));
    assert!(matches!(cause("describe_nonsense"), ("describe", Failure::BadOutput(_))));
    let start = "(func $s (loop (br 0))) (start $s)";
    assert_eq!(failure(refusal(&component(start))), ("start", Failure::Deadline));
    let start = "(memory 1) (func $s (drop (memory.grow (i32.const 9000)))) (start $s)";
    assert_eq!(failure(refusal(&component(start))), ("start", Failure::Memory));
    assert_eq!(failure(refusal(&component("(memory 9000)"))), ("start", Failure::Memory));
    // Right names, wrong types.
    assert!(matches!(failure(refusal(&component(""))), ("start", Failure::BadOutput(_))));
}

#[test]
fn configure_may_fail_in_all_ways() {
    let version = load("hostile_parser");
    for (word, expected) in [
        ("TRAP", "trap: unreachable"),
        ("LOOP", "deadline: it used up its CPU time"),
        ("ALLOC", "memory: it wanted more than it may have"),
        ("STACK", "trap: stack overflow"),
        ("FAULT", "fault: broken"),
        ("DUPLICATE", "bad-output: two columns are called \"text\""),
    ] {
        let error = version.parser(word).unwrap_err();
        let PluginError::Call { error } = error else { panic!("{word}: {error}") };
        assert_eq!((error.call, error.failure.to_string().as_str()), ("configure", expected));
    }
    let error = version.parser("REFUSE").unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin hostile_parser refused its configuration: no such  [31mcolumn"
    );
}

#[test]
fn a_start_does_not_compile_twice() {
    let folder = Folder::new();
    let path = guest("hostile_parser");
    PluginRuntime::new(options(folder.cache())).unwrap().load(&path, "p", None, &limits()).unwrap();
    let mut cannot_compile = options(folder.cache());
    cannot_compile.compile_command = CompileCommand::new("/nonexistent".into());
    let runtime = PluginRuntime::new(cannot_compile).unwrap();
    runtime.load(&path, "p", None, &limits()).unwrap();

    // A damaged file is thrown away and made anew.
    let files: Vec<_> = fs::read_dir(folder.cache()).unwrap().map(|e| e.unwrap().path()).collect();
    let [artefact] = &files[..] else { panic!("{files:?}") };
    let good = fs::read(artefact).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(artefact, bad).unwrap();
    let error = runtime.load(&path, "p", None, &limits()).unwrap_err();
    assert!(matches!(error, PluginError::Compile { .. }), "{error}");
    assert!(!artefact.exists());
    PluginRuntime::new(options(folder.cache())).unwrap().load(&path, "p", None, &limits()).unwrap();
    assert!(artefact.exists());
}

#[test]
fn a_compile_bomb_hits_a_limit() {
    let step = |i: u32| {
        let (a, b, c) = (i % 499, i * 7 % 499, i * 31 % 499);
        format!("local.get {a} if local.get {b} local.get {c} i32.mul local.set {a} end ")
    };
    let steps: String = (0..150_000).map(step).collect();
    let bomb = component(&format!("(func (local {}) {steps})", "i32 ".repeat(499)));
    let folder = Folder::new();
    let path = folder.file(&bomb);
    let limit = |compile_limits: CompileLimits, command: Option<CompileCommand>| {
        let mut options = RuntimeOptions { compile_limits, ..options(folder.cache()) };
        options.compile_command = command.unwrap_or(options.compile_command);
        let runtime = PluginRuntime::new(options).unwrap();
        match runtime.load(&path, "p", None, &limits()).unwrap_err() {
            PluginError::CompileLimit { limit, .. } => limit,
            other => panic!("{other}"),
        }
    };
    let usual = CompileLimits::default();
    assert_eq!(limit(CompileLimits { cpu_seconds: 1, ..usual }, None), "1 s of CPU time");
    let memory = CompileLimits { memory_bytes: 256 << 20, ..usual };
    assert_eq!(limit(memory, None), "268435456 bytes of memory");
    let wall = CompileLimits { wall: Duration::from_millis(10), ..usual };
    let hangs = CompileCommand { program: "/bin/sleep".into(), args: vec!["1000".into()] };
    assert_eq!(limit(wall, Some(hangs)), "0.01 s on the clock");
    let left: Vec<_> = fs::read_dir(folder.cache()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn samples_are_run() {
    let inspection = inspect(runtime(), &guest("hostile_parser"), Some("{}")).unwrap();
    assert_eq!(inspection.schema.unwrap().fields().len(), 2);
    let differences: Vec<_> = inspection.samples.iter().map(|s| s.difference.as_deref()).collect();
    let wrong = r#"got [{"text":"abc","length":3}], not [{"text":"abc","length":4}]"#;
    assert_eq!(differences, [None, None, Some(wrong)]);
    for name in ["hostile_transform", "hostile_rule"] {
        let inspection = inspect(runtime(), &guest(name), None).unwrap();
        assert_eq!(inspection.samples[0].difference, None, "{name}");
    }
}
