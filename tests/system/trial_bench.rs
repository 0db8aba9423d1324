//! A trial from end to end: `bench --order trial`, with the hook in a bracket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use abi::trial::{Arm, Trial};
use anyhow::Context as _;
use runlog::manifest::{Manifest, Scheduling};
use runlog::record::{BracketedCall, ReadSpan, Request};
use runlog::table::read_all;
use runlog::trial::TrialCounts;
use runlog::{Role, RunDirectory};

use crate::Test;
use crate::bench::nothing_left;
use crate::hook::compile_with_connections;
use crate::kit::{Kit, check_schema, exact_kernel_probe, fail, json, succeed};
use crate::skips::Need;
use crate::unprivileged::unprivileged;

pub const TESTS: &[Test] = &[
    Test {
        name: "trial_bench::a_trial_needs_no_right_and_both_sides_count_the_same",
        needs: &[],
        run: ours,
    },
    Test {
        name: "trial_bench::a_hook_without_sites_is_measured",
        needs: &[Need::Program("cc")],
        run: another_hook,
    },
    Test {
        name: "trial_bench::probes_see_all_arms_in_blocks_of_their_own",
        needs: &[Need::Root, Need::Program("cc")],
        run: probes,
    },
    Test {
        name: "trial_bench::a_server_with_another_clock_is_refused",
        needs: &[Need::Root, Need::Program("unshare"), Need::TimeNamespaces],
        run: another_clock,
    },
    Test {
        name: "trial_bench::what_makes_no_trial_is_refused",
        needs: &[],
        run: refusals,
    },
];

const OTHER_HOOK: &str = include_str!("c/other_hook.c");
const SERVERS: u32 = 2;

/// A trial, without the options that say how long.
pub fn trial_bench(kit: &Kit, out: &Path) -> Command {
    let mut command = kit.bench();
    command.args(["--order=trial", "--json", "--warmup=100"]);
    command.arg(format!("--servers={SERVERS}"));
    // What is around us is no trial of the servers.
    command
        .env("HOOKPROBE_TRIAL", "nonsense")
        .env("HOOKPROBE_RECORDS", "1000");
    command.arg("--out").arg(out);
    command
}

/// What a run has left.
pub struct Left {
    pub manifest: Manifest,
    pub trial: Trial,
    pub requests: Vec<Request>,
    pub calls: Vec<BracketedCall>,
    pub counts: TrialCounts,
}

impl Left {
    /// Reads it, and checks that all records are accounted for.
    pub fn read(run: &RunDirectory) -> anyhow::Result<Self> {
        let manifest: Manifest = runlog::json::read(&run.manifest())?;
        let text = manifest.schedule.trial.as_deref().context("no trial")?;
        let trial =
            Trial::parse(text.as_bytes()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        check_schema(&runlog::json::read(&run.trial_counts())?, "trial-counts")?;
        let left = Self {
            trial,
            requests: read_all(run.requests())?,
            calls: read_all(run.bracketed_calls())?,
            counts: runlog::json::read(&run.trial_counts())?,
            manifest,
        };
        ensure!(left.counts.servers.len() == SERVERS as usize);
        let ledgers = left.counts.servers.iter().map(|server| server.records);
        ensure!(ledgers.clone().all(|ledger| ledger.is_balanced()));
        let read: u64 = ledgers.map(|ledger| ledger.read).sum();
        ensure!(read == left.calls.len() as u64, "{read}");
        Ok(left)
    }

    /// Checks that each request has the arm that follows from its place, and returns the requests of arms, by salt and
    /// ordinal.
    pub fn drawn(&self) -> anyhow::Result<BTreeMap<(u64, u64), &Request>> {
        let mut drawn = BTreeMap::new();
        let off = self.trial.arms().iter().position(|arm| *arm == Arm::Off);
        for request in &self.requests {
            let (salt, size) = (
                self.trial.salt(request.connection),
                u64::from(self.trial.size),
            );
            ensure!(request.end_byte - request.first_byte == size, "{request:?}");
            let ordinal = request.first_byte / size;
            let arm = self.trial.arm_of(salt, ordinal);
            ensure!(Some(request.arm.into()) == arm.or(off), "{request:?}");
            match arm {
                Some(_) => drop(drawn.insert((salt, ordinal), request)),
                None => ensure!(request.is_warmup(), "{request:?}"),
            }
        }
        Ok(drawn)
    }

    /// The median over the calls of an arm.
    fn median(&self, wanted: Arm, value: fn(&BracketedCall) -> u64) -> anyhow::Result<u64> {
        let number = self.trial.arms().iter().position(|arm| *arm == wanted);
        let calls = self
            .calls
            .iter()
            .filter(|call| Some(call.arm.into()) == number);
        let mut values: Vec<u64> = calls.map(value).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().context("no calls")
    }
}

fn check_manifest(manifest: &Manifest) -> anyhow::Result<()> {
    let arms: Vec<_> = manifest
        .arms
        .iter()
        .map(|arm| (arm.name.as_str(), arm.role(), arm.hook.is_some()))
        .collect();
    ensure!(
        arms == [
            ("off", Role::Baseline, false),
            ("null", Role::Baseline2, false),
            ("on", Role::Hooked, true),
            ("on+1000", Role::Other, true),
        ],
        "{arms:?}"
    );
    let first = &manifest.arms[0];
    ensure!(first.pids.len() == SERVERS as usize);
    ensure!(
        manifest
            .arms
            .iter()
            .all(|arm| arm.url == first.url && arm.pids == first.pids)
    );
    let placement = &manifest.placement;
    ensure!(
        placement.scheduling == Scheduling::Batch && placement.sut_cpus == placement.loadgen_cpus
    );
    Ok(())
}

/// A short trial, and all that can be said of it whatever the hook.
fn check_trial(kit: &Kit, hook: Option<&Path>) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = trial_bench(kit, &out);
    command.args(["--no-probes", "--requests=1200", "--blocks=8"]);
    if let Some(hook) = hook {
        command.arg("--hook").arg(hook);
    }
    let analysis = json(&succeed(unprivileged(&mut command))?)?;
    check_schema(&analysis, "analysis")?;
    let micro = &analysis["micro"]["hook_overhead"];
    ensure!(
        micro["estimate"].as_f64().is_some_and(|ns| ns > 0.0),
        "{micro}"
    );
    let left = Left::read(&RunDirectory::existing(&out))?;
    check_manifest(&left.manifest)?;

    let drawn = left.drawn()?;
    ensure!(drawn.values().all(|request| request.is_ok()));
    // Blocks take the servers in turn, and each counts what it drew.
    for (server, counts) in (0..SERVERS).zip(&left.counts.servers) {
        let to_it = drawn
            .values()
            .filter(|request| request.block % SERVERS == server);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for request in to_it {
            let arm = left.trial.arms()[usize::from(request.arm)];
            *expected.entry(arm.to_string()).or_default() += 1;
        }
        let requests = counts
            .arms
            .iter()
            .map(|(arm, counts)| (arm.clone(), counts.requests));
        let counted: BTreeMap<String, u64> = requests.collect();
        ensure!(
            counted == expected,
            "server {server}: {counted:?}, not {expected:?}"
        );
        ensure!(
            (
                counts.processes,
                counts.without_salt,
                counts.off_boundary,
                counts.beyond_request
            ) == (1, 0, 0, 0),
            "{counts:?}"
        );
        // Each block has one connection.
        ensure!(
            counts.first_requests == 4 && counts.records.lost() == 0,
            "{counts:?}"
        );
    }
    // Each request was read by calls that were recorded, of its arm and at its time.
    let mut bytes: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for call in &left.calls {
        let place = (call.salt, call.ordinal.into());
        let request = drawn
            .get(&place)
            .with_context(|| format!("of no request: {call:?}"))?;
        ensure!((u32::from(call.server), call.arm) == (request.block % SERVERS, request.arm));
        ensure!(call.flags & BracketedCall::REACHED_BACK != 0, "{call:?}");
        ensure!(
            (request.sent_ns..request.done_ns).contains(&call.back_exit_ns),
            "{call:?}"
        );
        let delay_ns = left.trial.arms()[usize::from(call.arm)].delay_ns();
        ensure!(u64::from(call.waited_ns) >= delay_ns, "{call:?}");
        *bytes.entry(place).or_default() += u64::from(call.returned);
    }
    ensure!(bytes.len() == drawn.len());
    ensure!(
        bytes
            .values()
            .all(|bytes| *bytes == u64::from(left.trial.size))
    );
    for arm in left.trial.arms() {
        let waited_ns = left.median(*arm, |call| call.waited_ns.into())?;
        ensure!(
            arm.delay_ns() > 0 || waited_ns < 1_000,
            "{arm} waits {waited_ns} ns"
        );
    }
    let null = left.median(Arm::Null, BracketedCall::overhead_ns)?;
    let on = left.median(Arm::On, BracketedCall::overhead_ns)?;
    ensure!(
        on > null,
        "the hook adds nothing: {on} ns, past it {null} ns"
    );
    nothing_left(kit)
}

fn ours(kit: &Kit) -> anyhow::Result<()> {
    check_trial(kit, None)
}

/// A hook without probe sites.
fn compile_hook(folder: &Path) -> anyhow::Result<PathBuf> {
    let options = ["-shared", "-fPIC", "-Wno-unused-function"];
    compile_with_connections(folder, OTHER_HOOK, &options)
}

fn another_hook(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    check_trial(kit, Some(&compile_hook(folder.path())?))
}

fn probes(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = trial_bench(kit, &out);
    command.args(exact_kernel_probe());
    command.args(["--requests=800", "--blocks=4", "--calibration-rounds=2"]);
    command.arg("--hook").arg(compile_hook(folder.path())?);
    let analysis = json(&succeed(&mut command)?)?;
    check_schema(&analysis, "analysis")?;
    ensure!(
        analysis["ledger"]["balanced"] == true,
        "{}",
        analysis["ledger"]
    );
    let run = RunDirectory::existing(&out);
    let left = Left::read(&run)?;
    let calibration = left.manifest.calibration.as_ref();
    ensure!(
        calibration.is_some_and(|it| it.missing.is_empty()),
        "{calibration:?}"
    );
    // The sites of front fire in all arms.
    let observed = left.requests.iter().filter(|request| request.is_observed());
    ensure!(observed.count() == 3_200 && left.requests.len() == 6_400);
    ensure!(analysis["join"]["matched"] == 3_200, "{}", analysis["join"]);
    let reads: Vec<ReadSpan> = read_all(run.reads())?;
    ensure!(reads.iter().filter(|read| read.returned > 0).count() >= 3_200);
    // And nothing is recorded meanwhile.
    let drawn = left.drawn()?;
    for call in &left.calls {
        let request = drawn
            .get(&(call.salt, call.ordinal.into()))
            .context("of no request")?;
        ensure!(!request.is_observed(), "{call:?}");
    }
    let to_others = drawn
        .values()
        .filter(|request| !request.is_observed())
        .count();
    ensure!(left.calls.len() >= to_others);
    nothing_left(kit)
}

fn another_clock(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut command = trial_bench(kit, &out);
    command.args(["--no-probes", "--", "unshare", "--time", "--monotonic=1000"]);
    command.args(["--fork", "--kill-child"]);
    command.arg(kit.path("sut")).arg("--quiet");
    fail(&mut command, 1, &["time namespace", "--time"])?;
    ensure!(!out.exists());
    nothing_left(kit)
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let bench = |options: &[&str], code: i32, texts: &[&str]| {
        fail(trial_bench(kit, &out).args(options), code, texts)?;
        ensure!(!out.exists(), "{options:?} left a folder");
        Ok(())
    };
    bench(&["--delays=0"], 2, &["--delays", "above 0"])?;
    bench(&["--delays=7,7"], 1, &["--delays", "each once"])?;
    bench(
        &["--request-size=63"],
        1,
        &["--request-size", "size= must be"],
    )?;
    let sut = kit.path("sut").display().to_string();
    for variable in ["HOOKPROBE_RECORDS", "HOOKPROBE_TRIAL"] {
        let server = ["--no-probes", "--", "env", "-u", variable, &sut, "--quiet"];
        bench(&server, 1, &["has not mapped the memory", variable])?;
    }
    let mut command = kit.bench();
    fail(
        command.arg("--delays=5"),
        1,
        &["--delays is for --order trial", "rmit"],
    )?;
    let mut command = kit.command("probe-user");
    command.args([
        "validate",
        "a-a",
        "--runs=2",
        "--order=trial",
        "--paper-warmup=10",
        "--out",
    ]);
    fail(
        command.arg(&out),
        1,
        &["--order trial", "take another order"],
    )?;
    ensure!(!out.exists());
    Ok(())
}
