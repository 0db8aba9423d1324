//! The tables that the programs keep between hits, from the agent's side: it names the traced processes,
//! and after a detach it counts what was open and empties the rest.
//!
//! Where each number has its slot is in [`probe_common::threads`].

use std::mem;

use anyhow::Context as _;
use aya::maps::{Array, HashMap, Map, MapData};
use aya::{Ebpf, Pod};
use probe_common::threads::{CONNECTION_SLOTS, IN_READ, IN_WRITE, TARGET_SLOTS, THREAD_SLOTS};
use probe_common::{Connection, ConnectionKey, ConnectionSlot, OpenCalls, Thread};

use crate::probes::attach::Target;
use crate::probes::ledger::InFlight;

/// Names the processes to trace.
pub fn set_targets(ebpf: &mut Ebpf, targets: &[Target]) -> anyhow::Result<()> {
    let mut slots: Box<[probe_common::Target; TARGET_SLOTS as usize]> = table(ebpf, "targets")?;
    for target in targets {
        let tgid = target.pid.cast_unsigned();
        let entry = &mut slots[probe_common::Target::slot_of(tgid) as usize];
        if entry.tgid == 0 || entry.tgid == tgid {
            entry.tgid = tgid;
            entry.arm = target.arm;
        } else {
            entry.is_shared = 1;
            let mut more: HashMap<_, u32, u32> = map(ebpf, "MORE_TARGETS")?.try_into()?;
            more.insert(tgid, target.arm, 0)?;
        }
    }
    set_table(ebpf, "targets", &*slots)
}

/// Counts what was in flight and forgets what threads and connections were doing: by the next attach it
/// will be out of date.
pub fn settle(ebpf: &mut Ebpf) -> anyhow::Result<InFlight> {
    let mut in_flight = InFlight::default();
    let mut threads: Box<[Thread; THREAD_SLOTS as usize]> = table(ebpf, "threads")?;
    for (slot, _) in take_all::<u32, u32>(ebpf, "THREAD_SLOT_OWNERS")? {
        let thread = mem::take(&mut threads[slot as usize]);
        count_syscall(&mut in_flight, &thread);
    }
    set_table(ebpf, "threads", &*threads)?;
    for (_, thread) in take_all::<u32, Thread>(ebpf, "MORE_THREADS")? {
        count_syscall(&mut in_flight, &thread);
    }
    for (_, calls) in take_all::<u32, OpenCalls>(ebpf, "OPEN_CALLS")? {
        in_flight.calls += calls.depth();
    }
    take_all::<u32, ConnectionKey>(ebpf, "CONNECTION_SLOT_OWNERS")?;
    let mut connections: Box<[ConnectionSlot; CONNECTION_SLOTS as usize]> =
        table(ebpf, "connections")?;
    connections.fill(ConnectionSlot::default());
    set_table(ebpf, "connections", &*connections)?;
    take_all::<ConnectionKey, Connection>(ebpf, "MORE_CONNECTIONS")?;
    // What lanes hold stays: it is part of the result.
    take_all::<u32, u32>(ebpf, "LANE_OWNERS")?;
    Ok(in_flight)
}

fn count_syscall(in_flight: &mut InFlight, thread: &Thread) {
    match thread.state {
        IN_READ => in_flight.reads += 1,
        IN_WRITE => in_flight.writes += 1,
        _ => {}
    }
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
