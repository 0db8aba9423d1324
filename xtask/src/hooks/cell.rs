//! One hook under one server: what `bench` makes of it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::release;
use crate::hooks::list::{Hook, Server};
use crate::privilege::NOT_USABLE;

/// A run is given up after so many seconds.
const PATIENCE: &str = "120";
/// What `bench` says where whole servers are to be measured.
const ADVICE: &str = "--order rmit";
/// What it says of a server that does not start with the hook alone either, in a trial.
const NOT_ALONE: &str = "(nor with the hook alone)";
/// Arms of whole servers have no bracket: what they say of a hook is about the hook alone.
const HOOKED_ARM: &str = "the server of arm hooked does not start";

/// What came out.
#[derive(Debug, PartialEq)]
pub enum Cell {
    /// The cost of a request, ns.
    Costs {
        estimate: f64,
        ci95: [f64; 2],
        /// In whole servers: the farther end of the interval of two that do the same.
        equal_ones_differ_by: Option<f64>,
        /// What is said against a result that is not to be used.
        not_usable: Vec<String>,
    },
    /// The server does not start with the hook, whatever stands around it: why.
    BreaksIt(String),
    /// What must not be.
    Fails(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Costs {
                estimate,
                ci95: [low, high],
                equal_ones_differ_by,
                not_usable,
            } => {
                // All three alike, by the largest.
                let largest = low.abs().max(high.abs());
                let (unit, by, digits) = match largest {
                    10_000.0.. => ("µs", 1e3, 1),
                    100.0.. => ("ns", 1.0, 0),
                    _ => ("ns", 1.0, 1),
                };
                let number = |ns: f64| format!("{:.digits$}", ns / by);
                write!(
                    f,
                    "{} {unit} [{}, {}]",
                    number(*estimate),
                    number(*low),
                    number(*high)
                )?;
                if let Some(differ_by) = equal_ones_differ_by {
                    write!(f, ", A/A to {}", number(*differ_by))?;
                }
                if not_usable.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; not usable: {}", not_usable.join("; "))
                }
            }
            Self::BreaksIt(why) => write!(f, "does not start with it: {why}"),
            Self::Fails(why) => write!(f, "FAILS: {why}"),
        }
    }
}

/// Measures a hook under a server: by the order that `bench` takes by itself, and by the one that it then advises.
pub fn measure(
    hook: &Hook,
    package: &Path,
    server: &Server,
    nginx: &Path,
    folder: &Path,
) -> anyhow::Result<Cell> {
    let run = |order: &[&str]| {
        let out = folder.join("run");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        let in_package = |text: &str| text.replace("{package}", &package.display().to_string());
        let mut bench = Command::new("timeout");
        bench
            .args(["--kill-after=5", PATIENCE])
            .arg(release().join("probe-user"))
            .args(["bench", "--no-probes", "--json", "--requests=24000"])
            .args(["--blocks=48", "--servers=4", "--warmup=4000"])
            .args(["--micro-calls=100", "--micro-cold-calls=0"])
            .args(order)
            .arg("--out")
            .arg(&out)
            .arg("--hook")
            .arg(package.join(hook.library))
            .current_dir(folder);
        for (name, value) in hook.settings {
            bench.arg(format!("--hook-env={name}={}", in_package(value)));
        }
        if !server.command.is_empty() {
            let nginx = nginx.display().to_string();
            let words = server.command.iter();
            bench.arg("--");
            bench.args(words.map(|word| word.replace("{nginx}", &nginx)));
        }
        let output = bench.output();
        output.with_context(|| format!("cannot start {bench:?}"))
    };
    let first = run(&[])?;
    let followed = if takes_whole_servers(&first)? {
        Some(run(&["--order=rmit"])?)
    } else {
        None
    };
    Ok(judge(&followed.unwrap_or(first)))
}

/// Whether `bench` refuses, or withholds its verdict, with the advice to measure whole servers.
fn takes_whole_servers(output: &Output) -> anyhow::Result<bool> {
    if output.status.code() == Some(1) {
        return Ok(String::from_utf8_lossy(&output.stderr).contains(ADVICE));
    }
    let Ok(analysis) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Ok(false);
    };
    let warnings = analysis["warnings"].as_array();
    let warnings = warnings.context("a result without warnings")?;
    let withheld = analysis["agreement"]["withheld"].as_array();
    let all = warnings.iter().chain(withheld.into_iter().flatten());
    let mut words = all.filter_map(Value::as_str);
    Ok(words.any(|words| words.contains(ADVICE)))
}

/// What a run has come to.
fn judge(output: &Output) -> Cell {
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("").trim();
    let last = last.strip_prefix("probe-user: ").unwrap_or(last);
    if said.contains("panicked") {
        return Cell::Fails(format!("a panic: {said}"));
    }
    match output.status.code() {
        Some(code) if code == 0 || code == i32::from(NOT_USABLE) => {
            costs(&output.stdout).unwrap_or_else(|error| Cell::Fails(format!("{error:#}")))
        }
        Some(1) if last.contains(NOT_ALONE) || last.contains(HOOKED_ARM) => {
            // What it says itself stands behind what we say.
            let why = last.split_once(": ").map_or(last, |(_, why)| why);
            Cell::BreaksIt(why.to_owned())
        }
        _ => Cell::Fails(format!("{}: {last}", output.status)),
    }
}

fn costs(stdout: &[u8]) -> anyhow::Result<Cell> {
    let analysis: Value = serde_json::from_slice(stdout).context("the output of bench --json")?;
    let failed = &analysis["requests"];
    let failed = failed.as_object().context("a result without requests")?;
    for (arm, requests) in failed {
        let none = requests["failed"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty);
        ensure!(none, "requests of arm {arm} failed: {}", requests["failed"]);
    }
    let is_trial = !analysis["trial"].is_null();
    let sharpest = analysis.pointer("/trial/undisturbed/effects/on/end_to_end");
    let difference = &analysis["macro"]["difference"];
    let cost = sharpest.unwrap_or(difference);
    let interval = |of: &Value| -> anyhow::Result<[f64; 2]> {
        let ends = [&of["ci95"][0], &of["ci95"][1]].map(Value::as_f64);
        match ends {
            [Some(low), Some(high)] => Ok([low, high]),
            _ => anyhow::bail!("no interval: {of}"),
        }
    };
    let equal_ones = &analysis["macro"]["a_a_difference"];
    let equal_ones_differ_by = if is_trial {
        None
    } else {
        let [low, high] = interval(equal_ones)?;
        Some(low.abs().max(high.abs()))
    };
    let not_usable = analysis["not_usable"].as_array();
    let not_usable = not_usable.context("a result without its reasons")?.iter();
    Ok(Cell::Costs {
        estimate: cost["estimate"].as_f64().context("no estimate")?,
        ci95: interval(cost)?,
        equal_ones_differ_by,
        not_usable: not_usable
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use serde_json::json;

    use super::*;

    fn output(code: i32, stdout: &Value, stderr: &str) -> Output {
        Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.to_string().into_bytes(),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    fn trial() -> Value {
        let estimate = |ns: f64| json!({"estimate": ns, "ci95": [ns - 5.0, ns + 5.0]});
        json!({
            "warnings": [], "not_usable": [], "agreement": null,
            "requests": {"on": {"sent": 9, "failed": {}}},
            "macro": {"difference": estimate(300.0), "a_a_difference": estimate(-40.0)},
            "trial": {"undisturbed": {"effects": {"on": {"end_to_end": estimate(12.0)}}}},
        })
    }

    #[test]
    fn a_trial_says_what_an_undisturbed_request_costs() {
        let cell = judge(&output(0, &trial(), ""));
        assert_eq!(cell.to_string(), "12.0 ns [7.0, 17.0]");
    }

    #[test]
    fn whole_servers_say_what_equal_ones_differ_by_too() {
        let mut analysis = trial();
        analysis["trial"] = Value::Null;
        analysis["not_usable"] = json!(["a reason"]);
        let cell = judge(&output(i32::from(NOT_USABLE), &analysis, ""));
        let words = "300 ns [295, 305], A/A to 45; not usable: a reason";
        assert_eq!(cell.to_string(), words);
    }

    #[test]
    fn a_server_that_the_hook_alone_breaks_is_told_from_one_that_we_break() {
        let judge = |stderr| judge(&output(1, &Value::Null, stderr));
        let by_itself = "probe-user: the server does not start (nor with the hook alone): server ended (exit status: 1): no settings";
        let found = judge(by_itself);
        assert_eq!(
            found,
            Cell::BreaksIt("server ended (exit status: 1): no settings".to_owned())
        );
        let by_us = by_itself.replace("nor with the hook alone", "with the hook alone it does");
        assert!(matches!(judge(&by_us), Cell::Fails(_)));
        let panicked = format!("thread 'main' panicked at\n{by_itself}");
        assert!(matches!(judge(&panicked), Cell::Fails(_)));
    }

    #[test]
    fn failed_requests_and_other_ends_fail() {
        let mut analysis = trial();
        analysis["requests"]["on"]["failed"] = json!({"timed_out": 1});
        let failed = judge(&output(i32::from(NOT_USABLE), &analysis, ""));
        assert!(matches!(failed, Cell::Fails(_)), "{failed}");
        for code in [2, 3, 124] {
            let failed = judge(&output(code, &trial(), ""));
            assert!(matches!(failed, Cell::Fails(_)), "{failed}");
        }
    }

    #[test]
    fn the_advice_is_followed_where_it_is_given() {
        let mut analysis = trial();
        assert!(!takes_whole_servers(&output(0, &analysis, "")).unwrap());
        analysis["agreement"] =
            json!({"withheld": ["it was in no request (--order rmit measures that)"]});
        assert!(takes_whole_servers(&output(0, &analysis, "")).unwrap());
        let refusal = "measure whole servers with and without it (--order rmit)";
        assert!(takes_whole_servers(&output(1, &Value::Null, refusal)).unwrap());
        assert!(!takes_whole_servers(&output(1, &Value::Null, "no such file")).unwrap());
    }
}
