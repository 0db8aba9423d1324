//! `probe-user validate`: delays that the analysis does not know, and short runs in series.

use std::fs;

use anyhow::Context as _;
use runlog::RunDirectory;
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, output};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "repeated::delays_are_hidden_from_the_analysis",
        needs: &[Need::Alone],
        run: blind,
    },
    Test {
        name: "repeated::a_series_goes_on_where_it_was_left",
        needs: &[Need::Alone],
        run: series,
    },
    Test {
        name: "repeated::equal_servers_are_compared_by_both_procedures",
        needs: &[Need::Alone],
        run: equal_servers,
    },
    Test {
        name: "repeated::what_makes_no_sense_is_refused",
        needs: &[],
        run: refusals,
    },
];

const SHORT: [&str; 7] = [
    "--seed=1",
    "--servers=2",
    "--json",
    "--requests=960",
    "--blocks=16",
    "--warmup=10",
    "--block-warmup=5",
];

/// Delays that nothing else is as long as.
const DELAYS_NS: [u32; 2] = [3_777, 9_888];

fn blind(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = kit.command("probe-user");
    command
        .args(["validate", "truth", "--no-probes"])
        .args(SHORT);
    let [shorter, longer] = DELAYS_NS;
    command.arg(format!("--delays={longer},{shorter}"));
    command.arg("--out").arg(&out);
    // Whether the delays are found depends on the machine, and is not asked here.
    let said = output(&mut command)?;
    let truth = json(&said)?;
    check_schema(&truth, "truth")?;
    let run = RunDirectory::existing(&out);
    let blind: Value = runlog::json::read(&run.truth_blind())?;
    check_schema(&blind, "truth-blind")?;
    ensure!(!names_a_delay(&blind), "{blind}");
    let arms = blind["arms"].as_array().context("no arms")?;
    let delays = truth["delays"].as_array().context("no delays")?;
    ensure!(arms.len() == 2 && delays.len() == 2);
    let mut found = vec![&truth["slope"]];
    for delay in delays {
        ensure!(delay["is_measured"] == true, "{delay}");
        ensure!(delay["in_situ_ebpf"].is_null(), "{delay}");
        let arm = arms.iter().find(|arm| arm["arm"] == delay["arm"]);
        let arm = arm.context("an arm that was not estimated")?;
        for layer in ["in_situ", "macro"] {
            let estimates = [&arm[layer], &delay[layer]["estimate"]];
            let [before, after] = estimates.map(|of| of["estimate"].as_f64());
            let (before, after) = before.zip(after).context("not estimated")?;
            // Reading a number back may cost its last bit.
            ensure!((before - after).abs() < 1e-6, "{layer}: {before} {after}");
            found.push(&delay[layer]);
        }
        ensure!(arm["macro"]["blocks"] == 2, "servers: {delay}");
    }
    ensure!(
        delays[0]["asked_ns"] == shorter && delays[1]["asked_ns"] == longer,
        "ascending"
    );
    for seen in &found {
        follows_from_its_interval(seen)?;
    }
    let any = |finding: &str| found.iter().any(|seen| seen["finding"] == finding);
    let worst = match (any("missed"), any("unresolved")) {
        (true, _) => ["missed"; 2],
        (false, true) => ["unresolved"; 2],
        // The shortest may be below what the run detects.
        (false, false) => ["found", "unresolved"],
    };
    ensure!(worst.contains(&truth["finding"].as_str().unwrap_or("")));
    let holds = truth["finding"] == "found" && truth["not_usable"] == serde_json::json!([]);
    ensure!(truth["holds"] == holds, "{truth}");
    let code = if holds { 0 } else { 4 };
    ensure!(said.status.code() == Some(code), "{}", said.status);
    let analysis: Value = runlog::json::read(&run.analysis())?;
    ensure!(analysis["trial"]["counts"]["differing"] == serde_json::json!([]));
    Ok(())
}

/// An estimate is found if its interval lies within the tolerance and above 0; what is no further below the truth, and no
/// further above it than the limit, is not missed.
fn follows_from_its_interval(seen: &Value) -> anyhow::Result<()> {
    let at = |pointer: &str| {
        let number = seen.pointer(pointer).and_then(Value::as_f64);
        number.with_context(|| format!("{pointer}: {seen}"))
    };
    let (low, high) = (at("/estimate/ci95/0")?, at("/estimate/ci95/1")?);
    let (truth, tolerance) = (at("/truth")?, at("/tolerance")?);
    let is_found = low > 0.0 && truth - tolerance <= low && high <= truth + tolerance;
    ensure!((seen["finding"] == "found") == is_found, "{seen}");
    let not_missed = truth - tolerance..=truth + at("/limit")?;
    let is_within = not_missed.contains(&at("/estimate/estimate")?);
    ensure!(!is_within || seen["finding"] != "missed", "{seen}");
    Ok(())
}

/// Whether a delay is in a value: as a number, or in a text. The digits of another number may be the same.
fn names_a_delay(value: &Value) -> bool {
    match value {
        Value::Number(number) => DELAYS_NS
            .iter()
            .any(|delay_ns| number.as_f64() == Some(f64::from(*delay_ns))),
        Value::String(text) => DELAYS_NS
            .iter()
            .any(|delay_ns| text.contains(&delay_ns.to_string())),
        Value::Array(values) => values.iter().any(names_a_delay),
        Value::Object(fields) => fields.values().any(names_a_delay),
        Value::Null | Value::Bool(_) => false,
    }
}

fn series(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let run = |runs: u32, first: u32| {
        let mut command = kit.command("probe-user");
        command
            .args(["validate", "truth"])
            .args(SHORT)
            .args(["--seed=5", "--out"]);
        command.arg(folder.path().join(format!("{runs}-{first}")));
        command
            .arg(format!("--runs={runs}"))
            .arg(format!("--first-run={first}"));
        let report = json(&output(&mut command)?)?;
        check_schema(&report, "coverage")?;
        let runs = report["runs"].as_array().cloned().context("no runs")?;
        let covered = runs.iter().filter(|run| run["covers"] == true).count();
        ensure!(report["missed"] == runs.len() - covered, "{report}");
        for run in &runs {
            let ci95 = &run["macro"]["ci95"];
            let [low, high] = [&ci95[0], &ci95[1]].map(|end| end.as_f64().unwrap_or(f64::NAN));
            let lasted = run["lasted_ns"].as_f64().context("none")?;
            ensure!(run["covers"] == (low <= lasted && lasted <= high), "{run}");
        }
        Ok(runs)
    };
    let all = run(3, 0)?;
    let rest = run(1, 2)?;
    for what in ["run", "seed", "asked_ns"] {
        ensure!(
            all[2][what] == rest[0][what],
            "{what}: {} {}",
            all[2],
            rest[0]
        );
    }
    ensure!(all[0]["seed"] != all[1]["seed"]);
    // The folders of the runs are gone, what came out is there.
    let left: Vec<_> = fs::read_dir(folder.path().join("3-0"))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<anyhow::Result<_>>()?;
    ensure!(left == ["coverage.json"], "{left:?}");
    Ok(())
}

fn equal_servers(kit: &Kit) -> anyhow::Result<()> {
    for (order, promises) in [("rmit", true), ("sequential", false)] {
        let folder = kit.scratch()?;
        let mut command = kit.command("probe-user");
        command
            .args(["validate", "a-a"])
            .args(SHORT)
            .args(["--runs=2", "--paper-warmup=100"]);
        command
            .args(["--order", order, "--out"])
            .arg(folder.path().join("a-a"));
        let report = json(&output(&mut command)?)?;
        check_schema(&report, "a-a")?;
        ensure!(report["order"] == order && report["holds"].is_null() != promises);
        let runs = report["runs"].as_array().context("no runs")?;
        ensure!(runs.len() == 2);
        for run in runs {
            ensure!(run["paper"]["n"] == serde_json::json!([860, 860]), "{run}");
            // t is the difference of the means in standard errors.
            let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
            let paper = &run["paper"];
            let difference = number(&paper["mean_ns"][1]) - number(&paper["mean_ns"][0]);
            let error = number(&paper["pooled_sd_ns"]) * (2.0_f64 / 860.0).sqrt();
            ensure!(
                (number(&paper["t"]) - difference / error).abs() < 1e-6,
                "{run}"
            );
            ensure!(paper["false_alarm"] == (number(&paper["p"]) < 0.05));
            ensure!(run["difference"]["blocks"] == 2, "pairs of servers: {run}");
        }
    }
    Ok(())
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let refuse = |command: &[&str], options: &[&str], texts: &[&str]| {
        let mut program = kit.command("probe-user");
        fail(program.args(command).args(options), 1, texts)
    };
    let truth = ["validate", "truth"];
    refuse(&truth, &["--first-run=3"], &["--first-run", "--runs"])?;
    refuse(&truth, &["--runs=0"], &["--runs 0"])?;
    refuse(&truth, &["--delays=0"], &["--delays"])?;
    refuse(&truth, &["--order=rmit"], &["--order rmit", "trial"])?;
    refuse(
        &["validate", "a-a"],
        &["--requests=1000", "--blocks=10", "--warmup=0"],
        &["--paper-warmup 4000"],
    )?;
    refuse(
        &["bench"],
        &["--blocks=10", "--servers=11"],
        &["--servers 11"],
    )
}
