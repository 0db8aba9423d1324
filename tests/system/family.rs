//! The functions beside `read` that `READHOOK_FUNCTIONS` has hooked.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Signal, kill_process};

use crate::Test;
use crate::hook::{compile_with_connections, words};
use crate::kit::{Kit, pid};
use crate::skips::Need;
use crate::trace::Trace;

pub const TESTS: &[Test] = &[
    Test {
        name: "family::functions_are_hooked_that_are_named",
        needs: &[Need::Program("cc")],
        run: hooks_those_named,
    },
    Test {
        name: "family::a_trace_sees_each_function",
        needs: &[Need::Root, Need::Program("cc")],
        run: traces_each,
    },
];

const SOURCE: &str = concat!("#include <errno.h>\n", include_str!("c/family.c"));
const FUNCTIONS: [&str; 5] = ["read", "recv", "recvfrom", "recvmsg", "readv"];
/// Calls of the function that is named.
const CALLS: u64 = 20;

/// The program, hooked.
struct Family {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Family {
    fn start(
        kit: &Kit,
        program: &Path,
        function: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args([function, &CALLS.to_string()])
            .envs(kit.hook())
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut family = Self { child, stdout };
        family.expect("ready")?;
        Ok(family)
    }

    /// Has it read, `matches` of which it must have counted.
    fn run(&mut self, matches: u64) -> anyhow::Result<()> {
        kill_process(pid(self.child.id())?, Signal::USR1)?;
        self.expect(&format!("done, {matches} matches"))
    }

    fn expect(&mut self, expected: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(
            line.trim_end() == expected,
            "\"{line}\" instead of {expected}"
        );
        Ok(())
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hooks_those_named(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_with_connections(folder.path(), SOURCE, &[])?;
    for called in FUNCTIONS {
        for (hooked, matches) in [
            (called, CALLS),
            ("read,recv,recvfrom,recvmsg,readv", CALLS),
            (if called == "read" { "recv" } else { "read" }, 0),
        ] {
            let log = folder.path().join("log");
            let settings = [
                ("READHOOK_MODE", "log"),
                ("READHOOK_LOG", log.to_str().context("UTF-8")?),
                ("READHOOK_FUNCTIONS", hooked),
            ];
            let matches = kit.seen(&[matches]).first().copied().unwrap_or(0);
            Family::start(kit, &program, called, &settings)?.run(matches)?;
            let text = fs::read_to_string(&log)?;
            let words = words(&text);
            ensure!(
                words.len() as u64 == matches && words.iter().all(|word| *word == "admin"),
                "{called}, {hooked} hooked: {text}"
            );
            fs::remove_file(&log)?;
        }
    }
    Ok(())
}

/// The kernel pair brackets `read(2)` alone: calls of the others are recorded without it, and none is
/// missing for that.
fn traces_each(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let program = compile_with_connections(folder.path(), SOURCE, &[])?;
    for called in FUNCTIONS {
        let settings = [("READHOOK_FUNCTIONS", called)];
        let mut family = Family::start(kit, &program, called, &settings)?;
        let trace = Trace::start(kit, &["--pid", &family.child.id().to_string()])?;
        family.run(CALLS)?;
        let trace = trace.end()?;
        let site = &trace["ledger"]["probes"]["site_read_done"];
        // Beside the messages, the end of the program makes some calls by recv and its like.
        let more = match called {
            "recv" => 6,
            "recvfrom" | "recvmsg" => 1,
            "readv" => 2,
            _ => 0,
        };
        ensure!(
            site["hits"] == CALLS + more && site["recorded"] == CALLS + more,
            "{called}: {site}"
        );
        let overhead = &trace["spans"]["hook_overhead"]["count"];
        ensure!(*overhead == CALLS + more, "{called}: {overhead}");
        let in_kernel = &trace["spans"]["hooked_read_syscall"]["count"];
        let expected = if called == "read" { Some(CALLS) } else { None };
        ensure!(in_kernel.as_u64() == expected, "{called}: {in_kernel}");
    }
    Ok(())
}
