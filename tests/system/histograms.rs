//! The in-kernel histograms, held against another implementation of their layout and against records.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use runlog::RunDirectory;
use runlog::record::{ReadSpan, ReadSyscallSpan};
use runlog::table::read_all;
use runlog::trace::SpanSummary;
use serde_json::Value;

use crate::Test;
use crate::events::trace_reader;
use crate::kit::{Kit, Running, json};
use crate::reader::{Reader, Until};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "histograms::the_kernels_buckets_are_those_of_hdrhistogram",
        needs: &[Need::Root],
        run: buckets,
    },
    Test {
        name: "histograms::quantiles_of_a_million_reads_are_those_of_their_records",
        needs: &[Need::Root, Need::Program("cc")],
        run: million_reads,
    },
];

/// One minute: up to here the layout promises its error.
const MAX_VALUE_NS: u64 = 60_000_000_000;

fn reference() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, MAX_VALUE_NS, 2)?)
}

/// Passes values through the kernel's bucket function.
fn in_kernel(kit: &Kit, folder: &Path, values: &[u64]) -> anyhow::Result<(Vec<u64>, u64)> {
    let path = folder.join("values");
    let mut file = File::create(&path)?;
    for value in values {
        file.write_all(&value.to_le_bytes())?;
    }
    let mut command = kit.command("bench");
    command.arg("kernel-histogram").stdin(File::open(&path)?);
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answer = json(&output)?;
    let buckets = answer["buckets"].as_array().context("no buckets")?;
    let counts = buckets.iter().map(Value::as_u64);
    let counts: Option<Vec<u64>> = counts.collect();
    let sum = answer["sum"].as_u64().context("no sum")?;
    Ok((counts.context("no counts")?, sum))
}

fn buckets(kit: &Kit) -> anyhow::Result<()> {
    let mut expected = reference()?;
    // The edges of every bucket of the reference, and what lies next to them.
    let mut values = Vec::new();
    for bucket in expected.iter_all() {
        let highest = bucket.value_iterated_to();
        let lowest = expected.lowest_equivalent(highest);
        values.extend([lowest, lowest.saturating_sub(1), highest]);
    }
    values.extend([0, 1, MAX_VALUE_NS - 1, MAX_VALUE_NS, MAX_VALUE_NS + 1]);
    // A million more, as many in each doubling: SplitMix64.
    let mut state = 0_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for _ in 0..1_000_000 {
        let bits = random() % 36;
        values.push((1 << bits) + random() % (1 << bits));
    }
    while !values.len().is_multiple_of(12) {
        values.push(0);
    }
    for value in &values {
        expected.record(*value)?;
    }

    let folder = kit.scratch()?;
    let (counts, sum) = in_kernel(kit, folder.path(), &values)?;
    ensure!(counts.len() == expected.distinct_values());
    ensure!(sum == values.iter().sum::<u64>());
    for (number, (bucket, count)) in expected.iter_all().zip(&counts).enumerate() {
        ensure!(
            bucket.count_since_last_iteration() == *count,
            "bucket {number}, up to {} ns: {count} in the kernel, {} in the reference",
            bucket.value_iterated_to(),
            bucket.count_since_last_iteration()
        );
        ensure!(*count > 0, "bucket {number} got no value");
    }

    // What is longer than any span should be is counted, as the longest.
    let (counts, _) = in_kernel(kit, folder.path(), &[[1 << 36, u64::MAX]; 6].concat())?;
    ensure!(counts.last() == Some(&12), "{:?}", counts.last());
    Ok(())
}

fn million_reads(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("events");
    let reader = Reader::start(kit, folder.path(), 2, Until::Calls(500_000))?;
    // The ring holds all records of the run at once, so none can be lost.
    let ring = format!("--ring-bytes={}", 1 << 28);
    let (trace, done) = trace_reader(kit, reader, &out, &[&ring], |_: &Running| Ok(()))?;
    ensure!(
        done.reads == 1_000_000 && trace.ledger.dropped == 0,
        "{:?}",
        trace.ledger
    );
    ensure!(trace.ledger.balanced, "{:?}", trace.ledger);

    let run = RunDirectory::existing(&out);
    let reads: Vec<ReadSpan> = read_all(run.reads())?;
    let syscalls: Vec<ReadSyscallSpan> = read_all(run.read_syscalls())?;
    let of_reads = |duration: fn(&ReadSpan) -> u64| reads.iter().map(duration).collect();
    let kinds: [(&str, Vec<u64>); 4] = [
        ("hook", of_reads(|read| read.exit_ns - read.enter_ns)),
        (
            "hook_overhead",
            of_reads(|read| read.exit_ns - read.inner_exit_ns),
        ),
        (
            "hooked_read_syscall",
            of_reads(|read| read.syscall_exit_ns - read.syscall_enter_ns),
        ),
        (
            "read_syscall",
            syscalls
                .iter()
                .map(|read| read.exit_ns - read.enter_ns)
                .collect(),
        ),
    ];
    for (kind, durations) in kinds {
        let summary = trace
            .spans
            .get(kind)
            .with_context(|| format!("no {kind}"))?;
        compare(kind, durations, summary)?;
    }
    Ok(())
}

/// Holds the summary of a histogram against the durations themselves.
fn compare(kind: &str, mut durations: Vec<u64>, summary: &SpanSummary) -> anyhow::Result<()> {
    durations.sort_unstable();
    let count = durations.len();
    ensure!(
        summary.count == count as u64,
        "{kind}: {count} records, {summary:?}"
    );
    let mean_ns = durations.iter().sum::<u64>() as f64 / count as f64;
    ensure!(
        (summary.mean_ns - mean_ns).abs() < 1e-6,
        "{kind}: mean of the records {mean_ns}, {summary:?}"
    );
    let layout = reference()?;
    let quantiles = [
        (500, summary.p50_ns),
        (900, summary.p90_ns),
        (990, summary.p99_ns),
        (999, summary.p999_ns),
        (1_000, summary.max_ns),
    ];
    for (per_mille, ns) in quantiles {
        // The smallest value that at least this share of all values do not exceed.
        let rank = (per_mille * count).div_ceil(1_000);
        let exact = durations[rank - 1];
        println!("{kind} {per_mille} ‰: {exact} ns by records, {ns} ns by histogram");
        ensure!(
            layout.equivalent(exact, ns),
            "{kind}, {per_mille} ‰: {exact} ns by records, {ns} ns by histogram"
        );
        ensure!(
            ns.abs_diff(exact) as f64 <= 0.008 * exact as f64,
            "{kind}: {exact} and {ns} ns"
        );
    }
    Ok(())
}
