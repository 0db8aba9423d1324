//! The Trace Event Format, as far as its description says what a file with complete events must be: an object with
//! `traceEvents`; in each event a phase, a name, a process and a thread; in complete events (`X`) a start and a duration
//! in microseconds; metadata (`M`) that name processes and threads. Slices of a thread must nest.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A complete event.
#[derive(Clone, Debug)]
pub struct Slice {
    pub name: String,
    pub args: Value,
    from_ns: u64,
    until_ns: u64,
}

impl Slice {
    pub fn duration_ns(&self) -> u64 {
        self.until_ns - self.from_ns
    }
}

/// Checks a trace, and returns its slices.
pub fn slices(trace: &Value) -> anyhow::Result<Vec<Slice>> {
    let events = trace["traceEvents"].as_array().context("no traceEvents")?;
    let unit = trace["displayTimeUnit"].as_str();
    ensure!(
        unit.is_none_or(|unit| ["ms", "ns"].contains(&unit)),
        "{unit:?}"
    );
    let mut named = BTreeSet::new();
    let mut tracks = BTreeMap::<(u64, u64), Vec<Slice>>::new();
    for event in events {
        let name = event["name"].as_str().context("no name")?;
        let process = event["pid"].as_u64().context("no pid")?;
        let thread = event["tid"].as_u64().context("no tid")?;
        match event["ph"].as_str() {
            Some("M") => {
                let known = ["process_name", "thread_name"].contains(&name);
                ensure!(known && event["args"]["name"].is_string(), "{event}");
                named.insert((process, (name == "thread_name").then_some(thread)));
            }
            Some("X") => {
                let from_ns = nanoseconds(&event["ts"])?;
                let slice = Slice {
                    name: name.to_owned(),
                    args: event["args"].clone(),
                    from_ns,
                    until_ns: from_ns + nanoseconds(&event["dur"])?,
                };
                tracks.entry((process, thread)).or_default().push(slice);
            }
            other => bail!("phase {other:?}"),
        }
    }
    for ((process, thread), slices) in &mut tracks {
        let has_names =
            named.contains(&(*process, None)) && named.contains(&(*process, Some(*thread)));
        ensure!(has_names, "process {process}, thread {thread} has no name");
        nest(slices)?;
    }
    Ok(tracks.into_values().flatten().collect())
}

/// Whole nanoseconds out of microseconds.
fn nanoseconds(us: &Value) -> anyhow::Result<u64> {
    let ns = us.as_f64().context("no number")? * 1e3;
    ensure!(ns >= 0.0 && (ns - ns.round()).abs() < 0.01, "{us} µs");
    Ok(format!("{ns:.0}").parse()?)
}

/// Of two slices of a thread one ends before the other begins, or lies within it.
fn nest(slices: &mut [Slice]) -> anyhow::Result<()> {
    slices.sort_by_key(|slice| (slice.from_ns, std::cmp::Reverse(slice.until_ns)));
    let mut open: Vec<&Slice> = Vec::new();
    for slice in slices.iter() {
        open.retain(|outer| outer.until_ns > slice.from_ns);
        if let Some(outer) = open.last() {
            ensure!(
                slice.until_ns <= outer.until_ns,
                "{slice:?} overlaps {outer:?}"
            );
        }
        open.push(slice);
    }
    Ok(())
}
