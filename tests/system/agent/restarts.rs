//! Servers and agents that end in mid-run and are started again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::Value;

use super::client::{Agent, arm, is_attached, request, spans};
use super::sut;
use crate::kit::{Kit, wait_for};

/// How soon a process that was started again must be observed.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// How often it is tried: a busy machine may be late now and then, and not always.
const TRIES: u64 = 3;
/// The kernel tells the start of processes in hundredths of a second.
const CLOCK_TICK_S: f64 = 0.01;

pub fn process(kit: &Kit) -> anyhow::Result<()> {
    let agent = Agent::start(kit, &[])?;
    let mut server = sut(kit, "hooked", true)?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    request(&server, 50)?;
    let before = agent.arms()?;
    let mut unobserved_s = arm(&before, "hooked")["unobserved_s"]
        .as_f64()
        .context("no time")?;
    let mut in_time = false;
    for ended in 1..=TRIES {
        server.process.signal(Signal::KILL)?;
        drop(server);
        agent.wait_for(|arms| arm(arms, "hooked")["ended_processes"] == ended)?;
        let gone = agent.arms()?;
        ensure!(arm(&gone, "hooked")["attached"] == false, "{gone:#}");
        let starting = Instant::now();
        server = sut(kit, "hooked", true)?;
        let listening = Instant::now();
        agent.wait_for(|arms| is_attached(arms, "hooked"))?;
        let took = listening.elapsed();
        println!("observed {} ms after it listened", took.as_millis());
        // It says what it has missed: something, and no more than there was.
        let again = agent.arms()?;
        let all = arm(&again, "hooked")["unobserved_s"].as_f64();
        let missed_s = all.context("no time")? - unobserved_s;
        let most_s = starting.elapsed().as_secs_f64() + CLOCK_TICK_S;
        ensure!(
            missed_s > 0.0 && missed_s < most_s,
            "{missed_s} s unobserved of {most_s} s"
        );
        unobserved_s += missed_s;
        in_time = took < AGAIN_WITHIN;
        if in_time {
            break;
        }
    }
    ensure!(in_time, "never observed within {AGAIN_WITHIN:?}");
    let again = agent.arms()?;
    // What the first has counted stays.
    let before = spans(&before, "hooked", "hook_overhead");
    ensure!(spans(&again, "hooked", "hook_overhead") >= before);
    let already = spans(&again, "hooked", "hook_overhead");
    request(&server, 60)?;
    let after = agent.arms()?;
    ensure!(
        spans(&after, "hooked", "hook_overhead") - already == 60,
        "{after:#}"
    );
    ensure!(
        arm(&after, "hooked")["ledger"]["balanced"] == true,
        "{after:#}"
    );
    Ok(())
}

pub fn agent(kit: &Kit) -> anyhow::Result<()> {
    let server = sut(kit, "hooked", true)?;
    let started = Instant::now();
    let agent = Agent::start(kit, &[])?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    request(&server, 10)?;
    let (status, _) = agent.end(Signal::KILL)?;
    ensure!(!status.success());
    request(&server, 1_000)?;
    let agent = Agent::start(kit, &[])?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    let gap_s = started.elapsed().as_secs_f64();
    request(&server, 25)?;
    let arms = agent.arms()?;
    ensure!(spans(&arms, "hooked", "hook_overhead") == 25, "{arms:#}");
    ensure!(
        arm(&arms, "hooked")["ledger"]["balanced"] == true,
        "{arms:#}"
    );
    // What this agent has not seen, whatever the first has.
    let unobserved_s = arm(&arms, "hooked")["unobserved_s"]
        .as_f64()
        .context("no time")?;
    ensure!(
        unobserved_s > 0.0 && (unobserved_s - gap_s).abs() < 2.0,
        "{unobserved_s} s unobserved of {gap_s} s"
    );
    Ok(())
}

fn unobserved_s(arms: &Value, name: &str) -> anyhow::Result<f64> {
    arm(arms, name)["unobserved_s"].as_f64().context("no time")
}

/// The clock that the file tells times by.
fn since_boot_s() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn until_s(state: &Value) -> anyhow::Result<f64> {
    state["until_s"].as_f64().context("no time")
}

/// What an agent has left.
fn state(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

pub fn agent_with_state(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let path = folder.path().join("state.json");
    let option = format!("--state-file={}", path.display());
    let options = [option.as_str(), "--scan-interval=0.1"];
    let servers = [sut(kit, "hooked", true)?, sut(kit, "baseline", false)?];
    let are_attached = |arms: &Value| is_attached(arms, "hooked") && is_attached(arms, "baseline");
    let first = Agent::start(kit, &options)?;
    first.wait_for(are_attached)?;
    let before = first.arms()?;
    ensure!(before["predecessor"].is_null(), "{before:#}");
    request(&servers[0], 10)?;
    // Killed when it has observed them for a while, and said so.
    let observed_s = since_boot_s();
    wait_for("the agent to write again", || {
        Ok(until_s(&state(&path)?)? > observed_s + 1.0)
    })?;
    let (status, _) = first.end(Signal::KILL)?;
    ensure!(!status.success());
    let until_s = until_s(&state(&path)?)?;
    request(&servers[0], 40)?;
    // One that begins in the gap has nothing to be taken over.
    let late = sut(kit, "late", true)?;
    let restarted_s = since_boot_s();
    let second = Agent::start(kit, &options)?;
    second.wait_for(|arms| are_attached(arms) && is_attached(arms, "late"))?;
    second.wait_for(|arms| arms["predecessor"].is_object())?;
    let arms = second.arms()?;
    let at_most_s = since_boot_s() - until_s;
    let at_least_s = restarted_s - until_s;
    let predecessor = &arms["predecessor"];
    ensure!(
        predecessor["ignored"].is_null() && predecessor["processes"].as_u64() >= Some(2),
        "those two, and others of this machine: {predecessor:#}"
    );
    let gap_s = predecessor["gap_s"].as_f64().context("no gap")?;
    for (what, missed_s) in [
        ("gap", gap_s),
        ("hooked", unobserved_s(&arms, "hooked")?),
        ("baseline", unobserved_s(&arms, "baseline")?),
    ] {
        ensure!(
            (at_least_s..=at_most_s).contains(&missed_s),
            "{what}: {missed_s} s, and not from {at_least_s} to {at_most_s} s"
        );
    }
    // All of its age, which is less than the gap.
    let missed_s = unobserved_s(&arms, "late")?;
    ensure!(
        missed_s > 0.0 && missed_s < at_most_s,
        "{missed_s} s of {at_most_s} s"
    );
    // The run goes on.
    request(&servers[0], 25)?;
    request(&late, 5)?;
    let arms = second.arms()?;
    ensure!(spans(&arms, "hooked", "hook_overhead") == 25, "{arms:#}");
    ensure!(spans(&arms, "late", "hook_overhead") == 5, "{arms:#}");
    let (status, said) = second.end(Signal::TERM)?;
    ensure!(
        status.success() && said.contains("nobody observed for"),
        "{said}"
    );
    Ok(())
}

pub fn foreign_state(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let path = folder.path().join("state.json");
    let option = format!("--state-file={}", path.display());
    let server = sut(kit, "hooked", true)?;
    let first = Agent::start(kit, &[&option])?;
    first.wait_for(|arms| is_attached(arms, "hooked"))?;
    let (status, _) = first.end(Signal::TERM)?;
    ensure!(status.success());
    let mut left = state(&path)?;
    ensure!(
        left["observed"]
            .as_array()
            .is_some_and(|all| !all.is_empty()),
        "{left:#}"
    );
    left["clock"]["boot_id"] = "00000000-0000-0000-0000-000000000000".into();
    fs::write(&path, left.to_string())?;
    let second = Agent::start(kit, &[&option])?;
    second.wait_for(|arms| is_attached(arms, "hooked"))?;
    let arms = second.arms()?;
    let ignored = arms["predecessor"]["ignored"].as_str();
    ensure!(
        ignored.is_some_and(|reason| reason.contains("another boot")),
        "{arms:#}"
    );
    // So all of its age counts, of which the first agent observed a part.
    let age_s = unobserved_s(&arms, "hooked")?;
    request(&server, 5)?;
    ensure!(
        age_s > 0.0 && arms["predecessor"]["gap_s"].is_null(),
        "{arms:#}"
    );
    let (_, said) = second.end(Signal::TERM)?;
    ensure!(said.contains("another boot"), "{said}");
    // Its own is in the place of the other's.
    ensure!(state(&path)?["clock"]["boot_id"] == arms["clock"]["boot_id"]);
    Ok(())
}
