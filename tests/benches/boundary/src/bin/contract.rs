//! `contract <records> <apache.wasm> <apache-scalar.wasm> <native-parse>`: what a call across the
//! boundary costs, on access log lines.
//!
//! Batches of one record to 8,192 records, all columns against two, with and without SIMD of 128
//! bits. Epochs are on, as always. Prints a table of CPU time a record, in nanoseconds.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use millstream_bench_native::{BATCH, Batch, PARSE, PARSE_ALL, PASSES, fastest, read};
use millstream_benches::{Sandbox, compile_child, parse};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records in a batch.
const SIZES: [usize; 5] = [1, 16, 256, 1024, BATCH];
/// Records of one measurement.
const RECORDS: usize = 8 * BATCH;

fn main() -> Result<()> {
    compile_child();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [records, simd, scalar, native] = arguments.as_slice() else {
        bail!("usage: contract <records> <apache.wasm> <apache-scalar.wasm> <native-parse>");
    };
    let sandbox = Sandbox::start()?;
    println!("CPU time in nanoseconds a line of {records}\n");
    println!("| columns | records in a batch | native | SIMD | without SIMD |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (name, parser, config) in
        [("timestamp, status", "apache", PARSE), ("all", "apache-all", PARSE_ALL)]
    {
        let native = native_ns(Path::new(native), parser, records)?;
        for size in SIZES {
            let batches = read(Path::new(records), size, RECORDS / size)?;
            let native = if size == BATCH { format!("{native:.0}") } else { String::new() };
            let [simd, scalar] =
                [simd, scalar].map(|wasm| measure(&sandbox, Path::new(wasm), config, &batches));
            println!("| {name} | {size} | {native} | {:.0} | {:.0} |", simd?, scalar?);
        }
    }
    Ok(())
}

fn measure(sandbox: &Sandbox, wasm: &Path, config: &str, batches: &[Batch]) -> Result<f64> {
    let mut parser = sandbox.parser(wasm, config)?;
    fastest(PASSES, batches, |batch| parse(&mut parser, batch))
}

fn native_ns(program: &Path, parser: &str, records: &str) -> Result<f64> {
    let mut child = Command::new(program)
        .args([parser, records])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
    let mut ask = child.stdin.take().context("no pipe")?;
    let mut answers = BufReader::new(child.stdout.take().context("no pipe")?).lines();
    let mut fastest = f64::INFINITY;
    for _ in 0..2 {
        writeln!(ask, "run")?;
        fastest = fastest.min(answers.next().context("native-parse has ended")??.parse()?);
    }
    drop(ask);
    child.wait()?;
    Ok(fastest)
}
