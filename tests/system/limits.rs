//! What is said where a CPU limit is being hit: a control group, as containers have one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::Test;
use crate::doctor::{diagnose, expect, finding};
use crate::kit::{Kit, Running, json, succeed};
use crate::report::main_text;
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "limits::the_doctor_sees_one_that_is_being_hit",
        needs: &[Need::Root, Need::Clock, Need::Alone],
        run: doctor,
    },
    Test {
        name: "limits::a_bench_that_hits_one_gives_no_verdict_and_says_so_first",
        needs: &[Need::Root, Need::Clock, Need::Alone],
        run: bench,
    },
];

/// A control group whose processes may use a tenth of a CPU. Goes when dropped.
struct Limited(PathBuf);

impl Limited {
    fn create() -> io::Result<Self> {
        let name = format!("hookprobe-limits-{}", std::process::id());
        let version_1 = Path::new("/sys/fs/cgroup/cpu");
        let limited = if version_1.is_dir() {
            let limited = Self(version_1.join(name));
            fs::create_dir(&limited.0)?;
            fs::write(limited.0.join("cpu.cfs_period_us"), "100000")?;
            fs::write(limited.0.join("cpu.cfs_quota_us"), "10000")?;
            limited
        } else {
            fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu")?;
            let limited = Self(Path::new("/sys/fs/cgroup").join(name));
            fs::create_dir(&limited.0)?;
            fs::write(limited.0.join("cpu.max"), "10000 100000")?;
            limited
        };
        Ok(limited)
    }

    /// A shell that goes into the group and is replaced by a program.
    fn enter(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
            .arg(&self.0)
            .arg(program);
        command
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // It is empty: all that were in it have ended.
        let _gone = fs::remove_dir(&self.0);
    }
}

/// A container's CPU limit is one of its control group.
fn doctor(kit: &Kit) -> anyhow::Result<()> {
    let limited = Limited::create().context("cannot make a control group")?;
    let program = kit.path("probe-user");
    let mut idle = limited.enter(&program);
    let (diagnosis, _) = diagnose(idle.args(["doctor", "--no-attach"]))?;
    let found = finding(&diagnosis, "CPU limit")?;
    ensure!(
        found["found"]
            .as_str()
            .is_some_and(|text| text.contains("0.1 CPUs")),
        "{found}"
    );
    let mut busy = limited.enter(Path::new("sh"));
    busy.args(["-c", "while :; do :; done"]);
    let busy = Running::start(busy)?;
    let mut command = limited.enter(&program);
    let (diagnosis, code) = diagnose(command.args(["doctor", "--no-attach"]))?;
    drop(busy);
    ensure!(code == 4);
    expect(&diagnosis, "CPU limit", "fail")?;
    expect(&diagnosis, "8 ", "fail")
}

/// Servers and load generator share the tenth of a CPU, and are throttled all the time.
fn bench(kit: &Kit) -> anyhow::Result<()> {
    let limited = Limited::create().context("cannot make a control group")?;
    let folder = kit.scratch()?;
    let run = folder.path().join("run");
    let mut bench = limited.enter(&kit.path("probe-user"));
    bench.args([
        "bench",
        "--order=rmit",
        "--no-probes",
        "--json",
        "--requests=2000",
        "--blocks=4",
    ]);
    bench.args([
        "--servers=1",
        "--warmup=10",
        "--block-warmup=5",
        "--micro-calls=50",
        "--micro-cold-calls=2",
        "--out",
    ]);
    let analysis = json(&succeed(bench.arg(&run))?)?;
    expect(&analysis, "8 ", "fail")?;
    let manifest: Value = runlog::json::read(&run.join("manifest.json"))?;
    let throttled = &manifest["resources"]["throttled_periods"];
    let periods = throttled.as_u64().context("no throttled periods")?;
    ensure!(periods > 0, "{manifest:#}");
    let page = fs::read_to_string(run.join("report.html"))?;
    let text = main_text(&page)?;
    ensure!(
        text.starts_with("No verdict: the servers' CPU was throttled"),
        "{text:.200}"
    );
    let reason = format!("throttled by their CPU limit in {periods} periods");
    ensure!(
        text.find(&reason).is_some_and(|at| at < 600),
        "{reason}: {text:.600}"
    );
    Ok(())
}
