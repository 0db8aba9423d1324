//! A hook whose cost is rare: nearly all of its calls cost next to nothing, and the mean is in a few. No layer may lose these.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::Test;
use crate::bench::nothing_left;
use crate::kit::{Kit, check_schema, compile_c, exact_kernel_probe, json, succeed};
use crate::skips::Need;
use crate::unprivileged::unprivileged;

pub const TESTS: &[Test] = &[
    Test {
        name: "rare_cost::means_end_to_end_and_by_records_have_it",
        needs: &[Need::Alone, Need::Clock, Need::Program("cc")],
        run: by_records,
    },
    Test {
        name: "rare_cost::the_mean_by_ebpf_has_it",
        needs: &[Need::Root, Need::Alone, Need::Clock, Need::Program("cc")],
        run: by_ebpf,
    },
];

const HOOK: &str = include_str!("c/rare_wait.c");
const WAITS_PER_1000: u32 = 30;
/// How long each wait is, at the least.
const WAIT_NS: u32 = 20_000;
/// A wait in which somebody else had the CPU counts as so long: about where a trial clips its means.
const LONGEST_NS: u32 = 100_000;
/// What else the hook costs, and what a wait does to caches: not known, but far less than the waits.
const ALLOWED_NS: f64 = 100.0;
/// An interval that reaches farther shows nothing: it could hold the truth with the waits left out.
const WIDEST_NS: f64 = 250.0;
/// An interval misses in one run of 20, and what else the machine does widens it.
const ATTEMPTS: usize = 3;

/// A trial of the hook; returns its analysis, and the mean cost of a call as the hook has measured it.
fn measure(
    kit: &Kit,
    folder: &Path,
    options: &[&str],
    as_root: bool,
) -> anyhow::Result<(Value, f64)> {
    let counts = folder.join("counts");
    let macros = [
        format!("-DWAITS_PER_1000={WAITS_PER_1000}"),
        format!("-DWAIT_NS={WAIT_NS}"),
        format!("-DLONGEST_NS={LONGEST_NS}"),
        format!("-DCOUNTS=\"{}\"", counts.display()),
    ];
    let options_of_cc = macros.iter().map(String::as_str);
    let options_of_cc: Vec<&str> = options_of_cc.chain(["-shared", "-fPIC", "-ldl"]).collect();
    let hook = compile_c(folder, HOOK, &options_of_cc)?;
    let mut command = kit.bench();
    command
        .args(["--order=trial", "--json", "--servers=8", "--warmup=400"])
        .arg("--blocks=48")
        .args(options)
        .arg("--hook")
        .arg(hook)
        .arg("--out")
        .arg(folder.join("run"));
    let command = if as_root {
        &mut command
    } else {
        unprivileged(&mut command)
    };
    let analysis = json(&succeed(command)?)?;
    check_schema(&analysis, "analysis")?;
    let (mut calls, mut waited_ns) = (0, 0);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_stem() == counts.file_name() {
            let bytes = fs::read(&path)?;
            let (of_calls, of_waits) = bytes.split_first_chunk().context("not two numbers")?;
            calls += u64::from_ne_bytes(*of_calls);
            waited_ns += u64::from_ne_bytes(of_waits.try_into()?);
        }
    }
    let truth_ns = waited_ns as f64 / calls as f64;
    // The share of calls that wait is drawn.
    let asked_ns = f64::from(WAIT_NS * WAITS_PER_1000) / 1000.0;
    ensure!(truth_ns > 0.9 * asked_ns, "{waited_ns} ns in {calls} calls");
    Ok((analysis, truth_ns))
}

/// Whether the interval at this place of the analysis holds the truth; an error says how it does not.
fn holds(analysis: &Value, place: &str, truth_ns: f64, widest_ns: f64) -> anyhow::Result<()> {
    let found = analysis.pointer(place).context(place.to_owned())?;
    let end = |end: usize| found["ci95"][end].as_f64();
    let (low_ns, high_ns) = end(0).zip(end(1)).context(place.to_owned())?;
    ensure!(
        high_ns - low_ns <= 2.0 * widest_ns,
        "too wide to say anything: {place}: {found}"
    );
    ensure!(
        (low_ns - ALLOWED_NS..=high_ns + ALLOWED_NS).contains(&truth_ns),
        "{place} does not hold {truth_ns} ns: {found}"
    );
    Ok(())
}

/// Measures until all is found, a few times at most.
fn find(
    kit: &Kit,
    options: &[&str],
    as_root: bool,
    check: impl Fn(&Value, f64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut attempt = 1;
    loop {
        let folder = kit.scratch()?;
        let (analysis, truth_ns) = measure(kit, folder.path(), options, as_root)?;
        nothing_left(kit)?;
        match check(&analysis, truth_ns) {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            found => return found,
        }
    }
}

fn by_records(kit: &Kit) -> anyhow::Result<()> {
    let options = ["--no-probes", "--requests=24000"];
    find(kit, &options, false, |analysis, truth_ns| {
        holds(analysis, "/trial/effects/on/body", truth_ns, WIDEST_NS)?;
        holds(analysis, "/trial/in_situ/whole/mean", truth_ns, WIDEST_NS)?;
        // What the machine does above the threshold widens the interval of the whole mean without limit.
        holds(analysis, "/trial/effects/on/mean", truth_ns, f64::INFINITY)
    })
}

fn by_ebpf(kit: &Kit) -> anyhow::Result<()> {
    let options = [exact_kernel_probe(), &["--requests=12000"]].concat();
    find(kit, &options, true, |analysis, truth_ns| {
        holds(analysis, "/in_situ/hook_overhead", truth_ns, WIDEST_NS)
    })
}
