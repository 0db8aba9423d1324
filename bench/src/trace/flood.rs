//! How many records a second arrive before the ring buffer is too small.

use std::time::Instant;

use anyhow::Context as _;
use serde_json::Value;

use crate::observer::Observer;
use crate::trace::result::Flood;
use crate::trace::subject::Subject;

/// How long each lasts, in ms.
const DURATION_MS: u64 = 2_000;
/// Pauses between reads, in ns: the first is none, each of the others a halving or so of the rate.
const PAUSES_NS: [u64; 6] = [0, 1_000, 3_000, 7_000, 15_000, 31_000];

/// Reads on 1 thread and on more, up to one a CPU, as fast as it goes; where records are lost, slower
/// and slower until none is.
pub fn run(observer: &Observer, traced: &mut Subject, cpus: usize) -> anyhow::Result<Vec<Flood>> {
    let mut floods = Vec::new();
    for threads in 1..=cpus {
        for pause_ns in PAUSES_NS {
            eprintln!("records: threads {threads}, pause {pause_ns} ns");
            let flood = once(observer, traced, threads, pause_ns)?;
            floods.push(flood);
            if flood.dropped == 0 {
                break;
            }
        }
    }
    Ok(floods)
}

fn once(
    observer: &Observer,
    traced: &mut Subject,
    threads: usize,
    pause_ns: u64,
) -> anyhow::Result<Flood> {
    let observing = observer.start()?;
    let start = Instant::now();
    let reads = traced.flood(threads, DURATION_MS, pause_ns)?;
    let seconds = start.elapsed().as_secs_f64();
    let result: Value = serde_json::from_str(&observing.stop()?).context("printed no JSON")?;
    let count = |name: &str| {
        let value = result["ledger"][name].as_u64();
        value.with_context(|| format!("the ledger has no {name}"))
    };
    Ok(Flood {
        threads,
        pause_ns,
        reads_per_s: reads / seconds,
        records_per_s: count("records_received")? as f64 / seconds,
        dropped: count("dropped")?,
    })
}
