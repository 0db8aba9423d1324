//! What an agent has seen up to now.

use std::collections::BTreeMap;

use anyhow::Context as _;
use procfs::process::Process;
use runlog::agent::{ArmInContainer, Arms, OwnUse, SCHEMA, WatchedProcess};
use runlog::clock::Clock;

use crate::agent::bracketed::Seen;
use crate::agent::watch::{Member, Watch};
use crate::machine;
use probes::discover::generation::since_boot_s;
use probes::discover::sites::LoadedHook;
use probes::totals::ArmTotals;

/// What an agent has seen.
#[derive(Debug)]
pub struct Snapshot {
    /// All of it but spans: [`Snapshot::into_arms`] has them too.
    pub arms: Arms,
    /// The spans of each of `arms.arms`, in the same order.
    pub totals: Vec<ArmTotals>,
    /// What they recorded in shared memory, likewise.
    pub seen: Vec<Seen>,
}

impl Snapshot {
    /// Takes one.
    pub fn take(watch: &mut Watch) -> anyhow::Result<Self> {
        let places: Vec<u32> = watch.series.iter().map(|(place, _)| place).collect();
        let totals = watch.observer.totals(&places)?;
        let seen = places.iter().map(|place| watch.memories.seen(*place));
        let seen: Vec<Seen> = seen.collect::<anyhow::Result<_>>()?;
        let now_s = since_boot_s();
        let arms = watch
            .series
            .iter()
            .zip(totals.iter().zip(&seen))
            .map(|((place, series), (totals, seen))| {
                let members: Vec<&Member> = watch
                    .members()
                    .map(|(member, _)| member)
                    .filter(|member| member.series == place)
                    .collect();
                let processes: Vec<WatchedProcess> = members
                    .iter()
                    .map(|member| describe(member, now_s))
                    .collect();
                // What is not observed yet is in no sum of the series.
                let waiting = members.iter().zip(&processes);
                let waiting_s: f64 = waiting
                    .filter(|(member, _)| member.unobserved_s.is_none())
                    .map(|(_, process)| process.unobserved_s)
                    .sum();
                let mut ledger = totals.ledger();
                seen.enter(&mut ledger);
                ArmInContainer {
                    arm: series.arm.clone(),
                    container: series.home.short_container().to_owned(),
                    pod: series.home.pod.clone(),
                    attached: !members.is_empty()
                        && members.iter().all(|member| {
                            member.unobserved_s.is_some() && member.trouble.is_none()
                        }),
                    processes,
                    ended_processes: series.ended_processes,
                    unobserved_s: series.unobserved_s + waiting_s,
                    spans: BTreeMap::new(),
                    ledger,
                }
            })
            .collect();
        let failures = watch.failures.iter();
        let arms = Arms {
            schema: SCHEMA.to_owned(),
            node: watch.node.clone(),
            clock: Clock::of_this_process(),
            attached_ns: watch.attached_ns,
            taken_ns: machine::monotonic_ns(),
            watching_s: watch.since.elapsed().as_secs_f64(),
            predecessor: watch
                .heartbeat
                .as_ref()
                .and_then(|heartbeat| heartbeat.predecessor().cloned()),
            probes: watch.observer.describe(),
            probes_missing: watch.observer.missing().map(str::to_owned),
            arms,
            forgotten: watch.series.forgotten,
            attaches: watch.libraries.attaches,
            failures: failures
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            missed: watch.observer.missed()?,
            hits_of_other_processes: watch.observer.hits_of_others()?,
            agent: own_use()?,
        };
        Ok(Self { arms, totals, seen })
    }

    /// All of it, with the histograms in full. That takes compressing them, which the thread with the probes is not to
    /// wait for.
    pub fn into_arms(self) -> Arms {
        let mut arms = self.arms;
        let counted = self.totals.iter().zip(&self.seen);
        for (arm, (totals, seen)) in arms.arms.iter_mut().zip(counted) {
            arm.spans = totals.summaries();
            arm.spans.extend(seen.summaries());
        }
        arms
    }
}

fn describe(member: &Member, now_s: f64) -> WatchedProcess {
    let waited_s = || member.unobserved_until_s(now_s);
    WatchedProcess {
        pid: member.generation.pid,
        executable: member.executable.display().to_string(),
        hook: member.hook.as_ref().map(LoadedHook::name),
        library: member.library.map(|library| library.0),
        shared_memory: member.memory.is_some(),
        trouble: member.trouble.clone(),
        unobserved_s: member.unobserved_s.unwrap_or_else(waited_s),
    }
}

fn own_use() -> anyhow::Result<OwnUse> {
    let stat = Process::myself()
        .and_then(|process| process.stat())
        .context("cannot read what this process takes")?;
    Ok(OwnUse {
        cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        resident_bytes: stat.rss * procfs::page_size(),
    })
}
