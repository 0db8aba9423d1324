//! Calibration: what each probe adds here, to the duration that it sees (bias) and to its caller (cost).
//!
//! A process of ours makes calls that do next to nothing, in rounds, with the probes attached and
//! detached. What the probes see of such a call is their own doing, less the call's own work: for a
//! system call that is what it takes longer, unwatched, than one that does nothing.
//!
//! The process has the same hook preloaded as the traced one, and empty functions that begin like the
//! traced one.

pub mod first_instruction;
mod functions;
mod process;
mod result;
mod subject;
mod words;
pub mod worker;

use std::path::PathBuf;
use std::sync::Arc;

use abi::SpanKind;
use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use runlog::calibration::{Calibration, NotCalibrated};
use runlog::manifest::Placement;
use stats::Trim;

use crate::run::arms::HookSpec;
use crate::run::bracket::Bracket;
use first_instruction::FirstInstruction;
use probes::attach::{Function, Target};
use probes::discover::sites::{LoadedHook, loaded_hook};
use probes::{KernelProbe, Options, Probes, SiteChoice, Writing};
use process::Worker;
use result::{Unwatched, calibrated};
use subject::{Part, Subject};
use words::{Call, Order, Pace};

/// Calls of each kind in a round. An interval comes from the rounds; calls only smooth each of them.
const CALLS: u32 = 2_000;

/// Calls of each kind in a round that each follow a pause.
const CALLS_AFTER_PAUSE: u32 = 100;

fn calls(call: Call) -> Order {
    Order {
        call,
        calls: CALLS,
        pace: Pace::BackToBack,
    }
}

fn calls_after_pause(call: Call) -> Order {
    Order {
        call,
        calls: CALLS_AFTER_PAUSE,
        pace: Pace::AfterPause,
    }
}

/// What to calibrate, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kernel pairs, each alone and, where there is a hook, together with its sites. `None` stands for
    /// the sites alone.
    pub kernel_probes: Vec<KernelProbe>,
    /// Functions to put a uprobe and uretprobe on.
    pub functions: Functions,
    /// The hook to preload.
    pub hook: Option<HookSpec>,
    /// What stands around the hook. Outside a trial its front passes all calls on to the hook, and its sites fire for them.
    pub bracket: Option<Arc<Bracket>>,
    /// Where in a site to attach.
    pub site: SiteChoice,
    /// Rounds, at least two.
    pub rounds: u32,
    /// Share of values left out at each end, as in what is to be corrected.
    pub trim: Trim,
    /// Seed of the order within rounds.
    pub seed: u64,
    /// The calibrated process runs where the servers do.
    pub placement: Placement,
    /// Where it writes what it has to say.
    pub log: PathBuf,
}

/// Which functions to calibrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Functions {
    /// None.
    No,
    /// Of every kind.
    All,
    /// Those that begin like this.
    Like(FirstInstruction),
}

/// Calibrates. What cannot be calibrated is in the result, with the reason; an error means that nothing
/// could.
pub async fn calibrate(plan: &Plan, bar: &ProgressBar) -> anyhow::Result<Calibration> {
    ensure!(plan.rounds >= 2, "calibration takes at least 2 rounds");
    let mut worker = Worker::start(plan).await?;
    let mut missing = Vec::new();
    let mut subjects = subjects(plan, &worker, &mut missing)?;
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut unwatched = Vec::new();
    bar.set_length(u64::from(plan.rounds));
    for round in 0..plan.rounds {
        bar.set_position(u64::from(round));
        unwatched.push(Unwatched {
            clock: worker.make(calls(Call::ClockTwice)).await?,
            no_work: worker.make(calls(Call::NoWork)).await?,
            no_work_after_pause: worker.make(calls_after_pause(Call::NoWork)).await?,
        });
        subjects.shuffle(&mut random);
        let mut working = Vec::new();
        for mut subject in subjects {
            let detached_first = random.random();
            let outcome = subject.round(&mut worker, plan.trim, detached_first);
            match outcome.await {
                Ok(()) => working.push(subject),
                Err(error) => missing.push(NotCalibrated {
                    attach_type: subject.name,
                    reason: format!("{error:#}"),
                }),
            }
        }
        subjects = working;
    }
    subjects.sort_by_key(|subject| subject.place);
    let mut probes = Vec::new();
    for subject in subjects {
        match calibrated(&subject, &unwatched) {
            Ok(of_subject) => probes.extend(of_subject),
            Err(error) => missing.push(NotCalibrated {
                attach_type: subject.name,
                reason: format!("{error:#}"),
            }),
        }
    }
    if let (true, Some(first)) = (probes.is_empty(), missing.first()) {
        bail!("{}: {}", first.attach_type, first.reason);
    }
    Ok(Calibration {
        rounds: plan.rounds,
        calls: CALLS,
        probes,
        missing,
    })
}

/// The same, where the result is only to correct another: whatever goes wrong is a reason in it.
pub async fn calibrate_or_say_why(
    plan: &Plan,
    attach_type: &str,
    bar: &ProgressBar,
) -> Calibration {
    match calibrate(plan, bar).await {
        Ok(calibration) => calibration,
        Err(error) => Calibration {
            rounds: plan.rounds,
            calls: CALLS,
            probes: Vec::new(),
            missing: vec![NotCalibrated {
                attach_type: attach_type.to_owned(),
                reason: format!("{error:#}"),
            }],
        },
    }
}

/// Loads the probes of each subject. Those that this kernel does not have are missing.
fn subjects(
    plan: &Plan,
    worker: &Worker,
    missing: &mut Vec<NotCalibrated>,
) -> anyhow::Result<Vec<Subject>> {
    let hook = match plan.hook {
        Some(_) => Some(
            loaded_hook(worker.pid)?.context("the hook has no probe sites, or was not loaded")?,
        ),
        None => None,
    };
    let kinds: Vec<FirstInstruction> = match plan.functions {
        Functions::No => Vec::new(),
        Functions::All => worker.kinds().collect(),
        Functions::Like(kind) => vec![kind],
    };
    let pairs = plan.kernel_probes.iter().map(|probe| {
        (
            probe.name().to_owned(),
            pair(plan, worker, *probe, hook.as_ref()),
        )
    });
    let functions = kinds
        .iter()
        .map(|kind| (FUNCTION.to_owned(), function(plan, worker, *kind)));
    let mut subjects = Vec::new();
    for (place, (name, subject)) in pairs.chain(functions).enumerate() {
        match subject {
            Ok((probes, parts)) => subjects.push(Subject::new(place, name, probes, parts)),
            Err(error) => missing.push(NotCalibrated {
                attach_type: name,
                reason: format!("{error:#}"),
            }),
        }
    }
    Ok(subjects)
}

/// Name of what is attached to functions.
const FUNCTION: &str = "uprobe+uretprobe";

/// A kernel pair, and the hook's sites.
fn pair(
    plan: &Plan,
    worker: &Worker,
    probe: KernelProbe,
    hook: Option<&LoadedHook>,
) -> anyhow::Result<(Probes, Vec<Part>)> {
    let target = Target {
        pid: worker.pid,
        arm: 0,
        hook: hook.cloned(),
        function: None,
    };
    let mut parts = Vec::new();
    if probe != KernelProbe::None {
        parts.push(Part {
            call: Call::RefusedRead,
            kind: SpanKind::ReadSyscall,
        });
    }
    if hook.is_some() {
        // Before the write: reads make the connection known to the probes.
        parts.push(Part {
            call: Call::HookedRead,
            kind: SpanKind::HookOverhead,
        });
    }
    if hook.is_some() && probe != KernelProbe::None {
        parts.push(Part {
            call: Call::RefusedWrite,
            kind: SpanKind::WriteSyscall,
        });
    }
    ensure!(!parts.is_empty(), "there is nothing to attach");
    Ok((load(plan, probe, target)?, parts))
}

/// A uprobe and uretprobe on an empty function.
fn function(
    plan: &Plan,
    worker: &Worker,
    kind: FirstInstruction,
) -> anyhow::Result<(Probes, Vec<Part>)> {
    let offset = worker.function(kind).with_context(|| {
        format!(
            "there is no empty function that begins with {}",
            kind.name()
        )
    })?;
    let target = Target {
        pid: worker.pid,
        arm: 0,
        hook: None,
        function: Some(Function {
            file: format!("/proc/{}/exe", worker.pid).into(),
            offset,
        }),
    };
    let part = Part {
        call: Call::Function(kind),
        kind: SpanKind::Function,
    };
    Ok((load(plan, KernelProbe::None, target)?, vec![part]))
}

fn load(plan: &Plan, kernel_probe: KernelProbe, target: Target) -> anyhow::Result<Probes> {
    let mut probes = Probes::load(Options {
        kernel_probe,
        ring_bytes: None,
        read_records: false,
        writing: Writing::AtOnce,
        site: plan.site,
        program_stats: false,
        arms: 1,
        function_threads: 16, // the worker calls it in one
    })?;
    probes.set_targets(vec![target])?;
    Ok(probes)
}
