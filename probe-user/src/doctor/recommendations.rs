//! The ten recommendations of the paper (Kahlhofer, Kern, Henning, Rass: Benchmarking Function Hook Latency in
//! Cloud-Native Environments, SSP 2023), each checked where it can be.

use std::collections::BTreeSet;

use runlog::analysis::Analysis;
use runlog::doctor::{Finding, State};
use runlog::estimate::Estimate;
use runlog::manifest::{Environment, Manifest, Schedule};

use crate::doctor::others::{MESH, STEAL, TENANTS};
use verdict::agreement::is_resolved;
use verdict::doubt::find;

/// Settings are needed to tell a property of the hook from one of the environment.
const SETTINGS: usize = 2;
/// What to do where a run would tell.
const GIVE_A_RUN: &str = "give a finished run: probe-user doctor RUN";

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it was set up.
    pub manifest: Manifest,
    /// What came out.
    pub analysis: Analysis,
}

/// How runs, the last of which is the one in question, keep the recommendations. `findings` are of the machine
/// here and now; what is on record of the run comes before them.
pub fn recommendations(runs: &[Run], findings: &[Finding]) -> Vec<Finding> {
    let last = runs.last();
    let on_record = last.and_then(|run| run.manifest.doctor.as_ref());
    let findings = on_record.map_or(findings, |doctor| {
        if doctor.after.is_empty() {
            &doctor.before
        } else {
            &doctor.after
        }
    });
    vec![
        one_pod(last),
        one_node(last),
        renamed(findings, MESH, "3 service mesh"),
        multi_tenancy(findings),
        close_monitor(last),
        stated_kind(last),
        described_use(last),
        limits(last, findings),
        repetitions(last),
        settings(runs),
    ]
}

/// Whether servers and load generator ran on this machine: then the manifest knows the servers' processes.
fn is_local(manifest: &Manifest) -> bool {
    !manifest.arms.is_empty() && manifest.arms.iter().all(|arm| !arm.pids.is_empty())
}

fn one_pod(run: Option<&Run>) -> Finding {
    const NAME: &str = "1 one pod";
    match run {
        Some(run) if is_local(&run.manifest) => Finding::pass(
            NAME,
            "servers and load generator ran side by side, as the containers of one pod do",
        ),
        Some(_) => Finding::warn(
            NAME,
            "the servers ran elsewhere",
            "put load generator and servers into one pod: deploy/kubernetes/overlays/eks-pod",
        ),
        None => Finding::unknown(NAME, "no run to look at", GIVE_A_RUN),
    }
}

fn one_node(run: Option<&Run>) -> Finding {
    const NAME: &str = "2 one node";
    match run {
        Some(run) if is_local(&run.manifest) => {
            Finding::pass(NAME, "servers and load generator ran on one machine")
        }
        Some(_) => Finding::unknown(
            NAME,
            "the servers ran elsewhere, where cannot be told",
            "bind both to one node by node affinity",
        ),
        None => Finding::unknown(NAME, "no run to look at", GIVE_A_RUN),
    }
}

/// A finding under the name of a recommendation.
fn renamed(findings: &[Finding], of: &str, name: &str) -> Finding {
    match findings.iter().find(|finding| finding.name == of) {
        Some(finding) => Finding {
            name: name.to_owned(),
            ..finding.clone()
        },
        None => Finding::unknown(name, "not looked at", "probe-user doctor"),
    }
}

/// The worse of what tells of other tenants: their containers, and time that their machines take.
fn multi_tenancy(findings: &[Finding]) -> Finding {
    const NAME: &str = "4 multi-tenancy";
    let signals = [TENANTS, STEAL].map(|signal| renamed(findings, signal, NAME));
    let worse = signals.iter().map(|signal| signal.state).max();
    let found: Vec<String> = [TENANTS, STEAL]
        .into_iter()
        .zip(&signals)
        .map(|(signal, finding)| format!("{signal}: {}", finding.found))
        .collect();
    Finding {
        name: NAME.to_owned(),
        state: worse.unwrap_or(State::Unknown),
        found: found.join("; "),
        advice: signals
            .into_iter()
            .filter(|signal| Some(signal.state) == worse)
            .find_map(|signal| signal.advice),
    }
}

fn close_monitor(run: Option<&Run>) -> Finding {
    const NAME: &str = "5 monitor beside the hook";
    let Some(run) = run else {
        return Finding::unknown(NAME, "no run to look at", GIVE_A_RUN);
    };
    match &run.analysis.in_situ.missing {
        None => Finding::pass(
            NAME,
            "the hook was timed inside the server, around its own code",
        ),
        Some(reason) => Finding::fail(
            NAME,
            format!("no in-situ layer: {reason}"),
            "run with sudo, so that probes can be attached; see capabilities",
        ),
    }
}

fn stated_kind(run: Option<&Run>) -> Finding {
    const NAME: &str = "6 micro or macro stated";
    let Some(run) = run else {
        return Finding::unknown(NAME, "no run to look at", GIVE_A_RUN);
    };
    let analysis = &run.analysis;
    let layers = [
        ("micro", analysis.micro.hook_overhead.is_some()),
        ("in situ", analysis.in_situ.hook_overhead.is_some()),
        ("macro", analysis.macro_.difference.is_some()),
    ];
    let (there, missing): (Vec<_>, Vec<_>) = layers.into_iter().partition(|(_, there)| *there);
    let names = |layers: &[(&str, bool)]| {
        layers
            .iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    if missing.is_empty() {
        return Finding::pass(NAME, format!("{}, each named", names(&there)));
    }
    Finding::warn(
        NAME,
        format!("{} only; not {}", names(&there), names(&missing)),
        "the report says why the others are missing",
    )
}

fn described_use(run: Option<&Run>) -> Finding {
    const NAME: &str = "7 use of the function";
    let Some(run) = run else {
        return Finding::unknown(NAME, "no run to look at", GIVE_A_RUN);
    };
    let in_situ = &run.analysis.in_situ;
    let figure = |of: &Option<Estimate>| of.as_ref().map(|of| of.estimate);
    match (
        figure(&in_situ.calls_per_request),
        figure(&in_situ.bytes_per_call),
    ) {
        (Some(calls), Some(bytes)) => Finding::pass(
            NAME,
            format!("{calls:.2} hooked reads a request, {bytes:.0} bytes each"),
        ),
        (Some(calls), None) => Finding::pass(NAME, format!("{calls:.2} hooked reads a request")),
        _ => Finding::unknown(
            NAME,
            "how often the server calls the function was not measured",
            "run with sudo, so that calls are joined to requests",
        ),
    }
}

fn limits(run: Option<&Run>, findings: &[Finding]) -> Finding {
    const NAME: &str = "8 no resource limit hit";
    let hit = run
        .and_then(|run| run.manifest.resources.as_ref())
        .map(find::of_resources);
    match hit {
        Some(hit) if hit.is_empty() => Finding::pass(NAME, "none was, while requests were sent"),
        Some(hit) => Finding::fail(
            NAME,
            hit.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
            "raise the limit, or send less: the run's figures hold for servers at their limit",
        ),
        None => {
            let limits = ["CPU limit", "memory limit"].map(|limit| renamed(findings, limit, NAME));
            let worst = limits.into_iter().max_by_key(|limit| limit.state);
            worst.unwrap_or_else(|| Finding::unknown(NAME, "not looked at", GIVE_A_RUN))
        }
    }
}

fn repetitions(run: Option<&Run>) -> Finding {
    const NAME: &str = "9 repetitions";
    let Some(run) = run else {
        return Finding::unknown(NAME, "no run to look at", GIVE_A_RUN);
    };
    let Schedule {
        blocks_per_cell,
        requests_per_cell,
        ..
    } = run.manifest.schedule;
    let made = format!("{blocks_per_cell} blocks an arm, {requests_per_cell} requests");
    let Some(agreement) = &run.analysis.agreement else {
        return Finding::unknown(NAME, made, "whether they are enough needs all three layers");
    };
    let typical = run.analysis.agreement_typical.as_ref();
    if is_resolved(agreement) || typical.is_some_and(is_resolved) {
        let resolution = agreement.resolution_ns;
        return Finding::pass(
            NAME,
            format!("{made}: differences of {resolution:.0} ns can be seen"),
        );
    }
    let advice = agreement.needed.as_ref().map_or_else(
        || "more blocks, by --blocks and --requests".to_owned(),
        |needed| {
            format!(
                "about {} {}, each as long as the {} of this run (--servers, --blocks, --requests)",
                needed.observations, needed.of, needed.now
            )
        },
    );
    Finding::warn(
        NAME,
        format!("{made}: too few to tell whether the layers agree"),
        advice,
    )
}

fn settings(runs: &[Run]) -> Finding {
    const NAME: &str = "10 several settings";
    let settings: BTreeSet<String> = runs.iter().map(setting).collect();
    let found = match settings.len() {
        0 => return Finding::unknown(NAME, "no run to look at", GIVE_A_RUN),
        1 => "one setting".to_owned(),
        count => format!("{count} settings"),
    };
    if settings.len() < SETTINGS {
        return Finding::warn(
            NAME,
            found,
            "repeat it elsewhere, and give all runs: probe-user doctor RUN RUN; deploy/ has four settings",
        );
    }
    Finding::pass(NAME, found)
}

/// What tells one setting from another.
fn setting(run: &Run) -> String {
    let Environment {
        kernel,
        cpu_model,
        cpus,
        cgroup_cpu_limit,
        ..
    } = &run.manifest.environment;
    let Manifest {
        placement,
        schedule,
        ..
    } = &run.manifest;
    format!(
        "{kernel} {cpu_model} {cpus} {cgroup_cpu_limit:?} {} {}",
        placement.policy, schedule.connections
    )
}
