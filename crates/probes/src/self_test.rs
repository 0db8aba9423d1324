//! The kernel's histogram of values that somebody gives, without any probe.

use abi::{SELF_TEST_VALUES, SpanKind};
use anyhow::{Context as _, ensure};
use aya::EbpfLoader;
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _};

use crate::load::load;
use crate::loader::OBJECT;
use crate::pair::program;
use crate::spans;

/// What became of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelHistogram {
    /// How many values are in each bucket.
    pub buckets: Vec<u64>,
    /// Their sum, modulo 2^64.
    pub sum: u64,
}

/// Passes values through the function that adds spans to histograms, in the kernel.
pub fn kernel_histogram(values: &[u64]) -> anyhow::Result<KernelHistogram> {
    ensure!(
        values.len().is_multiple_of(SELF_TEST_VALUES),
        "{} values: must be a multiple of {SELF_TEST_VALUES}",
        values.len()
    );
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("HISTOGRAMS", SpanKind::COUNT)
        .load(OBJECT)
        .context("cannot load the eBPF object")?;
    let program: &mut RawTracePoint = program(&mut ebpf, "self_test_spans")?;
    load(|| Ok(program.load()?)).context("cannot load the program")?;
    let (batches, _) = values.as_chunks::<SELF_TEST_VALUES>();
    for batch in batches {
        let mut options = RawTracePointRunOptions::new();
        options.args = *batch;
        program
            .test_run(options)
            .context("cannot run the program (BPF_PROG_TEST_RUN; Linux 5.10)")?;
    }
    let total = spans::over_all(&ebpf, 0, SpanKind::Function)?;
    Ok(KernelHistogram {
        buckets: total.buckets,
        sum: total.sum_ns,
    })
}
