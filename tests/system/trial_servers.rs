//! Trials of servers of others: each request has the arm that was drawn for it, by a log that hook and server share.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use abi::trial::{MAX_ARMS, Trial};
use anyhow::{Context as _, bail};
use runlog::RunDirectory;
use runlog::record::ClientConnection;
use runlog::table::read_all;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::Test;
use crate::bracket::Memory;
use crate::kit::{Kit, Server, TRIAL, compile_c, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "trial_servers::a_server_that_drains_and_answers_then",
        needs: &[Need::Program("cc")],
        run: drains,
    },
    Test {
        name: "trial_servers::a_server_that_answers_and_drains_then",
        needs: &[Need::Program("cc")],
        run: answers_first,
    },
    Test {
        name: "trial_servers::nginx",
        needs: &[Need::Program("cc"), Need::Program("nginx")],
        run: nginx,
    },
    Test {
        name: "trial_servers::node",
        needs: &[Need::Program("cc"), Need::Program("node")],
        run: node,
    },
    Test {
        name: "trial_servers::the_http_server_of_the_jdk",
        needs: &[Need::Program("cc"), Need::Program("javac")],
        run: jdk,
    },
    Test {
        name: "trial_servers::streams_of_asyncio",
        needs: &[Need::Program("cc"), Need::Program("python3")],
        run: |kit| python(kit, STREAMS),
    },
    Test {
        name: "trial_servers::a_process_forked_for_each_connection",
        needs: &[Need::Program("cc"), Need::Program("python3")],
        run: |kit| python(kit, FORKING),
    },
];

const HOOK: &str = include_str!("c/logging_hook.c");
const DRAINING: &str = include_str!("c/draining.c");
const NGINX: &str = include_str!("servers/nginx.conf");
const NODE: &str = include_str!("servers/server.js");
const JDK: &str = include_str!("servers/Server.java");
const STREAMS: &str = include_str!("servers/streams.py");
const FORKING: &str = include_str!("servers/forking.py");

const REQUESTS: u64 = 1_200;

/// What the hook's calls returned before each request that the server logged, and behind the last: by the client's port.
type Logged = BTreeMap<u16, Vec<Vec<i64>>>;

/// Ends a server, and what it has started, also when the test fails.
struct Ending(Server);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.process.signal(Signal::TERM);
        let _ = self.0.process.wait();
    }
}

/// A folder for a server, with the log and the hook.
struct Stage {
    folder: TempDir,
    log: PathBuf,
    hook: PathBuf,
}

impl Stage {
    fn new(kit: &Kit) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        let log = folder.path().join("log");
        fs::write(&log, "")?;
        // A server may give up root's rights.
        fs::set_permissions(&log, Permissions::from_mode(0o666))?;
        let hook = compile_c(folder.path(), HOOK, &["-shared", "-fPIC", "-ldl"])?;
        Ok(Self { folder, log, hook })
    }

    /// Has a server take part in a trial, two connections at a time. `hooked` is what the hook's calls must have returned, of
    /// each request that goes to it; calls that return nothing count where it names them.
    fn check(&self, kit: &Kit, mut command: Command, hooked: &[i64]) -> anyhow::Result<()> {
        let memory = Memory::new()?;
        memory.put_into(kit, &self.hook, &mut command);
        command
            .current_dir(&self.folder)
            .env("TRIAL_LOG", &self.log);
        let server = Ending(Server::start(command)?);
        let out = self.folder.path().join("run");
        let mut load = kit.command("loadgen");
        load.args(["run", "--json", "--trial", TRIAL, "--warmup=0"])
            .args(["--requests=300", "--blocks=3", "--connections=2"])
            .arg(format!("--arm=server={}", server.0.url()))
            .arg("--out")
            .arg(&out);
        succeed(&mut load)?;
        // What it logs behind an answer is then in the log.
        drop(server);

        let mut recorded = BTreeMap::<_, Vec<i64>>::new();
        for call in memory.calls()? {
            let place = (call.salt, u64::from(call.ordinal));
            let returned = i64::from(call.returned);
            recorded.entry(place).or_default().push(returned);
        }
        // A call that fails returns no bytes.
        let records: Vec<i64> = hooked.iter().map(|returned| *returned.max(&0)).collect();

        let trial = Trial::parse(TRIAL.as_bytes())?;
        let mut logged = self.read_log()?;
        let mut drawn = [0; MAX_ARMS];
        let mut first = 0;
        let connections =
            read_all::<ClientConnection>(RunDirectory::existing(&out).client_connections())?;
        for connection in connections.iter().filter(|row| row.sent_bytes > 0) {
            let calls = logged
                .remove(&connection.local_port)
                .with_context(|| format!("not in the log: {connection:?}"))?;
            let (behind, calls) = calls.split_last().context("no request")?;
            ensure!(calls.len() as u64 * u64::from(trial.size) == connection.sent_bytes);
            for (ordinal, calls) in (0..).zip(calls) {
                let salt = trial.salt(connection.connection);
                let arm = trial.arm_of(salt, ordinal);
                let is_hooked = arm.is_some_and(|arm| trial.arms()[arm].is_hooked());
                let calls = calls.iter().copied();
                let is_due = |returned: &i64| *returned > 0 || hooked.contains(returned);
                let calls: Vec<i64> = calls.filter(is_due).collect();
                ensure!(
                    calls == if is_hooked { hooked } else { &[] },
                    "request {ordinal} of {connection:?}, arm {arm:?}: {calls:?}"
                );
                ensure!(recorded.get(&(salt, ordinal)) == arm.map(|_| &records));
                *arm.map_or(&mut first, |arm| &mut drawn[arm]) += 1;
            }
            ensure!(behind.iter().all(|returned| *returned <= 0), "{behind:?}");
        }
        ensure!(drawn.iter().sum::<u64>() + first == REQUESTS);
        for (arm, requests) in drawn.into_iter().enumerate() {
            let counted = memory.of_arm(arm)?;
            let bytes = requests * u64::from(trial.size);
            ensure!(
                [counted[0], counted[2], counted[3]] == [requests, 0, bytes],
                "arm {arm}: {counted:?}, not {requests}"
            );
        }
        let counts = memory.counts()?;
        ensure!(counts[1..5] == [first, 0, 0, 0], "{counts:?}");
        Ok(())
    }

    fn read_log(&self) -> anyhow::Result<Logged> {
        let mut logged = Logged::new();
        for line in fs::read_to_string(&self.log)?.lines() {
            let [kind, port, number] = line.split(' ').collect::<Vec<_>>()[..] else {
                bail!("the log has a line {line:?}");
            };
            let requests = logged.entry(port.parse()?).or_insert(vec![Vec::new()]);
            if kind == "R" {
                ensure!(number.parse() == Ok(requests.len()), "{line}, out of turn");
                requests.push(Vec::new());
            } else if let Some(calls) = requests.last_mut() {
                calls.push(number.parse()?);
            }
        }
        Ok(logged)
    }
}

fn drains(kit: &Kit) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    let command = Command::new(compile_draining(&stage)?);
    stage.check(kit, command, &[100, 100, 56, -1])
}

fn answers_first(kit: &Kit) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    let mut command = Command::new(compile_draining(&stage)?);
    command.arg("first");
    // Whether the read behind an answer finds nothing, or the next request already, is for the kernel to say.
    stage.check(kit, command, &[100, 100, 56])
}

fn compile_draining(stage: &Stage) -> anyhow::Result<PathBuf> {
    let folder = stage.folder.path().join("server");
    fs::create_dir(&folder)?;
    compile_c(&folder, DRAINING, &[])
}

fn nginx(kit: &Kit) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    fs::write(stage.folder.path().join("nginx.conf"), NGINX)?;
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "sed \"s/PORT/$SERVER_PORT/\" nginx.conf >here.conf && exec nginx -p \"$PWD\" -c \"$PWD/here.conf\"",
    ]);
    stage.check(kit, command, &[256])
}

fn node(kit: &Kit) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    fs::write(stage.folder.path().join("server.js"), NODE)?;
    let mut command = Command::new("node");
    command.arg("server.js");
    stage.check(kit, command, &[256])
}

fn jdk(kit: &Kit) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    fs::write(stage.folder.path().join("Server.java"), JDK)?;
    let mut command = Command::new("java");
    // Without nodelay each answer waits 40 ms for the client's acknowledgement of its head.
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-Dsun.net.httpserver.nodelay=true",
        "Server.java",
    ]);
    stage.check(kit, command, &[256])
}

fn python(kit: &Kit, server: &str) -> anyhow::Result<()> {
    let stage = Stage::new(kit)?;
    let mut command = Command::new("python3");
    command.args(["-c", server]);
    stage.check(kit, command, &[256])
}
