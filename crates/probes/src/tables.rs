//! The tables that the programs keep between hits, from the agent's side: it names the traced processes,
//! and after a detach it counts what was open and empties the rest.
//!
//! Where each number has its slot is in [`abi::threads`].

use std::collections::BTreeMap;
use std::mem;

use abi::threads::{CONNECTION_SLOTS, IN_READ, IN_WRITE, READ_DONE, TARGET_SLOTS, THREAD_SLOTS};
use abi::{Connection, ConnectionKey, ConnectionSlot, OpenCalls, Plain, ReadSyscall, Thread};
use anyhow::Context as _;
use aya::maps::{Array, HashMap, Map, MapData};
use aya::{Ebpf, Pod};

use crate::attach::Target;
use crate::ledger::InFlight;
use crate::look_up::look_up_boxed;

/// Names the processes to trace, in place of those that were named before. Programs may be running: who stays keeps
/// its slot, and whoever is looked up meanwhile is found as it was or as it will be.
pub fn set_targets(ebpf: &mut Ebpf, targets: &[Target]) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<u32, abi::Target> = targets.iter().map(entry_of).collect();
    let mut slots: Box<[abi::Target; TARGET_SLOTS as usize]> = table(ebpf, "targets")?;
    for slot in slots.iter_mut().filter(|slot| slot.tgid != 0) {
        match wanted.remove(&slot.tgid) {
            Some(entry) => {
                *slot = abi::Target {
                    is_shared: slot.is_shared,
                    ..entry
                }
            }
            None => slot.tgid = 0,
        }
    }
    let mut more: HashMap<_, u32, abi::Target> = map(ebpf, "MORE_TARGETS")?.try_into()?;
    let behind: Vec<u32> = more.keys().collect::<Result<_, _>>()?;
    for tgid in behind {
        match wanted.remove(&tgid) {
            Some(entry) => more.insert(tgid, entry, 0)?,
            None => more.remove(&tgid)?,
        }
    }
    let mut newcomers = Vec::new();
    for entry in wanted.into_values() {
        let slot = abi::Target::slot_of(entry.tgid) as usize;
        let is_free = slots[slot].tgid == 0 && !newcomers.iter().any(|(taken, _)| *taken == slot);
        if is_free {
            slots[slot].arm = entry.arm;
            slots[slot].has_hook = entry.has_hook;
            newcomers.push((slot, entry.tgid));
        } else {
            more.insert(entry.tgid, entry, 0)?;
            slots[slot].is_shared = 1;
        }
    }
    // The kernel copies the table word by word. So a newcomer's number comes last, when all else of it is there.
    set_table(ebpf, "targets", &*slots)?;
    for (slot, tgid) in newcomers {
        slots[slot].tgid = tgid;
    }
    set_table(ebpf, "targets", &*slots)
}

fn entry_of(target: &Target) -> (u32, abi::Target) {
    let tgid = target.pid.cast_unsigned();
    let entry = abi::Target {
        tgid,
        arm: target.arm,
        is_shared: 0,
        has_hook: u32::from(target.hook.is_some()),
    };
    (tgid, entry)
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

/// What the threads of an arm are doing at one moment, while programs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtWork {
    /// Threads that are followed.
    pub threads: u64,
    /// Spans that are open. Reads that have returned and wait for a site are among them.
    pub in_flight: InFlight,
}

/// What the threads of each of `arms` arms are doing.
pub fn at_work(ebpf: &mut Ebpf, arms: u32) -> anyhow::Result<Vec<AtWork>> {
    let mut of_arms = vec![AtWork::default(); arms as usize];
    let mut add = |thread: &Thread| {
        if thread.pid_tgid != 0
            && let Some(arm) = of_arms.get_mut(thread.arm as usize)
        {
            arm.threads += 1;
            match thread.state {
                IN_READ | READ_DONE => arm.in_flight.reads += 1,
                IN_WRITE => arm.in_flight.writes += 1,
                _ => {}
            }
        }
    };
    let threads: Box<[Thread; THREAD_SLOTS as usize]> = table(ebpf, "threads")?;
    threads.iter().for_each(&mut add);
    let more: HashMap<_, u32, Thread> = map(ebpf, "MORE_THREADS")?.try_into()?;
    for entry in &more {
        add(&entry?.1);
    }
    Ok(of_arms)
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
fn table<T: Plain + Pod>(ebpf: &mut Ebpf, name: &str) -> anyhow::Result<Box<T>> {
    look_up_boxed(map(ebpf, &format!(".bss.{name}"))?, 0)
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
