//! Containers, as far as they matter to probes: overlays over one library, and PID namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::client::{Agent, arm, is_attached, request, spans, unique};
use crate::kit::{Kit, Running, Server, exact_kernel_probe, json, succeed, wait_for};
use crate::ports::free_port;

/// A mounted overlay, as a container has one.
struct Overlay {
    merged: PathBuf,
}

impl Overlay {
    fn mount(lower: &Path, folder: &Path) -> anyhow::Result<Self> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| folder.join(name));
        for folder in [&upper, &work, &merged] {
            fs::create_dir_all(folder)?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let mut mount = Command::new("mount");
        succeed(
            mount
                .args(["-t", "overlay", "overlay", "-o", &options])
                .arg(&merged),
        )?;
        Ok(Self { merged })
    }

    fn library(&self) -> PathBuf {
        self.merged.join("readhook.so")
    }

    fn sut(&self, kit: &Kit, arm: &str) -> anyhow::Result<Server> {
        let mut command = kit.command("sut");
        command
            .arg("--quiet")
            .env("HOOKPROBE_ARM", unique(arm))
            .env("LD_PRELOAD", self.library());
        Server::start(command)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Whoever has mapped a file of it keeps it busy.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.merged)
            .status();
    }
}

pub fn overlays(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let lower = folder.path().join("lower");
    fs::create_dir(&lower)?;
    fs::copy(kit.path("readhook.so"), lower.join("readhook.so"))?;
    let overlays: Vec<Overlay> = (0..3)
        .map(|number| Overlay::mount(&lower, &folder.path().join(number.to_string())))
        .collect::<anyhow::Result<_>>()?;
    // The third has written to its own: the same bytes and number, another file.
    let its_own = overlays[2].library();
    let written = fs::OpenOptions::new().append(true).open(&its_own)?;
    drop(written);
    let agent = Agent::start(kit, &[])?;
    let mut servers = Vec::new();
    for (number, overlay) in overlays.iter().enumerate() {
        servers.push(overlay.sut(kit, &format!("arm-{number}"))?);
    }
    let is_all =
        |arms: &serde_json::Value| (0..3).all(|number| is_attached(arms, &format!("arm-{number}")));
    agent.wait_for(is_all)?;
    let before = agent.arms()?;
    for (number, server) in servers.iter().enumerate() {
        request(server, 100 * (number + 1))?;
    }
    let after = agent.arms()?;
    for number in 0..3 {
        let arm = format!("arm-{number}");
        let of = |arms| spans(arms, &arm, "hook_overhead");
        ensure!(
            of(&after) - of(&before) == 100 * (number + 1),
            "{arm}: {after:#}"
        );
    }
    let library = |name| &arm(&after, name)["processes"][0]["library"];
    let [first, second, third] = ["arm-0", "arm-1", "arm-2"].map(library);
    ensure!(
        first.is_u64() && first == second,
        "two share a file: {after:#}"
    );
    ensure!(
        third.is_u64() && first != third,
        "one has its own: {after:#}"
    );
    Ok(())
}

/// What runs in the namespace: a server on a port, one more in a namespace further within, and the agent.
const NODE: &str = r#"
exec 3>&1 >/dev/null
HOOKPROBE_ARM=$BASELINE SERVER_PORT=$BASELINE_PORT "$SUT" --quiet 2>&1 &
SERVER_PORT=$HOOKED_PORT unshare --pid --fork --kill-child \
    env HOOKPROBE_ARM=$HOOKED LD_PRELOAD="$HOOK" "$SUT" --quiet 2>&1 &
exec "$PROBE_USER" agent --listen=127.0.0.1:0 $OPTIONS >&3
"#;

pub fn nested(kit: &Kit) -> anyhow::Result<()> {
    let ports = [free_port()?, free_port()?];
    let mut node = Command::new("unshare");
    node.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        NODE,
    ])
    .env("SUT", kit.path("sut"))
    .env("HOOK", kit.path("readhook.so"))
    .env("PROBE_USER", kit.path("probe-user"))
    .env("OPTIONS", exact_kernel_probe().join(" "))
    .env("BASELINE", unique("baseline"))
    .env("HOOKED", unique("hooked"))
    .env("BASELINE_PORT", ports[0].to_string())
    .env("HOOKED_PORT", ports[1].to_string())
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped());
    let agent = Agent::of(node.spawn()?, None)?;
    agent.wait_for(|arms| is_attached(arms, "baseline") && is_attached(arms, "hooked"))?;
    let outside = Agent::start(kit, &[])?;
    outside.wait_for(|arms| is_attached(arms, "baseline") && is_attached(arms, "hooked"))?;
    let before = [agent.arms()?, outside.arms()?];
    for (port, requests) in [(ports[0], 200), (ports[1], 300)] {
        // Not ours to end: it goes with its namespace.
        let process = Running::start(Command::new("true"))?;
        request(&Server { process, port }, requests)?;
    }
    let after = [agent.arms()?, outside.arms()?];
    for (before, after) in before.iter().zip(&after) {
        let added = |name, kind| spans(after, name, kind) - spans(before, name, kind);
        ensure!(added("baseline", "read_syscall") == 200, "{after:#}");
        ensure!(added("hooked", "hook_overhead") == 300, "{after:#}");
        ensure!(added("hooked", "hooked_read_syscall") == 300, "{after:#}");
        ensure!(
            arm(after, "hooked")["ledger"]["balanced"] == true,
            "{after:#}"
        );
    }
    // The numbers are others.
    let number = |arms| {
        arm(arms, "hooked")["processes"][0]["pid"]
            .as_u64()
            .context("no number")
    };
    ensure!(number(&after[0])? != number(&after[1])?);
    Ok(())
}

/// A server in the namespace, and a trace of it from within, which ends when the server does.
const TRACED: &str = r#"
exec 3>&1 >/dev/null
SERVER_PORT=$PORT LD_PRELOAD="$HOOK" "$SUT" --quiet 2>&1 &
server=$!
until [ -e "$FOLDER/listens" ]; do sleep 0.02; done
(until [ -e "$FOLDER/answered" ]; do sleep 0.02; done; kill "$server") &
exec "$PROBE_USER" trace --json --calibration-rounds=0 --pid "$server" $OPTIONS >&3
"#;

pub fn traced(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let tell = |what: &str| fs::write(folder.path().join(what), []);
    let port = free_port()?;
    let mut node = Command::new("unshare");
    node.args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args(["sh", "-c", TRACED])
        .env("SUT", kit.path("sut"))
        .env("HOOK", kit.path("readhook.so"))
        .env("PROBE_USER", kit.path("probe-user"))
        .env("OPTIONS", exact_kernel_probe().join(" "))
        .env("FOLDER", folder.path())
        .env("PORT", port.to_string());
    let mut node = Running::start_piped(&mut node)?;
    // Not ours to end: it goes with its namespace.
    let process = Running::start(Command::new("true"))?;
    let server = Server { process, port };
    wait_for("the server to listen", || Ok(server.connect().is_ok()))?;
    tell("listens")?;
    node.wait_for_stderr("attached to")?;
    request(&server, 150)?;
    tell("answered")?;
    let output = node.output()?;
    let trace = json(&output)?;
    ensure!(output.status.success(), "{trace:#}");
    // One read for each request; the server closes the connection.
    ensure!(trace["spans"]["hook"]["count"] == 150, "{trace:#}");
    ensure!(trace["ledger"]["balanced"] == true, "{trace:#}");
    Ok(())
}
