//! `probe-user trace --events`: records held against the traced program's own count, the histograms and
//! the ledger.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::analysis::LedgerRow;
use runlog::record::{
    FunctionSpan, ReadSpan, ReadSyscallSpan, ServerClose, ServerConnection, WriteSpan,
};
use runlog::table::{Rows, read_all};
use runlog::trace::Trace;
use rustix::process::Signal;
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, Running, check_schema, fail, json, wait_for, wait_for_rows};
use crate::reader::{Done, Reader, Until};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "events::every_span_is_a_record",
        needs: &[Need::Root, Need::Program("cc")],
        run: every_span,
    },
    Test {
        name: "events::a_million_spans_a_second_balance_dropped_or_not",
        needs: &[Need::Root, Need::Program("cc")],
        run: million_spans,
    },
    Test {
        name: "events::ctrl_c_keeps_what_was_measured",
        needs: &[Need::Root, Need::Program("cc")],
        run: ctrl_c,
    },
    Test {
        name: "events::sigkill_leaves_readable_records_and_a_mark",
        needs: &[Need::Root, Need::Program("cc")],
        run: sigkill,
    },
    Test {
        name: "events::a_disk_that_takes_no_more_cuts_the_trace_short",
        needs: &[Need::Root, Need::Program("cc")],
        run: full_disk,
    },
    Test {
        name: "events::intervals_add_up_to_the_whole",
        needs: &[Need::Root, Need::Program("cc")],
        run: intervals,
    },
    Test {
        name: "events::refuses_what_cannot_be",
        needs: &[Need::Root, Need::Program("sh")],
        run: refuses,
    },
];

/// A trace that writes records.
pub fn trace_with_events(kit: &Kit, pid: u32, out: &Path, options: &[&str]) -> Command {
    let mut command = kit.command("probe-user");
    command
        .args(["trace", "--json", "--calibration-rounds=0", "--pid"])
        .args([&pid.to_string(), "--events"])
        .arg(out)
        .args(options);
    command
}

/// Traces all that a reader does. Returns what was seen and what was done.
pub fn trace_reader(
    kit: &Kit,
    mut reader: Reader,
    out: &Path,
    options: &[&str],
    mut meanwhile: impl FnMut(&Running) -> anyhow::Result<()>,
) -> anyhow::Result<(Trace, Done)> {
    let mut trace = trace_with_events(kit, reader.pid(), out, options);
    let mut trace = Running::start_piped(&mut trace)?;
    trace.wait_for_stderr("attached to")?;
    reader.go()?;
    meanwhile(&trace)?;
    let done = reader.done()?;
    trace.signal(Signal::INT)?;
    let output = trace.output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let printed = json(&output)?;
    check_schema(&printed, "trace")?;
    let on_disk: Value = runlog::json::read(&RunDirectory::existing(out).trace())?;
    ensure!(printed == on_disk);
    Ok((serde_json::from_value(printed)?, done))
}

/// Holds the ledger against what the reader did: every hit is of one of its calls, and has an outcome.
fn check_ledger(trace: &Trace, done: Done, with_function: bool) -> anyhow::Result<()> {
    let ledger = &trace.ledger;
    ensure!(ledger.balanced, "{ledger:?}");
    let mut expected = vec![
        ("read_syscall", done.reads),
        ("site_read_done", done.reads),
        ("write_syscall", done.writes),
        ("site_accepted", done.connections),
        ("site_closed", done.connections),
    ];
    if with_function {
        expected.push(("function", done.reads));
    }
    ensure!(ledger.probes.len() == expected.len(), "{ledger:?}");
    for (name, calls) in expected {
        let row = ledger.probes.get(name).copied().unwrap_or_default();
        ensure!(
            row.hits == calls && row.recorded + row.dropped == calls,
            "{name}: {calls} calls, {row:?}"
        );
    }
    // Each recorded hit is one record and one row.
    let rows = |row: &LedgerRow| row.recorded;
    ensure!(ledger.records_received == ledger.probes.values().map(rows).sum::<u64>());
    let events = trace.events.as_ref().context("no events")?;
    ensure!(events.not_written == 0 && events.rows.values().sum::<u64>() == ledger.recorded);
    Ok(())
}

fn every_span(kit: &Kit) -> anyhow::Result<()> {
    const CALLS: u32 = 20_000;
    let folder = kit.scratch()?;
    let out = folder.path().join("events");
    let reader = Reader::start(kit, folder.path(), 2, Until::Calls(CALLS))?;
    let pid = reader.pid();
    let (trace, done) = trace_reader(kit, reader, &out, &["--symbol=one_byte"], |_| Ok(()))?;
    ensure!(done.reads == 2 * u64::from(CALLS));
    check_ledger(&trace, done, true)?;
    ensure!(trace.ledger.dropped == 0, "{:?}", trace.ledger);
    ensure!(!trace.cut_short && trace.ended.contains("SIGINT"));

    let run = RunDirectory::existing(&out);
    let reads: Vec<ReadSpan> = read_all(run.reads())?;
    let syscalls: Vec<ReadSyscallSpan> = read_all(run.read_syscalls())?;
    let functions: Vec<FunctionSpan> = read_all(run.functions())?;
    let writes: Vec<WriteSpan> = read_all(run.writes())?;
    let accepts: Vec<ServerConnection> = read_all(run.server_connections())?;
    let closes: Vec<ServerClose> = read_all(run.server_closes())?;
    let count = |kind: &str| trace.spans.get(kind).map_or(0, |span| span.count);
    ensure!(reads.len() as u64 == count("hook") && count("hook") == done.reads);
    ensure!(syscalls.len() as u64 == count("read_syscall"));
    ensure!(functions.len() as u64 == count("function"));
    ensure!(writes.len() as u64 == count("write_syscall") && count("write_syscall") == done.writes);

    // A thread makes one call at a time, so the three layers nest call by call.
    let by_thread = |tid| {
        let reads = reads.iter().filter(move |read| read.tid == tid);
        let syscalls = syscalls.iter().filter(move |read| read.tid == tid);
        let functions = functions.iter().filter(move |call| call.tid == tid);
        reads.zip(syscalls).zip(functions)
    };
    let mut nested = 0;
    for (accept, close) in accepts.iter().zip(&closes) {
        ensure!(close.received_bytes == u64::from(CALLS), "{close:?}");
        ensure!(accept.peer_port != 0 && accept.accepted_ns < close.closed_ns);
    }
    let tids: BTreeMap<u32, u64> = reads
        .iter()
        .map(|read| (read.tid, read.connection))
        .collect();
    ensure!(tids.len() == 2 && accepts.len() == 2 && closes.len() == 2);
    for (tid, connection) in tids {
        ensure!(accepts.iter().any(|accept| accept.connection == connection));
        ensure!(closes.iter().any(|close| close.connection == connection));
        ensure!(
            writes
                .iter()
                .any(|write| write.connection == connection && write.tid == tid)
        );
        for (offset, ((read, syscall), function)) in (0..).zip(by_thread(tid)) {
            ensure!(
                read.first_byte == offset && read.returned == 1 && read.connection == connection
            );
            ensure!(syscall.enter_ns == read.syscall_enter_ns);
            ensure!(syscall.exit_ns == read.syscall_exit_ns);
            ensure!(syscall.fd == read.fd && syscall.returned == 1 && syscall.tgid == pid);
            ensure!(function.enter_ns <= read.enter_ns && read.exit_ns <= function.exit_ns);
            ensure!(function.tgid == pid);
            nested += 1;
        }
    }
    ensure!(nested == done.reads);
    Ok(())
}

/// For how long a process has run, in hundredths of a second.
fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()?)
}

fn million_spans(kit: &Kit) -> anyhow::Result<()> {
    // Two threads come to a million hits a second and more; each hit is a row of some 60 bytes on disk.
    let threads = 2;
    for (ring_bytes, seconds) in [(1_u32 << 28, 4), (1 << 16, 4)] {
        let folder = kit.scratch()?;
        let out = folder.path().join("events");
        let reader = Reader::start(kit, folder.path(), threads, Until::Seconds(seconds))?;
        let pid = reader.pid();
        let option = format!("--ring-bytes={ring_bytes}");
        let is_small = ring_bytes == 1 << 16;
        let (trace, done) = trace_reader(kit, reader, &out, &[&option], |agent| {
            if is_small {
                // However fast an agent is, once it must wait for a CPU the ring runs over.
                wait_for_rows::<ReadSpan>(&RunDirectory::existing(&out).reads(), 1_000)?;
                agent.signal(Signal::STOP)?;
                let before = cpu_ticks(pid)?;
                let overrun = wait_for("the reader to fill the ring", || {
                    Ok(cpu_ticks(pid)? >= before + 10)
                });
                agent.signal(Signal::CONT)?;
                overrun?;
            }
            Ok(())
        })?;
        let ledger = &trace.ledger;
        let woken = trace
            .events
            .as_ref()
            .map_or(0, |events| events.reader_woken);
        println!(
            "ring of {ring_bytes} bytes: {} reads in {:.1} s, {:.0} hits a second; {} records received, \
             {} dropped, reader woken {woken} times",
            done.reads,
            done.seconds,
            ledger.hits as f64 / done.seconds,
            ledger.records_received,
            ledger.dropped
        );
        check_ledger(&trace, done, false)?;
        let dropped: u64 = ledger
            .causes
            .iter()
            .filter(|(cause, _)| cause.ends_with("_ring_full"))
            .map(|(_, count)| count)
            .sum();
        ensure!(dropped == ledger.dropped, "{ledger:?}");
        ensure!(
            ledger.records_received + ledger.dropped == ledger.hits,
            "{ledger:?}"
        );
        ensure!(!is_small || (ledger.dropped > 0 && woken > 0), "{ledger:?}");
        // A look at what is unread, which alone can wake the reader, comes with each eighth record at
        // the most.
        ensure!(
            8 * woken <= ledger.records_received + 8 * u64::from(threads),
            "{woken} wake-ups for {} records",
            ledger.records_received
        );
    }
    Ok(())
}

/// Rows of the reads in a folder of records.
fn ctrl_c(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("events");
    let run = RunDirectory::existing(&out);
    let reader = Reader::start(kit, folder.path(), 1, Until::Seconds(60))?;
    let mut command = trace_with_events(kit, reader.pid(), &out, &["--duration=60"]);
    let mut trace = Running::start_piped(&mut command)?;
    trace.wait_for_stderr("attached to")?;
    reader.go()?;
    wait_for_rows::<ReadSpan>(&run.reads(), 1_000)?;
    trace.signal(Signal::INT)?;
    let output = trace.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let trace: Trace = runlog::json::read(&run.trace())?;
    ensure!(
        trace.cut_short && trace.ended.contains("SIGINT"),
        "{}",
        trace.ended
    );
    ensure!(trace.ledger.balanced, "{:?}", trace.ledger);
    let mut rows = Rows::<ReadSpan>::open(run.reads())?;
    let recorded = trace
        .ledger
        .probes
        .get("site_read_done")
        .map_or(0, |row| row.recorded);
    ensure!(rows.by_ref().flatten().count() as u64 == recorded && !rows.was_cut_short());
    Ok(())
}

fn sigkill(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("events");
    let run = RunDirectory::existing(&out);
    let reader = Reader::start(kit, folder.path(), 1, Until::Seconds(60))?;
    let mut command = trace_with_events(kit, reader.pid(), &out, &[]);
    let mut trace = Running::start_piped(&mut command)?;
    trace.wait_for_stderr("attached to")?;
    reader.go()?;
    wait_for_rows::<ReadSpan>(&run.reads(), 1_000)?;
    trace.signal(Signal::KILL)?;
    trace.wait()?;
    let trace: Value = runlog::json::read(&run.trace())?;
    check_schema(&trace, "trace")?;
    ensure!(trace["ended"] == "running" && trace["ledger"]["balanced"] == false);
    let mut rows = Rows::<ReadSpan>::open(run.reads())?;
    for (number, row) in (0..).zip(rows.by_ref()) {
        let first_byte = row?.first_byte;
        ensure!(first_byte == number, "row {number} is of byte {first_byte}");
    }
    ensure!(rows.was_cut_short());
    Ok(())
}

fn full_disk(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("events");
    let reader = Reader::start(kit, folder.path(), 1, Until::Seconds(60))?;
    let trace = trace_with_events(kit, reader.pid(), &out, &[]);
    // No file longer than 1 MiB, in blocks of 512 bytes; the write fails, as on a full disk.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]);
    shell.arg(trace.get_program()).args(trace.get_args());
    let mut trace = Running::start_piped(&mut shell)?;
    trace.wait_for_stderr("attached to")?;
    reader.go()?;
    let output = trace.output()?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    let run = RunDirectory::existing(&out);
    let trace: Trace = runlog::json::read(&run.trace())?;
    ensure!(
        trace.cut_short && trace.ended.contains(".npy") && trace.ended.contains("too large"),
        "{}",
        trace.ended
    );
    let events = trace.events.context("no events")?;
    ensure!(events.not_written > 0, "{events:?}");
    let mut rows = Rows::<ReadSpan>::open(run.reads())?;
    ensure!(rows.by_ref().flatten().count() > 1_000);
    Ok(())
}

fn intervals(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut reader = Reader::start(kit, folder.path(), 1, Until::Seconds(2))?;
    let mut command = kit.command("probe-user");
    command.args([
        "trace",
        "--json",
        "--calibration-rounds=0",
        "--interval=0.25",
        "--pid",
    ]);
    command.arg(reader.pid().to_string());
    let mut trace = Running::start_piped(&mut command)?;
    trace.wait_for_stderr("attached to")?;
    reader.go()?;
    let done = reader.done()?;
    // Until the interval is over that has the last of the reads.
    let mut seen = 0;
    let mut stdout = trace.read_until(|line| {
        let part: Value = serde_json::from_str(line).unwrap_or_default();
        seen += part["spans"]["hook_overhead"]["count"]
            .as_u64()
            .unwrap_or(0);
        seen >= done.reads
    })?;
    trace.signal(Signal::INT)?;
    let output = trace.output()?;
    ensure!(output.status.success(), "{}", output.status);
    stdout.extend(output.stdout);
    let text = String::from_utf8(stdout)?;
    let lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let (whole, parts) = lines.split_last().context("nothing was printed")?;
    check_schema(whole, "trace")?;
    ensure!(parts.len() >= 3, "{} intervals in over 2 s", parts.len());
    let mut until_s = 0.0;
    let (mut count, mut sum_ns) = (0, 0.0);
    for part in parts {
        check_schema(part, "trace-interval")?;
        ensure!(part["from_s"] == until_s, "{part}");
        until_s = part["until_s"].as_f64().context("until_s")?;
        let span = &part["spans"]["hook_overhead"];
        if let (Some(spans), Some(mean_ns)) = (span["count"].as_u64(), span["mean_ns"].as_f64()) {
            count += spans;
            sum_ns += spans as f64 * mean_ns;
        }
    }
    let span = &whole["spans"]["hook_overhead"];
    ensure!(
        span["count"] == done.reads && count == done.reads,
        "{count}, {span}"
    );
    let whole_ns = done.reads as f64 * span["mean_ns"].as_f64().context("mean_ns")?;
    ensure!(
        (sum_ns - whole_ns).abs() < 1.0 + 1e-9 * whole_ns,
        "{sum_ns}, {whole_ns}"
    );
    Ok(())
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let server = kit.sut(None, &["--quiet"])?;
    let out = folder.path().join("made/events");
    let refuse = |out: &Path, options: &[&str], code, texts: &[&str]| {
        fail(
            &mut trace_with_events(kit, server.pid(), out, options),
            code,
            texts,
        )
    };
    for bytes in ["0", "2048", "100000", "2147483648"] {
        let option = format!("--ring-bytes={bytes}");
        let text = format!("--ring-bytes {bytes}: must be a power of two");
        refuse(&out, &[&option], 1, &[&text])?;
    }
    refuse(&out, &["--interval=0"], 1, &["--interval 0"])?;
    fs::write(folder.path().join("file"), "")?;
    refuse(folder.path(), &[], 1, &["--events", "not empty"])?;
    refuse(
        &folder.path().join("file/events"),
        &[],
        1,
        &["--events", "file/events"],
    )?;
    let mut without = kit.command("probe-user");
    without.args(["trace", "--pid=1", "--ring-bytes=65536"]);
    fail(&mut without, 2, &["--events"])?;

    // When the probes cannot be loaded, for want of descriptors, the folder is not left behind.
    let trace = trace_with_events(kit, server.pid(), &out, &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 24; exec \"$@\"", "sh"]);
    shell.arg(trace.get_program()).args(trace.get_args());
    fail(&mut shell, 1, &["Too many open files"])?;
    ensure!(
        !folder.path().join("made").exists(),
        "a folder was left behind"
    );
    Ok(())
}
