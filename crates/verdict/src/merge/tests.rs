use runlog::agent::{ArmInContainer, Arms, WatchedProcess};
use runlog::analysis::{Ledger, LedgerRow};
use runlog::clock::Clock;
use runlog::interval_log::new_histogram;
use runlog::trace::{Trace, TraceTarget};

use super::*;

const BOOT: &str = "8f0b4e0c-6a0e-4a6a-9d0e-6f1c2f7a9b11";
const OTHER_BOOT: &str = "0d9a3c5e-1111-4a6a-9d0e-6f1c2f7a9b11";

fn clock(boot_id: &str) -> Clock {
    Clock {
        boot_id: boot_id.to_owned(),
        time_namespace: String::new(),
    }
}

fn histogram(values: &[u64]) -> Histogram<u64> {
    let mut histogram = new_histogram();
    for value in values {
        histogram.saturating_record(*value);
    }
    histogram
}

fn summary(values: &[u64]) -> SpanSummary {
    SpanSummary::of(&histogram(values), values.iter().sum())
}

fn ledger(values: &[u64]) -> Ledger {
    let hits = values.len() as u64;
    let row = LedgerRow {
        hits,
        recorded: hits,
        ..LedgerRow::default()
    };
    Ledger {
        hits,
        recorded: hits,
        balanced: true,
        probes: [("site_read_done".to_owned(), row)].into(),
        ..Ledger::default()
    }
}

fn arm(name: &str, container: &str, values: &[u64]) -> ArmInContainer {
    ArmInContainer {
        arm: name.to_owned(),
        container: container.to_owned(),
        attached: true,
        processes: vec![WatchedProcess {
            pid: 42,
            ..WatchedProcess::default()
        }],
        unobserved_s: 0.5,
        spans: [("hook_overhead".to_owned(), summary(values))].into(),
        ledger: ledger(values),
        ..ArmInContainer::default()
    }
}

/// An agent's answer, of what it has seen from second 10 until second `until_s`.
fn answer(node: &str, boot_id: &str, until_s: u64, arms: Vec<ArmInContainer>) -> Arms {
    Arms {
        schema: runlog::agent::SCHEMA.to_owned(),
        node: node.to_owned(),
        clock: Some(clock(boot_id)),
        attached_ns: 10_000_000_000,
        taken_ns: until_s * 1_000_000_000,
        arms,
        ..Arms::default()
    }
}

fn trace_of(pid: i32, from_ns: u64, values: &[u64]) -> Trace {
    Trace {
        schema: runlog::trace::SCHEMA.to_owned(),
        node: Some("a".to_owned()),
        targets: vec![TraceTarget {
            pid,
            executable: "/usr/bin/server".to_owned(),
            hook: None,
        }],
        attached_ns: from_ns,
        detached_ns: Some(from_ns + 1_000_000_000),
        clock: Some(clock(BOOT)),
        spans: [("hook_overhead".to_owned(), summary(values))].into(),
        ledger: ledger(values),
        ..Trace::default()
    }
}

fn input(origin: &str, value: &impl serde::Serialize, name: Option<&str>) -> anyhow::Result<Input> {
    read(&serde_json::to_vec(value).unwrap(), origin, name)
}

fn merged(answers: &[Arms]) -> anyhow::Result<Merged> {
    let inputs = answers.iter().enumerate();
    let inputs = inputs.map(|(number, answer)| input(&format!("{number}.json"), answer, None));
    merge(inputs.collect::<anyhow::Result<_>>()?)
}

/// Values of all sizes, others for each seed.
fn values(seed: u64, count: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 30) >> (state % 30)
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn the_result_is_the_histogram_of_all_values() {
    let parts: Vec<Vec<u64>> = (0..3).map(|seed| values(seed, 5_000)).collect();
    let merged = merged(&[
        answer(
            "a",
            BOOT,
            20,
            vec![
                arm("hooked", "c1", &parts[0]),
                arm("hooked", "c2", &parts[1]),
            ],
        ),
        answer(
            "b",
            OTHER_BOOT,
            30,
            vec![arm("hooked", "c3", &parts[2]), arm("baseline", "", &[7])],
        ),
    ])
    .unwrap();
    let names: Vec<&str> = merged.arms.iter().map(|arm| arm.arm.as_str()).collect();
    assert_eq!(names, ["baseline", "hooked"]);
    let hooked = &merged.arms[1];
    let all = parts.concat();
    assert_eq!(
        hooked.spans["hook_overhead"],
        summary(&all),
        "not only quantiles"
    );
    let exact = hooked.spans["hook_overhead"].exact.as_ref().unwrap();
    assert_eq!(exact.read().unwrap(), histogram(&all));
    assert_eq!(exact.sum_ns, all.iter().sum::<u64>());
    assert_eq!((hooked.nodes, hooked.parts), (2, 3));
    assert_eq!(hooked.ledger, ledger(&all));
    assert!((hooked.unobserved_s - 1.5).abs() < 1e-9);
    assert!(
        merged.usable && merged.findings.is_empty(),
        "{:?}",
        merged.findings
    );
}

#[test]
fn a_merge_can_be_merged_again() {
    let answers = [
        answer("a", BOOT, 20, vec![arm("hooked", "", &[1, 2, 3])]),
        answer("b", OTHER_BOOT, 20, vec![arm("hooked", "", &[400])]),
    ];
    let at_once = merged(&answers).unwrap();
    let halves = answers.iter().map(|answer| {
        let half = merged(std::slice::from_ref(answer)).unwrap();
        input("half.json", &half, None).unwrap()
    });
    let again = merge(halves.collect()).unwrap();
    assert_eq!(again.arms, at_once.arms);
    assert_eq!(again.sources[1].source, "half.json: 0.json");
    // And is still known to be of these nodes.
    let twice = [
        input("all.json", &at_once, None),
        input("a.json", &answers[0], None),
    ];
    let twice = merge(twice.into_iter().map(Result::unwrap).collect());
    assert!(twice.unwrap_err().to_string().contains("twice"));
}

#[test]
fn the_same_node_is_refused_twice_unless_the_times_are_apart() {
    let first = answer("a", BOOT, 20, vec![arm("hooked", "c1", &[1])]);
    // The same agent, asked later: it has all that it had.
    let later = answer("a", BOOT, 25, vec![arm("hooked", "c1", &[1, 2])]);
    let error = merged(&[first.clone(), later]).unwrap_err().to_string();
    for text in [
        "0.json",
        "1.json",
        "hooked in container c1",
        "node a",
        "twice",
    ] {
        assert!(error.contains(text), "{text}: {error}");
    }
    // Another agent after it, on the same node.
    let mut after = answer("a", BOOT, 40, vec![arm("hooked", "c1", &[5])]);
    after.attached_ns = 20_000_000_000;
    let both = merged(&[first.clone(), after]).unwrap();
    assert_eq!((both.arms[0].nodes, both.arms[0].parts), (1, 2));
    // Nodes of Kind share a kernel, and have other containers.
    let neighbour = answer("b", BOOT, 20, vec![arm("hooked", "c2", &[5])]);
    let both = merged(&[first, neighbour]).unwrap();
    assert_eq!(both.arms[0].nodes, 2);
}

#[test]
fn traces_are_of_processes() {
    let traces = |one: Trace, other: Trace| {
        let inputs = [("one", one), ("other", other)];
        let inputs = inputs.map(|(origin, trace)| input(origin, &trace, None).unwrap());
        merge(inputs.into())
    };
    let both = traces(trace_of(1, 5, &[10]), trace_of(2, 6, &[20])).unwrap();
    assert_eq!(both.arms[0].arm, "server");
    assert_eq!(both.arms[0].spans["hook_overhead"], summary(&[10, 20]));
    let error = traces(trace_of(1, 5, &[10]), trace_of(1, 6, &[20])).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    traces(trace_of(1, 5, &[10]), trace_of(1, 2_000_000_000, &[20])).unwrap();
    // An agent sees all processes of its arm.
    let agent = answer("a", BOOT, 20, vec![arm("server", "c1", &[1])]);
    let trace = trace_of(7, 15_000_000_000, &[1]);
    let inputs = [
        input("agent", &agent, None).unwrap(),
        input("trace", &trace, None).unwrap(),
    ];
    assert!(merge(inputs.into()).is_err());
    let named = input("trace", &trace, Some("another")).unwrap();
    let inputs = [input("agent", &agent, None).unwrap(), named];
    assert_eq!(merge(inputs.into()).unwrap().arms.len(), 2);
}

#[test]
fn what_cannot_be_relied_on_is_said() {
    let mut bad = answer("a", BOOT, 20, vec![arm("hooked", "c1", &[1])]);
    bad.arms[0].ledger.balanced = false;
    bad.forgotten = 3;
    bad.missed = [("read_done".to_owned(), 4)].into();
    let good = answer("b", OTHER_BOOT, 20, vec![arm("hooked", "", &[2])]);
    let empty = answer("c", "another", 20, Vec::new());
    let merged = merged(&[bad, good, empty]).unwrap();
    assert!(!merged.usable && !merged.arms[0].ledger.balanced);
    assert_eq!(merged.arms[0].spans["hook_overhead"].count, 2);
    let expected = [
        "arm hooked in container c1: the ledger does not balance",
        "passed 4 hits over",
        "3 arms in containers were forgotten",
        "node c (2.json): has no arm",
    ];
    for (finding, text) in merged.findings.iter().zip(expected) {
        assert!(finding.contains(text), "{text}: {finding}");
    }
    assert_eq!(merged.findings.len(), expected.len());
}

#[test]
fn what_cannot_be_added_is_refused() {
    type Break = fn(&mut Arms);
    let breaks: [(&str, Break); 5] = [
        ("older version wrote it", |answer| {
            overhead(answer).exact = None;
        }),
        ("is said to have 9 spans", |answer| {
            overhead(answer).count = 9;
        }),
        ("cannot be read", |answer| {
            let exact = overhead(answer).exact.as_mut().unwrap();
            exact.histogram.truncate(20);
        }),
        ("other buckets or of another unit", |answer| {
            let microseconds = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
            overhead(answer).exact = SpanSummary::of(&microseconds, 0).exact;
        }),
        ("\"hookprobe/agent-arms/2\"", |answer| {
            answer.schema = "hookprobe/agent-arms/2".to_owned();
        }),
    ];
    for (text, spoil) in breaks {
        let mut answer = answer("a", BOOT, 20, vec![arm("hooked", "", &[1, 2])]);
        spoil(&mut answer);
        let error = format!("{:#}", input("a.json", &answer, None).unwrap_err());
        assert!(error.contains(text), "{text}: {error}");
    }
    for text in [
        "",
        "[]",
        "{}",
        "{\"schema\": \"hookprobe/merged/1\"}",
        "\u{0}\u{1}",
    ] {
        read(text.as_bytes(), "a.json", None).unwrap_err();
    }
    let mut going_on = trace_of(1, 5, &[1]);
    going_on.detached_ns = None;
    let error = input("trace", &going_on, None).unwrap_err().to_string();
    assert!(error.contains("still goes on"), "{error}");
    let answer = answer("a", BOOT, 20, vec![arm("hooked", "", &[1])]);
    let error = input("a", &answer, Some("other")).unwrap_err().to_string();
    assert!(error.contains("no arm other"), "{error}");
    assert!(merge(Vec::new()).is_err());
}

#[test]
fn an_agent_without_arms_is_no_error_and_is_said() {
    let idle = merged(&[answer("a", BOOT, 20, Vec::new())]).unwrap();
    assert!(idle.arms.is_empty() && idle.findings[0].contains("has no arm"));
    // Nor is its merge beside another's.
    let busy = merged(&[answer("b", OTHER_BOOT, 20, vec![arm("hooked", "", &[1])])]).unwrap();
    let both = [input("a", &idle, None), input("b", &busy, None)];
    let both = merge(both.into_iter().map(Result::unwrap).collect()).unwrap();
    assert_eq!((both.arms.len(), both.findings.len()), (1, 1));
}

fn overhead(answer: &mut Arms) -> &mut SpanSummary {
    let spans = &mut answer.arms[0].spans;
    spans.get_mut("hook_overhead").unwrap()
}

#[test]
fn sums_beyond_64_bits_are_refused() {
    let huge = |node: &str, boot_id: &str| {
        let mut answer = answer(node, boot_id, 20, vec![arm("hooked", "", &[1])]);
        overhead(&mut answer).exact.as_mut().unwrap().sum_ns = u64::MAX;
        answer
    };
    let error = merged(&[huge("a", BOOT), huge("b", OTHER_BOOT)]).unwrap_err();
    assert!(format!("{error:#}").contains("64 bits"), "{error:#}");
}
