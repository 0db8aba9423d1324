//! `bench round-trips`: a client's requests, timed at its own sockets.
#![allow(unsafe_code, reason = "aya's Pod is an unsafe marker trait")]

use abi::layout::{BUCKETS, bucket_of, lowest_of};
use anyhow::Context as _;
use aya::EbpfLoader;
use aya::maps::{HashMap, PerCpuArray};
use clap::Args;
use probes::discover::processes::Pid;
use probes::perf::wait_for_running_programs;
use probes::spans::Total;
use serde_json::{Value, json};

use crate::kernel::shared::{RoundTrip, RoundTripCounts};
use crate::kernel::{OBJECT, attach_to_syscalls, ends, observe, total};

/// Connections that can be followed at once.
const CONNECTIONS: u32 = 1 << 14;

// SAFETY: it is repr(C), made of integers only, without padding, and valid for any bytes.
unsafe impl aya::Pod for RoundTrip {}
// SAFETY: as above.
unsafe impl aya::Pod for RoundTripCounts {}

/// Options of `bench round-trips`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Arguments {
    /// The client, which has no connection yet
    #[arg(long, value_name = "PID")]
    pid: Pid,

    /// The TCP port that it is going to connect to
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Keeps the probes attached until a signal comes; then prints what they saw, as JSON.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { pid, port } = arguments;
    let ends = ends()?;
    let mut ebpf = EbpfLoader::new()
        .override_global("ROUND_TRIP_TGID", &pid.cast_unsigned(), true)
        .override_global("ROUND_TRIP_PORT", &port.to_be(), true)
        .map_max_entries("ROUND_TRIPS", CONNECTIONS)
        .load(OBJECT)
        .context("cannot load the eBPF object")?;
    let links = attach_to_syscalls(&mut ebpf, ["round_trip_enter", "round_trip_exit"])?;
    observe(pid, ends);
    drop(links);
    wait_for_running_programs();
    let map = |name: &str| ebpf.map(name).with_context(|| format!("no map {name}"));
    let counts: PerCpuArray<_, RoundTripCounts> = map("ROUND_TRIP_COUNTS")?.try_into()?;
    let mut found = Found {
        spans: total(&ebpf)?,
        counts: sum(counts.get(&0, 0)?.iter()),
    };
    // The last round trip of a connection that is still open is complete too.
    let open: HashMap<_, i32, RoundTrip> = map("ROUND_TRIPS")?.try_into()?;
    for entry in &open {
        found.add_open(entry?.1);
    }
    println!("{}", found.as_json());
    Ok(())
}

/// What the probes saw.
struct Found {
    spans: Total,
    counts: RoundTripCounts,
}

fn sum<'c>(of_cpus: impl Iterator<Item = &'c RoundTripCounts>) -> RoundTripCounts {
    of_cpus.fold(RoundTripCounts::default(), |total, of_cpu| {
        RoundTripCounts {
            connections: total.connections + of_cpu.connections,
            connections_not_followed: total.connections_not_followed
                + of_cpu.connections_not_followed,
            unreadable_addresses: total.unreadable_addresses + of_cpu.unreadable_addresses,
            further_writes: total.further_writes + of_cpu.further_writes,
            unanswered: total.unanswered + of_cpu.unanswered,
        }
    })
}

impl Found {
    /// Adds what was under way at the end: complete, or unanswered.
    fn add_open(&mut self, round_trip: RoundTrip) {
        let RoundTrip {
            sent_ns,
            received_ns,
        } = round_trip;
        if received_ns != 0 {
            let span_ns = received_ns - sent_ns;
            self.spans.buckets[bucket_of(span_ns).min(BUCKETS - 1)] += 1;
            self.spans.sum_ns += span_ns;
        } else if sent_ns != 0 {
            self.counts.unanswered += 1;
        }
    }

    /// Buckets are `[smallest value, smallest value of the next bucket, count]`, in nanoseconds.
    fn as_json(&self) -> Value {
        let Self { spans, counts } = self;
        let filled = spans.buckets.iter().enumerate();
        let filled = filled.filter(|(_, count)| **count > 0);
        let filled: Vec<[u64; 3]> = filled
            .map(|(bucket, count)| [lowest_of(bucket), lowest_of(bucket + 1), *count])
            .collect();
        json!({
            "round_trips": spans.count(),
            "sum_ns": spans.sum_ns,
            "connections": counts.connections,
            "connections_not_followed": counts.connections_not_followed,
            "unreadable_addresses": counts.unreadable_addresses,
            "further_writes": counts.further_writes,
            "unanswered": counts.unanswered,
            "buckets": filled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_at_the_end_is_complete_or_unanswered() {
        let mut found = Found {
            spans: Total::default(),
            counts: RoundTripCounts::default(),
        };
        let mut add = |sent_ns, received_ns| {
            found.add_open(RoundTrip {
                sent_ns,
                received_ns,
            });
        };
        add(0, 0);
        add(1_000, 0);
        add(1_000, 1_200);
        assert_eq!(found.counts.unanswered, 1);
        assert_eq!(found.spans.sum_ns, 200);
        assert_eq!(found.spans.buckets[200], 1, "of width 1 up to 256");
        assert_eq!(found.spans.count(), 1);
    }
}
