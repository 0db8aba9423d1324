//! `probe-user doctor`: what it finds here, without rights, and of runs. What it finds at a CPU limit is in
//! [`limits`](crate::limits).

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json as value};

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, output, succeed};
use crate::skips::Need;
use crate::unprivileged::unprivileged;

pub const TESTS: &[Test] = &[
    Test {
        name: "doctor::what_attaches_here_is_what_is_calibrated_here",
        needs: &[Need::Root, Need::Speed],
        run: here,
    },
    Test {
        name: "doctor::without_rights",
        needs: &[],
        run: without_rights,
    },
    Test {
        name: "doctor::runs_and_the_recommendations",
        needs: &[],
        run: of_runs,
    },
];

/// Runs it; the diagnosis, and its exit code.
pub fn diagnose(command: &mut Command) -> anyhow::Result<(Value, i32)> {
    let output = output(command.arg("--json"))?;
    let diagnosis = json(&output)?;
    check_schema(&diagnosis, "doctor")?;
    let listed = ["findings", "recommendations"].map(|list| diagnosis[list].as_array().cloned());
    let any_fails = listed
        .into_iter()
        .flatten()
        .flatten()
        .any(|finding| finding["state"] == "fail");
    let code = output.status.code().context("ended by a signal")?;
    ensure!(code == if any_fails { 4 } else { 0 }, "exit code {code}");
    Ok((diagnosis, code))
}

/// A finding, or a recommendation, by the beginning of its name.
pub fn finding<'d>(diagnosis: &'d Value, name: &str) -> anyhow::Result<&'d Value> {
    let lists = ["findings", "recommendations"].into_iter();
    lists
        .flat_map(|list| diagnosis[list].as_array().into_iter().flatten())
        .find(|finding| {
            finding["name"]
                .as_str()
                .is_some_and(|it| it.starts_with(name))
        })
        .with_context(|| format!("no finding {name}"))
}

/// Checks how something stands, and that there is something to do about it unless it is as it should be.
pub fn expect(diagnosis: &Value, name: &str, state: &str) -> anyhow::Result<()> {
    let finding = finding(diagnosis, name)?;
    ensure!(finding["state"] == state, "{finding}");
    ensure!(
        (state == "pass") == finding["advice"].is_null(),
        "{finding}"
    );
    Ok(())
}

fn here(kit: &Kit) -> anyhow::Result<()> {
    let (diagnosis, _) = diagnose(kit.command("probe-user").arg("doctor"))?;
    for name in [
        "capabilities",
        "process numbers",
        "kernel",
        "hook sites",
        "probes on functions",
        "kernel pair",
    ] {
        expect(&diagnosis, name, "pass")?;
    }
    let mut calibrate = kit.command("probe-user");
    let calibrated = json(&succeed(calibrate.args([
        "validate",
        "probes",
        "--json",
        "--rounds=2",
    ]))?)?;
    let missing = calibrated["calibration"]["missing"].as_array();
    let missing: Vec<&Value> = missing.context("no list")?.iter().collect();
    let kinds = diagnosis["attach_types"].as_array().context("no kinds")?;
    ensure!(kinds.len() == 7, "{kinds:?}");
    for kind in kinds {
        let is_missing = missing.iter().any(|it| it["attach_type"] == kind["name"]);
        ensure!(kind["reason"].is_string() == is_missing, "{kind}");
    }
    Ok(())
}

fn without_rights(kit: &Kit) -> anyhow::Result<()> {
    let mut command = kit.command("probe-user");
    command.arg("doctor");
    let (diagnosis, code) = diagnose(unprivileged(&mut command))?;
    ensure!(code == 4);
    expect(&diagnosis, "capabilities", "fail")?;
    expect(&diagnosis, "probes", "fail")?;
    let capabilities = finding(&diagnosis, "capabilities")?;
    ensure!(
        capabilities["found"]
            .as_str()
            .is_some_and(|text| text.contains("CAP_BPF"))
    );
    ensure!(
        capabilities["advice"]
            .as_str()
            .is_some_and(|text| text.contains("sudo"))
    );
    Ok(())
}

fn of_runs(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let run = folder.path().join("run");
    let mut bench = kit.bench();
    bench.args([
        "--no-probes",
        "--json",
        "--requests=400",
        "--blocks=4",
        "--warmup=10",
    ]);
    bench.args(["--block-warmup=5", "--micro-calls=50", "--out"]);
    let analysis = json(&succeed(bench.arg(&run))?)?;
    let recommendations = analysis["recommendations"].as_array();
    ensure!(recommendations.context("none")?.len() == 10);
    let of = |runs: &[&Path]| -> anyhow::Result<Value> {
        let mut command = kit.command("probe-user");
        command.args(["doctor", "--no-attach"]).args(runs);
        Ok(diagnose(&mut command)?.0)
    };
    let first = of(&[&run])?;
    for (number, state) in ["pass", "pass"].into_iter().enumerate() {
        expect(&first, &format!("{} ", number + 1), state)?;
    }
    expect(&first, "5 ", "fail")?;
    expect(&first, "6 ", "warn")?;
    expect(&first, "7 ", "unknown")?;
    expect(&first, "8 ", "pass")?;
    expect(&first, "10 ", "warn")?;

    // The same run on a machine with another processor, which came up against a limit.
    let other = folder.path().join("other");
    fs::create_dir(&other)?;
    fs::copy(run.join("analysis.json"), other.join("analysis.json"))?;
    let mut manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json"))?)?;
    ensure!(manifest["doctor"]["before"].is_array() && manifest["doctor"]["after"].is_array());
    manifest["environment"]["cpu_model"] = value!("another");
    manifest["resources"]["throttled_periods"] = value!(3);
    fs::write(other.join("manifest.json"), manifest.to_string())?;
    let both = of(&[&run, &other])?;
    expect(&both, "8 ", "fail")?;
    expect(&both, "10 ", "pass")?;

    let nowhere = folder.path().join("nowhere");
    let mut command = kit.command("probe-user");
    command.args(["doctor", "--no-attach"]).arg(&nowhere);
    fail(&mut command, 1, &["nowhere", "manifest.json"])?;
    fs::remove_file(other.join("analysis.json"))?;
    let mut command = kit.command("probe-user");
    command.args(["doctor", "--no-attach"]).arg(&other);
    fail(&mut command, 1, &["has no analysis"])
}
