//! Two network namespaces with a cable between them stand for two nodes: on one the server and the agent, on the other
//! the load generator, whose clock is another.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use runlog::agent_run::{AgentRun, ArmResult};
use runlog::record::{ClientConnection, JoinedRequest, Request};
use runlog::summary::LoadSummary;
use runlog::table::{TableWriter, WritableRow, read_all};
use runlog::trace::Trace;
use runlog::{RunDirectory, json};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::client::{Agent, is_attached, unique};
use crate::kit::{Kit, Running, Server, check_schema, exact_kernel_probe, succeed, wait_for};

/// The load generator's clock is ahead by this, to the nanosecond.
pub const AHEAD_NS: u64 = 1_000_000_000_000;
const REQUESTS: u64 = 4_000;
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A network namespace, for as long as the value lives.
pub struct Node(Running);

impl Node {
    fn new() -> anyhow::Result<Self> {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sleep", "infinity"]);
        let node = Self(Running::start(holder)?);
        let ours = fs::read_link("/proc/self/ns/net")?;
        wait_for("a network namespace", || {
            Ok(fs::read_link(node.namespace())? != ours)
        })?;
        Ok(node)
    }

    fn namespace(&self) -> String {
        format!("/proc/{}/ns/net", self.0.pid())
    }

    /// A command that runs there.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace()));
        command.arg(program);
        command
    }

    pub fn ip(&self, words: &str) -> anyhow::Result<()> {
        succeed(self.command("ip").args(words.split(' '))).map(|_| ())
    }
}

pub fn two_nodes(kit: &Kit) -> anyhow::Result<()> {
    with_two_nodes(|clients| run(kit, clients))
}

/// Runs something on the node of the servers, which is told the node of the clients.
pub fn with_two_nodes(run: impl FnOnce(&Node) -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    let (servers, clients) = (Node::new()?, Node::new()?);
    let other = clients.0.pid();
    servers.ip("link set lo up")?;
    servers.ip(&format!(
        "link add cable type veth peer name cable netns {other}"
    ))?;
    for (node, address) in [(&servers, "10.0.0.1/30"), (&clients, "10.0.0.2/30")] {
        node.ip(&format!("address add {address} dev cable"))?;
        node.ip("link set cable up")?;
    }
    // A thread of its own, so that no other test finds itself there.
    thread::scope(|scope| {
        let on_server = scope.spawn(|| {
            let namespace = File::open(servers.namespace())?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            run(&clients)
        });
        match on_server.join() {
            Ok(result) => result,
            Err(_) => bail!("a panic in the other namespace"),
        }
    })
}

fn run(kit: &Kit, clients: &Node) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let token = folder.path().join("token");
    let runs = folder.path().join("runs");
    let agent = agent(kit, &token, &runs)?;
    let mut server = kit.command("sut");
    server
        .args(["--quiet", "--bind=0.0.0.0"])
        .env("HOOKPROBE_ARM", unique("hooked"))
        .env("LD_PRELOAD", kit.path("readhook.so"));
    let server = Server::start(server)?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;

    let mut load = load(kit, clients, &agent, &token, ("hooked", server.port));
    load.args(["--seed=1", "--blocks=4", "--connections=4"])
        .arg(format!("--requests={REQUESTS}"))
        .arg("--out")
        .arg(folder.path().join("load"));
    let summary = crate::kit::json(&succeed(&mut load)?)?;
    let run: AgentRun = serde_json::from_value(summary["agent"]["run"].clone())?;
    let result = run.result.as_ref().with_context(|| format!("{run:?}"))?;
    ensure!(result.usable, "{result:?}");
    let [hooked] = result.arms.as_slice() else {
        bail!("{result:?}")
    };
    joined_over_two_clocks(hooked)?;
    let directory = RunDirectory::existing(runs.join(&run.id));
    let spans = directory.spans_of(&unique("hooked"));
    let by_one_clock = folder.path().join("one-clock.npy");
    let correlation = with_one_clock(kit, &directory, &spans, folder.path(), &by_one_clock)?;
    let join = &correlation["join"];
    ensure!(
        join["clocks"]["relation"] == "one" && join["matched"] == REQUESTS,
        "{join:#}"
    );
    same_requests(&read_all(spans.joined())?, &read_all(by_one_clock)?)
}

/// An agent that takes part in runs of other machines.
pub fn agent(kit: &Kit, token: &Path, runs: &Path) -> anyhow::Result<Agent> {
    fs::write(token, TOKEN)?;
    let mut agent = kit.command("probe-user");
    agent
        .args(["agent", "--listen=0.0.0.0:0", "--token-file"])
        .arg(token)
        .arg("--runs-dir")
        .arg(runs)
        .args(exact_kernel_probe());
    let (out, err) = (Stdio::piped(), Stdio::piped());
    Agent::of(agent.stdout(out).stderr(err).spawn()?, Some(TOKEN))
}

/// A load generator on the node of the clients, by its own clock.
pub fn load(
    kit: &Kit,
    clients: &Node,
    agent: &Agent,
    token: &Path,
    (name, port): (&str, u16),
) -> Command {
    let mut load = clients.command("unshare");
    load.args(["--time", "--fork", "--monotonic", "1000"])
        .arg(kit.path("loadgen"))
        .args(["run", "--json"])
        .arg(format!("--arm={}=http://10.0.0.1:{port}/", unique(name)))
        .arg(format!(
            "--agent={}",
            agent.url().replace("0.0.0.0", "10.0.0.1")
        ))
        .arg("--agent-token-file")
        .arg(token);
    load
}

fn joined_over_two_clocks(hooked: &ArmResult) -> anyhow::Result<()> {
    ensure!(
        hooked.ledger.balanced && hooked.ledger.dropped == 0,
        "{hooked:?}"
    );
    let join = hooked.join.as_ref().context("no join")?;
    ensure!(
        join.matched == REQUESTS && join.requests == REQUESTS && join.reads_without_request == 0,
        "{join:?}"
    );
    let clocks = join.clocks.context("no clocks")?;
    ensure!(
        serde_json::to_value(clocks.relation)? == "two",
        "{clocks:?}"
    );
    ensure!(
        (clocks.offset_ns + AHEAD_NS as f64).abs() <= clocks.bound_ns && clocks.bound_ns < 1e7,
        "{clocks:?}"
    );
    Ok(())
}

/// Joins the run again, with the load generator's log put on the agent's clock.
fn with_one_clock(
    kit: &Kit,
    run: &RunDirectory,
    spans: &RunDirectory,
    folder: &Path,
    out: &Path,
) -> anyhow::Result<Value> {
    let load = RunDirectory::create(folder.join("one-clock"))?;
    rewrite(&run.requests(), &load.requests(), |row: Request| Request {
        planned_ns: row.planned_ns - AHEAD_NS,
        sent_ns: row.sent_ns - AHEAD_NS,
        done_ns: row.done_ns - AHEAD_NS,
        ..row
    })?;
    rewrite(
        &run.client_connections(),
        &load.client_connections(),
        |row: ClientConnection| ClientConnection {
            opening_ns: row.opening_ns - AHEAD_NS,
            ..row
        },
    )?;
    let trace: Trace = json::read(&spans.trace())?;
    let mut summary: LoadSummary = json::read(&run.load_summary())?;
    ensure!(summary.clock != trace.clock, "the clocks are one");
    summary.clock = trace.clock;
    json::write(&load.load_summary(), &summary)?;
    let mut correlate = kit.command("probe-user");
    correlate
        .args(["correlate", "--json", "--out"])
        .arg(out)
        .arg(spans.root())
        .arg("--requests")
        .arg(load.root());
    let correlation = crate::kit::json(&succeed(&mut correlate)?)?;
    check_schema(&correlation, "correlation")?;
    Ok(correlation)
}

fn rewrite<T: WritableRow + runlog::table::Row>(
    from: &Path,
    to: &Path,
    change: impl Fn(T) -> T,
) -> anyhow::Result<()> {
    let mut table = TableWriter::create(to)?;
    for row in read_all::<T>(from)? {
        table.push(&change(row))?;
    }
    table.finish()?;
    Ok(())
}

/// The same reads belong to the same requests. What of a read came before its request was sent is as exact as the
/// offset.
fn same_requests(two: &[JoinedRequest], one: &[JoinedRequest]) -> anyhow::Result<()> {
    ensure!(two.len() as u64 == REQUESTS && one.len() == two.len());
    for (two, one) in two.iter().zip(one) {
        let split = JoinedRequest {
            read_syscall_ns: one.read_syscall_ns,
            waited_ns: one.waited_ns,
            ..*two
        };
        ensure!(split == *one, "{two:?} {one:?}");
        ensure!(
            two.read_syscall_ns + two.waited_ns == one.read_syscall_ns + one.waited_ns,
            "{two:?} {one:?}"
        );
    }
    Ok(())
}
