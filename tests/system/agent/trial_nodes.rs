//! A trial over two nodes: client and server draw the arms apart, by different clocks, and nobody tells either.

use std::collections::BTreeMap;
use std::process::Command;

use abi::trial::Trial;
use anyhow::{Context as _, bail};
use runlog::RunDirectory;
use runlog::agent_run::{AgentRun, RunResult};
use runlog::record::{BracketedCall, Request};
use runlog::table::read_all;

use super::client::{is_attached, unique};
use super::two_nodes::{AHEAD_NS, Node, agent, load, with_two_nodes};
use crate::kit::{Kit, Server, check_schema, json, output, succeed};

const TRIAL: &str = "seed=9 size=256 run=1 arms=off,null,on,on+2000";

pub fn trial(kit: &Kit) -> anyhow::Result<()> {
    with_two_nodes(|clients| run(kit, clients))
}

/// Delays packets by 0.2 ms and as much again at random, if this kernel can; says whether it does.
fn jitter(clients: &Node) -> anyhow::Result<bool> {
    let mut netem = clients.command("tc");
    netem.args("qdisc add dev cable root netem delay 0.4ms 0.2ms".split(' '));
    let can = output(&mut netem)?.status.success();
    if !can {
        println!("this kernel has no netem: without jitter");
    }
    Ok(can)
}

fn run(kit: &Kit, clients: &Node) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let (token, runs) = (folder.path().join("token"), folder.path().join("runs"));
    let agent = agent(kit, &token, &runs)?;
    let preload = ["front.so", "readhook.so", "back.so"].map(|name| kit.path(name));
    let preload = preload.map(|path| path.display().to_string()).join(":");
    // Both nodes are on this machine: on one CPU, where no idle one has to be woken for a request.
    let mut server = Command::new("taskset");
    server
        .args(["--cpu-list", "0", "chrt", "--batch", "0"])
        .arg(kit.path("sut"))
        .args(["--quiet", "--bind=0.0.0.0"])
        .env("HOOKPROBE_ARM", unique("server"))
        .env("HOOKPROBE_TRIAL", TRIAL)
        .env("LD_PRELOAD", preload);
    let server = Server::start(server)?;
    agent.wait_for(|arms| is_attached(arms, "server"))?;
    // Jitter takes more requests, and several connections more of them at a time.
    let (requests, connections) = if jitter(clients)? {
        (150_000, 64)
    } else {
        (10_000, 1)
    };
    let mut load = load(kit, clients, &agent, &token, ("server", server.port));
    load.args(["--trial", TRIAL, "--warmup=500", "--blocks=20", "--cpu=0"])
        .arg(format!("--requests={requests}"))
        .arg(format!("--connections={connections}"))
        .arg("--out")
        .arg(folder.path().join("load"));
    let summary = json(&succeed(&mut load)?)?;
    check_schema(&summary, "load")?;
    let run: AgentRun = serde_json::from_value(summary["agent"]["run"].clone())?;
    let result = run.result.as_ref().with_context(|| format!("{run:?}"))?;
    ensure!(result.usable, "{:?}", result.doubts);
    check_clocks(result)?;
    check_delay(result)?;
    let directory = RunDirectory::existing(runs.join(&run.id));
    let calls = joined_without_clocks(&directory)?;
    // The agent's histograms are of the same calls.
    for (arm, own) in result.arms.iter().zip(calls) {
        let seen = arm.spans.get("hook_overhead").map(|spans| spans.count);
        ensure!(seen == Some(own), "{}: {seen:?}, not {own}", arm.arm);
    }
    Ok(())
}

fn check_clocks(result: &RunResult) -> anyhow::Result<()> {
    let clocks = result.clocks.context("no clocks")?;
    ensure!(
        serde_json::to_value(clocks.relation)? == "two"
            && (clocks.offset_ns + AHEAD_NS as f64).abs() <= clocks.bound_ns
            && clocks.bound_ns < 1e7,
        "{clocks:?}"
    );
    Ok(())
}

/// The delay behind the hook is found end to end, and both sides have counted the same.
fn check_delay(result: &RunResult) -> anyhow::Result<()> {
    let trial = result.trial.as_ref().context("no trial")?;
    let counts = trial.counts.as_ref().context("no counts")?;
    ensure!(
        counts.differing.is_empty() && counts.misplaced == 0 && counts.records.lost() == 0,
        "{counts:?}"
    );
    let doses = trial.doses.as_ref().context("no doses")?;
    let [dose] = doses.arms.as_slice() else {
        bail!("{doses:?}")
    };
    let [low, high] = dose.effect.ci95;
    println!(
        "{}: {:.0} ns [{low:.0}, {high:.0}] for {:.0} ns",
        dose.arm, dose.effect.estimate, dose.delay_ns
    );
    ensure!(
        dose.is_measured && (2_000.0..3_000.0).contains(&dose.delay_ns),
        "{dose:?}"
    );
    // One run in twenty misses by its interval; none in a thousand by twice that.
    let missed = (dose.effect.estimate - dose.delay_ns).abs();
    ensure!(low > 0.0 && missed <= high - low, "{dose:?}");
    Ok(())
}

/// Joins calls to requests by salt and ordinal, which takes no clock, and holds that against time on one clock. Returns the
/// calls of each arm.
fn joined_without_clocks(run: &RunDirectory) -> anyhow::Result<Vec<u64>> {
    let trial = Trial::parse(TRIAL.as_bytes())?;
    let mut calls: BTreeMap<(u64, u64), BracketedCall> = BTreeMap::new();
    for call in read_all::<BracketedCall>(run.bracketed_calls())? {
        let twice = calls.insert((call.salt, call.ordinal.into()), call);
        ensure!(twice.is_none(), "two calls of one request: {call:?}");
    }
    let mut by_arm = vec![0; trial.arms().len()];
    for request in read_all::<Request>(run.requests())? {
        let salt = trial.salt(request.connection);
        let ordinal = request.first_byte / u64::from(trial.size);
        let Some(arm) = trial.arm_of(salt, ordinal) else {
            continue;
        };
        let call = calls.remove(&(salt, ordinal));
        let call = call.with_context(|| format!("no call of {request:?}"))?;
        ensure!(usize::from(call.arm) == arm, "{call:?}");
        let (sent_ns, done_ns) = (request.sent_ns - AHEAD_NS, request.done_ns - AHEAD_NS);
        ensure!(
            (sent_ns..=done_ns).contains(&call.back_exit_ns),
            "{call:?} outside of {request:?}"
        );
        by_arm[arm] += 1;
    }
    ensure!(calls.is_empty(), "{} calls of no request", calls.len());
    Ok(by_arm)
}
