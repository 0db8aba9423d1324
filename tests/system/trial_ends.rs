//! Trials that are cut off in the middle, and servers that write records faster than usual and die while they do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::manifest::Manifest;
use runlog::record::{BracketedCall, ReadSpan, Request};
use runlog::table::read_all;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::Test;
use crate::bench::nothing_left;
use crate::kit::{
    Kit, Running, check_schema, compile_c, exact_kernel_probe, fail, json, output, pid, succeed,
    wait_for, wait_for_rows,
};
use crate::skips::Need;
use crate::trial_bench::{Left, trial_bench};
use crate::unprivileged::unprivileged;

/// A test without probes, and the same with them, and what that needs.
macro_rules! both {
    ($name:literal, $run:expr, $needs:expr) => {
        [
            Test {
                name: concat!("trial_ends::", $name),
                needs: &[],
                run: |kit| $run(kit, Probes::None),
            },
            Test {
                name: concat!("trial_ends::", $name, "_with_probes"),
                needs: $needs,
                run: |kit| $run(kit, Probes::Some),
            },
        ]
    };
}

const HERE: &[Need] = &[Need::Root, Need::NoOtherKernel];

/// In the middle. One of them is run under other kernels too.
pub const CUT_OFF: &[Test] = [
    both!(
        "a_server_that_is_killed_keeps_what_was_measured",
        server_dies,
        HERE
    ),
    both!(
        "a_load_generator_that_is_killed_keeps_what_was_measured",
        load_generator_dies,
        HERE
    ),
    both!("ctrl_c_keeps_what_was_measured", ctrl_c, &[Need::Root]),
    both!("sigkill_leaves_nothing_running", agent_dies, HERE),
]
.as_flattened();

pub const TESTS: &[Test] = &[
    Test {
        name: "trial_ends::each_of_very_many_records_is_accounted_for",
        needs: &[Need::Program("cc")],
        run: many_records,
    },
    Test {
        name: "trial_ends::processes_that_are_killed_while_they_write_harm_no_other_record",
        needs: &[Need::Program("cc")],
        run: dying_processes,
    },
];

/// Whether probes are attached in half of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probes {
    None,
    Some,
}

/// Rows by which something was measured: as many as some blocks have.
const ENOUGH: usize = 1_000;

/// A trial that would take long. Its blocks are short, as each ends with all of its records in the files.
struct Endless {
    /// Holds the run.
    _folder: tempfile::TempDir,
    out: PathBuf,
    run: RunDirectory,
    running: Running,
}

impl Endless {
    /// Starts it, and waits until much was measured.
    fn start(kit: &Kit, probes: Probes) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        let out = folder.path().join("run");
        let run = RunDirectory::existing(&out);
        let mut command = trial_bench(kit, &out);
        command.args(["--requests=500000", "--blocks=10000"]);
        command.args(["--micro-calls=2", "--micro-cold-calls=0"]);
        command.arg("--calibration-rounds=0");
        match probes {
            Probes::None => command.arg("--no-probes"),
            Probes::Some => command.args(exact_kernel_probe()),
        };
        let running = Running::start_piped(&mut command)?;
        wait_for("the run to begin", || Ok(run.bracketed_calls().exists()))?;
        wait_for_rows::<BracketedCall>(&run.bracketed_calls(), ENOUGH)?;
        if probes == Probes::Some {
            wait_for_rows::<ReadSpan>(&run.reads(), ENOUGH)?;
        }
        Ok(Self {
            _folder: folder,
            out,
            run,
            running,
        })
    }

    /// Its servers.
    fn servers(&self) -> anyhow::Result<Vec<i32>> {
        let manifest: Manifest = runlog::json::read(&self.run.manifest())?;
        Ok(manifest.arms[0].pids.clone())
    }

    /// Checks that it ends as one that was cut short for this reason, that what was measured is kept, and that nobody is left.
    /// Returns its analysis.
    fn ends(self, kit: &Kit, reason: &str) -> anyhow::Result<Value> {
        let output = self.running.output()?;
        ensure!(
            output.status.code() == Some(3),
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let analysis = json(&output)?;
        check_schema(&analysis, "analysis")?;
        let cut_short = analysis["cut_short"].as_str().unwrap_or_default();
        ensure!(cut_short.contains(reason), "{cut_short}");
        let left = Left::read(&self.run)?;
        ensure!(
            left.manifest.ended.contains(reason),
            "{}",
            left.manifest.ended
        );
        check_kept(&left.requests, &left.calls, left.drawn()?)?;
        nothing_left(kit)?;
        Ok(analysis)
    }
}

/// Checks that much was kept, and that what the client has an answer to was recorded, but in blocks with probes.
fn check_kept(
    requests: &[Request],
    calls: &[BracketedCall],
    drawn: BTreeMap<(u64, u64), &Request>,
) -> anyhow::Result<()> {
    ensure!(requests.len() > ENOUGH && calls.len() > ENOUGH);
    let recorded: BTreeMap<_, _> = calls
        .iter()
        .map(|call| ((call.salt, u64::from(call.ordinal)), call.arm))
        .collect();
    for (place, request) in drawn {
        ensure!(
            !request.is_ok() || request.is_observed() || recorded.get(&place) == Some(&request.arm),
            "{request:?}"
        );
    }
    Ok(())
}

/// Processes that run one of the kit's programs.
fn processes(kit: &Kit, program: &str) -> anyhow::Result<Vec<i32>> {
    let path = kit.path(program);
    let processes = fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let exe = fs::read_link(entry.path().join("exe")).ok()?;
        (exe == path).then_some(process)
    });
    Ok(processes.collect())
}

/// Checks that of all the processes that a run has started its servers alone know of the trial.
fn servers_alone_know(kit: &Kit, servers: &[i32]) -> anyhow::Result<()> {
    let mut knowing = [processes(kit, "sut")?, processes(kit, "loadgen")?].concat();
    knowing.retain(|process| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains("HOOKPROBE_")
    });
    knowing.sort_unstable();
    let mut servers = servers.to_vec();
    servers.sort_unstable();
    ensure!(knowing == servers, "{knowing:?}, not {servers:?}");
    Ok(())
}

/// Checks that each server has its own memory for records, and no other process has any.
fn memories_are_apart(kit: &Kit, servers: &[i32]) -> anyhow::Result<()> {
    let held = |process: i32| -> anyhow::Result<Vec<PathBuf>> {
        let open = fs::read_dir(format!("/proc/{process}/fd"))?.flatten();
        let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        let memories = links.filter(|link| link.to_string_lossy().contains("hookprobe-records"));
        Ok(memories.collect())
    };
    for server in servers {
        ensure!(held(*server)?.len() == 1, "{:?}", held(*server)?);
    }
    for process in processes(kit, "loadgen")? {
        ensure!(held(process)?.is_empty(), "{:?}", held(process)?);
    }
    Ok(())
}

/// Checks that both sides counted the same. Of requests without an answer that is not known.
fn counts_are_the_same(analysis: &Value) -> anyhow::Result<()> {
    let differing = &analysis["trial"]["counts"]["differing"];
    ensure!(*differing == serde_json::json!([]), "{differing}");
    Ok(())
}

fn kill(process: i32) -> anyhow::Result<()> {
    Ok(kill_process(pid(process.cast_unsigned())?, Signal::KILL)?)
}

fn server_dies(kit: &Kit, probes: Probes) -> anyhow::Result<()> {
    let endless = Endless::start(kit, probes)?;
    let servers = endless.servers()?;
    servers_alone_know(kit, &servers)?;
    memories_are_apart(kit, &servers)?;
    kill(servers[1])?;
    counts_are_the_same(&endless.ends(kit, "server")?)
}

fn load_generator_dies(kit: &Kit, probes: Probes) -> anyhow::Result<()> {
    let endless = Endless::start(kit, probes)?;
    let generators = processes(kit, "loadgen")?;
    ensure!(generators.len() == 1, "{generators:?}");
    kill(generators[0])?;
    let analysis = endless.ends(kit, "load generator")?;
    // What it had not written yet is in the counts of the servers alone.
    let differing = &analysis["trial"]["counts"]["differing"];
    let differing = differing.as_array().context("no counts")?;
    ensure!(
        differing
            .iter()
            .all(|arm| arm["drawn"].as_u64() > arm["answered"].as_u64()),
        "{differing:?}"
    );
    Ok(())
}

fn ctrl_c(kit: &Kit, probes: Probes) -> anyhow::Result<()> {
    let endless = Endless::start(kit, probes)?;
    endless.running.signal(Signal::INT)?;
    counts_are_the_same(&endless.ends(kit, "interrupted (SIGINT)")?)
}

fn agent_dies(kit: &Kit, probes: Probes) -> anyhow::Result<()> {
    let Endless {
        _folder,
        out,
        run,
        running,
    } = Endless::start(kit, probes)?;
    running.signal(Signal::KILL)?;
    drop(running);
    nothing_left(kit)?;
    let requests: Vec<Request> = read_all(run.requests())?;
    let calls: Vec<BracketedCall> = read_all(run.bracketed_calls())?;
    check_kept(&requests, &calls, BTreeMap::new())?;
    // It is marked, and its arms can be compared.
    let marked = ["killed before it came to its end"];
    fail(
        kit.command("probe-user").arg("report").arg(&out),
        3,
        &marked,
    )?;
    let analysed = succeed(kit.command("probe-user").arg("analyze").arg(&out))?;
    let said = String::from_utf8(analysed.stdout)?;
    ensure!(said.contains("the run was cut short"), "{said}");
    Ok(())
}

fn stderr(output: &Output) -> String {
    format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}

const BYTEWISE: &str = include_str!("c/bytewise.c");

/// A trial of the server that reads byte by byte, with options.
fn bytewise(kit: &Kit, out: &Path, options: &[&str]) -> anyhow::Result<Command> {
    let program = compile_c(
        out.parent().context("no parent")?,
        BYTEWISE,
        &["-O2", "-pthread"],
    )?;
    let mut command = trial_bench(kit, out);
    command
        .args([
            "--no-probes",
            "--requests=400",
            "--blocks=8",
            "--connections=4",
        ])
        .arg("--")
        .arg(program)
        .arg("{port}")
        .args(options);
    unprivileged(&mut command);
    Ok(command)
}

/// Calls of all arms of a server, and requests.
fn calls_and_requests(counts: &runlog::trial::ServerCounts) -> (u64, u64) {
    let arms = || counts.arms.values();
    (
        arms().map(|arm| arm.calls).sum(),
        arms().map(|arm| arm.requests).sum(),
    )
}

fn many_records(kit: &Kit) -> anyhow::Result<()> {
    for how in ["thread", "process"] {
        let folder = kit.scratch()?;
        let out = folder.path().join("run");
        let analysis = json(&succeed(&mut bytewise(kit, &out, &[how])?)?)?;
        let left = Left::read(&RunDirectory::existing(&out))?;
        let size = u64::from(left.trial.size);
        for counts in &left.counts.servers {
            let (calls, requests) = calls_and_requests(counts);
            let records = counts.records;
            ensure!(calls == requests * size, "{how}: {counts:?}");
            ensure!(
                records.begun + records.unrecordable == calls,
                "{how}: {counts:?}"
            );
            // Children of fork have what was mapped before.
            ensure!(counts.processes == 1, "{how}: {counts:?}");
        }
        ensure!(left.calls.iter().all(|call| call.returned == 1));
        counts_are_the_same(&analysis)?;
        nothing_left(kit)?;
    }
    Ok(())
}

fn dying_processes(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    // Each process is ended 3 ms after its connection began, wherever it is.
    let ended = output(&mut bytewise(kit, &out, &["process", "3000"])?)?;
    let analysis: Value = json(&ended).with_context(|| stderr(&ended))?;
    let left = Left::read(&RunDirectory::existing(&out))?;
    let size = u64::from(left.trial.size);
    let mut died = 0;
    for counts in &left.counts.servers {
        let (calls, requests) = calls_and_requests(counts);
        let records = counts.records;
        // What each process was at when it ended was counted and not recorded, or recorded in part.
        let ended = counts.connections;
        ensure!(calls <= requests * size, "{counts:?}");
        let begun = records.begun + records.unrecordable;
        ensure!(
            (calls.saturating_sub(ended)..=calls).contains(&begun),
            "{counts:?}"
        );
        ensure!(records.torn <= ended, "{counts:?}");
        died += ended;
    }
    ensure!(died > 20, "{died}");
    // Whatever was read is of a request, of its arm.
    let counts = &analysis["trial"]["counts"];
    ensure!(counts["misplaced"] == 0, "{counts}");
    counts_are_the_same(&analysis)?;
    nothing_left(kit)
}
