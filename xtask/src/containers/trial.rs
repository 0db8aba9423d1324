//! A trial in containers: the agent's histograms by arm are those of the run.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::Stages;
use crate::containers::engine::{Engine, printed};
use crate::containers::experiment::{Project, TOKEN};
use crate::containers::restarts;

/// As `compose.trial.yaml` has it.
const TRIAL: &str = "seed=1 size=512 run=1 arms=off,null,on,on+1000";

/// Brings the compose file up with the bracket around the hook, and draws arms.
pub fn prove(engine: &Engine, stages: &mut Stages) -> anyhow::Result<()> {
    let project = Project::new(engine, &["compose.trial.yaml"])?;
    stages.run("trial: up", || project.up())?;
    let (run, arms) = stages.run("trial: load", || measure(&project))?;
    stages.run("trial: down", || project.down())?;
    check(&run, &arms)
}

/// What came of a trial, and what the agent has seen since it was started.
fn measure(project: &Project<'_>) -> anyhow::Result<(Value, Value)> {
    restarts::attached(project)?;
    let mut load = project.compose();
    load.args(["run", "--rm", "--no-TTY", "--no-deps", "loadgen"])
        .args([
            "run",
            "--json",
            "--requests=5000",
            "--warmup=200",
            "--blocks=10",
        ])
        .args(["--trial", TRIAL, "--arm=hooked=http://sut-hooked:8081/"])
        .arg("--out=/results/trial")
        .arg("--agent=http://probe-user:9464")
        .arg("--agent-token-file=/run/secrets/hookprobe-token");
    let summary: Value = serde_json::from_str(&printed(&mut load)?)?;
    Ok((
        summary["agent"]["run"].clone(),
        project.services(TOKEN).arms()?,
    ))
}

fn check(run: &Value, arms: &Value) -> anyhow::Result<()> {
    let result = &run["result"];
    ensure!(result["usable"] == true, "{run:#}");
    let all = arms["arms"].as_array();
    let hooked = all.and_then(|all| all.iter().find(|arm| arm["arm"] == "hooked"));
    let hooked = hooked.context("the agent does not know the hooked server")?;
    ensure!(
        hooked["ledger"]["balanced"] == true,
        "{:#}",
        hooked["ledger"]
    );
    let of_run = result["arms"].as_array().context("the run has no arms")?;
    for arm in of_run {
        let name = arm["arm"].as_str().unwrap_or_default();
        let ours = &arm["spans"]["hook_overhead"];
        let seen = &hooked["spans"][format!("hook_overhead.{name}")];
        println!(
            "{:>9}  calls of arm {name}, p50 {} ns",
            seen["count"], seen["p50_ns"]
        );
        // Nobody else has sent requests with a salt, so both are of the same calls.
        ensure!(ours["count"].as_u64() > Some(1_000), "arm {name}: {ours}");
        ensure!(
            ours == seen,
            "arm {name}: {seen} at the agent, {ours} of the run"
        );
    }
    ensure!(of_run.len() == 4, "{of_run:?}");
    Ok(())
}
