//! What several nodes have seen, added up: bucket by bucket, so that the result is the histogram of all values.

mod read;
mod twice;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use runlog::analysis::Ledger;
use runlog::merged::{Merged, MergedArm, MergedPart, MergedSource, SCHEMA};
use runlog::trace::SpanSummary;

use crate::doubt::Doubt;
pub use crate::merge::read::read;

/// What was read of one file or agent.
#[derive(Debug)]
pub struct Input {
    /// Where it comes from. Several, if the file is a merge itself.
    pub sources: Vec<MergedSource>,
    /// What is to be added, by arm; an arm may be there more than once.
    pub arms: Vec<InputArm>,
}

/// What is to be added of one arm.
#[derive(Debug)]
pub struct InputArm {
    arm: String,
    unobserved_s: f64,
    spans: BTreeMap<String, Spans>,
    ledger: Ledger,
}

/// Spans of one kind, in full.
#[derive(Clone, Debug)]
struct Spans {
    histogram: Histogram<u64>,
    sum_ns: u64,
}

impl Spans {
    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        let count = self.histogram.len().checked_add(other.histogram.len());
        let sum_ns = self.sum_ns.checked_add(other.sum_ns);
        let (count, sum_ns) = count.zip(sum_ns).context("the sums are beyond 64 bits")?;
        self.histogram.add(&other.histogram)?;
        ensure!(
            self.histogram.len() == count,
            "a bucket's count is beyond 64 bits"
        );
        self.sum_ns = sum_ns;
        Ok(())
    }
}

/// Adds all inputs up.
pub fn merge(inputs: Vec<Input>) -> anyhow::Result<Merged> {
    let (sources, arms): (Vec<_>, Vec<_>) = inputs
        .into_iter()
        .map(|input| (input.sources, input.arms))
        .unzip();
    let sources: Vec<MergedSource> = sources.into_iter().flatten().collect();
    ensure!(!sources.is_empty(), "there is nothing to merge");
    twice::check(&sources)?;
    let mut sums: BTreeMap<String, InputArm> = BTreeMap::new();
    for part in arms.into_iter().flatten() {
        match sums.get_mut(&part.arm) {
            Some(sum) => add(sum, part)?,
            None => _ = sums.insert(part.arm.clone(), part),
        }
    }
    let arms: Vec<MergedArm> = sums
        .into_values()
        .map(|sum| finish(sum, &sources))
        .collect();
    Ok(Merged {
        schema: SCHEMA.to_owned(),
        usable: arms.iter().all(|arm| arm.ledger.balanced),
        findings: findings(&sources),
        arms,
        sources,
    })
}

fn add(sum: &mut InputArm, part: InputArm) -> anyhow::Result<()> {
    sum.unobserved_s += part.unobserved_s;
    sum.ledger.add(&part.ledger);
    for (kind, spans) in part.spans {
        match sum.spans.get_mut(&kind) {
            Some(all) => all
                .add(&spans)
                .with_context(|| format!("cannot add {kind} of arm {} up", sum.arm))?,
            None => _ = sum.spans.insert(kind, spans),
        }
    }
    Ok(())
}

fn finish(sum: InputArm, sources: &[MergedSource]) -> MergedArm {
    let of_arm = |source: &MergedSource| {
        let parts = source.parts.iter();
        parts.filter(|part| part.arm == sum.arm).count() as u64
    };
    let nodes: BTreeSet<(&str, Option<&str>)> = sources
        .iter()
        .filter(|source| of_arm(source) > 0)
        .map(|source| {
            let clock = source.clock.as_ref();
            (
                source.node.as_str(),
                clock.map(|clock| clock.boot_id.as_str()),
            )
        })
        .collect();
    MergedArm {
        nodes: nodes.len() as u64,
        parts: sources.iter().map(of_arm).sum(),
        unobserved_s: sum.unobserved_s,
        spans: sum
            .spans
            .into_iter()
            .map(|(kind, spans)| (kind, SpanSummary::of(&spans.histogram, spans.sum_ns)))
            .collect(),
        ledger: sum.ledger,
        arm: sum.arm,
    }
}

/// An arm and where it is, for people.
fn place_of(part: &MergedPart) -> String {
    match part.container.as_str() {
        "" => part.arm.clone(),
        id => format!("{} in container {id}", part.arm),
    }
}

/// What there is to know before the figures are used.
fn findings(sources: &[MergedSource]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        let origin = format!("node {} ({})", source.node, source.source);
        for part in source.parts.iter().filter(|part| !part.balanced) {
            let doubt = Doubt::Unbalanced.of_arm(&place_of(part));
            findings.push(format!("{origin}: {doubt}"));
        }
        if source.missed > 0 {
            let missed = source.missed;
            findings.push(format!(
                "{origin}: the kernel has passed {missed} hits over"
            ));
        }
        if source.forgotten > 0 {
            findings.push(format!(
                "{origin}: {} arms in containers were forgotten with what they had counted (--max-series)",
                source.forgotten
            ));
        }
        if source.parts.is_empty() {
            findings.push(format!("{origin}: has no arm"));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
