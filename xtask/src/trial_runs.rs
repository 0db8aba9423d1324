//! What many trials make of one hook: how wide their intervals are, how often they miss what is known, and whether verdicts are
//! given.

use std::collections::BTreeMap;
use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::command::run_folder;
use crate::series::{Series, bench, may_miss, median};

/// Runs of the hook alone.
const RUNS: u32 = 40;
/// The slope of seven delays by undisturbed requests is this near to 1.
const SLOPE_WITHIN: f64 = 0.03;
/// Delays of the run that has more of them, ns.
const DELAYS: &str = "--delays=50,125,500,2000,8000,32000,100000";

fn trial(arguments: &[&str]) -> anyhow::Result<Value> {
    bench(
        &run_folder("trial-runs")?,
        &[&["--micro-calls=300"], arguments].concat(),
    )
}

/// Runs trials of our hook, and prints what came out. Fails where both sides count other arms, or where too many intervals of
/// the negative control miss 0.
pub fn prove() -> anyhow::Result<ExitCode> {
    let mut series = BTreeMap::<&str, Series>::new();
    let (mut verdicts, mut differing, mut holding) =
        (BTreeMap::<String, u32>::new(), 0, Vec::new());
    for run in 1..=RUNS {
        let analysis = trial(&[])?;
        let trial = &analysis["trial"];
        for (name, pointer) in [
            ("null, body of the mean", "/effects/null/body"),
            ("null, median", "/effects/null/typical"),
            ("null, undisturbed", "/undisturbed/effects/null/end_to_end"),
            ("on, body of the mean", "/effects/on/body"),
            ("on, median", "/effects/on/typical"),
            ("on, undisturbed", "/undisturbed/effects/on/end_to_end"),
            ("on, in situ after the read", "/in_situ/after_read/mean"),
        ] {
            if let Some(estimate) = trial.pointer(pointer).filter(|found| !found.is_null()) {
                series.entry(name).or_default().add(estimate, 0.0)?;
            }
        }
        let counted = trial["counts"]["differing"].as_array().map(Vec::len);
        differing += usize::from(counted != Some(0));
        let share = &trial["rerandomisation"]["share_holding"];
        holding.extend(share.as_f64());
        for (of, agreement) in [
            ("means", &analysis["agreement"]),
            ("undisturbed", &trial["undisturbed"]["agreement"]),
        ] {
            let verdict = agreement["verdict"].as_str().unwrap_or("none");
            *verdicts.entry(format!("{of}: {verdict}")).or_default() += 1;
        }
        eprintln!("run {run} of {RUNS}");
    }
    let doses = trial(&[DELAYS, "--servers=16"])?;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "of 40 runs",
        "mean",
        "median half-width",
        "intervals without 0",
    ]);
    for (name, of) in &series {
        let mean = of.estimates.iter().sum::<f64>() / of.estimates.len() as f64;
        table.add_row([
            (*name).to_owned(),
            format!("{mean:.1} ns"),
            format!("{:.1} ns", median(&of.half_widths)),
            of.missed.to_string(),
        ]);
    }
    println!("{table}");
    println!("verdicts: {verdicts:?}");
    println!("runs whose counts differ: {differing}");
    let share = holding.iter().sum::<f64>() / holding.len() as f64;
    println!(
        "intervals of one process hold 0 in {:.2} % of redraws",
        100.0 * share
    );
    for (of, at) in [
        ("body of the mean", "/trial/doses"),
        ("undisturbed", "/trial/undisturbed/doses"),
    ] {
        let slope = doses
            .pointer(&format!("{at}/slope"))
            .unwrap_or(&Value::Null);
        println!(
            "slope of seven doses, {of}: {} {}",
            slope["estimate"], slope["ci95"]
        );
    }
    let slope = &doses["trial"]["undisturbed"]["doses"]["slope"]["estimate"];
    let is_right = |slope: f64| (slope - 1.0).abs() <= SLOPE_WITHIN;
    let mut failed = differing > 0 || !slope.as_f64().is_some_and(is_right);
    let may_miss = may_miss(RUNS as usize);
    for name in [
        "null, body of the mean",
        "null, median",
        "null, undisturbed",
    ] {
        let found = series.get(name).map_or(0, |of| of.estimates.len());
        let missed = series.get(name).map_or(0, |of| of.missed);
        if missed > may_miss || found < RUNS as usize {
            println!("{name}: {missed} of {found} intervals miss 0, and {may_miss} of {RUNS} may");
            failed = true;
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
