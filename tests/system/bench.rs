//! `probe-user bench` with probes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use object::elf::EM_BPF;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use runlog::RunDirectory;
use runlog::manifest::Manifest;
use runlog::record::{JoinedRequest, ReadSpan, Request};
use runlog::table::read_all;
use rustix::fs::inotify;
use rustix::process::{Signal, kill_process};

use crate::Test;
use crate::kit::{
    Kit, Running, check_schema, exact_kernel_probe, is_alive, json, output, pid, recursion_misses,
    succeed, wait_for,
};
use crate::sequence_log::{Delivery, read_truth};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "bench::three_layers",
        needs: &[Need::Root],
        run: three_layers,
    },
    Test {
        name: "bench::the_request_log_is_read_at_most_five_times",
        needs: &[Need::Root],
        run: passes,
    },
    Test {
        name: "bench::join_against_the_servers_own_log",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: join_truth,
    },
    Test {
        name: "bench::join_at_many_connections_and_threads",
        needs: &[Need::Root],
        run: join_truth_of_many,
    },
    Test {
        name: "bench::every_kernel_probe_works_or_says_why_not",
        needs: &[Need::Root],
        run: kernel_probes,
    },
    Test {
        name: "bench::a_small_ring_drops_and_counts",
        needs: &[Need::Root, Need::Speed],
        run: small_ring,
    },
    Test {
        name: "bench::a_server_behind_a_script_is_found_and_ended",
        needs: &[Need::Root, Need::Program("sh")],
        run: server_behind_script,
    },
    Test {
        name: "bench::failing_requests_make_a_result_unusable",
        needs: &[],
        run: failing_requests,
    },
    Test {
        name: "bench::ctrl_c_keeps_what_was_measured",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: ctrl_c,
    },
    Test {
        name: "bench::ctrl_c_before_the_first_request_leaves_nothing",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: early_ctrl_c,
    },
    Test {
        name: "bench::a_server_that_dies_cuts_the_run_short",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: server_dies,
    },
    Test {
        name: "bench::sigkill_leaves_nothing_running_or_attached",
        needs: &[Need::Root],
        run: sigkill,
    },
    Test {
        name: "bench::under_sudo_children_and_files_belong_to_the_caller",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: under_sudo,
    },
];

/// A bench that takes seconds.
fn short_bench(kit: &Kit, out: &Path) -> Command {
    let mut command = kit.bench();
    command.args([
        "--json",
        "--requests=3000",
        "--blocks=6",
        "--warmup=200",
        "--calibration-rounds=2",
    ]);
    command.args(exact_kernel_probe());
    command
        .args(["--block-warmup=20", "--micro-calls=300", "--out"])
        .arg(out);
    command
}

/// Passes over the request log: for the load generator's files, the threshold, which reads the warm-up, the block values, the join,
/// and the report.
const MOST_PASSES: u64 = 5;

/// A request log may be larger than memory, so that each pass reads the disk.
fn passes(kit: &Kit) -> anyhow::Result<()> {
    const END: &str = "end";
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    fs::create_dir(&out)?;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    // With the opens between them, no two closes are merged into one event.
    let flags = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE_NOWRITE;
    inotify::add_watch(&watch, &out, flags)?;
    let counter = thread::spawn(move || readers_until(&watch, END));
    let bench = succeed(&mut short_bench(kit, &out));
    fs::write(out.join(END), "")?;
    fs::read(out.join(END))?;
    let readers = counter
        .join()
        .map_err(|_| anyhow::anyhow!("the counter panicked"))??;
    bench?;
    let of = |file: &str| readers.get(file).copied().unwrap_or(0);
    let requests = of("requests.npy");
    ensure!(
        (1..=MOST_PASSES).contains(&requests),
        "{requests} passes over the request log, not {MOST_PASSES}; {readers:?}"
    );
    let analysis = of("analysis.json");
    ensure!(analysis == 0, "the analysis was read {analysis} times");
    Ok(())
}

/// How often each file of a watched folder was open to be read, until that happens to `end`.
fn readers_until(watch: &OwnedFd, end: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut readers = BTreeMap::new();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    loop {
        let event = events.next()?;
        let name = event
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let is_close = event.events().contains(inotify::ReadFlags::CLOSE_NOWRITE);
        if let Some(name) = name.filter(|_| is_close) {
            if name == end {
                return Ok(readers);
            }
            *readers.entry(name).or_default() += 1;
        }
    }
}

/// A bench that would take a quarter of an hour, and far longer in an emulated machine. Its blocks are
/// short, as each ends with all of its records in the files.
fn endless_bench(kit: &Kit, out: &Path) -> Command {
    let mut command = kit.bench();
    command.args(["--json", "--requests=2500000", "--blocks=10000"]);
    // What comes before the first request is kept short.
    command.args(["--servers=1", "--micro-calls=2", "--micro-cold-calls=0"]);
    command.args(["--calibration-rounds=0", "--out"]);
    command.arg(out);
    command
}

/// Names of the functions in the eBPF object that probe-user carries: those of its programs are among them.
fn names_in_the_object(kit: &Kit) -> anyhow::Result<BTreeSet<String>> {
    let program = fs::read(kit.path("probe-user"))?;
    // The object is aligned within the program.
    let objects = (0..program.len()).step_by(8).filter_map(|start| {
        let bytes = program.get(start..)?;
        let header = bytes.strip_prefix(b"\x7fELF")?;
        (header.get(14..16)? == EM_BPF.to_le_bytes()).then_some(bytes)
    });
    let mut names = BTreeSet::new();
    for bytes in objects {
        let object = ElfFile64::<object::Endianness>::parse(bytes)?;
        let functions = object
            .symbols()
            .filter(|it| it.kind() == SymbolKind::Text && it.is_global());
        for function in functions {
            names.insert(function.name()?.to_owned());
        }
    }
    ensure!(!names.is_empty(), "probe-user carries no eBPF object");
    Ok(names)
}

/// Names of our programs that the kernel has loaded, but for those of other tests' processes.
fn loaded_programs(kit: &Kit, ours: &BTreeSet<String>) -> Vec<String> {
    // The kernel keeps the first 15 bytes of a name.
    let kept: BTreeSet<&str> = ours
        .iter()
        .map(|name| name.get(..15).unwrap_or(name))
        .collect();
    let loaded: Vec<(u32, String)> = aya::programs::loaded_programs()
        .flatten()
        .filter_map(|program| Some((program.id(), program.name_as_str()?.to_owned())))
        .filter(|(_, name)| kept.contains(name.as_str()))
        .collect();
    let others = held_by_others(kit);
    loaded
        .into_iter()
        .filter(|(id, _)| !others.contains(id))
        .map(|(_, name)| name)
        .collect()
}

/// Ids of the eBPF programs that other tests' programs hold. A server that holds one has it from this test: that is a leak.
fn held_by_others(kit: &Kit) -> BTreeSet<u32> {
    let folder = kit.path("");
    let is_other = |exe: &Path| {
        !exe.starts_with(&folder)
            && ["probe-user", "bench"]
                .iter()
                .any(|name| exe.ends_with(name))
    };
    let others = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| fs::read_link(process.join("exe")).is_ok_and(|exe| is_other(&exe)));
    others
        .filter_map(|process| fs::read_dir(process.join("fdinfo")).ok())
        .flat_map(Iterator::flatten)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|held| {
            let id = held.lines().find_map(|line| line.strip_prefix("prog_id:"));
            id?.trim().parse().ok()
        })
        .collect()
}

/// Processes that run one of the kit's programs.
fn our_processes(kit: &Kit) -> anyhow::Result<Vec<String>> {
    let folder = kit.path("");
    Ok(fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path().join("exe")).ok())
        .filter(|exe| exe.starts_with(&folder))
        .map(|exe| exe.display().to_string())
        .collect())
}

/// Checks that nothing is left: no process, no program in the kernel.
pub fn nothing_left(kit: &Kit) -> anyhow::Result<()> {
    wait_for(
        "processes to be gone",
        || Ok(our_processes(kit)?.is_empty()),
    )?;
    let ours = names_in_the_object(kit)?;
    // The kernel frees programs after a grace period.
    wait_for("eBPF programs to be gone", || {
        Ok(loaded_programs(kit, &ours).is_empty())
    })
}

fn three_layers(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let output = succeed(&mut short_bench(kit, &out))?;
    let analysis = json(&output)?;
    check_schema(&analysis, "analysis")?;
    let on_disk: serde_json::Value = runlog::json::read(&out.join("analysis.json"))?;
    ensure!(analysis == on_disk);
    check_schema(&runlog::json::read(&out.join("manifest.json"))?, "manifest")?;
    check_schema(&runlog::json::read(&out.join("load.json"))?, "load")?;

    let positive = [
        "/micro/hook_overhead",
        "/in_situ/hook_overhead",
        "/in_situ/hook_overhead_corrected",
        "/in_situ/read_syscall",
        "/in_situ/read_syscall_corrected",
    ];
    for pointer in positive {
        let estimate = &analysis.pointer(pointer).context(pointer)?["estimate"];
        ensure!(
            estimate.as_f64().is_some_and(|ns| ns > 0.0),
            "{pointer}: {estimate}"
        );
    }
    let present = [
        "/macro/difference",
        "/macro/a_a_difference",
        "/probe_effect",
        "/agreement",
    ];
    for pointer in present {
        ensure!(
            analysis
                .pointer(pointer)
                .is_some_and(|value| !value.is_null()),
            "{pointer}"
        );
    }
    // One read a request. One more at the end of each block's connection: nobody waits for it.
    ensure!(
        analysis["in_situ"]["calls_per_request"]["estimate"] == 1.0,
        "{}",
        analysis["in_situ"]
    );

    let ledger = &analysis["ledger"];
    ensure!(ledger["balanced"] == true, "{ledger}");
    // 3,000 requests in the hooked arm; three arms' reads are seen in the kernel, each block's
    // connection ends with a read of nothing.
    ensure!(
        ledger["probes"]["site_read_done"]["hits"] == 3_000 + 6,
        "{ledger}"
    );
    ensure!(ledger["probes"]["site_accepted"]["hits"] == 6, "{ledger}");
    ensure!(ledger["records_written"] == ledger["records_received"]);
    let join = &analysis["join"];
    ensure!(
        join["requests"] == 3_000 && join["matched"] == 3_000,
        "{join}"
    );
    ensure!(
        join["outside_sent_done"] == 0 && join["reads_without_request"] == 0,
        "{join}"
    );
    ensure!(join["reads_after_done"] == 6, "{join}");
    for arm in ["baseline", "baseline-2", "hooked"] {
        let requests = &analysis["requests"][arm];
        let expected = serde_json::json!({ "sent": 6_000, "failed": {} });
        ensure!(*requests == expected, "{arm}: {requests}");
    }

    // Each line of the budget is a time, and they add up to the whole.
    let budget = &analysis["budget"];
    let lines = budget["lines"].as_array().context("no lines")?;
    let times: Vec<f64> = lines
        .iter()
        .filter_map(|line| line["mean_ns"].as_f64())
        .collect();
    ensure!(
        times.len() == 5 && times.iter().all(|time| *time > 0.0),
        "{budget}"
    );
    let sum: f64 = times.iter().sum();
    let whole = budget["end_to_end_ns"].as_f64().context("no whole")?;
    ensure!((sum - whole).abs() < 1e-6 * whole, "{budget}");
    nothing_left(kit)
}

/// Runs a bench whose server logs which read delivered which sequence number, and holds the join,
/// which sees neither the log nor the numbers, against it.
fn check_join(kit: &Kit, options: &[&str], server_options: &[&str]) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = short_bench(kit, &out);
    command
        .arg("--sequence-header")
        .args(options)
        .arg("--")
        .arg(kit.path("sut"));
    command
        .arg("--quiet")
        .args(server_options)
        .arg("--sequence-log");
    command.arg(folder.path().join("truth-{port}.csv"));
    let analysis = json(&succeed(&mut command)?)?;

    let run = RunDirectory::existing(&out);
    let manifest: Manifest = runlog::json::read(&run.manifest())?;
    let port = manifest.arms[2]
        .url
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .context("no port")?;
    let truth = read_truth(&folder.path().join(format!("truth-{port}.csv")))?;
    let requests: BTreeMap<u64, Request> = read_all::<Request>(run.requests())?
        .into_iter()
        .map(|request| (request.sequence, request))
        .collect();
    let joined: Vec<JoinedRequest> = read_all(run.joined())?;

    let to_join = requests
        .values()
        .filter(|r| r.arm == 2 && r.is_observed())
        .count();
    ensure!(
        joined.len() as f64 >= 0.999 * to_join as f64,
        "{} of {to_join}",
        joined.len()
    );
    ensure!(analysis["join"]["matched"] == joined.len());
    let distinct: BTreeSet<u64> = joined.iter().map(|pair| pair.sequence).collect();
    ensure!(distinct.len() == joined.len(), "a request was joined twice");
    for pair in &joined {
        let Delivery {
            port,
            before_ns,
            after_ns,
        } = truth.get(&pair.sequence).context("not in the truth")?;
        // The server looked at its clock just before and just after the read: no other read of its
        // thread fits in between.
        ensure!(
            *before_ns <= pair.last_read_exit_ns && pair.last_read_exit_ns <= *after_ns,
            "request {} was joined to a read at {}, but was delivered within {before_ns}..{after_ns}",
            pair.sequence,
            pair.last_read_exit_ns
        );
        let request = requests.get(&pair.sequence).context("not in the log")?;
        ensure!(
            request.local_port == *port,
            "request {} was delivered from port {port}, not {}",
            pair.sequence,
            request.local_port
        );
        ensure!((request.sent_ns..=request.done_ns).contains(&pair.last_read_exit_ns));
    }
    nothing_left(kit)
}

fn join_truth(kit: &Kit) -> anyhow::Result<()> {
    check_join(kit, &[], &[])
}

fn join_truth_of_many(kit: &Kit) -> anyhow::Result<()> {
    let requests = if kit.is_emulated() { 1280 } else { 6400 };
    let requests = format!("--requests={requests}");
    check_join(kit, &["--connections=64", &requests], &["--threads=2"])
}

fn kernel_probes(kit: &Kit) -> anyhow::Result<()> {
    let mut worked = Vec::new();
    // Those that machines may lack on which guests run; the others are tried there. attach_types:: has all.
    let rare = ["fentry", "kprobe"];
    let others: &[&str] = if kit.is_emulated() {
        &[]
    } else {
        &["tp-btf", "raw-tracepoint", "tracepoint", "none"]
    };
    for name in rare.iter().chain(others).copied() {
        let folder = kit.scratch()?;
        let out = folder.path().join("run");
        let mut command = short_bench(kit, &out);
        command.args(["--requests=300", "--blocks=3", "--warmup=10"]);
        // calibration:: has what each of them costs.
        command.args(["--micro-calls=50", "--calibration-rounds=0"]);
        command.args(["--kernel-probe", name]);
        let output = output(&mut command)?;
        let analysis = json(&output).context(name)?;
        // Where the kernel passes hits over it says how many, and the result is not usable.
        let passed_over = recursion_misses(&analysis["ledger"]);
        let code = output.status.code();
        ensure!(
            code == Some(0) || (code == Some(4) && passed_over > 0),
            "{name}: {code:?}: {}",
            analysis["not_usable"]
        );
        let in_situ = &analysis["in_situ"];
        if in_situ["missing"].is_null() {
            worked.push(name);
            ensure!(
                analysis["ledger"]["balanced"] == true || passed_over > 0,
                "{name}: {}",
                analysis["ledger"]
            );
            let matched = analysis["join"]["matched"].as_u64().unwrap_or(0);
            ensure!(
                (300 - passed_over.min(300)..=300).contains(&matched),
                "{name}: {passed_over} passed over, {}",
                analysis["join"]
            );
            ensure!(
                in_situ["read_syscall"].is_null() == (name == "none"),
                "{name}: {in_situ}"
            );
        } else {
            let reason = in_situ["missing"].as_str().unwrap_or_default();
            ensure!(
                reason.contains(&format!("--kernel-probe {name} does not work here: ")),
                "no cause is given: {reason}"
            );
        }
        nothing_left(kit)?;
    }
    println!("kernel probes that work here: {worked:?}");
    let expected = if kit.is_emulated() {
        !worked.is_empty()
    } else {
        worked.contains(&"none") && worked.len() >= 2
    };
    ensure!(expected, "{worked:?}");
    Ok(())
}

fn small_ring(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = short_bench(kit, &out);
    command.arg("--ring-bytes=4096");
    let agent = Running::start_piped(&mut command)?;
    let pid = pid(agent.pid())?;
    // Before that the agent loads programs, which it cannot do while signals come all the time.
    wait_for("the probes to be loaded", || {
        Ok(out.join("manifest.json").is_file())
    })?;
    // The kernel wakes an agent before even so small a ring is full. One that stands still half of the
    // time comes too late.
    let output = thread::scope(|scope| {
        let output = scope.spawn(|| agent.output());
        while !output.is_finished() {
            for signal in [Signal::STOP, Signal::CONT] {
                let _ = kill_process(pid, signal);
                thread::sleep(Duration::from_millis(4));
            }
        }
        output
            .join()
            .unwrap_or_else(|_| bail!("reading the output panicked"))
    })?;
    ensure!(
        output.status.code() == Some(4),
        "a result with so many records lost is not usable: {}",
        output.status
    );
    let analysis = json(&output)?;
    let ledger = &analysis["ledger"];
    ensure!(ledger["balanced"] == true, "{ledger}");
    let dropped = ledger["causes"]["site_ring_full"]
        .as_u64()
        .context("nothing dropped")?;
    ensure!(dropped > 100, "{dropped} dropped");
    let join = &analysis["join"];
    let matched = join["matched"].as_u64().context("matched")?;
    // What was lost is lost, and what was not is still joined right: offsets went on counting.
    ensure!((1..3_000).contains(&matched), "{join}");
    let unmatched: u64 = join["unmatched"]
        .as_object()
        .context("unmatched")?
        .values()
        .filter_map(serde_json::Value::as_u64)
        .sum();
    ensure!(matched + unmatched == 3_000, "{join}");
    ensure!(join["outside_sent_done"] == 0, "{join}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let warnings = stderr.matches("ring buffer full").count();
    ensure!(
        (1..=18).contains(&warnings),
        "said once a thread of six servers and kind of record, not once a drop: {warnings}"
    );
    Ok(())
}

/// The script stays: the server is its child, and outlives a shell that is killed alone.
fn server_behind_script(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let script = format!("{} --quiet; echo ended", kit.path("sut").display());
    let mut command = short_bench(kit, &out);
    command.args(["--", "sh", "-c", &script]);
    let analysis = json(&succeed(&mut command)?)?;
    ensure!(analysis["join"]["matched"] == 3_000, "{}", analysis["join"]);
    nothing_left(kit)
}

fn failing_requests(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = short_bench(kit, &out);
    command.args(["--no-probes", "--path=/nothing-here"]);
    let output = output(&mut command)?;
    ensure!(output.status.code() == Some(4), "{}", output.status);
    let analysis = json(&output)?;
    let reasons = &analysis["not_usable"];
    let expected = "arm baseline: 3000 of 3000 requests failed (3000 × status_4xx)";
    let reason = reasons[0].as_str().unwrap_or_default();
    ensure!(
        reason.starts_with(expected) && reason.contains("--path"),
        "{reasons}"
    );
    Ok(())
}

/// Starts an endless bench and waits until requests are being logged.
fn start_endless(kit: &Kit, out: &Path) -> anyhow::Result<Running> {
    let running = Running::start_piped(&mut endless_bench(kit, out))?;
    wait_for("records to be written", || {
        let reads = fs::metadata(RunDirectory::existing(out).reads());
        Ok(reads.is_ok_and(|file| file.len() > 40_000))
    })?;
    // What `nothing_left` looks for can be found while it is there.
    ensure!(our_processes(kit)?.len() >= 5, "{:?}", our_processes(kit)?);
    let ours = names_in_the_object(kit)?;
    wait_for("eBPF programs to be seen", || {
        let loaded = loaded_programs(kit, &ours);
        Ok(["read_done", "accepted", "closed", "thread_exit"]
            .iter()
            .all(|name| loaded.iter().any(|found| found == name)))
    })?;
    Ok(running)
}

fn check_cut_short(output: &Output, out: &Path, reason: &str) -> anyhow::Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(3),
        "{}: {stderr}",
        output.status
    );
    let analysis: serde_json::Value = runlog::json::read(&out.join("analysis.json"))?;
    check_schema(&analysis, "analysis")?;
    let cut_short = analysis["cut_short"].as_str().unwrap_or_default();
    ensure!(cut_short.contains(reason), "{cut_short}");
    ensure!(
        !analysis["not_usable"]
            .as_array()
            .context("array")?
            .is_empty()
    );
    // Everything that was measured is there.
    ensure!(
        analysis["ledger"]["balanced"] == true,
        "{}",
        analysis["ledger"]
    );
    let run = RunDirectory::existing(out);
    ensure!(read_all::<Request>(run.requests())?.len() > 1_000);
    let reads = read_all::<ReadSpan>(run.reads())?.len() as u64;
    let recorded = &analysis["ledger"]["probes"]["site_read_done"]["recorded"];
    ensure!(
        *recorded == reads,
        "{recorded} recorded, {reads} in the log"
    );
    let manifest: Manifest = runlog::json::read(&run.manifest())?;
    ensure!(manifest.ended.contains(reason), "{}", manifest.ended);
    Ok(())
}

fn ctrl_c(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let running = start_endless(kit, &out)?;
    running.signal(Signal::INT)?;
    check_cut_short(&running.output()?, &out, "interrupted (SIGINT)")?;
    nothing_left(kit)
}

fn early_ctrl_c(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = endless_bench(kit, &out);
    command.arg("--micro-calls=1000000");
    let running = Running::start_piped(&mut command)?;
    wait_for("the micro layer", || {
        Ok(out.join("micro-hooked.log").exists())
    })?;
    running.signal(Signal::INT)?;
    let output = running.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && stderr.contains("before the first request"),
        "{stderr}"
    );
    ensure!(!out.exists(), "a run that came to nothing left its folder");
    nothing_left(kit)
}

/// Process numbers of the arms' servers.
fn servers(out: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    let manifest: Manifest = runlog::json::read(&RunDirectory::existing(out).manifest())?;
    let servers = manifest.arms.iter().map(|arm| {
        let pids: Vec<u32> = arm.pids.iter().map(|pid| pid.cast_unsigned()).collect();
        ensure!(pids.len() == manifest.schedule.servers_per_arm as usize);
        Ok(pids)
    });
    servers.collect()
}

fn server_dies(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let running = start_endless(kit, &out)?;
    let hooked = &servers(&out)?[2];
    kill_process(pid(hooked[0])?, Signal::KILL)?;
    check_cut_short(&running.output()?, &out, "arm hooked")?;
    nothing_left(kit)
}

fn sigkill(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let running = start_endless(kit, &out)?;
    let servers = servers(&out)?;
    ensure!(servers.len() == 3 && servers.concat().into_iter().all(is_alive));
    running.signal(Signal::KILL)?;
    drop(running);
    nothing_left(kit)?;
    // What was written until then can be read, and joined.
    let output = kit
        .command("probe-user")
        .arg("correlate")
        .arg("--json")
        .arg(&out)
        .output()?;
    ensure!(
        output.status.code() == Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        json(&output)?["join"]["matched"]
            .as_u64()
            .is_some_and(|matched| matched > 200)
    );
    Ok(())
}

fn under_sudo(kit: &Kit) -> anyhow::Result<()> {
    const CALLER: u32 = 65_534;
    let folder = kit.scratch()?;
    // A parent that does not exist yet is made, and given to the caller too.
    let out = folder.path().join("runs/first");
    let mut command = short_bench(kit, &out);
    command
        .args(["--servers=1", "--micro-cold-calls=0"])
        .env("SUDO_UID", CALLER.to_string())
        .env("SUDO_GID", CALLER.to_string());
    let running = Running::start_piped(&mut command)?;
    let mut owners = Vec::new();
    wait_for("the servers to run", || {
        let pids = servers(&out).unwrap_or_default().concat();
        owners = pids
            .iter()
            .filter_map(|pid| fs::metadata(format!("/proc/{pid}")).ok())
            .map(|process| process.uid())
            .collect();
        Ok(!pids.is_empty() && owners.len() == pids.len())
    })?;
    ensure!(
        owners.iter().all(|owner| *owner == CALLER),
        "servers run as {owners:?}"
    );
    let output = running.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(out.parent().context("no parent")?.metadata()?.uid() == CALLER);
    ensure!(out.metadata()?.uid() == CALLER);
    for entry in fs::read_dir(&out)? {
        let entry = entry?;
        ensure!(
            entry.metadata()?.uid() == CALLER,
            "{}",
            entry.path().display()
        );
    }
    Ok(())
}
