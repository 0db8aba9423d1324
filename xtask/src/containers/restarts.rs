//! Containers that are killed in mid-run and started again: the hooked server's, and the agent's.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::Stages;
use crate::containers::engine::{Engine, printed};
use crate::containers::experiment::{Project, TOKEN};
use crate::interrupt;

/// Requests of each arm to the run that the agent is killed in. It takes some seconds.
const REQUESTS: u64 = 100_000;
/// How soon a server that was started again must be observed.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// How often that is tried: a busy machine may be late now and then, and not always.
const TRIES: usize = 3;
/// How long anything else may take.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);

/// Runs both.
pub fn prove(engine: &Engine, stages: &mut Stages) -> anyhow::Result<()> {
    let project = Project::new(engine, &[])?;
    stages.run("restarts: up", || project.up())?;
    stages.run("restarts: the agent", || agent(&project))?;
    stages.run("restarts: the hooked server", || server(&project))?;
    stages.run("restarts: down", || project.down())
}

/// Kills the agent's container while requests are made.
fn agent(project: &Project<'_>) -> anyhow::Result<()> {
    let before = attached(project)?;
    let id = project.container_of("probe-user")?;
    let (summary, gap) = thread::scope(|scope| -> anyhow::Result<_> {
        let load = scope.spawn(|| project.services(TOKEN).run(REQUESTS));
        let killed = wait_until("the run to begin", || {
            Ok(overheads(&arms(project)?) > overheads(&before))
        })
        .and_then(|()| kill_and_start(project, &id));
        let load = load.join().ok().context("the load has panicked")?;
        Ok((load?, killed?))
    })?;
    let after = attached(project)?;
    for arm in summary["summary"]["arms"].as_array().context("no arms")? {
        let answered = arm["requests"]
            .as_u64()
            .zip(arm["warmup_requests"].as_u64());
        let answered = answered.map(|(requests, warmup)| requests + warmup);
        ensure!(
            answered == Some(REQUESTS) && arm["errors"] == 0,
            "the run did not go on: {arm:#}"
        );
    }
    let seen = overheads(&after);
    println!("{seen:>9}  hooked reads since the agent was started again, of {REQUESTS}");
    ensure!(seen < REQUESTS, "the gap is missing");
    says_the_gap(&after, gap)
}

/// Checks what an agent says of the one before it, that ended and was followed within `most`.
fn says_the_gap(arms: &Value, most: Duration) -> anyhow::Result<()> {
    let gap_s = arms["predecessor"]["gap_s"].as_f64();
    let gap_s = gap_s.with_context(|| format!("no gap is said: {}", arms["predecessor"]))?;
    let hooked = of_hooked(arms);
    let unobserved_s = hooked["unobserved_s"].as_f64().context("no time")?;
    println!(
        "{gap_s:>9.2}  s without an agent, by the agent; {unobserved_s:.2} s of the hooked server"
    );
    // The one before wrote last up to a look before its end.
    let most_s = (most + AGAIN_WITHIN).as_secs_f64();
    for said_s in [gap_s, unobserved_s] {
        ensure!(
            said_s > 0.0 && said_s < most_s,
            "{said_s} s, and not more than 0 and less than {most_s} s"
        );
    }
    ensure!(
        hooked["ledger"]["balanced"] == true,
        "{:#}",
        hooked["ledger"]
    );
    Ok(())
}

/// Kills the hooked server's container while requests are made.
fn server(project: &Project<'_>) -> anyhow::Result<()> {
    let id = project.container_of("sut-hooked")?;
    for attempt in 1.. {
        let before = attached(project)?;
        kill(project, &id)?;
        let killed = Instant::now();
        wait_until("the agent to see the end", || {
            Ok(ended(&arms(project)?) > ended(&before))
        })?;
        start(project, &id)?;
        let started = Instant::now();
        let after = attached(project)?;
        let took = started.elapsed();
        let missed_s = unobserved_s(&after) - unobserved_s(&before);
        println!(
            "{:>9}  ms until it was observed again; it ran {missed_s:.2} s before, by the agent",
            took.as_millis()
        );
        ensure!(
            missed_s > 0.0 && missed_s < killed.elapsed().as_secs_f64(),
            "{missed_s} s unobserved"
        );
        if took < AGAIN_WITHIN {
            break;
        }
        ensure!(attempt < TRIES, "never observed within {AGAIN_WITHIN:?}");
    }
    let before = overheads(&arms(project)?);
    let requests = REQUESTS / 100;
    project.services(TOKEN).run(requests)?;
    let after = arms(project)?;
    let seen = overheads(&after) - before;
    println!("{seen:>9}  hooked reads of {requests} requests to it");
    // At the end of a connection there is a read without bytes.
    ensure!(
        (requests..=requests + requests / 50).contains(&seen),
        "{seen} hooked reads of {requests} requests"
    );
    let ledger = &of_hooked(&after)["ledger"];
    ensure!(ledger["balanced"] == true, "{ledger:#}");
    Ok(())
}

fn kill(project: &Project<'_>, id: &str) -> anyhow::Result<()> {
    printed(project.docker().args(["kill", "--signal", "KILL", id])).map(drop)
}

fn start(project: &Project<'_>, id: &str) -> anyhow::Result<()> {
    printed(project.docker().args(["start", id])).map(drop)
}

/// Kills a container and starts it again; how long it took until the agent was there.
fn kill_and_start(project: &Project<'_>, id: &str) -> anyhow::Result<Duration> {
    let killing = Instant::now();
    kill(project, id)?;
    start(project, id)?;
    attached(project)?;
    Ok(killing.elapsed())
}

/// What the agent says, once it observes the hooked server.
pub fn attached(project: &Project<'_>) -> anyhow::Result<Value> {
    let mut seen = Value::Null;
    wait_until("the hooked server to be observed", || {
        // It may be starting.
        seen = project.services(TOKEN).arms().unwrap_or_default();
        Ok(of_hooked(&seen)["attached"] == true)
    })?;
    Ok(seen)
}

fn arms(project: &Project<'_>) -> anyhow::Result<Value> {
    project.services(TOKEN).arms()
}

fn wait_until(what: &str, is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let mut is_so = is_so;
    let give_up = Instant::now() + PATIENCE;
    while !is_so()? {
        interrupt::check()?;
        ensure!(
            Instant::now() < give_up,
            "waited {} s for {what}",
            PATIENCE.as_secs()
        );
        thread::sleep(TICK);
    }
    Ok(())
}

/// The arm of the hooked server; null if it is not there.
fn of_hooked(arms: &Value) -> &Value {
    let all = arms["arms"].as_array();
    all.and_then(|all| all.iter().find(|arm| arm["arm"] == "hooked"))
        .unwrap_or(&Value::Null)
}

fn overheads(arms: &Value) -> u64 {
    let spans = &of_hooked(arms)["spans"]["hook_overhead"]["count"];
    spans.as_u64().unwrap_or(0)
}

fn ended(arms: &Value) -> u64 {
    of_hooked(arms)["ended_processes"].as_u64().unwrap_or(0)
}

fn unobserved_s(arms: &Value) -> f64 {
    of_hooked(arms)["unobserved_s"].as_f64().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(gap_s: Option<f64>, unobserved_s: f64, balanced: bool) -> anyhow::Result<()> {
        let arms = json!({
            "predecessor": {"gap_s": gap_s},
            "arms": [{"arm": "hooked", "unobserved_s": unobserved_s, "ledger": {"balanced": balanced}}],
        });
        says_the_gap(&arms, Duration::from_secs(3))
    }

    #[test]
    fn a_gap_that_is_not_said_or_too_long_is_found() {
        said(Some(2.5), 2.5, true).unwrap();
        said(None, 2.5, true).unwrap_err();
        said(Some(2.5), 2.5, false).unwrap_err();
        // All of the server's age, as without a state file.
        said(Some(2.5), 600.0, true).unwrap_err();
        said(Some(0.0), 2.5, true).unwrap_err();
    }
}
