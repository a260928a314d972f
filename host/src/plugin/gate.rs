//! Looks at a plugin's bytes without running or compiling anything.

use std::collections::BTreeSet;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};
use wasmtime::Engine;

use super::API_VERSION;
use super::error::PluginError;

const PACKAGE: &str = "millstream:plugin/";

/// The WebAssembly that plugins may use.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::COMPONENT_MODEL);

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Bytes to rows.
    Parser,
    /// Rows to rows.
    Transform,
    /// Rows and state by key to alerts.
    Rule,
}

impl PluginKind {
    /// Returns the kind's name as users know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parser => "parser",
            Self::Transform => "transform",
            Self::Rule => "rule",
        }
    }
}

/// What a plugin is, by its imports and exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Surface {
    pub(super) kind: PluginKind,
    pub(super) migrates: bool,
    /// With versions, sorted.
    pub(super) imports: Vec<String>,
    /// With versions, sorted.
    pub(super) exports: Vec<String>,
}

/// Checks that `wasm` is a plugin that this host can try to compile.
///
/// `validated` says that these very bytes were found to be valid before, as their compiled form is
/// in the cache. Validation looks at each instruction; a start should not wait for it.
pub(super) fn check(path: &Path, wasm: &[u8], validated: bool) -> Result<Surface, PluginError> {
    let invalid = |reason: String| PluginError::Invalid { path: path.to_owned(), reason };
    if Engine::detect_precompiled(wasm).is_some() {
        return Err(PluginError::Precompiled { path: path.to_owned() });
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(invalid("it is not WebAssembly".into()));
    }
    if !validated {
        Validator::new_with_features(FEATURES)
            .validate_all(wasm)
            .map_err(|error| invalid(format!("{error}")))?;
    }
    let names = names(wasm).map_err(|error| invalid(format!("{error}")))?;
    if names.core && !names.typed {
        return Err(invalid(
            "it is a core module without a component-type section: build it with the SDK".into(),
        ));
    }
    judge(path, names)
}

/// The names in a plugin's import and export sections.
#[derive(Debug, Default)]
struct Names {
    core: bool,
    typed: bool,
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

/// Reads the names of the outermost module or component.
fn names(wasm: &[u8]) -> wasmparser::Result<Names> {
    let mut names = Names::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth = depth.saturating_add(1);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::Version { encoding, .. } => names.core = encoding == Encoding::Module,
            Payload::CustomSection(section) => {
                names.typed |= section.name().starts_with("component-type");
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    names.imports.insert(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    // The functions of an interface are called "<interface>#<function>".
                    if let Some((interface, _)) = export?.name.split_once('#')
                        && !interface.starts_with("cabi_post_")
                    {
                        names.exports.insert(interface.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    names.imports.insert(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    names.exports.insert(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Decides what the plugin is.
fn judge(path: &Path, names: Names) -> Result<Surface, PluginError> {
    let mut found = BTreeSet::new();
    for name in &names.exports {
        let Some((interface, version)) = ours(name) else { continue };
        if !serves(version) {
            return Err(PluginError::ApiVersion {
                path: path.to_owned(),
                interface: format!("{PACKAGE}{interface}"),
                built_for: version.to_owned(),
                serves: API_VERSION.to_owned(),
            });
        }
        found.insert(interface);
    }
    for name in &names.imports {
        let known = matches!(ours(name), Some(("host-log" | "types", version)) if serves(version));
        if !known {
            return Err(PluginError::Import { path: path.to_owned(), import: name.clone() });
        }
    }
    let kinds = [PluginKind::Parser, PluginKind::Transform, PluginKind::Rule];
    let mut is = kinds.into_iter().filter(|kind| found.contains(kind.name()));
    let (kind, other) = (is.next(), is.next());
    let migrates = found.contains("migrate");
    let exports: Vec<String> = names.exports.iter().cloned().collect();
    match (kind, other) {
        (Some(kind), None) if found.contains("meta") && (!migrates || kind == PluginKind::Rule) => {
            Ok(Surface { kind, migrates, imports: names.imports.into_iter().collect(), exports })
        }
        _ => Err(PluginError::World { path: path.to_owned(), exports }),
    }
}

/// Splits the name of one of our interfaces into its name and version.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

/// Returns true when this host serves plugins that were built for `version` of the contract.
///
/// While the contract is 0.x, a plugin works with hosts of the same 0.x that are not older.
fn serves(version: &str) -> bool {
    fn parts(version: &str) -> Option<(u32, u32, u32)> {
        let mut parts = version.splitn(3, '.').map(str::parse);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some((major, minor, patch)),
            _ => None,
        }
    }
    match (parts(version), parts(API_VERSION)) {
        (Some((major, minor, patch)), Some((our_major, our_minor, our_patch))) => {
            (major, minor) == (our_major, our_minor) && patch <= our_patch
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(imports: &str, exports: &[&str]) -> Vec<u8> {
        // Without names, as the name section is no loss when it is cut off.
        let mut text = format!("(module {imports} (func");
        for export in exports {
            text.push_str(&format!(" (export \"{export}\")"));
        }
        text.push(')');
        text.push_str("(@custom \"component-type\" \"\"))");
        wat::parse_str(text).unwrap()
    }

    fn verdict(wasm: &[u8]) -> Result<Surface, PluginError> {
        check(Path::new("p.wasm"), wasm, false)
    }

    const META: &str = "millstream:plugin/meta@0.1.0#describe";
    const PARSE: &str = "millstream:plugin/parser@0.1.0#parse";
    const EVALUATE: &str = "millstream:plugin/rule@0.1.0#evaluate";
    const MIGRATE: &str = "millstream:plugin/migrate@0.1.0#migrate-state";

    #[test]
    fn worlds_are_told_by_exports() {
        let log = "(import \"millstream:plugin/host-log@0.1.0\" \"log\" (func (param i32)))";
        let surface = verdict(&module(log, &[META, PARSE, "memory"])).unwrap();
        assert_eq!(surface.kind, PluginKind::Parser);
        assert_eq!(surface.imports, ["millstream:plugin/host-log@0.1.0"]);
        assert!(!surface.migrates);
        let surface = verdict(&module("", &[META, EVALUATE, MIGRATE])).unwrap();
        assert_eq!((surface.kind, surface.migrates), (PluginKind::Rule, true));
        let component = wat::parse_str("(component)").unwrap();
        for wasm in [
            module("", &[PARSE]),
            module("", &[META]),
            module("", &[META, PARSE, EVALUATE]),
            module("", &[META, PARSE, MIGRATE]),
            component,
        ] {
            assert!(matches!(verdict(&wasm), Err(PluginError::World { .. })));
        }
    }

    #[test]
    fn other_imports_are_refused() {
        for import in ["wasi:cli/stdout@0.2.0", "env", "millstream:plugin/host-file@0.1.0"] {
            let text = format!("(import \"{import}\" \"x\" (func))");
            let error = verdict(&module(&text, &[META, PARSE])).unwrap_err();
            assert!(matches!(&error, PluginError::Import { import: i, .. } if i == import));
            assert!(error.help().is_some());
        }
        let text = "(component (import \"wasi:cli/environment@0.2.0\" (instance)))";
        let error = verdict(&wat::parse_str(text).unwrap()).unwrap_err();
        assert!(matches!(error, PluginError::Import { .. }), "{error}");
    }

    #[test]
    fn a_newer_contract_is_named() {
        let wasm = module("", &["millstream:plugin/parser@0.2.0#parse"]);
        let error = verdict(&wasm).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin file p.wasm was built for millstream:plugin/parser@0.2.0 and needs a host that \
             serves it; this host serves 0.1.0"
        );
        assert!(error.help().unwrap().contains("upgrade the host"));
        for (version, served) in
            [("0.1.0", true), ("0.1.1", false), ("1.0.0", false), ("0.1", false), ("x", false)]
        {
            assert_eq!(serves(version), served, "{version}");
        }
    }

    #[test]
    fn what_is_not_valid_wasm_is_refused() {
        let whole = module("", &[META, PARSE]);
        for length in 0..whole.len() {
            assert!(verdict(&whole[..length]).is_err(), "cut at {length}");
        }
        for wasm in [
            &b"#!/bin/sh"[..],
            b"",
            &wat::parse_str("(module (memory 1 1 shared))").unwrap(),
            &wat::parse_str("(module (memory i64 1))").unwrap(),
            &wat::parse_str("(module)").unwrap(),
        ] {
            let error = verdict(wasm).unwrap_err();
            assert!(matches!(error, PluginError::Invalid { .. }), "{error}");
        }
    }
}
