//! Whether what came of a run is what was expected.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Output;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::privilege::NOT_USABLE;
use crate::servers::run::DELAY_NS;
use crate::servers::table::{Arms, Expected, Mode, Reason, Server};

/// What came of it.
#[derive(Debug)]
pub enum Finding {
    /// What was expected; in words.
    Passed(String),
    /// Something else.
    Failed(String),
    /// It was not run, for this reason.
    Skipped(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(what) => f.write_str(what),
            Self::Failed(what) => write!(f, "FAILED: {what}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Holds a run against what was expected.
pub fn judge(server: &Server, mode: &Mode, expected: Expected, seen: &Output) -> Finding {
    match found(mode, expected, seen) {
        Ok(words) => Finding::Passed(words),
        Err(error) => {
            let said = String::from_utf8_lossy(&seen.stderr);
            let command = server.command.join(" ");
            Finding::Failed(format!(
                "{error:#} ({command}; {}; {})",
                seen.status,
                said.trim()
            ))
        }
    }
}

fn found(mode: &Mode, expected: Expected, seen: &Output) -> anyhow::Result<String> {
    let said = String::from_utf8_lossy(&seen.stderr);
    ensure!(
        seen.status.signal().is_none() && !said.contains("panicked"),
        "it crashed or hung"
    );
    let code = seen.status.code();
    match expected {
        Expected::Refused(reason) => {
            ensure!(code == Some(1), "it did not refuse");
            let Reason { words, in_short } = reason;
            ensure!(said.contains(words), "it did not say \"{words}\"");
            Ok(format!("refused: {in_short}"))
        }
        Expected::NotUsable(reason) => {
            ensure!(
                code == Some(NOT_USABLE.into()),
                "it took the result for usable"
            );
            let analysis = analysis(seen)?;
            check_given(&analysis["not_usable"], reason)?;
            Ok(format!("not usable: {}", reason.in_short))
        }
        Expected::Warned(reason) => {
            let analysis = analysis(seen)?;
            let reasons = words(&analysis["not_usable"]);
            ensure!(
                code == Some(0) && reasons.is_empty(),
                "it is not usable: {reasons:?}"
            );
            check_given(&analysis["warnings"], reason)?;
            Ok(format!("warned: {}", reason.in_short))
        }
        Expected::Works(calls) | Expected::WorksUnder(_, calls) => {
            let is_sized = matches!(expected, Expected::Works(_));
            let analysis = analysis(seen)?;
            let reasons = words(&analysis["not_usable"]);
            ensure!(
                code == Some(0) && reasons.is_empty(),
                "it is not usable: {reasons:?}"
            );
            worked(mode, calls, is_sized, &analysis)
        }
        Expected::NotAsked => bail!("it was not to be run"),
    }
}

/// Checks a result against the delay that the hook had. Where requests have one size, front knows which calls are of none.
fn worked(mode: &Mode, calls: u32, is_sized: bool, analysis: &Value) -> anyhow::Result<String> {
    let truth_ns = f64::from(DELAY_NS) * f64::from(calls);
    let [cost_ns, low_ns, high_ns] = estimate(&analysis["macro"]["difference"])?;
    // What is left to chance by so few requests. Where others work on the machine a hook that waits is put aside meanwhile, and what it
    // takes gets longer; never shorter.
    let slack_ns = 3.0 * (high_ns - low_ns) / 2.0;
    ensure!(
        (0.8 * truth_ns - slack_ns..2.5 * truth_ns + slack_ns).contains(&cost_ns),
        "{cost_ns:.0} ns [{low_ns:.0}, {high_ns:.0}] end to end are not {truth_ns:.0}"
    );
    let has_bracket = mode.arms != Arms::Rmit;
    if has_bracket {
        let counts = &analysis["trial"]["counts"];
        let differing = counts["differing"].as_array().map(Vec::len);
        ensure!(
            differing == Some(0) && counts["requests"].as_u64().is_some_and(|drawn| drawn > 0),
            "the counts are wrong: {counts}"
        );
    }
    let in_us = |ns: f64| format!("{:.0}", ns / 1e3);
    let [cost, low, high] = [cost_ns, low_ns, high_ns].map(in_us);
    let mut words = vec![format!("works: {cost} [{low}, {high}]")];
    if has_bracket || mode.has_probes {
        let in_situ = &analysis["in_situ"];
        let [of_call_ns, ..] = estimate(&in_situ["hook_overhead"])?;
        let [found_calls, ..] = estimate(&in_situ["calls_per_request"])?;
        let in_situ_ns = of_call_ns * found_calls;
        ensure!(
            (truth_ns..2.5 * truth_ns).contains(&in_situ_ns),
            "{found_calls} calls of {of_call_ns:.0} ns in situ are not {truth_ns:.0}"
        );
        // Probes, and records of requests of any size, count calls too that find nothing. These take no delay.
        let surplus = found_calls - f64::from(calls);
        ensure!(
            surplus.abs() < 1e-9 || surplus > 0.0 && (mode.has_probes || !is_sized),
            "{found_calls} calls of a request in situ are not {calls}"
        );
        words.push(format!("{found_calls:.2} × {}", in_us(of_call_ns)));
    }
    Ok(words.join("; "))
}

/// An estimate, and the ends of its interval.
fn estimate(value: &Value) -> anyhow::Result<[f64; 3]> {
    let number = |pointer| {
        let number = value.pointer(pointer).and_then(Value::as_f64);
        number.with_context(|| format!("no estimate: {value}"))
    };
    Ok([number("/estimate")?, number("/ci95/0")?, number("/ci95/1")?])
}

fn analysis(seen: &Output) -> anyhow::Result<Value> {
    serde_json::from_slice(&seen.stdout).context("it printed no result")
}

/// Checks that one of a list has these words in it.
fn check_given(list: &Value, reason: &Reason) -> anyhow::Result<()> {
    let (all, expected) = (words(list), reason.words);
    ensure!(
        all.iter().any(|given| given.contains(expected)),
        "it did not say \"{expected}\": {all:?}"
    );
    Ok(())
}

fn words(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|word| word.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;
    use crate::servers::table::MODES;

    const SERVER: Server = Server {
        name: "one",
        needs: &[],
        command: &["one"],
        expected: [Expected::NotAsked; MODES.len()],
    };

    /// A run in the first mode, with `code` or by a signal.
    fn passes(expected: Expected, wait_status: i32, stdout: &str, stderr: &str) -> bool {
        let seen = Output {
            status: ExitStatus::from_raw(wait_status),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        matches!(
            judge(&SERVER, &MODES[0], expected, &seen),
            Finding::Passed(_)
        )
    }

    fn result(cost_ns: f64, in_situ_ns: f64, drawn: u32, not_usable: &str) -> String {
        let of = |ns: f64| {
            format!(
                r#"{{"estimate": {ns}, "ci95": [{}, {}]}}"#,
                ns - 1e3,
                ns + 1e3
            )
        };
        format!(
            r#"{{"not_usable": [{not_usable}], "macro": {{"difference": {}}},
                "in_situ": {{"hook_overhead": {}, "calls_per_request": {{"estimate": 1.0, "ci95": [1.0, 1.0]}}}},
                "trial": {{"counts": {{"differing": [], "requests": {drawn}}}}}}}"#,
            of(cost_ns),
            of(in_situ_ns)
        )
    }

    #[test]
    fn a_result_must_be_that_of_the_delay() {
        let works = |cost_ns, in_situ_ns, drawn| {
            passes(
                Expected::Works(1),
                0,
                &result(cost_ns, in_situ_ns, drawn, ""),
                "",
            )
        };
        assert!(works(206e3, 203e3, 9));
        assert!(!works(600e3, 203e3, 9) && !works(0.0, 203e3, 9));
        assert!(!works(206e3, 0.1e3, 9) && !works(206e3, 203e3, 0));
        let result = result(206e3, 203e3, 9, "");
        assert!(!passes(Expected::Works(2), 0, &result, ""));
        // By exit code 4, by a signal, with a panic on the way.
        assert!(!passes(Expected::Works(1), 4 << 8, &result, ""));
        assert!(!passes(Expected::Works(1), 9, &result, ""));
        assert!(!passes(
            Expected::Works(1),
            0,
            &result,
            "thread 'main' panicked"
        ));
    }

    #[test]
    fn a_refusal_must_be_one_and_say_why() {
        let reason = |words| Reason {
            words,
            in_short: "",
        };
        let go: &'static Reason = Box::leak(Box::new(reason("is a Go program")));
        let alone: &'static Reason = Box::leak(Box::new(reason("alone")));
        let expected = Expected::Refused(go);
        assert!(passes(
            expected,
            1 << 8,
            "",
            "probe-user: x is a Go program"
        ));
        assert!(!passes(expected, 1 << 8, "", "probe-user: something else"));
        assert!(!passes(expected, 0, "", "is a Go program"));
        let expected = Expected::NotUsable(alone);
        let result = |reason| result(0.0, 0.0, 0, reason);
        assert!(passes(
            expected,
            4 << 8,
            &result(r#""one request alone""#),
            ""
        ));
        assert!(!passes(expected, 4 << 8, &result(r#""another""#), ""));
        assert!(!passes(expected, 0, &result(r#""one request alone""#), ""));
    }
}
