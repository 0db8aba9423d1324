//! What the agent says where it may not look.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use super::client::{Agent, arm, unique};
use crate::deploy::agent::asked_for;
use crate::deploy::capabilities::{kernel_version, with_capabilities};
use crate::kit::{Kit, Server, exact_kernel_probe};

/// A hook that was updated under its server is reached by the kernel's link to it alone, which takes a right of its own.
pub fn hidden_hook(kit: &Kit) -> anyhow::Result<()> {
    if kernel_version()? < (6, 6) {
        println!("before Linux 6.6 the agent needs SYS_ADMIN, which lets it follow the link");
        return Ok(());
    }
    let folder = kit.scratch()?;
    let library = folder.path().join("readhook.so");
    fs::copy(kit.path("readhook.so"), &library)?;
    let mut command = kit.command("sut");
    command
        .arg("--quiet")
        .env("HOOKPROBE_ARM", unique("updated"))
        .env("LD_PRELOAD", &library);
    let _server = Server::start(command)?;
    let update = folder.path().join("update");
    fs::copy(&library, &update)?;
    fs::rename(&update, &library)?;

    let mut capabilities = asked_for(false)?;
    ensure!(capabilities.remove("CHECKPOINT_RESTORE"));
    let mut command = with_capabilities(kit, &capabilities);
    command
        .args(["agent", "--listen=127.0.0.1:0"])
        .args(exact_kernel_probe())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let agent = Agent::of(command.spawn()?, None)?;
    agent.wait_for(|arms| arm(arms, "updated")["processes"][0]["trouble"].is_string())?;
    let arms = agent.arms()?;
    let updated = arm(&arms, "updated");
    let trouble = updated["processes"][0]["trouble"]
        .as_str()
        .unwrap_or_default();
    for text in ["readhook.so", "CAP_CHECKPOINT_RESTORE"] {
        ensure!(trouble.contains(text), "no {text}: {trouble}");
    }
    ensure!(updated["attached"] == false, "{updated:#}");
    ensure!(arms["failures"]["maps"].as_u64() >= Some(1), "{arms:#}");
    let (_, said) = agent.end(Signal::TERM)?;
    ensure!(said.contains("is not observed"), "{said}");
    Ok(())
}
