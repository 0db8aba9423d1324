//! The same calls must not be counted twice: two answers of one agent, or two observers of the same processes.

use anyhow::bail;
use runlog::merged::{MergedPart, MergedSource, Observer};

use crate::merge::place_of;

/// An error if two sources have seen the same calls.
pub fn check(sources: &[MergedSource]) -> anyhow::Result<()> {
    for (number, later) in sources.iter().enumerate() {
        for earlier in &sources[..number] {
            if !at_once_on_one_node(earlier, later) {
                continue;
            }
            let has_same_calls = |part: &&MergedPart| {
                let mut others = later.parts.iter();
                others.any(|other| {
                    part.arm == other.arm
                        && has_calls_of((earlier.observer, *part), (later.observer, other))
                })
            };
            if let Some(part) = earlier.parts.iter().find(has_same_calls) {
                bail!(
                    "{} and {} have both seen arm {} of node {} at the same time: its calls would be counted \
                     twice. Leave one of them out; of two answers of one agent the later has all of the earlier",
                    earlier.source,
                    later.source,
                    place_of(part),
                    later.node
                );
            }
        }
    }
    Ok(())
}

/// One node is one boot of one kernel. Nodes of Kind share it, and have other containers.
fn at_once_on_one_node(one: &MergedSource, other: &MergedSource) -> bool {
    let (Some(clock), Some(others)) = (&one.clock, &other.clock) else {
        // Older versions do not say. The very same figures are no chance.
        let has_spans = one.parts.iter().any(|part| !part.spans.is_empty());
        return has_spans && one.node == other.node && one.parts == other.parts;
    };
    clock.boot_id == others.boot_id
        // Instants of two time namespaces cannot be compared.
        && (clock.time_namespace != others.time_namespace
            || (one.from_ns < other.until_ns && other.from_ns < one.until_ns))
}

/// Whether two observers of an arm on one node have seen the same calls.
fn has_calls_of(one: (Observer, &MergedPart), other: (Observer, &MergedPart)) -> bool {
    match (one, other) {
        // An agent has all of an arm in a container, and lists only processes that run.
        ((Observer::Agent, one), (Observer::Agent, other)) => {
            (&one.container, &one.pod) == (&other.container, &other.pod)
        }
        ((Observer::Trace, one), (Observer::Trace, other)) => {
            one.pids.iter().any(|pid| other.pids.contains(pid))
        }
        // A trace does not say which container. An agent sees all processes of an arm.
        _ => true,
    }
}
