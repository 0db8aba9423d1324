//! What a trace says of reads that went past the hook.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use runlog::record::{ReadSpan, ReadSyscallSpan};
use runlog::table::read_all;
use rustix::process::Signal;

use crate::Test;
use crate::hook::compile_with_connections;
use crate::kit::{Kit, Running};
use crate::skips::Need;
use crate::trace::Trace;

pub const TESTS: &[Test] = &[Test {
    name: "coverage::reads_past_the_hook_are_counted",
    needs: &[Need::Root, Need::Program("cc")],
    run: past_the_hook,
}];

/// Makes 300 reads of a connection through the hook, 300 past it, and 50 of a pipe.
const PAST_HOOK: &str = include_str!("c/past_hook.c");

fn past_the_hook(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_with_connections(folder.path(), PAST_HOOK, &["-Wno-unused-function"])?;
    let mut command = Command::new(&program);
    command.env("LD_PRELOAD", kit.path("readhook.so"));
    let mut running = Running::start_piped(&mut command)?;
    running.wait_for_stderr("ready")?;
    let events = folder.path().join("events");
    let pid = running.pid().to_string();
    let trace = Trace::start(kit, &["--pid", &pid, "--events", &events.to_string_lossy()])?;
    running.signal(Signal::USR1)?;
    running.wait_for_stderr("done")?;
    let trace = trace.end()?;

    let coverage = &trace["coverage"];
    ensure!(
        coverage["reads"] == 650 && coverage["hooked"] == 300 && coverage["outside"] == 350,
        "{coverage}"
    );
    // The records tell them apart, as docs/hook.md says.
    let hooked: BTreeSet<(u32, u64)> = read_all::<ReadSpan>(events.join("spans-read.npy"))?
        .iter()
        .map(|span| (span.tid, span.syscall_enter_ns))
        .collect();
    let mut outside = BTreeMap::<i32, u32>::new();
    for span in read_all::<ReadSyscallSpan>(events.join("spans-read-syscall.npy"))? {
        if !hooked.contains(&(span.tid, span.enter_ns)) {
            *outside.entry(span.fd).or_default() += 1;
        }
    }
    let mut counts: Vec<u32> = outside.into_values().collect();
    counts.sort_unstable();
    ensure!(counts == [50, 300], "{counts:?}");
    Ok(())
}
