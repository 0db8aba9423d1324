//! What an agent watches: it looks at all processes again and again, attaches to what is new of an arm, and lets go
//! of what has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::mem;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use runlog::analysis::Ledger;

use crate::agent::bracketed::{Memories, MemoryId, TAKE_EVERY};
use crate::agent::core::Plan;
use crate::agent::heartbeat::Heartbeat;
use crate::agent::libraries::{Libraries, LibraryId, has_ended};
use crate::agent::listeners::Listeners;
use crate::agent::observer::Observer;
use crate::agent::recording::Recording;
use crate::agent::rules::{ARM_VARIABLE, Facts, Rules};
use crate::agent::series::{Place, SeriesTable};
use crate::machine;
use probes::attach::Target;
use probes::discover::container::Home;
use probes::discover::generation::{self, Generation, since_boot_s};
use probes::discover::processes::Pid;
use probes::discover::sites::{HookSearch, LoadedHook, Sites, hidden};

/// Looks at a new process that are taken in any case: its environment may not be there yet at the first.
const YOUNG: u64 = 5;
/// After that, a process of an arm that has no hook is looked at in each of so many scans.
const NOW_AND_THEN: u64 = 10;
/// The longest environment that is looked into.
const MAX_ENVIRONMENT: u64 = 4 << 20;

/// What is watched.
pub struct Watch {
    pub(super) observer: Observer,
    pub(super) memories: Memories,
    /// When they were read last.
    drained: Instant,
    rules: Rules,
    listeners: Listeners,
    sites: Sites,
    pub(super) libraries: Libraries,
    pub(super) series: SeriesTable,
    processes: BTreeMap<Pid, Known>,
    targets: Vec<(Pid, u32, bool)>,
    pub(super) failures: BTreeMap<&'static str, u64>,
    pub(super) scan: u64,
    pub(super) since: Instant,
    /// The records of a run, while there is one.
    pub(super) recording: Option<Recording>,
    pub(super) attached_ns: u64,
    pub(super) node: String,
    pub(super) heartbeat: Option<Heartbeat>,
}

/// A process that was seen.
#[derive(Debug)]
struct Known {
    generation: Generation,
    looks: u64,
    /// Whether it was counted as one that cannot be watched.
    is_refused: bool,
    member: Option<Member>,
}

/// A process of an arm.
#[derive(Debug)]
pub struct Member {
    pub generation: Generation,
    /// Its place.
    pub series: u32,
    pub executable: PathBuf,
    pub hook: Option<LoadedHook>,
    pub library: Option<LibraryId>,
    /// Where it records its calls, if it does. Its hook is then not probed: no call is to be counted twice, but for those in the
    /// moment in which the one takes over from the other.
    pub memory: Option<MemoryId>,
    /// Why it is not observed.
    pub trouble: Option<String>,
    /// Since when it was not observed, in seconds since boot: its start, or the end of an agent before this one.
    unobserved_from_s: f64,
    /// How long it ran before it was observed, in seconds; `None` until it is.
    pub unobserved_s: Option<f64>,
}

impl Member {
    /// For how long it was not observed, if it is from now on.
    pub fn unobserved_until_s(&self, now_s: f64) -> f64 {
        (now_s - self.unobserved_from_s).max(0.0)
    }

    /// Whether its spans can be observed. At the first look, its hook may not be there yet.
    fn is_to_be_observed(&self, looks: u64) -> bool {
        let is_known = self.library.is_some() || self.memory.is_some();
        self.trouble.is_none() && (is_known || looks > 1)
    }
}

/// What a scan has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that cannot wait.
    Usual,
    /// Something that has just begun and is to be looked at soon.
    Beginning,
}

impl Watch {
    /// Begins with probes that are loaded, and attaches the kernel pair.
    pub fn begin(mut observer: Observer, plan: &Plan) -> anyhow::Result<Self> {
        let heartbeat = plan.state_file.as_deref().map(Heartbeat::begin);
        let heartbeat = heartbeat.transpose()?;
        observer.attach()?;
        Ok(Self {
            observer,
            memories: Memories::default(),
            drained: Instant::now(),
            listeners: Listeners::on(plan.rules.wanted_ports()),
            rules: plan.rules.clone(),
            sites: Sites::default(),
            libraries: Libraries::default(),
            series: SeriesTable::with_places(plan.places),
            processes: BTreeMap::new(),
            targets: Vec::new(),
            failures: BTreeMap::new(),
            scan: 0,
            since: Instant::now(),
            recording: None,
            attached_ns: machine::monotonic_ns(),
            node: plan.node.clone(),
            heartbeat,
        })
    }

    /// Looks at all processes.
    pub fn scan(&mut self) -> anyhow::Result<Found> {
        self.scan += 1;
        self.drain()?;
        let present = generation::all()?;
        self.let_go_of_what_ended(&present);
        self.listeners
            .refresh(present.iter().map(|process| process.pid));
        for process in &present {
            self.look_at(*process);
        }
        self.extend_recording()?;
        self.observe()?;
        // At the first look those without a hook are not observed yet.
        if self.scan > 1 {
            self.beat();
        }
        let used: BTreeSet<LibraryId> = self
            .members()
            .filter_map(|(member, _)| member.library)
            .collect();
        self.libraries.keep(|id| used.contains(&id));
        let used: BTreeSet<MemoryId> = self
            .members()
            .filter_map(|(member, _)| member.memory)
            .collect();
        self.memories.keep(|id| used.contains(&id))?;
        let has_beginners = self.members().any(|(_, looks)| looks == 1);
        Ok(if has_beginners {
            Found::Beginning
        } else {
            Found::Usual
        })
    }

    /// Takes records out while some are made, and writes them down now and then.
    pub fn take_records(&mut self) -> anyhow::Result<()> {
        if self.recording.is_some() {
            self.drain()?;
        }
        if let Some(recording) = &mut self.recording {
            recording.flush_if_due();
        }
        if self.drained.elapsed() >= TAKE_EVERY {
            self.drained = Instant::now();
            self.memories.drain()?;
        }
        Ok(())
    }

    /// Takes all records out that there are, and the eBPF side's messages.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        let recording = &mut self.recording;
        self.observer.drain(|record| {
            if let Some(recording) = recording {
                recording.push(record);
            }
            Ok(())
        })
    }

    fn let_go_of_what_ended(&mut self, present: &[Generation]) {
        let present: BTreeMap<Pid, &Generation> = present
            .iter()
            .map(|process| (process.pid, process))
            .collect();
        let series = &mut self.series;
        self.processes.retain(|pid, known| {
            let goes_on = present.get(pid) == Some(&&known.generation);
            if !goes_on
                && let Some(member) = &known.member
                && let Some(series) = series.get_mut(member.series)
            {
                series.ended_processes += 1;
            }
            goes_on
        });
    }

    fn look_at(&mut self, generation: Generation) {
        let mut known = self.processes.remove(&generation.pid).unwrap_or(Known {
            generation,
            looks: 0,
            is_refused: false,
            member: None,
        });
        known.looks += 1;
        if known.member.is_none() {
            self.decide(&mut known);
        }
        if let Some(member) = &mut known.member {
            self.series.keep(member.series, self.scan);
            let is_due = known.looks <= YOUNG || known.looks.is_multiple_of(NOW_AND_THEN);
            if member.library.is_none() && member.memory.is_none() && is_due {
                self.find_hook(member, known.looks);
            } else if is_due {
                self.follow_memory(member);
            }
        }
        self.processes.insert(generation.pid, known);
    }

    /// Decides whether a process is of an arm.
    fn decide(&mut self, known: &mut Known) {
        let pid = known.generation.pid;
        let is_again = known.is_refused && known.looks.is_multiple_of(NOW_AND_THEN);
        let is_young = known.looks <= YOUNG || is_again;
        let ports = self.listeners.ports_of(pid, !is_young);
        if !is_young && ports.is_empty() {
            return;
        }
        // One that ends meanwhile is of no arm.
        let Ok(facts) = facts(pid, ports) else {
            return;
        };
        match self.rules.arm_of(&facts) {
            Ok(None) => {}
            Ok(Some(arm)) => self.take_in(known, &arm, facts),
            Err(error) => self.refuse(known, "arm_name", &error.to_string()),
        }
    }

    fn take_in(&mut self, known: &mut Known, arm: &str, facts: Facts) {
        if !is_64_bit(known.generation.pid) {
            self.refuse(known, "not_64_bit", "its program is not a 64-bit ELF file");
            return;
        }
        let series = match self.series.place(arm, &facts.home, self.scan) {
            Place::Ready(series) => series,
            Place::Used(series) => {
                self.memories.clear(series);
                if let Err(error) = self.observer.clear(series) {
                    self.refuse(known, "no_room", &format!("{error:#}"));
                    return;
                }
                series
            }
            Place::None => {
                let text =
                    "as many arms in containers are watched as there is room for (--max-series)";
                self.refuse(known, "no_room", text);
                return;
            }
        };
        known.member = Some(Member {
            generation: known.generation,
            series,
            executable: facts.executable,
            hook: None,
            library: None,
            memory: None,
            trouble: None,
            unobserved_from_s: self.unobserved_from_s(&known.generation),
            unobserved_s: None,
        });
    }

    fn unobserved_from_s(&self, generation: &Generation) -> f64 {
        let heartbeat = self.heartbeat.as_ref();
        heartbeat
            .and_then(|heartbeat| heartbeat.observed_until_s(generation))
            .unwrap_or_else(|| generation.started_s())
    }

    /// Tells the next agent what is observed now.
    fn beat(&mut self) {
        let Some(mut heartbeat) = self.heartbeat.take() else {
            return;
        };
        let observed = self
            .members()
            .filter(|(member, _)| member.unobserved_s.is_some() && member.trouble.is_none());
        let observed = observed.map(|(member, _)| member.generation).collect();
        if !heartbeat.beat(observed) {
            *self.failures.entry("state").or_default() += 1;
        }
        self.heartbeat = Some(heartbeat);
    }

    /// Counts a process that cannot be watched, once.
    fn refuse(&mut self, known: &mut Known, reason: &'static str, text: &str) {
        if !known.is_refused {
            known.is_refused = true;
            *self.failures.entry(reason).or_default() += 1;
            log::warn!("process {} is not watched: {text}", known.generation.pid);
        }
    }

    /// Reads the memories that processes offer right now: a run must not begin with that of a program that was replaced since.
    pub(super) fn follow_memories(&mut self) -> anyhow::Result<()> {
        let mut processes = mem::take(&mut self.processes);
        let members = processes.values_mut();
        for member in members.filter_map(|known| known.member.as_mut()) {
            self.follow_memory(member);
        }
        self.processes = processes;
        self.observe()
    }

    /// Reads the memory that a bracketed process offers now: at the look before it may still have been loading, or it has executed
    /// another program since, as shells do. Its hook is then probed no longer, but a run that began with probes goes on with them.
    /// Where there is nothing new, all stays as it is.
    fn follow_memory(&mut self, member: &mut Member) {
        let is_bracketed = member.hook.as_ref().is_some_and(|hook| hook.is_front);
        let is_probed = member.library.is_some();
        if !is_bracketed || is_probed && self.recording.is_some() {
            return;
        }
        let pid = member.generation.pid;
        match self.memories.take(pid, member.series) {
            Ok(Some(memory)) if member.memory != Some(memory) => {
                member.memory = Some(memory);
                member.library = None;
                member.executable = executable(pid);
            }
            Ok(_) => {}
            Err(_) if is_probed => {} // that was said when it was probed first
            Err(error) => {
                *self.failures.entry("records").or_default() += 1;
                log::warn!("the memory of process {pid} is read no longer: {error}");
                member.memory = None; // it is looked at anew
            }
        }
    }

    /// Looks for a hook in a process, and attaches to it.
    fn find_hook(&mut self, member: &mut Member, looks: u64) {
        let pid = member.generation.pid;
        let (reason, error) = match self.sites.look_for_hook(pid) {
            Ok(HookSearch::None) if self.observer.probes().is_none() && looks > 1 => {
                let why = anyhow!("it has no bracket, and this agent has no probes");
                ("records", why)
            }
            Ok(HookSearch::None) => {
                member.trouble = None;
                return;
            }
            // Without its hook it would be counted as one that has none.
            Ok(HookSearch::Hidden(file)) => {
                ("maps", anyhow!("no hook was found, but {}", hidden(&file)))
            }
            Ok(HookSearch::Hook(hook)) => {
                let found = self.observe_hook(member, &hook, looks);
                member.hook = Some(hook);
                match found {
                    Ok(()) => {
                        member.trouble = None;
                        return;
                    }
                    Err(why) => why,
                }
            }
            Err(error) => ("maps", error),
        };
        if has_ended(&error) && Generation::of(pid) != Some(member.generation) {
            return; // seen in the next scan
        }
        let text = format!("{error:#}");
        if member.trouble.as_ref() != Some(&text) {
            *self.failures.entry(reason).or_default() += 1;
            log::warn!("process {pid} is not observed: {text}");
            member.trouble = Some(text);
        }
    }

    /// Reads what a process records of its hook's calls, or else attaches to the hook. The error comes with its reason.
    fn observe_hook(
        &mut self,
        member: &mut Member,
        hook: &LoadedHook,
        looks: u64,
    ) -> Result<(), (&'static str, anyhow::Error)> {
        let pid = member.generation.pid;
        let offered = if hook.is_front {
            self.memories.take(pid, member.series)
        } else {
            Ok(None)
        };
        let error = match offered {
            Ok(Some(memory)) => {
                member.memory = Some(memory);
                return Ok(());
            }
            // It may still be loading.
            Ok(None) if hook.is_front && looks == 1 => return Ok(()),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        let Some(probes) = self.observer.probes() else {
            let nothing = || anyhow!("it records no calls in shared memory");
            let why = error.map_or_else(nothing, Into::into);
            return Err(("records", why.context("this agent has no probes")));
        };
        if let Some(error) = error {
            *self.failures.entry("records").or_default() += 1;
            log::warn!("process {pid} is probed instead: {error}");
        }
        let library = self.libraries.attach(probes, hook);
        member.library = Some(library.map_err(|error| ("attach", error))?);
        Ok(())
    }

    /// Has all processes of arms observed that can be, and no others.
    fn observe(&mut self) -> anyhow::Result<()> {
        let to_observe = || {
            self.members()
                .filter(|(member, looks)| member.is_to_be_observed(*looks))
                .map(|(member, _)| member)
        };
        let number = |member: &Member| {
            let has_hook = member.library.is_some();
            (member.generation.pid, member.series, has_hook)
        };
        let targets: Vec<(Pid, u32, bool)> = to_observe().map(number).collect();
        if targets != self.targets {
            let named = to_observe().map(|member| Target {
                pid: member.generation.pid,
                arm: member.series,
                hook: member.hook.clone().filter(|_| member.library.is_some()),
                function: None,
            });
            self.observer.set_targets(named.collect())?;
            self.targets = targets;
        }
        let now_s = since_boot_s();
        for known in self.processes.values_mut() {
            if let Some(member) = &mut known.member
                && member.unobserved_s.is_none()
                && member.is_to_be_observed(known.looks)
            {
                let unobserved_s = member.unobserved_until_s(now_s);
                member.unobserved_s = Some(unobserved_s);
                if let Some(series) = self.series.get_mut(member.series) {
                    series.unobserved_s += unobserved_s;
                }
            }
        }
        Ok(())
    }

    /// The processes of arms, and how often each was looked at.
    pub(super) fn members(&self) -> impl Iterator<Item = (&Member, u64)> {
        self.processes
            .values()
            .filter_map(|known| Some((known.member.as_ref()?, known.looks)))
    }

    /// Detaches from everything. What was counted balances now, if nothing was lost.
    pub fn end(mut self) -> anyhow::Result<Ledger> {
        self.beat();
        self.memories.keep(|_| false)?;
        self.observer.stop_observing()?;
        self.libraries.keep(|_| false);
        self.observer.detach()?;
        self.drain()?;
        self.observer.ledger()
    }
}

fn facts(pid: Pid, ports: Vec<u16>) -> io::Result<Facts> {
    Ok(Facts {
        variable: variable_of(pid)?,
        executable: executable(pid),
        home: Home::of(pid)?,
        ports,
    })
}

/// What a process executes, as far as it can be told.
fn executable(pid: Pid) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default()
}

/// The arm that a process says it is of.
fn variable_of(pid: Pid) -> io::Result<Option<OsString>> {
    let file = File::open(format!("/proc/{pid}/environ"))?;
    let mut environment = Vec::new();
    file.take(MAX_ENVIRONMENT).read_to_end(&mut environment)?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| {
        let value = entry.strip_prefix(ARM_VARIABLE.as_bytes())?;
        value.strip_prefix(b"=")
    });
    Ok(value.map(|value| OsString::from_vec(value.to_vec())))
}

/// Whether the eBPF programs know the registers of a process.
fn is_64_bit(pid: Pid) -> bool {
    let mut header = [0; 5];
    let read =
        File::open(format!("/proc/{pid}/exe")).and_then(|mut file| file.read_exact(&mut header));
    // It may have ended, or be in the middle of executing another program.
    read.is_err() || header == *b"\x7fELF\x02"
}
