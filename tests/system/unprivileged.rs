//! Without root: what works says so, and what does not says why.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, output, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "unprivileged::bench_reports_two_layers_and_why_the_third_is_missing",
        needs: &[Need::Alone],
        run: bench,
    },
    Test {
        name: "unprivileged::trace_says_what_it_needs",
        needs: &[],
        run: trace,
    },
    Test {
        name: "unprivileged::trace_says_the_same_where_proc_hides_processes",
        needs: &[
            Need::Root,
            Need::NoOtherKernel,
            Need::Program("unshare"),
            Need::Program("mount"),
        ],
        run: hidden,
    },
];

/// Makes a command run as nobody in particular: as us, or, if we are root, as the user `nobody`.
pub fn unprivileged(command: &mut Command) -> &mut Command {
    const NOBODY: u32 = 65_534;
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn bench(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut command = kit.bench();
    command.args(["--json", "--requests=2000", "--blocks=10", "--warmup=100"]);
    command.args(["--block-warmup=10", "--micro-calls=200", "--out"]);
    let output = succeed(unprivileged(command.arg(folder.path().join("run"))))?;
    let analysis = json(&output)?;
    check_schema(&analysis, "analysis")?;
    for estimate in [
        &analysis["micro"]["hook_overhead"],
        &analysis["macro"]["difference"],
        &analysis["macro"]["a_a_difference"],
    ] {
        ensure!(
            estimate["estimate"].is_f64() && estimate["unit"] == "ns",
            "{estimate}"
        );
    }
    let in_situ = &analysis["in_situ"];
    ensure!(in_situ["hook_overhead"].is_null() && analysis["ledger"].is_null());
    let missing = in_situ["missing"].as_str().unwrap_or_default();
    ensure!(
        missing.contains("root") && missing.contains("CAP_BPF"),
        "{missing}"
    );
    ensure!(
        analysis["not_usable"] == serde_json::json!([]),
        "{}",
        analysis["not_usable"]
    );
    Ok(())
}

fn trace(kit: &Kit) -> anyhow::Result<()> {
    let server = kit.sut(None, &["--quiet"])?;
    let mut command = kit.command("probe-user");
    command.args([
        "trace",
        "--duration",
        "1",
        "--pid",
        &server.pid().to_string(),
    ]);
    if rustix::process::geteuid().is_root() {
        let mut look = Command::new("test");
        look.args(["-e", &format!("/proc/{}", server.pid())]);
        if output(unprivileged(&mut look))?.status.success() {
            // Of a process of another user not even the executable can be seen.
            let text = format!("cannot trace process {}", server.pid());
            fail(unprivileged(&mut command), 1, &[&text, "Permission denied"])?;
        } else {
            // And nothing at all where /proc is mounted with hidepid.
            let text = format!("there is no process {}", server.pid());
            fail(unprivileged(&mut command), 1, &[&text])?;
        }
    }
    let mut own = kit.command("sut");
    let port = crate::ports::free_port()?;
    own.args(["--quiet", "--port", &port.to_string()]);
    unprivileged(&mut own);
    let own = crate::kit::Running::start(own)?;
    crate::kit::wait_for("the server to listen", || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
    })?;
    let mut command = kit.command("probe-user");
    command.args(["trace", "--duration", "1", "--pid", &own.pid().to_string()]);
    fail(unprivileged(&mut command), 1, &["run as root (sudo)"])
}

/// The test before again, with a `/proc` that shows users their own processes only.
fn hidden(kit: &Kit) -> anyhow::Result<()> {
    let mut again = Command::new("unshare");
    again.args(["--mount", "sh", "-c"]);
    again
        .arg("mount -t proc -o hidepid=2 proc /proc && exec \"$@\"")
        .arg("sh");
    again
        .arg(std::env::current_exe()?)
        .arg("--programs")
        .arg(kit.path(""));
    again.args(["--exact", "unprivileged::trace_says_what_it_needs"]);
    let said = String::from_utf8(succeed(&mut again)?.stdout)?;
    ensure!(said.contains("1 passed, 0 failed"), "{said}");
    Ok(())
}
