//! `native-parse <json|apache|apache-all> <records>`: parses natively and prints one line,
//! nanoseconds a record, for every line on stdin.

use std::hint::black_box;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use millstream_bench_native::{
    BATCH, BATCHES, Batch, PARSE, PARSE_ALL, PASSES, W1, check, fastest, read,
};
use millstream_parser_apache::Apache;
use millstream_parser_json::Json;
use millstream_sdk::Parser;
use millstream_sdk::parser::ParserHost;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [parser, path] = arguments.as_slice() else {
        bail!("usage: native-parse <json|apache|apache-all> <records>");
    };
    let batches = read(Path::new(path), BATCH, BATCHES)?;
    match parser.as_str() {
        "json" => serve::<Json>(W1, &batches),
        "apache" => serve::<Apache>(PARSE, &batches),
        "apache-all" => serve::<Apache>(PARSE_ALL, &batches),
        other => bail!("there is no parser {other}"),
    }
}

fn serve<P: Parser>(config: &str, batches: &[Batch]) -> Result<()> {
    let parser = ParserHost::<P>::configure(config).map_err(|fault| anyhow!("{fault:?}"))?;
    for line in stdin().lock().lines() {
        line?;
        let ns = fastest(PASSES, batches, |batch| {
            let parsed = parser
                .parse(black_box(&batch.records), &batch.received_us)
                .map_err(|fault| anyhow!("{fault:?}"))?;
            check(parsed.rejects.records.len(), batch.len())?;
            black_box(parsed);
            Ok(())
        })?;
        let mut out = stdout().lock();
        writeln!(out, "{ns}")?;
        out.flush()?;
    }
    Ok(())
}
