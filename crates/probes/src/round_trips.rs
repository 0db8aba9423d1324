//! The probes that time a client's requests at its own sockets.

use std::fmt::Debug;

use abi::layout::{BUCKETS, bucket_of};
use abi::{RoundTrip, RoundTripCounts, SpanKind};
use anyhow::Context as _;
use aya::maps::{HashMap, PerCpuArray};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, EbpfLoader};

use crate::discover::processes::Pid;
use crate::load::load;
use crate::loader::OBJECT;
use crate::pair::program;
use crate::perf::wait_for_running_programs;
use crate::spans;

/// Connections that can be followed at once.
const CONNECTIONS: u32 = 1 << 14;

/// Attached probes. Dropping them detaches.
#[derive(Debug)]
pub struct RoundTrips {
    links: Vec<Box<dyn Debug>>,
    ebpf: Ebpf,
}

/// What they saw.
#[derive(Clone, Debug)]
pub struct Found {
    /// Round trips by bucket of the kernel's layout.
    pub buckets: Vec<u64>,
    /// Their sum, in nanoseconds.
    pub sum_ns: u64,
    /// What happened else. Requests that had no response at the end count as unanswered.
    pub counts: RoundTripCounts,
}

impl RoundTrips {
    /// Attaches to a process that has no connection to the port yet.
    pub fn attach(pid: Pid, port: u16) -> anyhow::Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .override_global("ROUND_TRIP_TGID", &pid.cast_unsigned(), true)
            .override_global("ROUND_TRIP_PORT", &port.to_be(), true)
            .map_max_entries("ROUND_TRIPS", CONNECTIONS)
            .map_max_entries("HISTOGRAMS", SpanKind::COUNT)
            .load(OBJECT)
            .context("cannot load the eBPF object")?;
        let btf = Btf::from_sys_fs().context("the kernel has no BTF")?;
        let mut links: Vec<Box<dyn Debug>> = Vec::new();
        for (name, tracepoint) in [
            ("round_trip_enter", "sys_enter"),
            ("round_trip_exit", "sys_exit"),
        ] {
            let program: &mut BtfTracePoint = program(&mut ebpf, name)?;
            load(|| Ok(program.load(tracepoint, &btf)?))
                .with_context(|| format!("cannot load {name}"))?;
            let link = program.attach()?;
            links.push(Box::new(program.take_link(link)?));
        }
        Ok(Self { links, ebpf })
    }

    /// Detaches. The last round trip of a connection that is still open is complete too.
    pub fn detach(self) -> anyhow::Result<Found> {
        let Self { links, ebpf } = self;
        drop(links);
        wait_for_running_programs();
        let total = spans::over_all(&ebpf, 0, SpanKind::Function)?;
        let mut found = Found {
            buckets: total.buckets,
            sum_ns: total.sum_ns,
            counts: counts(&ebpf)?,
        };
        let open = ebpf.map("ROUND_TRIPS").context("no map ROUND_TRIPS")?;
        let open: HashMap<_, i32, RoundTrip> = open.try_into()?;
        for entry in &open {
            let (_, round_trip) = entry?;
            found.add_open(round_trip);
        }
        Ok(found)
    }
}

impl Found {
    fn add_open(&mut self, round_trip: RoundTrip) {
        let RoundTrip {
            sent_ns,
            received_ns,
        } = round_trip;
        if received_ns != 0 {
            let span_ns = received_ns - sent_ns;
            self.buckets[bucket_of(span_ns).min(BUCKETS - 1)] += 1;
            self.sum_ns += span_ns;
        } else if sent_ns != 0 {
            self.counts.unanswered += 1;
        }
    }
}

fn counts(ebpf: &Ebpf) -> anyhow::Result<RoundTripCounts> {
    let map = ebpf
        .map("ROUND_TRIP_COUNTS")
        .context("no map ROUND_TRIP_COUNTS")?;
    let map: PerCpuArray<_, RoundTripCounts> = map.try_into()?;
    let mut total = RoundTripCounts::default();
    for of_cpu in map.get(&0, 0)?.iter() {
        total.connections += of_cpu.connections;
        total.connections_not_followed += of_cpu.connections_not_followed;
        total.unreadable_addresses += of_cpu.unreadable_addresses;
        total.further_writes += of_cpu.further_writes;
        total.unanswered += of_cpu.unanswered;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_at_the_end_is_complete_or_unanswered() {
        let mut found = Found {
            buckets: vec![0; BUCKETS],
            sum_ns: 0,
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
        assert_eq!(found.sum_ns, 200);
        assert_eq!(found.buckets[200], 1, "of width 1 up to 256");
        assert_eq!(found.buckets.iter().sum::<u64>(), 1);
    }
}
