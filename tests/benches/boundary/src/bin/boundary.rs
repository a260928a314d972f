//! `boundary <records> <json.wasm | apache.wasm> <native-parse> <runs>`: the parser of W1, or that
//! of the access log bench, native and in the sandbox, over the same batches.
//!
//! Prints a JSON array of the sandbox's speed as a share of native speed, one a run. The native
//! parser is a process of its own, `native-parse`, compiled with the plugins' profile. The time of
//! the sandbox is that of the whole call as the engine makes it: copying in, parsing, copying out,
//! validation. Both are CPU times of one thread.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use millstream_bench_native::{BATCH, BATCHES, PARSE, PASSES, W1, fastest, read};
use millstream_benches::{Sandbox, compile_child, parse};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    compile_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [records, wasm, native, runs] = arguments.as_slice() else {
        bail!("usage: boundary <records> <wasm> <native-parse> <runs>");
    };
    let runs: usize = runs.parse().context("the number of runs")?;
    let batches = read(Path::new(records), BATCH, BATCHES)?;
    let sandbox = Sandbox::start()?;
    let (name, config) = if wasm.contains("apache") { ("apache", PARSE) } else { ("json", W1) };
    let mut parser = sandbox.parser(Path::new(wasm), config)?;

    let mut child = Command::new(native)
        .args([name, records])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {native}"))?;
    let mut ask = child.stdin.take().context("no pipe")?;
    let mut answers = BufReader::new(child.stdout.take().context("no pipe")?).lines();

    let mut ratios = Vec::with_capacity(runs);
    for run in 0..=runs {
        writeln!(ask, "run")?;
        let native: f64 = answers.next().context("native-parse has ended")??.parse()?;
        let sandboxed = fastest(PASSES, &batches, |batch| parse(&mut parser, batch))?;
        eprintln!("native {native:.1} ns, sandbox {sandboxed:.1} ns a record");
        // The first warms both up.
        if run > 0 {
            ratios.push(native / sandboxed);
        }
    }
    drop(ask);
    child.wait()?;
    println!("{}", serde_json::to_string(&ratios)?);
    Ok(())
}
