//! Calibration: corrected durations are held against durations that are known otherwise.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::Value;

use crate::Test;
use crate::bench::nothing_left;
use crate::kit::{Kit, Running, check_schema, compile_c, fail, json, succeed, wait_for};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "calibration::corrected_functions_are_as_long_as_they_are",
        needs: &[Need::Root, Need::Program("cc")],
        run: busy_functions,
    },
    Test {
        name: "calibration::a_hook_that_does_nothing_costs_nothing",
        needs: &[Need::Root, Need::Speed],
        run: empty_hook,
    },
    Test {
        name: "calibration::every_kind_of_probe_is_calibrated_or_said_why_not",
        needs: &[Need::Root, Need::Speed],
        run: all_kinds,
    },
    Test {
        name: "calibration::can_be_left_out_and_interrupted",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: interrupted,
    },
];

/// Whatever else the machine does may slow the function and not its calibration, or the reverse. A wrong
/// correction is wrong each time.
const TRIES: usize = 5;

const BUSY: &str = include_str!("c/busy.c");

/// Relative tolerance of a corrected median.
const TOLERANCE: f64 = 0.05;
/// Its least tolerance: the caches of a probed function are colder than those of an unprobed one.
const TOLERANCE_NS: f64 = 100.0;
/// Tolerance of what is taken off where the kernel single-steps, as a share of it. In a nested virtual machine a step
/// takes 10 µs, and differs between two processes by up to a quarter of that for as long as they live: what one process
/// is calibrated on is not what another takes. To take nothing off, or twice as much, or what an emulated instruction
/// takes, would be wrong by 0.95 or more.
const TOLERANCE_OF_STEPPING: f64 = 0.5;
/// Traces of a single-stepped function, of which the median counts.
const STEPPED: usize = 3;

fn busy_functions(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    // Functions begin with an instruction that the kernel emulates, and with one that it single-steps.
    for (options, is_stepped, waits_ns) in [
        (&[][..], false, &["500", "5000", "50000"][..]),
        (&["-fcf-protection=full"], true, &["500", "50000"]),
    ] {
        let program = compile_c(folder.path(), BUSY, options)?;
        for wait_ns in waits_ns {
            let length = folder.path().join("length");
            let mut command = Command::new(&program);
            command.arg(wait_ns).arg(&length);
            let running = Running::start(command)?;
            wait_for("the program to know its length", || {
                Ok(fs::read_to_string(&length).is_ok_and(|text| text.ends_with('\n')))
            })?;
            let true_ns: f64 = fs::read_to_string(&length)?.trim().parse()?;
            fs::remove_file(&length)?;
            let trace = || Corrected::trace(kit, running.pid());
            if is_stepped {
                let traces = (0..STEPPED).map(|_| trace());
                let mut traces = traces.collect::<anyhow::Result<Vec<_>>>()?;
                traces.sort_by(|one, other| one.p50_ns.total_cmp(&other.p50_ns));
                let tolerance_ns = TOLERANCE_OF_STEPPING * traces[STEPPED / 2].taken_off_ns;
                let error_ns = (traces[STEPPED / 2].p50_ns - true_ns).abs();
                ensure!(error_ns < tolerance_ns, "{true_ns} ns long: {traces:?}");
            } else {
                let tolerance_ns = (TOLERANCE * true_ns).max(TOLERANCE_NS);
                let wrong = first_success((0..TRIES).map(|_| {
                    let found = trace()?;
                    let is_wrong = (found.p50_ns - true_ns).abs() > tolerance_ns;
                    Ok(is_wrong.then(|| format!("{true_ns} ns long: {found:?}")))
                }))?;
                ensure!(wrong.is_empty(), "{wrong:?}");
            }
        }
    }
    nothing_left(kit)
}

/// What a trace says of `busy`.
#[derive(Debug)]
struct Corrected {
    p50_ns: f64,
    taken_off_ns: f64,
}

impl Corrected {
    fn trace(kit: &Kit, pid: u32) -> anyhow::Result<Self> {
        let pid = pid.to_string();
        let seen = trace(kit, &["--pid", &pid, "--symbol=busy", "--duration=1"])?;
        let function = &seen["spans"]["function"];
        let p50_ns = number(function, "/corrected/p50_ns")?;
        Ok(Self {
            p50_ns,
            taken_off_ns: number(function, "/p50_ns")? - p50_ns,
        })
    }
}

/// Nothing if one of the tries finds nothing wrong; otherwise what each has found.
fn first_success(
    tries: impl Iterator<Item = anyhow::Result<Option<String>>>,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for attempt in tries {
        match attempt? {
            Some(found) => wrong.push(found),
            None => return Ok(Vec::new()),
        }
    }
    Ok(wrong)
}

/// In the mode `passthrough` nothing lies between the hook's last two looks at the clock.
fn empty_hook(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(Some(&[("READHOOK_MODE", "passthrough")]), &["--quiet"])?;
    let mut load = kit.command("loadgen");
    load.args(["run", "--requests=100000000", "--blocks=1"])
        .arg(format!("--arm=hooked={}", server.url()));
    let load = Running::start(load)?;
    let pid = server.pid().to_string();
    let wrong = first_success((0..TRIES).map(|_| nothing_costs(kit, &pid)))?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    drop(load);
    drop(server);
    nothing_left(kit)
}

/// Traces a hook that does nothing; says what it seems to cost, if that is more than a clock read. Were nothing taken off,
/// or were it added, it would be one or two. There are clocks that count in steps of half a read, and in a busy server a
/// read takes a step longer than in calibration's loop.
fn nothing_costs(kit: &Kit, pid: &str) -> anyhow::Result<Option<String>> {
    let seen = trace(kit, &["--pid", pid, "--duration=1"])?;
    let overhead = &seen["spans"]["hook_overhead"];
    let clock_ns = calibrated(&seen["calibration"], "hook_overhead")?;
    let corrected_ns = number(overhead, "/corrected/p50_ns")?;
    Ok((corrected_ns.abs() >= clock_ns).then(|| {
        format!("nothing takes {corrected_ns} ns, with a clock read of {clock_ns} ns: {overhead}")
    }))
}

fn all_kinds(kit: &Kit) -> anyhow::Result<()> {
    let wrong = first_success((0..TRIES).map(|_| costs_of_all_kinds(kit)))?;
    ensure!(wrong.is_empty(), "{wrong:?}");
    nothing_left(kit)
}

/// Calibrates, and says which kind seems to cost nothing, or its caller less than it adds to the span. In two rounds of a
/// machine that others disturb, one may.
fn costs_of_all_kinds(kit: &Kit) -> anyhow::Result<Option<String>> {
    let mut command = kit.command("probe-user");
    command.args(["validate", "probes", "--json", "--rounds=2"]);
    let report = json(&succeed(&mut command)?)?;
    check_schema(&report, "calibration")?;
    let listed = |place: &str| -> anyhow::Result<Vec<Value>> {
        let list = report["calibration"][place].as_array();
        list.cloned().with_context(|| report.to_string())
    };
    let (probes, missing) = (listed("probes")?, listed("missing")?);
    let is = |entry: &Value, name: &str| entry["attach_type"] == name;
    for name in [
        "site",
        "tp-btf",
        "raw-tracepoint",
        "fentry",
        "tracepoint",
        "kprobe",
        "uprobe+uretprobe",
    ] {
        let found = probes.iter().any(|probe| is(probe, name));
        let said_why = missing.iter().any(|missing| is(missing, name));
        ensure!(found != said_why, "{name}: {report}");
    }
    for reason in &missing {
        let reason = reason["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("does not work here"), "{reason}");
    }
    for probe in &probes {
        let bias_ns = number(probe, "/bias_mean/estimate")?;
        let mut is_plausible = bias_ns > 0.0;
        // The caller waits for all of both programs, of which the span holds a part.
        if probe["span"] == "function" || probe["span"] == "read_syscall" {
            is_plausible &= number(probe, "/caller_cost/estimate")? > bias_ns;
        }
        if !is_plausible {
            return Ok(Some(probe.to_string()));
        }
    }
    Ok(None)
}

fn interrupted(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(Some(&[]), &["--quiet"])?;
    let pid = server.pid().to_string();
    let options = ["--pid", &pid, "--duration=0.1", "--calibration-rounds=0"];
    let seen = trace(kit, &options)?;
    ensure!(seen["calibration"].is_null(), "{seen}");

    let mut command = kit.command("probe-user");
    command.args(["trace", "--calibration-rounds=1", "--pid", &pid]);
    fail(&mut command, 2, &["calibration-rounds", "expected 0"])?;

    let mut command = kit.command("probe-user");
    command.args(["validate", "probes", "--rounds=100000"]);
    let running = Running::start_piped(&mut command)?;
    let worker = kit.path("probe-user");
    wait_for("the calibrated process", || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid()));
        let child = children.unwrap_or_default();
        let executable = fs::read_link(format!("/proc/{}/exe", child.trim()));
        Ok(executable.is_ok_and(|executable| executable == worker))
    })?;
    running.signal(Signal::INT)?;
    let output = running.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("interrupted"),
        "{said}"
    );
    drop(server);
    nothing_left(kit)
}

fn trace(kit: &Kit, options: &[&str]) -> anyhow::Result<Value> {
    let mut command = kit.command("probe-user");
    command.args(["trace", "--json"]).args(options);
    let seen = json(&succeed(&mut command)?)?;
    check_schema(&seen, "trace")?;
    Ok(seen)
}

/// What the calibration says is added to the median of one kind of span.
fn calibrated(calibration: &Value, span: &str) -> anyhow::Result<f64> {
    let probes = calibration["probes"].as_array();
    let probe = probes.and_then(|probes| probes.iter().find(|probe| probe["span"] == span));
    number(
        probe.with_context(|| calibration.to_string())?,
        "/bias_median/estimate",
    )
}

fn number(value: &Value, pointer: &str) -> anyhow::Result<f64> {
    let number = value.pointer(pointer).and_then(Value::as_f64);
    number.with_context(|| format!("no number at {pointer}: {value}"))
}
