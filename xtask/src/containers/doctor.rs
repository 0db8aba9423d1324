//! The doctor in a container that comes up against its CPU limit, with no more rights than containers have by default.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::run;
use crate::containers::engine::{Engine, printed};
use crate::privilege::NOT_USABLE;

/// The container's, for `docker run`.
const CPUS: &str = "0.2";

/// Starts a container that computes all the time, and asks the doctor within it.
pub fn prove(engine: &Engine) -> anyhow::Result<()> {
    let container = Container::start(engine)?;
    let output = engine
        .docker()
        .args(["exec", &container.id])
        .args(["probe-user", "doctor", "--json"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(NOT_USABLE.into()),
        "the doctor ended with {}, and not with {NOT_USABLE}: {said}",
        output.status
    );
    let diagnosis: Value =
        serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
    // The limit that is hit, by its value; the rights that are missing, by one of their names.
    for (name, found) in [("CPU limit", CPUS), ("capabilities", "CAP_BPF")] {
        let finding = finding(&diagnosis, name)?;
        println!("{name:>14}  {}: {}", finding["state"], finding["found"]);
        ensure!(
            finding["state"] == "fail"
                && finding["found"]
                    .as_str()
                    .is_some_and(|it| it.contains(found))
                && finding["advice"].is_string(),
            "{finding:#}"
        );
    }
    Ok(())
}

fn finding<'d>(diagnosis: &'d Value, name: &str) -> anyhow::Result<&'d Value> {
    let findings = diagnosis["findings"].as_array().context("no findings")?;
    let named = findings.iter().find(|finding| finding["name"] == name);
    named.with_context(|| format!("no finding \"{name}\" in {diagnosis:#}"))
}

/// It goes when dropped.
#[derive(Debug)]
struct Container<'e> {
    engine: &'e Engine,
    id: String,
}

impl<'e> Container<'e> {
    fn start(engine: &'e Engine) -> anyhow::Result<Self> {
        let id = printed(
            engine
                .docker()
                .args(["run", "--detach", "--network", "none", "--cpus", CPUS])
                .args(["--entrypoint", "sh", "hookprobe/probe-user:dev"])
                .args(["-c", "while :; do :; done"]),
        )?;
        Ok(Self { engine, id })
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let mut remove = self.engine.docker();
        remove.args(["rm", "--force", &self.id]);
        // One that stays is found when the engine ends.
        if let Err(error) = run(remove.stdout(Stdio::null())) {
            eprintln!("{error:#}");
        }
    }
}
