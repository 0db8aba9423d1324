//! `bench kernel-histogram`: which buckets the kernel puts values into. For tests, which hold it against another
//! implementation of the layout.

use std::io::{self, Read as _};

use anyhow::{Context as _, ensure};
use aya::Ebpf;
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _};
use probes::load::load;
use probes::pair::program;
use serde_json::json;

use crate::kernel::shared::SELF_TEST_VALUES;
use crate::kernel::{OBJECT, total};

/// Reads values from stdin, 8 bytes each, least significant first, and passes them through the function that adds
/// spans to histograms, in the kernel; prints buckets and sum as JSON.
pub fn run() -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .context("cannot read values from stdin")?;
    let (values, rest) = bytes.as_chunks::<8>();
    let values: Vec<u64> = values
        .iter()
        .map(|value| u64::from_le_bytes(*value))
        .collect();
    let (batches, others) = values.as_chunks::<SELF_TEST_VALUES>();
    ensure!(
        rest.is_empty() && others.is_empty(),
        "stdin: {} bytes are no whole number of {SELF_TEST_VALUES} values of 8 bytes",
        bytes.len()
    );
    let mut ebpf = Ebpf::load(OBJECT).context("cannot load the eBPF object")?;
    let program: &mut RawTracePoint = program(&mut ebpf, "self_test_spans")?;
    load(|| Ok(program.load()?)).context("cannot load the program")?;
    for batch in batches {
        let mut options = RawTracePointRunOptions::new();
        options.args = *batch;
        program
            .test_run(options)
            .context("cannot run the program (BPF_PROG_TEST_RUN; Linux 5.10)")?;
    }
    let total = total(&ebpf)?;
    println!(
        "{}",
        json!({ "buckets": total.buckets, "sum": total.sum_ns })
    );
    Ok(())
}
