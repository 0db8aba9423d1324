//! What a source holds: an agent's answer at `/v1/arms`, the JSON of a trace, or a merge.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use runlog::agent::{self, ArmInContainer, Arms};
use runlog::analysis::Ledger;
use runlog::merged::{self, Merged, MergedPart, MergedSource, Observer};
use runlog::trace::{self, SpanSummary, Trace};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::merge::{Input, InputArm, Spans};

/// Reads a text. `origin` is where it comes from. An arm of this name is what a trace is of; of other sources, the
/// only one that is taken.
pub fn read(text: &[u8], origin: &str, name: Option<&str>) -> anyhow::Result<Input> {
    let value: Value = serde_json::from_slice(text).context("is not JSON")?;
    let schema = value["schema"].as_str().unwrap_or("none").to_owned();
    let mut input = match schema.as_str() {
        agent::SCHEMA => of_agent(shape(value)?, origin)?,
        trace::SCHEMA => return of_trace(shape(value)?, origin, name),
        merged::SCHEMA => of_merge(shape(value)?, origin)?,
        other => bail!(
            "has the schema \"{other}\"; what can be merged are {} (an agent's /v1/arms), {} (trace --json) and {} \
             (merge --json), of this version of hookprobe",
            agent::SCHEMA,
            trace::SCHEMA,
            merged::SCHEMA
        ),
    };
    if let Some(name) = name {
        input.arms.retain(|arm| arm.arm == name);
        for source in &mut input.sources {
            source.parts.retain(|part| part.arm == name);
        }
        ensure!(!input.arms.is_empty(), "has no arm {name}");
    }
    Ok(input)
}

fn shape<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("does not have the shape that its schema says")
}

fn of_agent(answer: Arms, origin: &str) -> anyhow::Result<Input> {
    let source = MergedSource {
        source: origin.to_owned(),
        observer: Observer::Agent,
        node: node_or(answer.node, origin),
        clock: answer.clock,
        from_ns: answer.attached_ns,
        until_ns: answer.taken_ns,
        missed: answer.missed.values().sum(),
        forgotten: answer.forgotten,
        parts: answer.arms.iter().map(part_of_agent).collect(),
    };
    let arms = answer.arms.into_iter();
    let arms = arms.map(|arm| input_arm(arm.arm, arm.unobserved_s, arm.spans, arm.ledger));
    Ok(Input {
        arms: arms.collect::<anyhow::Result<_>>()?,
        sources: vec![source],
    })
}

fn part_of_agent(arm: &ArmInContainer) -> MergedPart {
    MergedPart {
        arm: arm.arm.clone(),
        container: arm.container.clone(),
        pod: arm.pod.clone(),
        pids: arm.processes.iter().map(|process| process.pid).collect(),
        unobserved_s: arm.unobserved_s,
        balanced: arm.ledger.balanced,
        spans: counts(&arm.spans),
    }
}

fn of_trace(trace: Trace, origin: &str, name: Option<&str>) -> anyhow::Result<Input> {
    let until_ns = trace.detached_ns;
    let until_ns = until_ns.context("is of a trace that still goes on, or was killed")?;
    let arm = match (name, trace.targets.first()) {
        (Some(name), _) => name.to_owned(),
        // As the agent names an arm by its executable.
        (None, Some(target)) => file_name(&target.executable),
        (None, None) => bail!("has no process"),
    };
    let part = MergedPart {
        arm: arm.clone(),
        pids: trace.targets.iter().map(|target| target.pid).collect(),
        balanced: trace.ledger.balanced,
        spans: counts(&trace.spans),
        ..MergedPart::default()
    };
    let source = MergedSource {
        source: origin.to_owned(),
        observer: Observer::Trace,
        node: node_or(trace.node.unwrap_or_default(), origin),
        clock: trace.clock,
        from_ns: trace.attached_ns,
        until_ns,
        missed: trace
            .ledger
            .programs
            .values()
            .map(|program| program.recursion_misses)
            .sum(),
        forgotten: 0,
        parts: vec![part],
    };
    let arm = input_arm(arm, 0.0, trace.spans, trace.ledger)?;
    Ok(Input {
        sources: vec![source],
        arms: vec![arm],
    })
}

fn of_merge(merge: Merged, origin: &str) -> anyhow::Result<Input> {
    let mut sources = merge.sources;
    for source in &mut sources {
        source.source = format!("{origin}: {}", source.source);
    }
    let arms = merge.arms.into_iter();
    let arms = arms.map(|arm| input_arm(arm.arm, arm.unobserved_s, arm.spans, arm.ledger));
    Ok(Input {
        arms: arms.collect::<anyhow::Result<_>>()?,
        sources,
    })
}

fn input_arm(
    arm: String,
    unobserved_s: f64,
    summaries: BTreeMap<String, SpanSummary>,
    ledger: Ledger,
) -> anyhow::Result<InputArm> {
    Ok(InputArm {
        spans: in_full(&arm, summaries)?,
        arm,
        unobserved_s,
        ledger,
    })
}

/// The histograms of an arm. Quantiles alone cannot be added.
fn in_full(
    arm: &str,
    summaries: BTreeMap<String, SpanSummary>,
) -> anyhow::Result<BTreeMap<String, Spans>> {
    let spans = summaries.into_iter().map(|(kind, summary)| {
        let spans = full(&summary).with_context(|| format!("{kind} of arm {arm}"))?;
        Ok((kind, spans))
    });
    spans.collect()
}

fn full(summary: &SpanSummary) -> anyhow::Result<Spans> {
    let exact = summary.exact.as_ref().context(
        "has quantiles and no histogram: an older version wrote it. Quantiles cannot be added; ask again with this \
         version",
    )?;
    let histogram = exact.read()?;
    ensure!(
        histogram.len() == summary.count,
        "is said to have {} spans, and its histogram has {}",
        summary.count,
        histogram.len()
    );
    Ok(Spans {
        histogram,
        sum_ns: exact.sum_ns,
    })
}

fn counts(spans: &BTreeMap<String, SpanSummary>) -> BTreeMap<String, u64> {
    let spans = spans.iter();
    spans
        .map(|(kind, summary)| (kind.clone(), summary.count))
        .collect()
}

/// Sources that do not name their node count as one each.
fn node_or(node: String, origin: &str) -> String {
    if node.is_empty() {
        origin.to_owned()
    } else {
        node
    }
}

fn file_name(executable: &str) -> String {
    let name = Path::new(executable).file_name();
    name.map_or_else(
        || executable.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
