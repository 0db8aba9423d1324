//! Clients that know nothing of trials, of servers with the bracket: they get the answers that they get without, whatever front makes of
//! their streams.
//!
//! Each is a shell script in `clients/` that starts its server with `SERVER_PRELOAD` as its `LD_PRELOAD`, and says on stdout what came
//! back.

use std::process::{Command, Output};

use abi::trial::shared::Count;

use crate::Test;
use crate::bracket::Memory;
use crate::kit::{Kit, TRIAL, describe, output};
use crate::ports::free_port;
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "foreign_clients::redis_benchmark",
        needs: &[
            Need::Program("redis-server"),
            Need::Program("redis-benchmark"),
            Need::Program("redis-cli"),
        ],
        // Of 50 at least, each of four benches.
        run: |kit| behaves(kit, include_str!("clients/redis.sh"), 200),
    },
    Test {
        name: "foreign_clients::curl",
        needs: &[Need::Program("python3"), Need::Program("curl")],
        // One that is kept, two of HTTP/1.0, one that is closed, two with bodies, eight at once.
        run: |kit| behaves(kit, include_str!("clients/curl.sh"), 14),
    },
];

/// What is around the hook in the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket<'m> {
    /// No library at all.
    Nothing,
    /// The bracket, and no trial: all calls go to the hook.
    Idle,
    /// A trial that nothing is counted of.
    Uncounted,
    /// A trial with memory for its counts.
    Counted(&'m str),
}

fn behaves(kit: &Kit, script: &str, connections: u64) -> anyhow::Result<()> {
    let without = run(kit, script, Bracket::Nothing)?;
    // A script that cannot even start would be the same with the bracket.
    ensure!(
        without.status.success() && without.stdout.len() > 100,
        "the script itself fails: {}",
        describe(&without)
    );
    let memory = Memory::new()?;
    let descriptor = memory.descriptor().to_string();
    for bracket in [
        Bracket::Idle,
        Bracket::Uncounted,
        Bracket::Counted(&descriptor),
    ] {
        let with = run(kit, script, bracket)?;
        ensure!(
            with.status == without.status
                && with.stdout == without.stdout
                && with.stderr == without.stderr,
            "{bracket:?}: {}\nwithout: {}",
            describe(&with),
            describe(&without)
        );
    }
    let accepted = memory.counts()?[Count::Connections as usize];
    ensure!(accepted >= connections, "{accepted} connections were seen");
    // Each record that was written is whole.
    memory.calls()?;
    Ok(())
}

/// Runs a script in a new folder, with a port of its own.
fn run(kit: &Kit, script: &str, bracket: Bracket<'_>) -> anyhow::Result<Output> {
    let place = kit.scratch()?;
    // What a script has started ends with it, whatever happens: timeout signals the whole group.
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "100", "sh", "-u", "-c", script])
        .current_dir(&place)
        .env("PORT", free_port()?.to_string())
        .env("HOME", place.path())
        .env("LC_ALL", "C")
        .env("SERVER_PRELOAD", "");
    if bracket != Bracket::Nothing {
        let libraries = ["front.so", "readhook.so", "back.so"].map(|name| kit.path(name));
        let preload = libraries.map(|path| path.display().to_string()).join(":");
        command
            .env("SERVER_PRELOAD", preload)
            .env("READHOOK_FUNCTIONS", "read,recv,recvfrom,recvmsg,readv");
    }
    if !matches!(bracket, Bracket::Nothing | Bracket::Idle) {
        command.env("HOOKPROBE_TRIAL", TRIAL);
    }
    if let Bracket::Counted(descriptor) = bracket {
        command.env("HOOKPROBE_RECORDS", descriptor);
    }
    output(&mut command)
}
