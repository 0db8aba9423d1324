//! The agent's list of capabilities is long enough, and no longer: it probes with all of them, and without any one
//! of them it does not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use anyhow::bail;

use super::agent::asked_for;
use crate::kit::{Kit, Server, json, output};

/// No user in particular.
const NOBODY: u32 = 65_534;

pub fn are_enough_and_all_needed(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let library = folder.path().join("readhook.so");
    fs::copy(kit.path("readhook.so"), &library)?;
    // As in a container: another user's server. And its library was updated while it ran.
    let mut command = kit.command("sut");
    command.arg("--quiet").env("LD_PRELOAD", &library);
    command.uid(NOBODY).gid(NOBODY);
    let server = Server::start(command)?;
    let update = folder.path().join("update");
    fs::copy(&library, &update)?;
    fs::rename(&update, &library)?;

    let old_kernel = kernel_version()? < (6, 6);
    let all = asked_for(old_kernel)?;
    let probed = probe(kit, &server, &all)?;
    ensure!(
        sees_the_hook(&probed)?,
        "with {all:?}: {}{}",
        String::from_utf8_lossy(&probed.stdout),
        String::from_utf8_lossy(&probed.stderr)
    );
    if old_kernel {
        // SYS_ADMIN is more than most of the others, so each of those could be missing.
        return Ok(());
    }
    for capability in &all {
        let mut fewer = all.clone();
        fewer.remove(capability);
        let probed = probe(kit, &server, &fewer)?;
        ensure!(
            !probed.status.success() || !sees_the_hook(&probed)?,
            "{capability} is not needed"
        );
    }
    Ok(())
}

/// Traces a server as root with these capabilities alone.
fn probe(kit: &Kit, server: &Server, capabilities: &BTreeSet<&str>) -> anyhow::Result<Output> {
    let pid = server.pid().to_string();
    output(with_capabilities(kit, capabilities).args([
        "trace",
        "--json",
        "--duration",
        "0.2",
        "--pid",
        &pid,
    ]))
}

/// A `probe-user` of root with these capabilities alone.
pub fn with_capabilities(kit: &Kit, capabilities: &BTreeSet<&str>) -> Command {
    let mut set = "-all".to_owned();
    for capability in capabilities {
        set.push_str(",+");
        set.push_str(&capability.to_lowercase());
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", &set, "--inh-caps", &set, "--"])
        .arg(kit.path("probe-user"));
    command
}

/// Whether a trace found the hook, and its ledger balances.
fn sees_the_hook(trace: &Output) -> anyhow::Result<bool> {
    let trace = json(trace)?;
    let hook = &trace["targets"][0]["hook"];
    ensure!(trace["ledger"]["balanced"] == true, "{}", trace["ledger"]);
    Ok(hook.is_string())
}

/// Major and minor number of the running kernel.
pub fn kernel_version() -> anyhow::Result<(u32, u32)> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("the kernel's release is {release}"),
    }
}
