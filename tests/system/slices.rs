//! Arms by slices of time: `bench --slice`, with our load generator and with somebody else's.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use abi::trial::Trial;
use abi::trial::slices::Slices;
use anyhow::Context as _;
use runlog::manifest::Manifest;
use runlog::record::{BracketedCall, Request};
use runlog::table::read_all;
use runlog::trial::TrialCounts;
use runlog::{RunDirectory, estimate::Estimate};
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, check_schema, fail};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "slices::both_sides_cut_time_alike_and_a_delay_costs_everyone",
        needs: &[Need::Alone],
        run: ours,
    },
    Test {
        name: "slices::of_another_load_the_server_tells_each_request",
        needs: &[Need::Alone],
        run: foreign,
    },
    Test {
        name: "slices::of_redis_under_its_own_benchmark_a_delay_is_found",
        needs: &[
            Need::Alone,
            Need::Program("redis-server"),
            Need::Program("redis-benchmark"),
        ],
        run: redis,
    },
    Test {
        name: "slices::are_as_long_as_requests_want_them",
        needs: &[],
        run: auto,
    },
    Test {
        name: "slices::what_makes_none_is_refused",
        needs: &[],
        run: refusals,
    },
];

/// So long that no neighbour hides it.
const DELAY_NS: u64 = 20_000;
const CONNECTIONS: usize = 4;

/// A bench by slices, without what says how long.
fn bench(kit: &Kit, out: &Path) -> Command {
    let mut command = kit.bench();
    command.args(["--order=trial", "--json", "--no-probes", "--servers=1"]);
    command.arg(format!("--delays={DELAY_NS}"));
    command.arg("--out").arg(out);
    command
}

/// What a run has left.
struct Left {
    trial: Trial,
    slices: Slices,
    requests: Vec<Request>,
    calls: Vec<BracketedCall>,
    counts: TrialCounts,
    analysis: Value,
}

impl Left {
    /// Runs it and reads it. Whether the machine lets it come to a verdict does not matter.
    fn of(command: &mut Command, out: &Path) -> anyhow::Result<Self> {
        let output = command.output().context("bench does not start")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let run = RunDirectory::existing(out);
        let manifest: Manifest =
            runlog::json::read(&run.manifest()).with_context(|| said.clone().into_owned())?;
        let text = manifest.schedule.trial.as_deref().context("no trial")?;
        let trial =
            Trial::parse(text.as_bytes()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        let analysis = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
        check_schema(&analysis, "analysis")?;
        Ok(Self {
            slices: Slices::of(&trial).context("no slices")?,
            trial,
            requests: read_all(run.requests())?,
            calls: read_all(run.bracketed_calls())?,
            counts: runlog::json::read(&run.trial_counts())?,
            analysis,
        })
    }

    /// Each call has the arm of the instant at which it was entered; what the servers counted of arms is what they recorded.
    fn check_calls(&self) -> anyhow::Result<()> {
        let mut calls = HashMap::<u16, u64>::new();
        for call in &self.calls {
            if call.function == BracketedCall::ANSWER {
                continue;
            }
            let slice = self.slices.at(call.enter_ns);
            ensure!(usize::from(call.arm) == slice.arm, "{call:?}: {slice:?}");
            *calls.entry(call.arm).or_default() += u64::from(call.returned > 0);
        }
        let [counts] = &self.counts.servers[..] else {
            anyhow::bail!("more than one server");
        };
        ensure!(counts.records.lost() == 0, "{counts:?}");
        for (number, arm) in (0..).zip(self.trial.arms()) {
            let counted = counts.arms[&arm.to_string()].calls;
            let recorded = calls.get(&number).copied().unwrap_or(0);
            ensure!(counted == recorded, "{arm}: {counted} and {recorded}");
        }
        Ok(())
    }

    /// How much time each ns of the delay costs, of what is asked.
    fn slope(&self, name: &str) -> anyhow::Result<Estimate> {
        let slope = &self.analysis["trial"]["slices"]["responses"][name]["slope"];
        let slope: Option<Estimate> = serde_json::from_value(slope.clone())?;
        slope.with_context(|| format!("{name}: {}", self.analysis["trial"]["slices"]))
    }

    fn notes(&self) -> String {
        format!(
            "{} {}",
            self.analysis["not_usable"], self.analysis["warnings"]
        )
    }
}

fn ours(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = bench(kit, &out);
    // The washout is 5 times what one request in a hundred takes: others may take the core for some milliseconds.
    command.args(["--slice=50ms", "--duration=4"]);
    command.arg(format!("--connections={CONNECTIONS}"));
    let left = Left::of(&mut command, &out)?;
    left.check_calls()?;
    let counts = &left.analysis["trial"]["counts"];
    ensure!(counts["differing"] == serde_json::json!([]), "{counts}");
    ensure!(counts["misplaced"] == 0, "{counts}");
    // The load generator looks at the clock right before it sends: at an edge it may look too early, on each connection.
    let mut early = HashMap::<u64, usize>::new();
    for request in left
        .requests
        .iter()
        .filter(|request| request.first_byte > 0)
    {
        let slice = left.slices.at(request.sent_ns);
        if usize::from(request.arm) != slice.arm {
            *early.entry(slice.begin_ns).or_default() += 1;
        }
    }
    let most = early.values().max().copied().unwrap_or(0);
    ensure!(most <= CONNECTIONS, "{most} in one slice");
    // All wait for one core, so each ns of the delay costs everyone one, and more if somebody else is on the core.
    let slope = left.slope("per_completed")?;
    ensure!(slope.ci95[0] > 0.3, "{slope:?}: {}", left.notes());
    let slope = left.slope("mean")?;
    ensure!(slope.ci95[0] > 1.0, "{slope:?}: {}", left.notes());
    Ok(())
}

fn foreign(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let theirs = folder.path().join("load");
    let mut command = bench(kit, &out);
    command.arg("--slice=50ms").arg("--load").arg(format!(
        "{} run --json --arm=a={{url}} --connections={CONNECTIONS} --duration=5 --out={}",
        kit.path("loadgen").display(),
        theirs.display()
    ));
    let left = Left::of(&mut command, &out)?;
    left.check_calls()?;
    let sent: Vec<Request> = read_all(RunDirectory::existing(&theirs).requests())?;
    ensure!(sent.iter().all(Request::is_ok) && sent.len() > 1_000);
    // Each request that was sent is one that the server tells of, in whole.
    ensure!(
        left.requests.len() == sent.len() && left.requests.iter().all(Request::is_ok),
        "{} of {}: {}",
        left.requests.len(),
        sent.len(),
        left.notes()
    );
    let longest = |requests: &[Request]| {
        let times = requests.iter().map(Request::response_time_ns);
        times.sum::<u64>() / requests.len() as u64
    };
    ensure!(longest(&left.requests) < longest(&sent));
    // What the load printed is kept.
    let printed: Value = serde_json::from_slice(&fs::read(out.join("load-output.txt"))?)?;
    ensure!(
        printed["arms"][0]["requests"].as_u64() == Some(sent.len() as u64),
        "{printed}"
    );
    let slope = left.slope("per_completed")?;
    ensure!(slope.ci95[0] > 0.3, "{slope:?}: {}", left.notes());
    // In the server nothing waits between the read and the answer.
    let slope = left.slope("p50")?;
    ensure!(slope.reaches(1.0, 0.25), "{slope:?}: {}", left.notes());
    Ok(())
}

/// No HTTP, many connections, and a benchmark that knows nothing of us.
fn redis(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = bench(kit, &out);
    command
        .args(["--slice=20ms", "--load"])
        .arg("redis-benchmark -p {port} -c 20 -n 150000 -t get -q --csv")
        .args(["--", "redis-server", "--port", "{port}", "--save", ""])
        .current_dir(folder.path());
    let left = Left::of(&mut command, &out)?;
    left.check_calls()?;
    let answered = left.requests.iter().filter(|of| of.is_ok()).count();
    // It asks some questions of its own beside.
    ensure!((150_000..150_200).contains(&answered), "{answered}");
    let slope = left.slope("per_completed")?;
    ensure!(slope.ci95[0] > 0.3, "{slope:?}: {}", left.notes());
    let calls = &left.analysis["in_situ"]["calls_per_request"]["estimate"];
    ensure!(calls.as_f64() == Some(1.0), "{calls}");
    Ok(())
}

fn auto(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = bench(kit, &out);
    // With the delay each request takes 0.6 ms at the least, so slices take 18.
    command.args(["--slice=auto", "--duration=4", "--connections=30"]);
    let left = Left::of(&mut command, &out)?;
    left.check_calls()?;
    ensure!(
        left.slices.slice_ns > 10_000_000,
        "{}",
        left.slices.slice_ns
    );
    ensure!(!out.join("pilot").exists());
    Ok(())
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let refused = |options: &[&str], code: i32, texts: &[&str]| {
        fail(bench(kit, &out).args(options), code, texts)?;
        ensure!(!out.exists(), "{options:?} left a folder");
        Ok(())
    };
    refused(&["--slice=100us"], 2, &["--slice", "1ms to 1m"])?;
    refused(
        &["--slice=20ms", "--order=rmit"],
        1,
        &["--delays is for --order trial"],
    )?;
    refused(
        &["--slice=20ms", "--requests=9"],
        2,
        &["--slice", "--requests"],
    )?;
    refused(&["--rate=5"], 2, &["--slice"])?;
    refused(
        &["--slice=20ms", "--load=true", "--duration=1"],
        2,
        &["--load", "--duration"],
    )?;
    refused(
        &["--slice=1s", "--duration=2"],
        1,
        &["0 times all arms", "--duration"],
    )?;
    // What fails at once has sent nothing, and the run says so.
    let mut failing = bench(kit, &out);
    let output = failing.args(["--slice=20ms", "--load=exit 7"]).output()?;
    let analysis: Value = serde_json::from_slice(&output.stdout)?;
    let reason = analysis["cut_short"].as_str().unwrap_or_default();
    ensure!(
        output.status.code() == Some(3) && reason.contains("exit status: 7"),
        "{reason}"
    );
    let loadgen = |options: &[&str], texts: &[&str]| {
        let mut command = kit.command("loadgen");
        command
            .args(["run", "--arm=a=http://127.0.0.1:1/"])
            .args(options);
        fail(&mut command, 1, texts)
    };
    let text = "--trial=seed=1 slice=10000000 arms=off,on";
    loadgen(&[text], &["size=", "other load generators"])?;
    let by_request = "--trial=seed=1 size=256 arms=off,on";
    loadgen(&[by_request, "--rate=5"], &["--rate", "slice="])?;
    Ok(())
}
