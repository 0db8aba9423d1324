//! The records of a run, while it goes on: those of the arms that the run names, a folder as of a trace for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use abi::trial::Trial;
use anyhow::{Context as _, ensure};
use procfs::process::Process;
use runlog::clock::Clock;
use runlog::manifest::Scheduling;
use runlog::trace::{self, Events, Trace, TraceTarget};
use runlog::{RunDirectory, json};

use crate::agent::bracketed::RunLog;
use crate::agent::watch::{Member, Watch};
use crate::machine;
use crate::run::span_log::SpanLog;
use probes::discover::sites::LoadedHook;
use probes::ledger::{Received, enter_missed};
use probes::records::Record;
use probes::totals::ArmTotals;

/// How often what is buffered is written, so that even SIGKILL would lose no more.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// What is to be recorded.
#[derive(Clone, Debug)]
pub struct RecordingPlan {
    /// The folder of the run.
    pub run: RunDirectory,
    /// Names of arms.
    pub arms: Vec<String>,
    /// How its requests are drawn, if they share the processes of one arm.
    pub trial: Option<Box<Trial>>,
    /// Told why records cannot be written any more.
    pub trouble: Arc<OnceLock<String>>,
}

/// A recording that goes on.
#[derive(Debug)]
pub struct Recording {
    arms: Vec<Recorder>,
    /// The series of these arms, by their places in the kernel's tables.
    places: BTreeMap<u32, Place>,
    trouble: Arc<OnceLock<String>>,
    /// What the kernel had passed over before, by program.
    missed_before: BTreeMap<String, u64>,
    from_ns: u64,
    flushed: Instant,
}

/// An arm of it.
#[derive(Debug)]
struct Recorder {
    name: String,
    folder: RunDirectory,
    log: SpanLog,
    trace: Trace,
    not_written: u64,
}

/// A series of an arm.
#[derive(Debug)]
struct Place {
    /// Index of the arm.
    arm: usize,
    /// What had been counted before.
    before: ArmTotals,
    unobserved_s: f64,
    received: u64,
}

/// What was recorded.
#[derive(Debug)]
pub struct Recorded {
    /// When it began, on our clock.
    pub from_ns: u64,
    /// When it ended.
    pub until_ns: u64,
    /// The arms, as they were named.
    pub arms: Vec<RecordedArm>,
    /// How the kernel schedules their processes; fair, if one of them is scheduled so.
    pub scheduling: Scheduling,
}

/// What was recorded of an arm.
#[derive(Debug)]
pub struct RecordedArm {
    /// The folder with the records.
    pub folder: RunDirectory,
    /// What was seen. Its records may have been cut short.
    pub trace: Trace,
    /// How long its processes ran meanwhile before they were observed, in seconds.
    pub unobserved_s: f64,
}

impl Watch {
    /// Begins to record. Returns how many processes of each arm are observed now; nothing is begun if there is none.
    pub fn begin_recording(
        &mut self,
        plan: &RecordingPlan,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        ensure!(self.recording.is_none(), "another run is recorded");
        self.follow_memories()?;
        let observed = |name: &str| -> u64 {
            let members = self.members().map(|(member, _)| member);
            let of_arm = members.filter(|member| {
                let series = self.series.get(member.series);
                member.unobserved_s.is_some() && series.is_some_and(|series| series.arm == name)
            });
            of_arm.count() as u64
        };
        let processes: BTreeMap<String, u64> = plan
            .arms
            .iter()
            .map(|name| (name.clone(), observed(name)))
            .collect();
        if processes.values().all(|count| *count == 0) {
            return Ok(processes);
        }
        let arms = plan.arms.iter().map(|name| Recorder::create(plan, name));
        self.recording = Some(Recording {
            arms: arms.collect::<anyhow::Result<_>>()?,
            places: BTreeMap::new(),
            trouble: Arc::clone(&plan.trouble),
            missed_before: self.observer.missed()?,
            from_ns: 0,
            flushed: Instant::now(),
        });
        let begun = self.extend_recording().and_then(|()| {
            self.begin_trial(plan)?;
            let probes = self.observer.describe();
            let recording = self.recording.as_mut().context("no recording")?;
            recording.from_ns = machine::monotonic_ns();
            recording.mark(&probes)
        });
        if begun.is_err() {
            self.recording = None;
            let _ = self.memories.end_run();
            self.observer.ask_for_records([])?;
        }
        begun.map(|()| processes)
    }

    /// Writes the calls of a trial down from now on.
    fn begin_trial(&mut self, plan: &RecordingPlan) -> anyhow::Result<()> {
        let Some(trial) = plan.trial.as_deref() else {
            return Ok(());
        };
        let recording = self.recording.as_ref().context("no recording")?;
        let series: BTreeSet<u32> = recording.places.keys().copied().collect();
        let log = RunLog::create(&plan.run, trial, &plan.trouble)?;
        let memories = self.memories.begin_run(log, series)?;
        ensure!(
            memories > 0,
            "no process of {} records calls of this trial in shared memory: HOOKPROBE_TRIAL must be {trial}",
            plan.arms.join(", ")
        );
        Ok(())
    }

    /// How the kernel schedules the processes of the recorded arms.
    fn scheduling(&self) -> Scheduling {
        let recorded = |member: &Member| {
            let recording = self.recording.as_ref();
            recording.is_some_and(|recording| recording.places.contains_key(&member.series))
        };
        let members = self.members().map(|(member, _)| member);
        let policies = { members }.filter(|member| recorded(member));
        let policies: BTreeSet<u32> = policies
            .filter_map(|member| {
                Process::new(member.generation.pid)
                    .ok()?
                    .stat()
                    .ok()?
                    .policy
            })
            .collect();
        match Vec::from_iter(policies).as_slice() {
            [policy] if *policy == libc::SCHED_BATCH.cast_unsigned() => Scheduling::Batch,
            [policy] if *policy == libc::SCHED_FIFO.cast_unsigned() => Scheduling::Fifo,
            _ => Scheduling::Fair,
        }
    }

    /// Takes in series of the recorded arms that are new. To be called before their processes are observed.
    pub(super) fn extend_recording(&mut self) -> anyhow::Result<()> {
        let Some(recording) = &mut self.recording else {
            return Ok(());
        };
        let mut new = Vec::new();
        for (place, series) in self.series.iter() {
            let arm = recording.arms.iter().position(|arm| arm.name == series.arm);
            if let Some(arm) = arm
                && !recording.places.contains_key(&place)
            {
                new.push((place, arm, series.unobserved_s));
            }
        }
        if !new.is_empty() {
            let places: Vec<u32> = new.iter().map(|(place, ..)| *place).collect();
            let totals = self.observer.totals(&places)?;
            for ((place, arm, unobserved_s), before) in new.into_iter().zip(totals) {
                let place_of = Place {
                    arm,
                    before,
                    unobserved_s,
                    received: 0,
                };
                recording.places.insert(place, place_of);
                self.memories.extend_run(place);
            }
            self.observer
                .ask_for_records(recording.places.keys().copied())?;
        }
        let scan = self.scan;
        for place in recording.places.keys() {
            // What is recorded stays, even without processes.
            self.series.keep(*place, scan);
        }
        self.note_targets();
        Ok(())
    }

    /// Notes which processes of the recorded arms there are.
    fn note_targets(&mut self) {
        let Some(mut recording) = self.recording.take() else {
            return;
        };
        for (member, _) in self.members() {
            if let Some(place) = recording.places.get(&member.series) {
                let target = TraceTarget {
                    pid: member.generation.pid,
                    executable: member.executable.display().to_string(),
                    hook: member.hook.as_ref().map(LoadedHook::name),
                };
                recording.arms[place.arm].note(target);
            }
        }
        self.recording = Some(recording);
    }

    /// Ends the recording: what the programs have written by now is kept.
    pub fn end_recording(&mut self) -> anyhow::Result<Recorded> {
        let stopped = self.observer.ask_for_records([]);
        let until_ns = machine::monotonic_ns();
        let drained = self.drain();
        let trial_ended = self.memories.end_run();
        let scheduling = self.scheduling();
        self.note_targets();
        let recording = self.recording.take().context("nothing is recorded")?;
        let places: Vec<u32> = recording.places.keys().copied().collect();
        let totals = self.observer.totals(&places);
        let probes = self.observer.describe();
        let unobserved_s = |place: u32| {
            let series = self.series.get(place);
            series.map_or(0.0, |series| series.unobserved_s)
        };
        // Whatever else has failed, what was written stays readable.
        let from_ns = recording.from_ns;
        let missed = self.observer.missed_since(&recording.missed_before);
        let ended = recording.end(totals, missed, unobserved_s);
        stopped?;
        drained?;
        trial_ended?;
        let arms = ended?.into_iter().map(|mut arm| {
            arm.trace.attached_ns = from_ns;
            arm.trace.detached_ns = Some(until_ns);
            arm.trace.duration_s = until_ns.saturating_sub(from_ns) as f64 / 1e9;
            arm.trace.probes = probes.clone();
            json::write(&arm.folder.trace(), &arm.trace)?;
            Ok(arm)
        });
        Ok(Recorded {
            from_ns,
            until_ns,
            arms: arms.collect::<anyhow::Result<_>>()?,
            scheduling,
        })
    }
}

impl Recording {
    /// Writes a record.
    pub fn push(&mut self, record: Record) {
        // Of others none is asked for; a program may have been running as one was let go.
        let Some(place) = self.places.get_mut(&record.arm()) else {
            return;
        };
        place.received += record.spans();
        let arm = &mut self.arms[place.arm];
        let written = match self.trouble.get() {
            None => arm.log.push(0, record.of_arm(0)),
            Some(_) => Ok(()),
        };
        if let Err(error) = written {
            note(&self.trouble, error);
        }
        if self.trouble.get().is_some() {
            arm.not_written += record.spans();
        }
    }

    /// Writes what is buffered, if it is time.
    pub fn flush_if_due(&mut self) {
        if self.flushed.elapsed() < FLUSH_EVERY || self.trouble.get().is_some() {
            return;
        }
        for arm in &mut self.arms {
            if let Err(error) = arm.log.flush() {
                note(&self.trouble, error);
            }
        }
        self.flushed = Instant::now();
    }

    /// Leaves marks that the folders are of traces that go on.
    fn mark(&mut self, probes: &runlog::manifest::Probes) -> anyhow::Result<()> {
        for arm in &mut self.arms {
            arm.trace.attached_ns = self.from_ns;
            arm.trace.probes = probes.clone();
            json::write(&arm.folder.trace(), &arm.trace)?;
        }
        Ok(())
    }

    fn end(
        self,
        totals: anyhow::Result<Vec<ArmTotals>>,
        missed: anyhow::Result<BTreeMap<String, u64>>,
        unobserved_s: impl Fn(u32) -> f64,
    ) -> anyhow::Result<Vec<RecordedArm>> {
        let mut arms: Vec<RecordedArm> = Vec::new();
        for arm in self.arms {
            arms.push(arm.finish(&self.trouble));
        }
        let mut sums: Vec<Option<(ArmTotals, Received)>> = arms.iter().map(|_| None).collect();
        for ((number, place), totals) in self.places.into_iter().zip(totals?) {
            let totals = totals.since(&place.before);
            arms[place.arm].unobserved_s += unobserved_s(number) - place.unobserved_s;
            match &mut sums[place.arm] {
                Some((sum, received)) => {
                    sum.add(&totals);
                    received.records += place.received;
                }
                none => {
                    let received = Received {
                        records: place.received,
                        unknown: 0,
                    };
                    *none = Some((totals, received));
                }
            }
        }
        let missed = missed?;
        for (arm, sum) in arms.iter_mut().zip(sums) {
            // Nothing has happened to an arm that has had no process.
            arm.trace.ledger.balanced = true;
            if let Some((totals, received)) = sum {
                arm.trace.spans = totals.summaries();
                arm.trace.ledger = totals.ledger_with(received);
                // Of which arm they were, nobody knows.
                enter_missed(&mut arm.trace.ledger, &missed);
            }
        }
        Ok(arms)
    }
}

impl Recorder {
    fn create(plan: &RecordingPlan, name: &str) -> anyhow::Result<Self> {
        let folder = RunDirectory::create(plan.run.spans_of(name).root())?;
        Ok(Self {
            name: name.to_owned(),
            log: SpanLog::create_with_unhooked(&folder)?,
            folder,
            trace: Trace {
                schema: trace::SCHEMA.to_owned(),
                clock: Clock::of_this_process(),
                ended: "running".to_owned(),
                ..Trace::default()
            },
            not_written: 0,
        })
    }

    fn note(&mut self, target: TraceTarget) {
        let targets = &mut self.trace.targets;
        match targets.iter_mut().find(|known| known.pid == target.pid) {
            // A hook may be loaded late.
            Some(known) => *known = target,
            None => targets.push(target),
        }
    }

    fn finish(self, trouble: &Arc<OnceLock<String>>) -> RecordedArm {
        let rows = self.log.rows(&self.folder);
        if let Err(error) = self.log.finish() {
            note(trouble, error);
        }
        let mut trace = self.trace;
        trace.events = Some(Events {
            folder: self.folder.root().display().to_string(),
            rows,
            not_written: self.not_written,
            reader_woken: 0,
        });
        trace.cut_short = trouble.get().is_some();
        trace.ended = trouble
            .get()
            .cloned()
            .unwrap_or_else(|| "the run is over".to_owned());
        RecordedArm {
            folder: self.folder,
            trace,
            unobserved_s: 0.0,
        }
    }
}

fn note(trouble: &OnceLock<String>, error: runlog::Error) {
    let _ = trouble.set(format!("{:#}", anyhow::Error::from(error)));
}
