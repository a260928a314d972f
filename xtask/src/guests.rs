//! The built-in plugins: from `plugins/` to `target/plugins/<name>.wasm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, root, run, target};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds every plugin and returns the folder that holds them.
pub fn build() -> Result<PathBuf> {
    ensure_target()?;
    let names = names()?;
    let packages: Vec<&str> = names.iter().map(|(package, _)| package.as_str()).collect();
    let out = target().join("guests");
    compile(&out, "-C target-feature=+simd128", &packages)?;
    let plugins = target().join("plugins");
    std::fs::create_dir_all(&plugins)?;
    for (package, name) in &names {
        let built = built(&out, package);
        let to = plugins.join(format!("{name}.wasm"));
        copy_if_changed(&built, &to)?;
    }
    Ok(plugins)
}

/// Builds one plugin without SIMD, for comparison, and returns its file.
pub fn build_scalar(package: &str) -> Result<PathBuf> {
    let out = target().join("guests-scalar");
    compile(&out, "", &[package])?;
    Ok(built(&out, package))
}

/// Builds the parsers as native code with the plugins' profile, and returns the program.
pub fn build_native() -> Result<PathBuf> {
    run(&mut cargo([
        "build",
        "--quiet",
        "--profile",
        "guest",
        "--package",
        "millstream-bench-native",
    ]))?;
    Ok(target().join("guest/native-parse"))
}

fn compile(out: &Path, flags: &str, packages: &[&str]) -> Result<()> {
    let mut command = cargo(["build", "--quiet", "--profile", "guest", "--target", TARGET]);
    command.arg("--target-dir").arg(out).env("RUSTFLAGS", flags);
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)
}

fn built(out: &Path, package: &str) -> PathBuf {
    out.join(TARGET).join("guest").join(format!("{}.wasm", package.replace('-', "_")))
}

/// Adds the WebAssembly target to the toolchain when it is missing.
fn ensure_target() -> Result<()> {
    let sysroot =
        Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    if sysroot.join("lib/rustlib").join(TARGET).is_dir() {
        return Ok(());
    }
    eprintln!("adding the {TARGET} target to the Rust toolchain");
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()))
        .context("plugins need the WebAssembly target; without rustup, install it by hand")
}

/// Returns package and plugin name of every folder of `plugins/parsers`, `rules`, `transforms`.
fn names() -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for (folder, kind) in [("parsers", "parser"), ("rules", "rule"), ("transforms", "transform")] {
        let Ok(entries) = std::fs::read_dir(root().join("plugins").join(folder)) else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let manifest = entry.path().join("Cargo.toml");
            let is_plugin =
                std::fs::read_to_string(&manifest).is_ok_and(|text| text.contains("cdylib"));
            if is_plugin {
                names.push((format!("millstream-{kind}-{name}"), name));
            }
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("no plugins found below {}", root().join("plugins").display());
    }
    Ok(names)
}

/// Leaves an equal file alone, so that its time says when it last changed.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = std::fs::read(from).with_context(|| format!("{} was not built", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let temporary = to.with_extension("wasm.new");
    std::fs::write(&temporary, new)?;
    std::fs::rename(&temporary, to)?;
    Ok(())
}
