//! Hits that the kernel passes over, where it can be made to: it has room for the returns of ten kretprobed calls at a time, or of
//! two for each CPU, and where it is not preemptible for one each (`maxactive`, `register_kretprobe` in kernel/kprobes.c). No more
//! threads than that are seen to leave a blocking `read(2)`.
//!
//! This takes kprobes, which not every kernel has, so it is run in guests alone.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::process::Output;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, Running, json, wait_for};
use crate::skips::Need;

pub const IN_GUESTS: &[Test] = &[Test {
    name: "missed::reads_beyond_what_a_kretprobe_has_room_for_put_the_ledger_out_of_balance",
    needs: &[Need::Root, Need::Alone],
    run: beyond_maxactive,
}];

/// Threads inside `read(2)` at the same time: more than twice as many as there is room for in a guest.
const THREADS: usize = 100;
/// Reads of each thread, one after the other.
const ROUNDS: usize = 3;

fn beyond_maxactive(kit: &Kit) -> anyhow::Result<()> {
    // On one CPU of a kernel that is not preemptible, one blocked thread of anybody takes all the room.
    if has_room_for_ten()? {
        let (output, trace) = trace_blocked_readers(kit, 2)?;
        let ledger = &trace["ledger"];
        ensure!(output.status.code() == Some(0), "{ledger:#}");
        ensure!(
            ledger["balanced"] == true && ledger["unexplained"] == 0,
            "{ledger:#}"
        );
    }

    let (output, trace) = trace_blocked_readers(kit, THREADS)?;
    let ledger = &trace["ledger"];
    ensure!(output.status.code() == Some(4), "{ledger:#}");
    ensure!(ledger["balanced"] == false, "{ledger:#}");
    // Each thread whose exit was missed is found out when it enters its next read, or ends.
    let unexplained = ledger["probes"]["read_syscall"]["unexplained"].as_u64();
    ensure!(
        unexplained >= Some((THREADS / 2 * ROUNDS) as u64),
        "{ledger:#}"
    );
    let cause = |name: &str| ledger["causes"][name].as_u64().unwrap_or(0);
    let found = cause("read_entered_twice") + cause("read_thread_ended");
    ensure!(unexplained == Some(found), "{ledger:#}");
    // Kernels tell since 6.7. Others may have missed some too.
    let missed = cause("kprobe_read_exit_missed");
    ensure!(missed == 0 || missed >= found, "{ledger:#}");
    Ok(())
}

/// Whether the kernel is preemptible (`CONFIG_PREEMPTION`): its version says so.
fn has_room_for_ten() -> anyhow::Result<bool> {
    Ok(fs::read_to_string("/proc/sys/kernel/version")?.contains("PREEMPT"))
}

/// Traces this process while so many of its threads are inside `read(2)` at the same time, again and again.
fn trace_blocked_readers(kit: &Kit, threads: usize) -> anyhow::Result<(Output, Value)> {
    let mut command = kit.command("probe-user");
    command
        .args([
            "trace",
            "--json",
            "--calibration-rounds=0",
            "--kernel-probe=kprobe",
        ])
        .args(["--pid", &std::process::id().to_string()]);
    let mut tracer = Running::start_piped(&mut command)?;
    tracer.wait_for_stderr("attached to")?;
    let (sender, started) = channel();
    let mut readers = Vec::new();
    for _ in 0..threads {
        let (from, to) = std::io::pipe()?;
        let sender = sender.clone();
        let reader = thread::spawn(move || read_rounds(from, &sender));
        readers.push((started.recv()?, to, reader));
    }
    for _ in 0..ROUNDS {
        for (thread, _, _) in &readers {
            wait_for("a thread inside read(2)", || is_in_read(*thread))?;
        }
        for (_, to, _) in &mut readers {
            to.write_all(&[1])?;
        }
    }
    for (_, to, reader) in readers {
        drop::<PipeWriter>(to);
        let read = reader
            .join()
            .map_err(|_| anyhow::anyhow!("a reader has panicked"))?;
        ensure!(read? == ROUNDS);
    }
    tracer.signal(Signal::INT)?;
    let output = tracer.output()?;
    let trace = json(&output)?;
    Ok((output, trace))
}

/// Reads byte by byte up to the end, and counts.
fn read_rounds(mut from: PipeReader, started: &Sender<i32>) -> anyhow::Result<usize> {
    started.send(rustix::thread::gettid().as_raw_nonzero().get())?;
    let mut rounds = 0;
    while from.read(&mut [0])? > 0 {
        rounds += 1;
    }
    Ok(rounds)
}

/// Whether a thread of ours is inside `read(2)`: the kernel shows the number of the call, of which x86-64 and arm64 have
/// their own.
fn is_in_read(thread: i32) -> anyhow::Result<bool> {
    let number = if cfg!(target_arch = "x86_64") {
        "0 "
    } else {
        "63 "
    };
    let shown = fs::read_to_string(format!("/proc/self/task/{thread}/syscall"))?;
    Ok(shown.starts_with(number))
}
