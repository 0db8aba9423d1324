//! The tables that the programs keep between hits, from the agent's side: it names the traced processes,
//! and after a detach it counts what was open and empties the rest.
//!
//! Where each number has its slot is in [`probe_common::threads`].

use std::mem;

use anyhow::Context as _;
use aya::maps::{Array, HashMap, Map, MapData};
use aya::{Ebpf, Pod};
use probe_common::threads::{
    CONNECTION_SLOTS, IN_READ, IN_WRITE, READ_DONE, TARGET_SLOTS, THREAD_SLOTS,
};
use probe_common::{Connection, ConnectionKey, ConnectionSlot, OpenCalls, ReadSyscall, Thread};

use crate::probes::attach::Target;
use crate::probes::ledger::InFlight;

/// Names the processes to trace.
pub fn set_targets(ebpf: &mut Ebpf, targets: &[Target]) -> anyhow::Result<()> {
    let mut slots: Box<[probe_common::Target; TARGET_SLOTS as usize]> = table(ebpf, "targets")?;
    for target in targets {
        let ours = probe_common::Target {
            tgid: target.pid.cast_unsigned(),
            arm: target.arm,
            is_shared: 0,
            has_hook: u32::from(target.hook.is_some()),
        };
        let entry = &mut slots[probe_common::Target::slot_of(ours.tgid) as usize];
        if entry.tgid == 0 || entry.tgid == ours.tgid {
            *entry = probe_common::Target {
                is_shared: entry.is_shared,
                ..ours
            };
        } else {
            entry.is_shared = 1;
            let mut more: HashMap<_, u32, probe_common::Target> =
                map(ebpf, "MORE_TARGETS")?.try_into()?;
            more.insert(ours.tgid, ours, 0)?;
        }
    }
    set_table(ebpf, "targets", &*slots)
}

/// What threads were doing when the probes were detached.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Spans that were open.
    pub in_flight: InFlight,
    /// Reads that had returned and waited for a site.
    pub unclaimed: Vec<ReadSyscall>,
}

impl Settled {
    fn add(&mut self, thread: &Thread) {
        match thread.state {
            IN_READ => self.in_flight.reads += 1,
            IN_WRITE => self.in_flight.writes += 1,
            READ_DONE => self.unclaimed.push(thread.read_syscall()),
            _ => {}
        }
    }
}

/// Finds out what threads were doing, and forgets it, and what connections were: by the next attach it will be
/// out of date.
pub fn settle(ebpf: &mut Ebpf) -> anyhow::Result<Settled> {
    let mut settled = Settled::default();
    let mut threads: Box<[Thread; THREAD_SLOTS as usize]> = table(ebpf, "threads")?;
    for (slot, _) in take_all::<u32, u32>(ebpf, "THREAD_SLOT_OWNERS")? {
        let thread = mem::take(&mut threads[slot as usize]);
        settled.add(&thread);
    }
    set_table(ebpf, "threads", &*threads)?;
    for (_, thread) in take_all::<u32, Thread>(ebpf, "MORE_THREADS")? {
        settled.add(&thread);
    }
    for (_, calls) in take_all::<u32, OpenCalls>(ebpf, "OPEN_CALLS")? {
        settled.in_flight.calls += calls.depth();
    }
    take_all::<u32, ConnectionKey>(ebpf, "CONNECTION_SLOT_OWNERS")?;
    let mut connections: Box<[ConnectionSlot; CONNECTION_SLOTS as usize]> =
        table(ebpf, "connections")?;
    connections.fill(ConnectionSlot::default());
    set_table(ebpf, "connections", &*connections)?;
    take_all::<ConnectionKey, Connection>(ebpf, "MORE_CONNECTIONS")?;
    // What lanes hold stays: it is part of the result.
    take_all::<u32, u32>(ebpf, "LANE_OWNERS")?;
    Ok(settled)
}

/// Takes all entries out of a hash table. Nothing else changes it: no program runs.
fn take_all<K: Pod, V: Pod>(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Vec<(K, V)>> {
    let mut table: HashMap<&mut MapData, K, V> = map(ebpf, name)?.try_into()?;
    let entries: Vec<(K, V)> = table.iter().collect::<Result<_, _>>()?;
    for (key, _) in &entries {
        table.remove(key)?;
    }
    Ok(entries)
}

/// A table of the programs' slots: the one value of a section of the object.
fn table<T: Pod>(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Box<T>> {
    let table: Array<_, T> = map(ebpf, &format!(".bss.{name}"))?.try_into()?;
    Ok(Box::new(table.get(&0, 0)?))
}

/// Replaces a table of slots.
pub fn set_table<T: Pod>(ebpf: &mut Ebpf, name: &str, table: &T) -> anyhow::Result<()> {
    let mut map: Array<_, T> = map(ebpf, &format!(".bss.{name}"))?.try_into()?;
    Ok(map.set(0, table, 0)?)
}

fn map<'e>(ebpf: &'e mut Ebpf, name: &str) -> anyhow::Result<&'e mut Map> {
    ebpf.map_mut(name)
        .with_context(|| format!("the eBPF object has no map {name}"))
}
