//! Runs that an agent takes part in: what it joins, and what it keeps of those that are cut short.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::agent_run::{AgentRun, ArmResult, RunState};
use rustix::process::Signal;
use serde_json::Value;

use super::client::{Agent, is_attached, unique};
use super::sut;
use crate::kit::{
    Kit, Running, Server, check_schema, exact_kernel_probe, fail, json, output, succeed, wait_for,
};

/// A server without and one with the hook, which the agent watches.
pub struct Scene {
    pub folder: tempfile::TempDir,
    pub baseline: Server,
    pub hooked: Server,
    pub agent: Agent,
}

impl Scene {
    /// With an agent that takes these options besides its folder for runs.
    pub fn open(kit: &Kit, options: &[&str]) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        let runs = format!("--runs-dir={}", folder.path().join("runs").display());
        let all: Vec<&str> = [runs.as_str()]
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        let agent = Agent::start(kit, &all)?;
        Self::with_agent(kit, folder, agent)
    }

    pub fn with_agent(kit: &Kit, folder: tempfile::TempDir, agent: Agent) -> anyhow::Result<Self> {
        let scene = Self {
            folder,
            baseline: sut(kit, "baseline", false)?,
            hooked: sut(kit, "hooked", true)?,
            agent,
        };
        scene
            .agent
            .wait_for(|arms| is_attached(arms, "baseline") && is_attached(arms, "hooked"))?;
        Ok(scene)
    }

    /// A load on both, with the agent.
    pub fn load(&self, kit: &Kit, options: &[&str]) -> Command {
        let mut load = kit.command("loadgen");
        load.args(["run", "--json", "--seed=1", "--blocks=4", "--agent"])
            .arg(self.agent.url())
            .arg(format!(
                "--arm={}={}",
                unique("baseline"),
                self.baseline.url()
            ))
            .arg(format!("--arm={}={}", unique("hooked"), self.hooked.url()))
            .arg("--out")
            .arg(self.folder.path().join("load"))
            .args(options);
        load
    }

    /// What the agent says of its only run.
    pub fn only_run(&self) -> anyhow::Result<AgentRun> {
        let runs = self.agent.ask_json("/v1/runs")?;
        check_schema(&runs, "agent-runs")?;
        let [run] = runs["runs"].as_array().context("no runs")?.as_slice() else {
            anyhow::bail!("not one run: {runs:#}");
        };
        let id = run["id"].as_str().context("no id")?;
        let run = self.agent.ask_json(&format!("/v1/runs/{id}"))?;
        check_schema(&run, "agent-run")?;
        Ok(serde_json::from_value(run)?)
    }

    /// Waits until the only run is over.
    pub fn over(&self) -> anyhow::Result<AgentRun> {
        let mut last = None;
        wait_for("the run to end", || {
            let run = self.only_run()?;
            let is_over = run.state.is_over();
            last = Some(run);
            Ok(is_over)
        })?;
        last.context("no run")
    }

    fn runs(&self) -> std::path::PathBuf {
        self.folder.path().join("runs")
    }
}

/// What came of the two arms.
pub fn arms(run: &AgentRun) -> anyhow::Result<[&ArmResult; 2]> {
    let result = run.result.as_ref().with_context(|| format!("{run:?}"))?;
    let [baseline, hooked] = result.arms.as_slice() else {
        anyhow::bail!("{result:?}");
    };
    Ok([baseline, hooked])
}

fn of_load(output: &std::process::Output) -> anyhow::Result<(Value, AgentRun)> {
    let summary = json(output)?;
    check_schema(&summary, "load")?;
    let run = serde_json::from_value(summary["agent"]["run"].clone())?;
    Ok((summary, run))
}

pub fn joins(kit: &Kit) -> anyhow::Result<()> {
    const REQUESTS: u64 = 4_000;
    let scene = Scene::open(kit, &[])?;
    // Nobody asks for the records of these.
    super::client::request(&scene.hooked, 300)?;
    let mut load = scene.load(kit, &["--requests=4000", "--connections=4", "--warmup=100"]);
    let (summary, run) = of_load(&succeed(&mut load)?)?;
    ensure!(summary["agent"]["trouble"].is_null(), "{summary:#}");
    ensure!(
        run == scene.only_run()?,
        "the load generator prints what the agent answers"
    );
    ensure!(run.state == RunState::Complete, "{run:?}");
    let result = run.result.as_ref().context("no result")?;
    ensure!(result.usable && result.doubts.is_empty(), "{result:?}");
    let [baseline, hooked] = arms(&run)?;
    for arm in [baseline, hooked] {
        ensure!(
            arm.requests + arm.warmup_requests == REQUESTS && arm.errors == 0,
            "{arm:?}"
        );
        ensure!(arm.ledger.balanced && arm.ledger.dropped == 0, "{arm:?}");
        ensure!(arm.spans["read_syscall"].count >= REQUESTS, "{arm:?}");
        ensure!(
            arm.ledger.records_received == arm.ledger.records_written,
            "{arm:?}"
        );
    }
    ensure!(!baseline.hooked && baseline.join.is_none(), "{baseline:?}");
    let join = hooked.join.as_ref().context("no join")?;
    ensure!(
        join.requests == REQUESTS && join.matched == REQUESTS && join.unmatched.is_empty(),
        "{join:?}"
    );
    ensure!(
        join.reads_without_request == 0 && join.outside_sent_done == 0,
        "{join:?}"
    );
    // One read for each request, and one for the end of each connection, which may come a little later.
    let reads = hooked.spans["hook_overhead"].count;
    ensure!((REQUESTS..=REQUESTS + 16).contains(&reads), "{reads} reads");
    // The load generator has counted the same requests.
    let latency = hooked.latency_ns.as_ref().context("no latency")?;
    let own = &summary["arms"][1]["latency_ns"];
    ensure!(
        own["p50"] == latency.p50 && own["p99"] == latency.p99 && own["max"] == latency.max,
        "{own} {latency:?}"
    );
    // What it counts for ever goes on to balance.
    let all = scene.agent.arms()?;
    for name in ["baseline", "hooked"] {
        let ledger = &super::client::arm(&all, name)["ledger"];
        ensure!(ledger["balanced"] == true, "{ledger:#}");
    }
    same_by_hand(kit, &scene, &run)?;
    report(&scene, &run)
}

/// The folders of the run are those of a load and of traces: `correlate` joins them again.
fn same_by_hand(kit: &Kit, scene: &Scene, run: &AgentRun) -> anyhow::Result<()> {
    let directory = RunDirectory::existing(scene.runs().join(&run.id));
    let spans = directory.spans_of(&unique("hooked"));
    let mut correlate = kit.command("probe-user");
    correlate
        .args(["correlate", "--json", "--arm", &unique("hooked")])
        .arg(spans.root())
        .arg("--requests")
        .arg(directory.root());
    let correlation = json(&succeed(&mut correlate)?)?;
    let [_, hooked] = arms(run)?;
    ensure!(
        correlation["join"] == serde_json::to_value(&hooked.join)?,
        "{correlation:#} {hooked:?}"
    );
    // What was sent is what there is.
    for (sent, there) in [
        ("requests.npy", directory.requests()),
        ("connections-client.npy", directory.client_connections()),
    ] {
        let own = fs::metadata(scene.folder.path().join("load").join(sent))?.len();
        ensure!(fs::metadata(there)?.len() == own, "{sent}");
    }
    Ok(())
}

fn report(scene: &Scene, run: &AgentRun) -> anyhow::Result<()> {
    let path = format!("/v1/runs/{}/report", run.id);
    let (status, head, page) = scene.agent.get(&path, &[])?;
    ensure!(
        status == 200 && head.contains("text/html") && head.contains("sandbox"),
        "{head}"
    );
    let [_, hooked] = arms(run)?;
    let p50 = format!(
        "<data value=\"{}\" data-figure=\"agent-run.json#/result/arms/1/spans/hook_overhead/p50_ns\">",
        hooked.spans["hook_overhead"].p50_ns
    );
    for text in [&run.id, &unique("hooked"), "4,000", &p50, "balance"] {
        ensure!(page.contains(text), "no {text}: {page}");
    }
    for text in ["<script", "http-equiv=\"refresh", "src="] {
        ensure!(!page.contains(text), "{text}");
    }
    Ok(())
}

pub fn without_a_folder(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let agent = Agent::start(kit, &[])?;
    for path in ["/v1/runs", "/v1/runs/x", "/v1/runs/x/report"] {
        let (status, _, body) = agent.get(path, &[])?;
        ensure!(
            status == 503 && body.contains("--runs-dir"),
            "{path}: {status} {body}"
        );
    }
    let scene = Scene::with_agent(kit, folder, agent)?;
    // It is told before anything is sent, and leaves nothing behind.
    let mut load = scene.load(kit, &["--requests=100"]);
    fail(&mut load, 1, &["takes no part", "--runs-dir", "503"])?;
    ensure!(!scene.folder.path().join("load").exists());
    let mut alone = scene.load(kit, &["--requests=100"]);
    alone.arg("--agent=http://127.0.0.1:1");
    fail(&mut alone, 1, &["--agent"])
}

/// What a load has itself, whatever has become of the agent.
fn own_results(folder: &Path, requests: u64) -> anyhow::Result<()> {
    let summary: Value = serde_json::from_str(&fs::read_to_string(folder.join("load/load.json"))?)?;
    for arm in summary["arms"].as_array().context("no arms")? {
        ensure!(
            arm["requests"] == requests && arm["errors"] == 0,
            "{summary:#}"
        );
    }
    ensure!(summary["cut_short"].is_null(), "{summary:#}");
    ensure!(summary["agent"]["trouble"].is_string(), "{summary:#}");
    Ok(())
}

/// So much of a log has requests to both arms, whichever came first.
const BYTES_OF_BOTH_ARMS: u64 = 60_000;

pub fn agent_ends(kit: &Kit) -> anyhow::Result<()> {
    for signal in [Signal::KILL, Signal::TERM] {
        let scene = Scene::open(kit, &[])?;
        let mut load = scene.load(kit, &["--rate=500", "--requests=1000"]);
        let load = Running::start_piped(&mut load)?;
        wait_for("some of the log", || {
            let runs = scene.agent.ask_json("/v1/runs")?;
            let has_begun = runs["runs"].as_array().is_some_and(|runs| !runs.is_empty());
            Ok(has_begun && scene.only_run()?.received.requests > BYTES_OF_BOTH_ARMS)
        })?;
        let Scene {
            agent,
            folder,
            baseline,
            hooked,
        } = scene;
        let (status, said) = agent.end(signal)?;
        if signal == Signal::TERM {
            ensure!(
                status.success() && said.contains("ledger balances"),
                "{status}: {said}"
            );
        }
        if signal == Signal::KILL {
            let ended = load.output()?;
            let said = String::from_utf8_lossy(&ended.stderr);
            ensure!(
                ended.status.code() == Some(4) && said.contains("own results are kept"),
                "{}: {said}",
                ended.status
            );
            own_results(folder.path(), 1_000)?;
        } else {
            drop(load);
        }
        // The next agent knows the run, and takes others.
        let runs = format!("--runs-dir={}", folder.path().join("runs").display());
        let agent = Agent::start(kit, &[&runs])?;
        let scene = Scene {
            folder,
            baseline,
            hooked,
            agent,
        };
        let run = scene.only_run()?;
        let reason = run.reason.clone().unwrap_or_default();
        ensure!(
            run.state == RunState::CutShort && reason.contains("the agent was ended"),
            "{run:?}"
        );
        if signal == Signal::TERM {
            let [_, hooked] = arms(&run)?;
            let join = hooked.join.as_ref().context("no join")?;
            ensure!(join.matched > 0 && hooked.ledger.balanced, "{hooked:?}");
            ensure!(run.result.as_ref().is_some_and(|result| !result.usable));
        }
        scene
            .agent
            .wait_for(|arms| is_attached(arms, "baseline") && is_attached(arms, "hooked"))?;
        fs::remove_dir_all(scene.folder.path().join("load"))?;
        succeed(&mut scene.load(kit, &["--requests=200"]))?;
    }
    Ok(())
}

/// The agent, with a folder for runs that is full soon.
const IN_A_SMALL_FOLDER: &str = r#"
mount -t tmpfs -o size=1500k none "$RUNS" && exec "$PROBE_USER" agent --listen=127.0.0.1:0 --runs-dir "$RUNS" $OPTIONS
"#;

pub fn disk_full(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let runs = folder.path().join("runs");
    fs::create_dir(&runs)?;
    let mut node = Command::new("unshare");
    node.args(["--mount", "sh", "-c", IN_A_SMALL_FOLDER])
        .env("RUNS", &runs)
        .env("PROBE_USER", kit.path("probe-user"))
        .env("OPTIONS", exact_kernel_probe().join(" "))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let agent = Agent::of(node.spawn()?, None)?;
    let scene = Scene::with_agent(kit, folder, agent)?;
    let ended = output(&mut scene.load(kit, &["--requests=20000"]))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.code() == Some(4) && said.contains("own results are kept"),
        "{}: {said}",
        ended.status
    );
    own_results(scene.folder.path(), 20_000)?;
    let run = scene.over()?;
    ensure!(run.state != RunState::Complete, "{run:?}");
    let reason = run.reason.unwrap_or_default();
    ensure!(reason.contains("No space left"), "{reason}");
    // It has not died of it, and counts on.
    let before = scene.agent.arms()?;
    super::client::request(&scene.hooked, 50)?;
    let after = scene.agent.arms()?;
    let hooked = |arms| super::client::spans(arms, "hooked", "hook_overhead");
    ensure!(hooked(&after) - hooked(&before) == 50);
    Ok(())
}

pub fn load_gone(kit: &Kit) -> anyhow::Result<()> {
    let scene = Scene::open(kit, &["--max-run-seconds=2"])?;
    let mut load = scene.load(kit, &["--rate=500", "--requests=100000"]);
    let load = Running::start_piped(&mut load)?;
    wait_for("some of the log", || {
        let runs = scene.agent.ask_json("/v1/runs")?;
        let has_begun = runs["runs"].as_array().is_some_and(|runs| !runs.is_empty());
        if !has_begun {
            return Ok(false);
        }
        let received = scene.only_run()?.received;
        Ok(received.requests > 0 && received.connections > 0)
    })?;
    load.signal(Signal::KILL)?;
    drop(load);
    let run = scene.over()?;
    let reason = run.reason.clone().unwrap_or_default();
    ensure!(
        run.state == RunState::CutShort && reason.contains("--max-run-seconds"),
        "{run:?}"
    );
    // What had come in is joined.
    let [_, hooked] = arms(&run)?;
    let join = hooked.join.as_ref().context("no join")?;
    ensure!(join.matched == join.requests, "{join:?}");
    ensure!(
        Path::new(&scene.runs())
            .join(&run.id)
            .join("requests.npy")
            .exists()
    );
    Ok(())
}
