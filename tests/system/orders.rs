//! The orders of blocks: duet and sequential.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::record::{ClientConnection, ReadSpan, Request};
use runlog::table::read_all;

use crate::Test;
use crate::kit::{Kit, check_schema, exact_kernel_probe, fail, json, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "orders::a_duet_runs_two_arms_at_once",
        needs: &[Need::Alone],
        run: duet_load,
    },
    Test {
        name: "orders::a_duet_joins_and_compares_pairs",
        needs: &[Need::Root, Need::TwoCpus],
        run: duet_bench,
    },
    Test {
        name: "orders::sequential_is_compared_unpaired_and_warned_of",
        needs: &[Need::Alone],
        run: sequential_bench,
    },
    Test {
        name: "orders::what_makes_no_sense_is_refused",
        needs: &[],
        run: refusals,
    },
];

/// First request sent and last response seen of each block, and its arm, by the block's number.
fn blocks(requests: &[Request]) -> Vec<(u16, u64, u64)> {
    requests
        .chunk_by(|left, right| left.block == right.block)
        .map(|block| {
            let sent = block.iter().map(|request| request.sent_ns).min();
            let done = block.iter().map(|request| request.done_ns).max();
            (block[0].arm, sent.unwrap_or(0), done.unwrap_or(0))
        })
        .collect()
}

/// Checks that blocks 2n and 2n + 1 are of arm 0 and another, ran at once, and change sides from one
/// round to the next. Returns how many pairs there were.
fn check_pairs(run: &RunDirectory, rounds: usize) -> anyhow::Result<usize> {
    let requests: Vec<Request> = read_all(run.requests())?;
    ensure!(requests.is_sorted_by_key(|request| request.block));
    let mut sequences: Vec<u64> = requests.iter().map(|request| request.sequence).collect();
    sequences.sort_unstable();
    ensure!(
        sequences
            .iter()
            .zip(0..)
            .all(|(sequence, number)| *sequence == number)
    );
    let blocks = blocks(&requests);
    let mut firsts: Vec<Vec<bool>> = vec![Vec::new(); 8];
    let observed: Vec<bool> = requests
        .chunk_by(|left, right| left.block == right.block)
        .map(|block| block[0].is_observed())
        .collect();
    for (pair, observed) in blocks.chunks(2).zip(observed.iter().step_by(2)) {
        let [(left, left_from, left_to), (right, right_from, right_to)] = pair else {
            anyhow::bail!("a block without its neighbour");
        };
        ensure!(left.min(right) == &0 && left != right, "{pair:?}");
        ensure!(
            left_from.max(right_from) < left_to.min(right_to),
            "not at once: {pair:?}"
        );
        let key = 2 * usize::from(*left.max(right)) + usize::from(*observed);
        firsts[key].push(*left == 0);
    }
    let pairs: Vec<_> = firsts
        .into_iter()
        .filter(|sides| !sides.is_empty())
        .collect();
    for sides in &pairs {
        ensure!(sides.len() == rounds, "{sides:?}");
        ensure!(sides.chunks(2).all(|two| two[0] != two[1]), "{sides:?}");
    }
    Ok(pairs.len())
}

fn duet_load(kit: &Kit) -> anyhow::Result<()> {
    let servers = [
        kit.sut(None, &["--quiet"])?,
        kit.sut(None, &["--quiet"])?,
        kit.sut(None, &["--quiet"])?,
    ];
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = kit.command("loadgen");
    command.args([
        "run",
        "--json",
        "--order=duet",
        "--requests=4000",
        "--blocks=4",
    ]);
    command
        .args(["--connections=2", "--seed=7", "--out"])
        .arg(&out);
    for (name, server) in ["a", "b", "c"].iter().zip(&servers) {
        command.arg("--arm").arg(format!("{name}={}", server.url()));
    }
    let summary = json(&succeed(&mut command)?)?;
    check_schema(&summary, "load")?;
    ensure!(summary["schedule"]["order"] == "duet");
    let counts: Vec<_> = summary["arms"]
        .as_array()
        .context("no arms")?
        .iter()
        .collect();
    ensure!(counts[0]["requests"] == 8_000 && counts[1]["requests"] == 4_000);
    let run = RunDirectory::existing(&out);
    ensure!(check_pairs(&run, 4)? == 2);
    let connections: Vec<ClientConnection> = read_all(run.client_connections())?;
    let mut numbers: Vec<u32> = connections.iter().map(|row| row.connection).collect();
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(numbers.len() == 2 * 4 * 2 * 2, "connections share numbers");
    Ok(())
}

fn short_bench(kit: &Kit, order: &str, requests: u64, out: &Path) -> Command {
    let mut command = kit.bench();
    command.args(["--json", "--blocks=6", "--warmup=100"]);
    command.arg(format!("--requests={requests}")).args([
        "--block-warmup=20",
        "--micro-calls=20",
        "--calibration-rounds=0",
    ]);
    command.args(["--order", order, "--out"]).arg(out);
    command
}

fn duet_bench(kit: &Kit) -> anyhow::Result<()> {
    /// Blocks of so many still run at once for a good part when another program takes a time slice.
    const REQUESTS: u64 = 12_000;
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = short_bench(kit, "duet", REQUESTS, &out);
    command.args(exact_kernel_probe());
    let analysis = json(&succeed(&mut command)?)?;
    check_schema(&analysis, "analysis")?;
    let run = RunDirectory::existing(&out);
    // Two pairs, each with the probes attached and detached.
    ensure!(check_pairs(&run, 6)? == 4);
    ensure!(
        analysis["ledger"]["balanced"] == true,
        "{}",
        analysis["ledger"]
    );
    let join = &analysis["join"];
    ensure!(
        join["requests"] == REQUESTS && join["matched"] == REQUESTS,
        "{join}"
    );
    let reads: Vec<ReadSpan> = read_all(run.reads())?;
    ensure!(reads.is_sorted_by_key(|read| read.attach));
    for name in ["difference", "a_a_difference"] {
        let difference = &analysis["macro"][name];
        let method = difference["method"].as_str().context("no method")?;
        ensure!(method.contains("order duet"), "{method}");
        ensure!(difference["blocks"].as_u64() <= Some(3), "{difference}");
    }
    let sent = |arm: &str| analysis["requests"][arm]["sent"].clone();
    // In two pairs, with the probes attached and detached.
    ensure!(sent("baseline") == 4 * REQUESTS);
    ensure!(sent("baseline-2") == 2 * REQUESTS && sent("hooked") == 2 * REQUESTS);
    Ok(())
}

fn sequential_bench(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = short_bench(kit, "sequential", 2_400, &out);
    command.arg("--no-probes");
    let analysis = json(&succeed(&mut command)?)?;
    check_schema(&analysis, "analysis")?;
    let method = analysis["macro"]["difference"]["method"].as_str();
    let method = method.context("no method")?;
    ensure!(
        method.contains("Yuen") && method.contains("unpaired"),
        "{method}"
    );
    let warnings = analysis["warnings"].as_array().context("no warnings")?;
    let warning = warnings.first().and_then(|warning| warning.as_str());
    ensure!(
        warning.is_some_and(|text| text.contains("drifts")),
        "{warnings:?}"
    );
    let requests: Vec<Request> = read_all(RunDirectory::existing(&out).requests())?;
    ensure!(requests.is_sorted_by_key(|request| request.arm));
    Ok(())
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let bench = |options: &[&str], texts: &[&str]| {
        let mut command = kit.bench();
        command.args(["--order=duet"]).args(options);
        fail(&mut command, 1, texts)
    };
    bench(&["--blocks=25"], &["--blocks 25", "even"])?;
    bench(&["--placement=one-core"], &["--placement", "duet"])?;
    let load = |options: &[&str], texts: &[&str]| {
        let mut command = kit.command("loadgen");
        // Refused before anything is connected to.
        command
            .args(["run", "--arm=a=http://127.0.0.1:9/"])
            .args(options);
        fail(&mut command, 1, texts)
    };
    load(&["--order=duet"], &["--order duet", "second --arm"])?;
    load(&["--side-cpus=0,1"], &["--side-cpus", "duet"])?;
    let two = ["--order=duet", "--arm=b=http://127.0.0.1:9/"];
    load(&[two[0], two[1], "--blocks=3"], &["--blocks 3", "even"])?;
    load(
        &[two[0], two[1], "--blocks=4", "--side-cpus=0"],
        &["--side-cpus", "two different"],
    )?;
    load(
        &[two[0], two[1], "--blocks=4", "--side-cpus=1,1"],
        &["two different"],
    )
}
