//! A trial over two nodes: client and server draw the arms apart, by different clocks.

use std::collections::BTreeMap;
use std::process::Command;

use abi::trial::Trial;
use abi::trial::slices::Slices;
use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::agent_run::{AgentRun, RunResult};
use runlog::estimate::Estimate;
use runlog::record::{BracketedCall, Request};
use runlog::table::read_all;
use runlog::trial::Doses;
use serde_json::Value;
use tempfile::TempDir;

use super::client::{arm, unique};
use super::jitter::Relay;
use super::two_nodes::{AHEAD_NS, Node, agent, load, with_two_nodes};
use crate::kit::{Kit, Running, Server, check_schema, json, succeed};

const TRIAL: &str = "seed=9 size=256 run=1 arms=off,null,on,on+2000";

/// It takes minutes of jitter to find a delay of 2 µs.
const JITTERING: &str = "seed=9 size=256 run=1 arms=off,on,on+20000";
/// By slices of the servers' clock.
const SLICES: &str = "seed=9 size=256 slice=20000000 run=1 arms=off,null,on,on+2000";

/// Nobody tells either side which request has which arm.
pub fn by_requests(kit: &Kit) -> anyhow::Result<()> {
    found_and_joined(kit, TRIAL, Network::Cable)
}

/// The same where messages arrive up to 0.2 ms late, by chance. One connection: client and server share a CPU here, and with more of
/// them an answer would wait for the client while the server is at work for others, whose arms are not its own.
pub fn with_jitter(kit: &Kit) -> anyhow::Result<()> {
    found_and_joined(kit, JITTERING, Network::Jittering)
}

fn found_and_joined(kit: &Kit, trial: &str, network: Network) -> anyhow::Result<()> {
    with_two_nodes(|clients| {
        let load = ["--requests=10000", "--blocks=20", "--warmup=500"];
        let outcome = run(kit, clients, trial, &load, network)?;
        check_delay(&outcome.result)?;
        check_join(&outcome, trial)
    })
}

/// The load generator learns from the agent which slice it is.
pub fn by_slices(kit: &Kit) -> anyhow::Result<()> {
    with_two_nodes(|clients| {
        let load = [
            "--duration=4",
            "--connections=8",
            "--blocks=2",
            "--warmup=4000",
        ];
        let outcome = run(kit, clients, SLICES, &load, Network::Cable)?;
        let trial = outcome.result.trial.as_ref().context("no trial")?;
        let slices = trial.slices.as_ref().context("no slices")?;
        let response = slices.responses.get("per_completed");
        check_dose(response.context("no response to the delay")?)?;
        ensure!(
            slices.other_arm.is_some_and(|share| share < 1e-3),
            "{slices:?}"
        );
        // The true slice of each request, and the one that the load generator took it for.
        let trial = Trial::parse(SLICES.as_bytes())?;
        let cut = Slices::of(&trial).context("no slices")?;
        let requests = read_all::<Request>(outcome.run.requests())?;
        let is_right =
            |request: &&Request| usize::from(request.arm) == cut.at(request.sent_ns - AHEAD_NS).arm;
        let right = requests.iter().filter(is_right).count();
        let share = right as f64 / requests.len() as f64;
        println!("{:.3} % of the requests in the right slice", 100.0 * share);
        ensure!(share > 0.98, "{share}");
        Ok(())
    })
}

/// What is between the nodes.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Cable,
    Jittering,
}

/// What the agent has made of a run.
struct Outcome {
    run: RunDirectory,
    result: RunResult,
    /// It has the run's.
    _folder: TempDir,
}

/// Runs a load from one node to the other, and checks what holds of each.
fn run(
    kit: &Kit,
    clients: &Node,
    trial: &str,
    words: &[&str],
    network: Network,
) -> anyhow::Result<Outcome> {
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
        .env("HOOKPROBE_TRIAL", trial)
        .env("LD_PRELOAD", preload);
    let server = Server::start(server)?;
    agent.wait_for(|arms| {
        let processes = arm(arms, "server")["processes"].as_array();
        // Not while it is taskset still, which has the bracket too.
        let is_read = |one: &Value| {
            let executable = one["executable"].as_str();
            one["shared_memory"] == true && executable.is_some_and(|path| path.ends_with("/sut"))
        };
        processes.is_some_and(|all| all.iter().any(is_read))
    })?;
    let relay = match network {
        Network::Cable => None,
        Network::Jittering => Some((Relay::start(server.port)?, busy_cpu()?)),
    };
    let port = relay.as_ref().map_or(server.port, |(relay, _)| relay.port);
    let mut load = load(kit, clients, &agent, &token, ("server", port));
    load.args(["--trial", trial, "--cpu=0"])
        .args(words)
        .arg("--out")
        .arg(folder.path().join("load"));
    let summary = json(&succeed(&mut load)?)?;
    check_schema(&summary, "load")?;
    let run: AgentRun = serde_json::from_value(summary["agent"]["run"].clone())?;
    let result = run.result.with_context(|| format!("{:?}", run.reason))?;
    ensure!(result.usable, "{:?}", result.doubts);
    check_clocks(&result)?;
    Ok(Outcome {
        run: RunDirectory::existing(runs.join(&run.id)),
        result,
        _folder: folder,
    })
}

/// Keeps the nodes' CPU from falling asleep while a message is on its way: to wake it takes longer than what is measured. Whatever
/// else there is to do comes first.
fn busy_cpu() -> anyhow::Result<Running> {
    let mut busy = Command::new("taskset");
    busy.args(["--cpu-list", "0", "chrt", "--idle", "0"])
        .args(["sh", "-c", "while :; do :; done"]);
    Running::start(busy)
}

/// Joins calls to requests without any clock. The agent's histograms are of the same calls.
fn check_join(outcome: &Outcome, trial: &str) -> anyhow::Result<()> {
    let calls = joined_without_clocks(&outcome.run, trial)?;
    for (arm, own) in outcome.result.arms.iter().zip(calls) {
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
    check_dose(trial.doses.as_ref().context("no doses")?)
}

/// Holds each delay against its interval; the longest must be found.
fn check_dose(doses: &Doses) -> anyhow::Result<()> {
    for dose in &doses.arms {
        let Estimate {
            estimate,
            ci95: [low, high],
            ..
        } = dose.effect;
        println!(
            "{}: {estimate:.0} ns [{low:.0}, {high:.0}] for {:.0} ns",
            dose.arm, dose.delay_ns
        );
        let asked_ns: f64 = dose.arm.replace("on+", "").parse()?;
        ensure!(
            dose.is_measured && (asked_ns..1.5 * asked_ns).contains(&dose.delay_ns),
            "{dose:?}"
        );
        // One run in twenty misses by its interval; none in a thousand by twice that.
        ensure!((estimate - dose.delay_ns).abs() <= high - low, "{dose:?}");
    }
    let longest = doses.arms.last().context("no doses")?;
    ensure!(longest.effect.ci95[0] > 0.0, "{longest:?}");
    Ok(())
}

/// Joins calls to requests by salt and ordinal, which takes no clock, and holds that against time on one clock. Returns the
/// calls of each arm.
fn joined_without_clocks(run: &RunDirectory, trial: &str) -> anyhow::Result<Vec<u64>> {
    let trial = Trial::parse(trial.as_bytes())?;
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
