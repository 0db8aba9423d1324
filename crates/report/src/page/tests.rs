use std::collections::BTreeMap;
use std::time::Duration;

use runlog::agent_run::{AgentRun, Announcement, ArmResult, LogBytes, RunResult, RunState};
use runlog::estimate::{Estimate, Unit};
use runlog::summary::{self, ArmLoad, Latency, LoadSummary};
use runlog::trace::SpanSummary;
use runlog::trial::{ArmEffect, SlicesResult, TrialResult};
use runlog::{RunDirectory, interval_log, load_api};

use super::*;
use crate::run::tests::{half_a_run, manifest};

const LATENCY: Latency = Latency {
    mean: 21_500.0,
    p50: 20_000,
    p90: 30_000,
    p99: 1_234_567,
    p999: 2_000_000,
    max: 3_000_000,
};

fn agent_run_of(result: Option<RunResult>) -> AgentRun {
    AgentRun {
        schema: runlog::agent_run::SCHEMA.to_owned(),
        id: "run-1".to_owned(),
        state: RunState::CutShort,
        reason: Some("<script>alert(1)</script>".to_owned()),
        announced: Announcement {
            arms: Vec::new(),
            schedule: manifest().schedule,
            load: None,
            requests: None,
            server: None,
            clock: None,
        },
        processes: BTreeMap::new(),
        started_unix_ns: 0,
        received: LogBytes::default(),
        result,
    }
}

fn with_a_doubt() -> AgentRun {
    let mut arm = ArmResult {
        arm: "hooked".to_owned(),
        requests: 4_000,
        latency_ns: Some(LATENCY),
        ..ArmResult::default()
    };
    arm.ledger.probes.insert(
        "read_syscall".to_owned(),
        runlog::analysis::LedgerRow {
            hits: 5_001,
            recorded: 5_000,
            ..Default::default()
        },
    );
    let mut one_call = interval_log::new_histogram();
    one_call.record(149).unwrap();
    arm.spans
        .insert("hook_overhead".to_owned(), SpanSummary::of(&one_call, 149));
    agent_run_of(Some(RunResult {
        usable: false,
        doubts: vec!["arm hooked: its ledger does not balance".to_owned()],
        recorded_s: 1.0,
        arms: vec![arm],
        trial: None,
        clocks: None,
    }))
}

/// A load of which one arm failed altogether.
fn half_failed() -> load_api::Run {
    let arm = |name: &str, latency_ns: Option<Latency>, errors| ArmLoad {
        name: name.to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        requests: 4_000,
        warmup_requests: 0,
        observed_requests: 0,
        errors,
        errors_by_kind: BTreeMap::from([("connection_reset".to_owned(), errors)]),
        requests_per_second: 40_123.4,
        latency_ns,
        latency_from_sent_ns: None,
        pacer: None,
        failed_connects: BTreeMap::new(),
    };
    let schedule = manifest().schedule;
    load_api::Run {
        id: "load-1".to_owned(),
        state: load_api::RunState::CutShort,
        reason: Some("<script>alert(1)</script>".to_owned()),
        arms: Vec::new(),
        planned_requests: None,
        schedule: schedule.clone(),
        started_unix_ns: 0,
        summary: Some(LoadSummary {
            schema: summary::SCHEMA.to_owned(),
            cut_short: None,
            schedule,
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock: None,
            load: None,
            arms: vec![arm("a", Some(LATENCY), 0), arm("b", None, 4_000)],
            agent: None,
        }),
        files: Vec::new(),
    }
}

#[test]
fn no_page_has_a_script_or_loads_anything() {
    let (folder, mut run) = half_a_run(7);
    run.analysis = Err("<script>alert(1)</script>".to_owned());
    let directory = RunDirectory::existing(folder.path());
    let pages = [
        one(&run),
        several(&[run]),
        agent_run(&agent_run_of(None)),
        agent_run(&with_a_doubt()),
        load(&half_failed(), &directory),
    ];
    for page in pages {
        for forbidden in [
            "<script", " src=", "@import", "url(", "<link", "onload", "NaN",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}: {page}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme: dark"));
    }
}

#[test]
fn doubts_on_an_agents_run_come_before_its_figures() {
    let page = agent_run(&with_a_doubt());
    let main = page.split("<main>").nth(1).unwrap();
    let headline = main.split("<h2 class=\"headline\">").nth(1).unwrap();
    assert!(headline.starts_with("Not usable without care.</h2><ul><li>arm hooked: its ledger"));
    for shown in [
        "data-figure=\"agent-run.json#/result/arms/0/latency_ns/p99\">1.235\u{a0}ms<",
        "data-figure=\"agent-run.json#/result/arms/0/ledger/probes/read_syscall/hits\">5,001<",
        "read_syscall <span class=\"state bad\">does not balance</span>",
        "data-figure=\"agent-run.json#/result/arms/0/spans/hook_overhead/mean_ns\">149\u{a0}ns<",
        "No hook: nothing to join.",
    ] {
        assert!(main.contains(shown), "{shown}: {main}");
    }
}

#[test]
fn a_trial_at_an_agent_has_its_effects() {
    let ns = |estimate, ci95| Estimate {
        estimate,
        ci95,
        unit: Unit::Ns,
        estimand: "a difference".to_owned(),
        method: "a method".to_owned(),
        blocks: 20,
    };
    let effect = ArmEffect {
        body: Some(ns(2_040.0, [1_900.0, 2_180.0])),
        ..ArmEffect::default()
    };
    let slices = SlicesResult {
        effects: BTreeMap::from([("on".to_owned(), ns(310.0, [300.0, 320.0]))]),
        ..SlicesResult::default()
    };
    let mut run = with_a_doubt();
    if let Some(result) = &mut run.result {
        result.trial = Some(Box::new(TrialResult {
            effects: BTreeMap::from([("on".to_owned(), effect)]),
            slices: Some(Box::new(slices)),
            ..TrialResult::default()
        }));
    }
    let page = agent_run(&run);
    for shown in [
        "What each arm adds to a request",
        "data-figure=\"agent-run.json#/result/trial/effects/on/body/estimate\">2,040\u{a0}ns<",
        "data-figure=\"agent-run.json#/result/trial/slices/effects/on/estimate\">310\u{a0}ns<",
        "Salt and ordinal join its calls to requests.",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("nothing to join"));
}

#[test]
fn a_load_has_its_figures_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let page = load(&half_failed(), &RunDirectory::existing(folder.path()));
    for shown in [
        "Cut short: &lt;script",
        "data-figure=\"load.json#/arms/0/requests_per_second\">40,123<",
        "data-figure=\"load.json#/arms/0/latency_ns/mean\">21.50\u{a0}µs<",
        "no request succeeded",
        "data-figure=\"load.json#/arms/1/errors_by_kind/connection_reset\">4,000<",
        "No percentiles:",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[test]
fn the_percentiles_of_a_load_are_drawn_from_its_logs() {
    let folder = tempfile::tempdir().unwrap();
    let directory = RunDirectory::existing(folder.path());
    let mut histogram = interval_log::new_histogram();
    for value in 1..=1_000 {
        histogram.record(1_000 * value).unwrap();
    }
    let interval = interval_log::Interval {
        start: Duration::ZERO,
        duration: Duration::from_secs(1),
        tag: None,
        histogram,
    };
    let mut file = interval_log::NewLog::create(directory.interval_log("b")).unwrap();
    let mut log = file.begin("", Duration::ZERO).unwrap();
    log.push(&interval).unwrap();
    file.finish().unwrap();
    let page = load(&half_failed(), &directory);
    // The second arm of a load is not the grey one.
    let legend = "<span class=\"swatch arm-2\"></span>b<";
    assert!(
        page.contains("id=\"plot-percentiles\"") && page.contains(legend),
        "{page}"
    );
}
