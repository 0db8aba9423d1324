//! What is wrong with the options of `loadgen run`, and what to do about it.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::clock::TICK;
use crate::options::{RunArguments, servers_per_arm};
use runlog::Order;

/// The most seconds that an option takes: longer than any run.
const MAX_SECONDS: f64 = 1e6;
/// The least time of a block.
const MIN_BLOCK_SECONDS: f64 = 0.001;
/// The most planned requests per second.
const MAX_RATE: f64 = 1e7;
/// Descriptors beside those of connections: logs, polls, standard streams, and some to spare.
const OTHER_DESCRIPTORS: u64 = 64;

/// Says what is wrong with the options, if anything.
pub fn check(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        arms,
        connections,
        pipeline,
        timeout,
        ..
    } = arguments;
    let mut names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[left, right]| left == right) {
        bail!("--arm {name}: two arms have this name; names tell arms apart");
    }
    check_trial(arguments)?;
    check_servers(arguments)?;
    check_order(arguments)?;
    if *connections == 0 || *connections > 50_000 {
        bail!("--connections {connections}: must be from 1 to 50000");
    }
    if *pipeline == 0 || *pipeline > 1_000 {
        bail!("--pipeline {pipeline}: must be from 1 to 1000");
    }
    match arguments.requests() {
        Some(requests) => check_requests(arguments, requests)?,
        None if arguments.blocks == 0 => bail!("--blocks 0: must be at least 1"),
        None => {}
    }
    check_times(arguments)?;
    if !(TICK.as_secs_f64()..=3_600.0).contains(timeout) {
        bail!("--timeout {timeout}: must be from 0.1 to 3600 seconds");
    }
    Ok(())
}

/// Checks what must go into a block.
fn check_requests(arguments: &RunArguments, requests: u64) -> anyhow::Result<()> {
    let RunArguments {
        connections,
        blocks,
        warmup,
        block_warmup,
        ..
    } = arguments;
    if *blocks == 0 || requests < u64::from(*blocks) {
        bail!("--blocks {blocks}: must be from 1 to --requests ({requests})");
    }
    // The smallest block leaves the rest out.
    let block_requests = arguments.cell_requests().unwrap_or(requests) / u64::from(*blocks);
    if *connections as u64 > block_requests {
        bail!(
            "--connections {connections}: must be at most the requests of a block ({block_requests})"
        );
    }
    if *warmup >= requests {
        bail!("--warmup {warmup}: must be below --requests ({requests})");
    }
    if *block_warmup >= block_requests {
        bail!(
            "--block-warmup {block_warmup}: must be below the requests of a block ({block_requests})"
        );
    }
    Ok(())
}

/// Checks the options in seconds, and the rate.
fn check_times(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        duration,
        blocks,
        rate,
        pacer_limit,
        think_time,
        drain,
        ..
    } = arguments;
    if let Some(duration) = duration {
        let least = MIN_BLOCK_SECONDS * f64::from(*blocks);
        if !(least..=MAX_SECONDS).contains(duration) {
            bail!(
                "--duration {duration}: must be from {least} ({MIN_BLOCK_SECONDS} for each of \
                 --blocks) to {MAX_SECONDS} seconds"
            );
        }
    }
    if let Some(rate) = rate
        && !(*rate > 0.0 && *rate <= MAX_RATE)
    {
        bail!("--rate {rate}: must be above 0 and at most {MAX_RATE} requests per second");
    }
    for (option, seconds) in [
        ("--pacer-limit", pacer_limit),
        ("--think-time", think_time),
        ("--drain", drain),
    ] {
        if !(0.0..=MAX_SECONDS).contains(seconds) {
            bail!("{option} {seconds}: must be from 0 to {MAX_SECONDS} seconds");
        }
    }
    Ok(())
}

/// Sees to it that as many connections can be open at a time.
pub fn allow_connections(arguments: &RunArguments) -> anyhow::Result<()> {
    let connections = arguments.connections * arguments.order.at_once();
    let needed = connections as u64 + OTHER_DESCRIPTORS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = maximum.filter(|maximum| *maximum < needed) {
        bail!(
            "--connections {}: takes {needed} open files, and at most {maximum} are allowed; raise the \
             limit (ulimit -Hn {needed})",
            arguments.connections
        );
    }
    let current = Some(needed);
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

fn check_servers(arguments: &RunArguments) -> anyhow::Result<()> {
    for server in &arguments.servers {
        if !arguments.arms.iter().any(|arm| arm.name == server.name) {
            bail!("--server {}: there is no arm of this name", server.name);
        }
    }
    let wanted = servers_per_arm(arguments);
    for arm in &arguments.arms {
        let of_arm = arguments
            .servers
            .iter()
            .filter(|other| other.name == arm.name);
        if of_arm.count() + 1 != wanted as usize {
            bail!(
                "--server: arm {} has another number of servers than the others",
                arm.name
            );
        }
    }
    Ok(())
}

/// Checks what a trial takes.
fn check_trial(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        arms,
        order,
        rate,
        pipeline,
        servers,
        agent,
        ..
    } = arguments;
    let Some(trial) = &arguments.request.trial else {
        if *order == Order::Trial {
            bail!(
                "--order trial: takes --trial with the text that the servers have, as in --trial \"seed=1 size=512 \
                 arms=off,on\""
            );
        }
        return Ok(());
    };
    if *order != Order::Trial {
        bail!("--order {order}: --trial draws arms request by request; leave --order out");
    }
    if trial.is_of_any_size() {
        bail!(
            "--trial: give size=, the bytes of each request, as in \"seed=1 size=512 slice=20000000 arms=off,on\"; only other \
             load generators go without"
        );
    }
    if arms.len() > 1 {
        bail!(
            "--arm: --trial has arms of its own; give one --arm, the server, and more servers with --server"
        );
    }
    if *pipeline > 1 {
        bail!(
            "--pipeline {pipeline}: requests of a trial come one after the other on a connection, as the server takes \
             the next arm at its first read after an answer; leave --pipeline out"
        );
    }
    if rate.is_some() && !trial.is_by_slices() {
        bail!(
            "--rate: a trial by requests is a closed loop, as its load generator stands back while the server has work; \
             leave --rate out, or draw arms by slices of time (slice=20000000 in --trial)"
        );
    }
    if agent.agent_url.is_some() && !servers.is_empty() {
        bail!(
            "--agent: an agent does not know which of several servers the blocks of a trial go to; leave --server out"
        );
    }
    Ok(())
}

/// Checks what a duet takes.
fn check_order(arguments: &RunArguments) -> anyhow::Result<()> {
    let RunArguments {
        arms,
        order,
        blocks,
        side_cpus,
        ..
    } = arguments;
    if *order != Order::Duet {
        if !side_cpus.is_empty() {
            bail!("--side-cpus: only a duet (--order duet) has sides");
        }
        return Ok(());
    }
    if arms.len() < 2 {
        bail!("--order duet: two arms run at once; give a second --arm");
    }
    if !blocks.is_multiple_of(2) {
        bail!(
            "--blocks {blocks}: must be even in a duet (--order duet), as the arms change sides in \
             every second round"
        );
    }
    let two = matches!(side_cpus[..], [] | [_, _]);
    if !two || (side_cpus.len() == 2 && side_cpus[0] == side_cpus[1]) {
        bail!("--side-cpus: expected two different CPUs, as in 0,1");
    }
    Ok(())
}
