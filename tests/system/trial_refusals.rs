//! What `bench` says of servers that it cannot follow: the reason, and what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::analysis::Analysis;

use crate::Test;
use crate::kit::{Kit, compile_c, json, output, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "trial_refusals::connections_of_one_request_have_no_arms",
        needs: &[Need::Program("cc")],
        run: |kit| not_usable(kit, "closing", "had one request alone"),
    },
    Test {
        name: "trial_refusals::connections_that_another_process_reads_are_not_seen",
        needs: &[Need::Program("cc")],
        run: |kit| not_usable(kit, "passed", "accepted, and no request was seen"),
    },
    Test {
        name: "trial_refusals::a_hook_of_other_functions_than_the_server_calls",
        needs: &[Need::Program("cc")],
        run: other_functions,
    },
    Test {
        name: "trial_refusals::a_go_program_is_told_by_its_file",
        needs: &[Need::Program("cc")],
        run: go,
    },
    Test {
        name: "trial_refusals::a_server_without_the_descriptors_that_it_inherited",
        needs: &[Need::Program("cc"), Need::Program("python3")],
        run: without_descriptors,
    },
    Test {
        name: "trial_refusals::a_server_that_ends_as_soon_as_it_listens_says_why",
        needs: &[Need::Program("python3")],
        run: ends,
    },
    Test {
        name: "trial_refusals::a_worker_that_is_forked_later_is_probed",
        needs: &[Need::Root, Need::Program("cc")],
        run: late,
    },
];

const ODD: &str = include_str!("c/odd_server.c");

fn odd_server(folder: &Path) -> anyhow::Result<PathBuf> {
    compile_c(folder, ODD, &[])
}

/// A short trial; what is wrong with the server is seen in any.
fn bench(kit: &Kit, out: &Path) -> Command {
    let mut command = kit.bench();
    command
        .args(["--order=trial", "--json", "--servers=2", "--requests=400"])
        .args(["--blocks=4", "--warmup=40", "--calibration-rounds=0"])
        .arg("--out")
        .arg(out);
    command
}

/// What a run says that ended with this exit code.
pub fn ended(command: &mut Command, code: i32) -> anyhow::Result<Output> {
    let output = output(command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{said}");
    Ok(output)
}

fn not_usable(kit: &Kit, mode: &str, reason: &str) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let server = odd_server(folder.path())?;
    let mut command = bench(kit, &folder.path().join("run"));
    command.args(["--no-probes", "--"]).arg(&server).arg(mode);
    let analysis = json(&ended(&mut command, 4)?)?;
    let reasons = analysis["not_usable"].as_array().context("no reasons")?;
    let is_given = |given: &serde_json::Value| given.as_str().is_some_and(|it| it.contains(reason));
    // It is the one reason, and no list of counts.
    ensure!(reasons.len() == 1 && is_given(&reasons[0]), "{reasons:?}");
    Ok(())
}

fn other_functions(kit: &Kit) -> anyhow::Result<()> {
    const HOOK: &str = "#include <sys/socket.h>
#include <unistd.h>
ssize_t recv(int fd, void *buffer, size_t size, int flags) { return recvfrom(fd, buffer, size, flags, 0, 0); }";
    let folder = kit.scratch()?;
    let hook = compile_c(folder.path(), HOOK, &["-shared", "-fPIC"])?;
    let of_recv = ["--hook".to_owned(), hook.display().to_string()];
    let ours = ["--hook-env", "READHOOK_FUNCTIONS=recv,readv"].map(str::to_owned);
    for (hook, hooked) in [
        (of_recv, "front of recv alone"),
        (ours, "front of recv, readv alone"),
    ] {
        // Our server calls read.
        let mut command = bench(kit, &kit.scratch()?.path().join("run"));
        command.arg("--no-probes").args(hook);
        let analysis = json(&ended(&mut command, 4)?)?;
        let reasons = analysis["not_usable"].to_string();
        ensure!(
            reasons.contains("the servers read by read,") && reasons.contains(hooked),
            "{reasons}"
        );
    }
    Ok(())
}

fn go(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    // What Go's linker writes, as a program of C has it.
    let section = "__attribute__((section(\".go.buildinfo\"))) const char go[32] = \"go\";";
    let server = compile_c(folder.path(), &format!("{ODD}\n{section}\n"), &[])?;
    for order in ["trial", "rmit"] {
        for command_line in [vec![], vec!["sh", "-c", "\"$0\" pieces; exit"]] {
            let mut command = bench(kit, &folder.path().join("run"));
            command.args(["--order", order, "--no-probes", "--"]);
            command.args(command_line).arg(&server);
            let said = String::from_utf8(ended(&mut command, 1)?.stderr)?;
            ensure!(said.contains("is a Go program"), "{said}");
        }
    }
    Ok(())
}

fn without_descriptors(kit: &Kit) -> anyhow::Result<()> {
    const SUPERVISOR: &str = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))";
    let folder = kit.scratch()?;
    let server = odd_server(folder.path())?;
    let run = |order: &str, code| {
        let mut command = bench(kit, &folder.path().join(order));
        command.args(["--order", order, "--no-probes"]);
        command.args(["--block-warmup=20", "--", "python3", "-c", SUPERVISOR]);
        command.arg(&server).arg("pieces");
        ended(&mut command, code)
    };
    let said = String::from_utf8(run("trial", 1)?.stderr)?;
    ensure!(said.contains("has closed the descriptors"), "{said}");
    ensure!(said.contains("take --order rmit"), "{said}");
    // And that is no empty advice.
    run("rmit", 0).map(drop)
}

fn ends(kit: &Kit) -> anyhow::Result<()> {
    const SERVER: &str = "
import os, socket, sys
listener = socket.create_server(('127.0.0.1', int(os.environ['SERVER_PORT'])))
listener.accept()
sys.exit('the licence has run out')";
    let folder = kit.scratch()?;
    let mut command = bench(kit, &folder.path().join("run"));
    command.args(["--no-probes", "--", "python3", "-c", SERVER]);
    let said = String::from_utf8(ended(&mut command, 1)?.stderr)?;
    ensure!(said.contains("the licence has run out"), "{said}");
    Ok(())
}

fn late(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let server = odd_server(folder.path())?;
    let out = folder.path().join("run");
    let mut command = bench(kit, &out);
    command.arg("--").arg(&server).arg("late");
    succeed(&mut command)?;
    let analysis: Analysis = runlog::json::read(&RunDirectory::existing(&out).analysis())?;
    let join = analysis.join.context("no probes")?;
    ensure!(join.requests > 0 && join.matched == join.requests);
    Ok(())
}
