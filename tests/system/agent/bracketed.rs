//! Bracketed processes of trials: what the agent reads of their records in shared memory, held against the requests.

use std::path::Path;
use std::process::{Command, Stdio};

use abi::trial::Trial;
use runlog::RunDirectory;
use runlog::record::Request;
use runlog::table::read_all;
use rustix::process::Signal;
use serde_json::Value;

use super::client::{Agent, arm, is_attached, request, spans, unique};
use crate::kit::{Kit, Server, check_schema, compile_c, fail, json, succeed, wait_for};
use crate::unprivileged::unprivileged;

const TRIAL: &str = "seed=5 size=256 run=1 arms=off,null,on,on+1000";
const ARMS: [&str; 4] = ["off", "null", "on", "on+1000"];

/// Puts a program into the trial, as of an arm of the agent's.
fn in_trial<'c>(kit: &Kit, name: &str, command: &'c mut Command) -> &'c mut Command {
    bracketed(kit, name, command).env("HOOKPROBE_TRIAL", TRIAL)
}

/// The same without the trial.
fn bracketed<'c>(kit: &Kit, name: &str, command: &'c mut Command) -> &'c mut Command {
    let preload = ["front.so", "readhook.so", "back.so"].map(|name| kit.path(name));
    let preload = preload.map(|path| path.display().to_string()).join(":");
    command
        .env("LD_PRELOAD", preload)
        .env("HOOKPROBE_ARM", unique(name))
}

fn sut(kit: &Kit) -> Command {
    let mut command = kit.command("sut");
    command.arg("--quiet");
    command
}

/// An agent without probes, as a user without rights.
fn agent_of_nobody(kit: &Kit) -> anyhow::Result<Agent> {
    let mut command = kit.command("probe-user");
    let options = ["agent", "--listen=127.0.0.1:0", "--scan-interval=0.1"];
    unprivileged(command.args(options));
    let (out, err) = (Stdio::piped(), Stdio::piped());
    Agent::of(command.stdout(out).stderr(err).spawn()?, None)
}

/// Has the load generator make requests; returns how many each arm has had by its log.
fn load(kit: &Kit, server: &Server, out: &Path) -> anyhow::Result<[u64; ARMS.len()]> {
    let mut command = kit.command("loadgen");
    command
        .args(["run", "--json", "--trial", TRIAL, "--requests=400"])
        .args(["--blocks=4", "--connections=3"])
        .arg(format!("--arm=server={}", server.url()))
        .arg("--out")
        .arg(out);
    let summary = json(&succeed(&mut command)?)?;
    ensure!(summary["cut_short"].is_null(), "{summary}");
    let trial = Trial::parse(TRIAL.as_bytes())?;
    let mut sent = [0; ARMS.len()];
    for request in read_all::<Request>(RunDirectory::existing(out).requests())? {
        let ordinal = request.first_byte / u64::from(trial.size);
        if let Some(arm) = trial.arm_of(trial.salt(request.connection), ordinal) {
            ensure!(request.is_ok());
            sent[arm] += 1;
        }
    }
    ensure!(sent.iter().all(|requests| *requests > 300), "{sent:?}");
    Ok(sent)
}

/// How many calls an agent has of each arm of the trial.
fn counted(arms: &Value, name: &str) -> [u64; ARMS.len()] {
    ARMS.map(|of| spans(arms, name, &format!("hook_overhead.{of}")))
}

/// Waits until an agent has as many calls, and has accounted for all.
fn wait_for_counts(agent: &Agent, name: &str, sent: [u64; ARMS.len()]) -> anyhow::Result<Value> {
    agent.wait_for(|arms| counted(arms, name) == sent)?;
    let arms = agent.arms()?;
    check_schema(&arms, "agent-arms")?;
    let all: u64 = sent.iter().sum();
    let ledger = &arm(&arms, name)["ledger"];
    let row = &ledger["probes"]["bracketed_call"];
    ensure!(
        row["hits"] == all && row["recorded"] == all && ledger["balanced"] == true,
        "{ledger:#}"
    );
    Ok(arms)
}

pub fn without_rights(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut command = sut(kit);
    unprivileged(in_trial(kit, "bracketed", &mut command));
    let server = Server::start(command)?;
    let agent = agent_of_nobody(kit)?;
    let (_, _, ready) = agent.get("/readyz", &[])?;
    ensure!(
        ready.contains("no probes") && ready.contains("CAP_BPF"),
        "{ready}"
    );
    agent.wait_for(|arms| is_attached(arms, "bracketed"))?;
    let sent = load(kit, &server, &folder.path().join("first"))?;
    let arms = wait_for_counts(&agent, "bracketed", sent)?;
    ensure!(
        arms["probes_missing"]
            .as_str()
            .is_some_and(|why| why.contains("CAP_BPF"))
    );
    let of_trial = &arm(&arms, "bracketed")["spans"];
    // The delay of an arm is what its hook adds.
    let median = |of: &str| of_trial[format!("hook_overhead.{of}")]["p50_ns"].as_u64();
    ensure!(
        median("on+1000") >= Some(1_000) && median("null") < Some(1_000),
        "{of_trial:#}"
    );
    let (_, _, metrics) = agent.get("/metrics", &[])?;
    let labels = format!("arm=\"{}\",container=\"\",pod=\"\"", unique("bracketed"));
    for (of, count) in ARMS.iter().zip(sent) {
        let line = format!(
            "hookprobe_hook_overhead_seconds_count{{{labels},trial_arm=\"{of}\",source=\"shared_memory\"}} {count}\n"
        );
        ensure!(metrics.contains(&line), "{line}{metrics}");
    }
    let read = format!("hookprobe_processes_in_shared_memory{{{labels}}} 1\n");
    for line in ["hookprobe_probes_loaded 0\n", read.as_str()] {
        ensure!(metrics.contains(line), "{line}{metrics}");
    }
    ensure!(!metrics.contains("source=\"ebpf\""), "{metrics}");
    one_agent_at_a_time(kit, &server, agent, folder.path())
}

/// A second agent says that another reads, and reads itself when that has gone, however it went.
fn one_agent_at_a_time(kit: &Kit, server: &Server, first: Agent, out: &Path) -> anyhow::Result<()> {
    let second = agent_of_nobody(kit)?;
    let trouble = |arms: &Value| {
        let trouble = arm(arms, "bracketed")["processes"][0]["trouble"].as_str();
        trouble.unwrap_or_default().to_owned()
    };
    second.wait_for(|arms| trouble(arms).contains("another program reads its records"))?;
    ensure!(!is_attached(&second.arms()?, "bracketed"));
    first.end(Signal::KILL)?;
    second.wait_for(|arms| is_attached(arms, "bracketed"))?;
    let sent = load(kit, server, &out.join("second"))?;
    wait_for_counts(&second, "bracketed", sent)?;
    let (status, said) = second.end(Signal::TERM)?;
    ensure!(
        status.success() && said.contains("there are no probes"),
        "{said}"
    );
    Ok(())
}

/// Without probes there is still a trial, whose calls are those of the run.
pub fn takes_part(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut command = sut(kit);
    in_trial(kit, "server", &mut command);
    let server = Server::start(command)?;
    let runs = format!("--runs-dir={}", folder.path().join("runs").display());
    let agent = Agent::start(kit, &["--no-probes", "--scan-interval=0.1", &runs])?;
    agent.wait_for(|arms| is_attached(arms, "server"))?;
    let load = |trial: &str, out: &str| {
        let mut command = kit.command("loadgen");
        command
            .args(["run", "--json", "--trial", trial, "--requests=400"])
            .args(["--blocks=4", "--warmup=50"])
            .arg(format!("--arm={}={}", unique("server"), server.url()))
            .arg(format!("--agent={}", agent.url()))
            .arg("--out")
            .arg(folder.path().join(out));
        command
    };
    // Before anything is sent.
    let other = TRIAL.replace("seed=5", "seed=6");
    fail(
        &mut load(&other, "other"),
        1,
        &["HOOKPROBE_TRIAL must be seed=6"],
    )?;
    let summary = json(&succeed(&mut load(TRIAL, "run"))?)?;
    check_schema(&summary, "load")?;
    let result = &summary["agent"]["run"]["result"];
    ensure!(
        result["usable"] == true && result["clocks"]["relation"] == "one",
        "{result:#}"
    );
    let doubts = result["doubts"].to_string();
    ensure!(doubts.contains("not scheduled in batch"), "{doubts}");
    let counts = &result["trial"]["counts"];
    ensure!(counts["differing"] == serde_json::json!([]), "{counts:#}");
    let arms = agent.arms()?;
    for (of, own) in ARMS
        .iter()
        .zip(result["arms"].as_array().into_iter().flatten())
    {
        let seen = &arm(&arms, "server")["spans"][format!("hook_overhead.{of}")];
        let own = &own["spans"]["hook_overhead"];
        ensure!(
            own["count"].as_u64() > Some(300) && own == seen,
            "{own:#} {seen:#}"
        );
    }
    Ok(())
}

pub fn children_of_fork(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_c(folder.path(), include_str!("../c/forked.c"), &[])?;
    let mut command = Command::new(program);
    in_trial(kit, "forked", command.arg("3"));
    let server = Server::start(command)?;
    let agent = Agent::start(kit, &["--no-probes", "--scan-interval=0.1"])?;
    agent.wait_for(|arms| {
        let all = arm(arms, "forked")["processes"].as_array();
        let read = |process: &Value| process["shared_memory"] == true;
        all.is_some_and(|all| all.len() == 4 && all.iter().all(read))
    })?;
    let sent = load(kit, &server, &folder.path().join("run"))?;
    wait_for_counts(&agent, "forked", sent)?;
    // What has ended stays in the figures.
    drop(server);
    agent.wait_for(|arms| arm(arms, "forked")["ended_processes"] == 4)?;
    wait_for_counts(&agent, "forked", sent)?;
    Ok(())
}

pub fn counted_once(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let (mut in_shared_memory, mut probed) = (sut(kit), sut(kit));
    in_trial(kit, "recording", &mut in_shared_memory);
    bracketed(kit, "probed", &mut probed);
    let (recording, probed) = (Server::start(in_shared_memory)?, Server::start(probed)?);
    let agent = Agent::start(kit, &["--scan-interval=0.1"])?;
    agent.wait_for(|arms| is_attached(arms, "recording") && is_attached(arms, "probed"))?;
    let sent = load(kit, &recording, &folder.path().join("run"))?;
    request(&probed, 50)?;
    let arms = wait_for_counts(&agent, "recording", sent)?;
    // Both have mapped the one file that is probed.
    let process = &arm(&arms, "recording")["processes"][0];
    ensure!(
        process["library"].is_null() && process["hook"].is_string(),
        "{process:#}"
    );
    ensure!(spans(&arms, "recording", "hook_overhead") == 0, "{arms:#}");
    ensure!(spans(&arms, "probed", "hook_overhead") == 50, "{arms:#}");
    let reads = spans(&arms, "recording", "read_syscall");
    ensure!(reads >= sent.iter().sum(), "{reads}");
    Ok(())
}

pub fn nothing_to_read(kit: &Kit) -> anyhow::Result<()> {
    let mut command = sut(kit);
    bracketed(kit, "silent", &mut command);
    let _server = Server::start(command)?;
    let agent = Agent::start(kit, &["--no-probes", "--scan-interval=0.1"])?;
    let mut trouble = Value::Null;
    wait_for("the agent to say why", || {
        trouble = arm(&agent.arms()?, "silent")["processes"][0]["trouble"].clone();
        Ok(trouble.is_string())
    })?;
    let trouble = trouble.as_str().unwrap_or_default();
    ensure!(
        trouble.contains("no probes") && trouble.contains("records no calls in shared memory"),
        "{trouble}"
    );
    let arms = agent.arms()?;
    ensure!(!is_attached(&arms, "silent") && arms["failures"]["records"].as_u64() >= Some(1));
    Ok(())
}
