//! `probe-user trace`: how long reads take in processes that run already, with or without a hook.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use abi::SpanKind;
use anyhow::{Context as _, bail};
use clap::Args;
use cli::outln;
use runlog::calibration::Calibration;
use runlog::clock::Clock;
use runlog::trace::{Coverage, SCHEMA, SpanSummary, Trace, TraceTarget};
use stats::Trim;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::command::End;
use crate::command::events::EventLog;
use crate::command::function::FunctionArguments;
use crate::command::live::Live;
use crate::command::options::{CalibrationOptions, progress_bar};
use crate::machine;
use crate::run::arms::HookSpec;
use crate::run::calibration::first_instruction::FirstInstruction;
use crate::run::calibration::{Functions, Plan, calibrate_or_say_why};
use crate::run::stop::Stop;
use crate::show;
use probes::attach::{Function, Target};
use probes::discover::elf::Elf;
use probes::discover::processes::{self, Pid};
use probes::discover::sites::{LoadedHook, loaded_hook};
use probes::ring::check_ring_bytes;
use probes::spans::Durations;
use probes::{KernelProbe, Options, Probes, SiteChoice, Writing};
use verdict::correct::corrected_span;
use verdict::doubt::find;

/// How often targets are looked at, what is in the ring buffer is taken out even if it is little, and
/// the eBPF side's messages are passed on.
const TICK: Duration = Duration::from_millis(100);

/// Options of `trace`.
#[derive(Args, Debug)]
#[command(
    group(clap::ArgGroup::new("target").required(true)),
    after_help = "\
Examples:
  sudo probe-user trace --port 6379 --duration 10
  sudo probe-user trace --pid 4242 --symbol handle_request
  sudo probe-user trace --pid 4242 --lib libc.so.6 --symbol malloc
  sudo probe-user trace --pid 4242 --offset 0x1234     by nm's address

Do not time functions that exceptions pass through or that coroutines yield
in: docs/functions.md"
)]
pub struct TraceArguments {
    /// Trace this process, all of its threads
    #[arg(long, group = "target", value_name = "PID")]
    pid: Option<Pid>,

    /// Trace the processes that run this executable
    #[arg(long, group = "target", value_name = "PATH")]
    exe: Option<PathBuf>,

    /// Trace the processes that listen on this TCP port
    #[arg(long, group = "target", value_name = "PORT")]
    port: Option<u16>,

    #[command(flatten)]
    function: FunctionArguments,

    /// Stop after this many seconds [default: on Ctrl-C, or when the processes have ended]
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,

    /// Write a record of each span to this folder, new or empty
    ///
    /// Spans are those of read(2), hooked reads, writes on hooked connections, accepts, closes and calls of --symbol.
    #[arg(long, value_name = "DIR")]
    events: Option<PathBuf>,

    /// Size of the ring buffer for records, a power of two
    #[arg(long, hide_short_help = true, default_value_t = 16 * 1024 * 1024, value_name = "BYTES", requires = "events")]
    ring_bytes: u32,

    /// Print summaries of each interval while tracing; with --json, a line each
    #[arg(long, value_name = "SECONDS")]
    interval: Option<f64>,

    /// What brackets read(2) in the kernel
    #[arg(long, hide_short_help = true, value_enum, default_value_t = KernelProbe::Auto)]
    kernel_probe: KernelProbe,

    /// Where in the hook's probe sites to attach
    #[arg(long, hide_short_help = true, value_enum, default_value_t = SiteChoice::Auto)]
    site: SiteChoice,

    /// Have the kernel count and time our eBPF programs, which slows them by two clock reads a run
    #[arg(long, hide_short_help = true)]
    program_stats: bool,

    #[command(flatten)]
    calibration: CalibrationOptions,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Traces.
pub async fn trace(arguments: TraceArguments) -> anyhow::Result<End> {
    let duration = seconds("--duration", arguments.duration)?;
    let interval = seconds("--interval", arguments.interval)?;
    check_ring_bytes(arguments.ring_bytes)?;
    let mut stop = Stop::listen()?;
    let targets = find_targets(&arguments)?;
    let pids = pids(&targets);
    let mut trace = Trace {
        schema: SCHEMA.to_owned(),
        node: Some(machine::node_name()),
        targets: targets.iter().map(describe).collect(),
        ended: "running".to_owned(),
        ..Trace::default()
    };
    let mut events = arguments
        .events
        .as_deref()
        .map(EventLog::create)
        .transpose()?;
    let probes = attach(&arguments, targets, &mut stop, &mut trace, events.as_mut());
    let probes = match probes.await {
        Ok(probes) => probes,
        Err(error) => {
            if let Some(events) = &events {
                events.discard_unless_begun();
            }
            return Err(error);
        }
    };
    let mut session = Session {
        probes,
        events,
        pids,
        attached: Instant::now(),
    };
    eprintln!("probe-user: attached to {}", show::list(&session.pids));
    let live = interval.map(|every| {
        let calibration = trace.calibration.clone();
        Live::begin(every, arguments.json, session.attached, calibration)
    });
    let ended = session.wait(&mut stop, duration, live).await;
    session.close(&mut trace, ended)?;
    if !arguments.json {
        show::trace::print(&trace);
    } else if interval.is_some() {
        outln!("{}", serde_json::to_string(&trace)?);
    } else {
        outln!("{}", serde_json::to_string_pretty(&trace)?);
    }
    Ok(if trace.cut_short {
        eprintln!("probe-user: cut short: {}", trace.ended);
        End::CutShort
    } else if find::of_balance(&trace.ledger).is_none() {
        End::Complete
    } else {
        End::NotUsable
    })
}

/// A time given on the command line.
fn seconds(option: &str, seconds: Option<f64>) -> anyhow::Result<Option<Duration>> {
    match seconds {
        Some(seconds) if !(1e-3..=1e9).contains(&seconds) => {
            bail!("{option} {seconds}: must be a number of seconds from 0.001 to 1000000000")
        }
        seconds => Ok(seconds.map(Duration::from_secs_f64)),
    }
}

/// Loads, calibrates and attaches the probes, and leaves the mark of a trace that has begun.
async fn attach(
    arguments: &TraceArguments,
    targets: Vec<Target>,
    stop: &mut Stop,
    trace: &mut Trace,
    events: Option<&mut EventLog>,
) -> anyhow::Result<Probes> {
    let mut probes = Probes::load(Options {
        kernel_probe: arguments.kernel_probe,
        ring_bytes: events.is_some().then_some(arguments.ring_bytes),
        read_records: events.is_some(),
        writing: Writing::Gathered,
        site: arguments.site,
        program_stats: arguments.program_stats,
        arms: 1,
        function_threads: arguments.function.threads(&pids(&targets)),
    })?;
    if arguments.calibration.calibration_rounds > 0 {
        trace.calibration = Some(tokio::select! {
            calibration = calibrate(arguments, &probes, &targets) => calibration?,
            reason = stop.requested() => bail!("{reason} before the probes were attached"),
        });
    }
    probes.set_targets(targets)?;
    probes.attach()?;
    trace.attached_ns = machine::monotonic_ns();
    trace.clock = Clock::of_this_process();
    trace.probes = probes.describe();
    if let Some(events) = events {
        events.begin(trace)?;
    }
    Ok(probes)
}

fn pids(targets: &[Target]) -> Vec<Pid> {
    targets.iter().map(|target| target.pid).collect()
}

/// Measures what the same probes add to calls that do nothing, on a process of ours with a copy of the same
/// hook: a probe fires for every process that has mapped the file.
async fn calibrate(
    arguments: &TraceArguments,
    probes: &Probes,
    targets: &[Target],
) -> anyhow::Result<Calibration> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let hook = match targets.iter().find_map(|target| target.hook.as_ref()) {
        Some(hook) => Some(copy_hook(hook, folder.path())?),
        None => None,
    };
    let function = targets.iter().find_map(|target| target.function.as_ref());
    let kernel_probe = probes.kernel_probe();
    let is_pair = kernel_probe != KernelProbe::None || hook.is_some();
    let placement = machine::place(machine::Policy::OneCore, 1)?;
    let plan = Plan {
        kernel_probes: is_pair.then_some(kernel_probe).into_iter().collect(),
        functions: match function {
            Some(function) => Functions::Like(begins_with(function)?),
            None => Functions::No,
        },
        hook,
        bracket: None,
        site: arguments.site,
        rounds: arguments.calibration.calibration_rounds,
        trim: Trim::USUAL,
        seed: machine::unix_ns(),
        placement,
        log: folder.path().join("calibration.log"),
    };
    let bar = progress_bar();
    bar.set_message("calibrating the probes");
    let calibration = calibrate_or_say_why(&plan, kernel_probe.name(), &bar).await;
    bar.finish_and_clear();
    Ok(calibration)
}

/// A copy that whoever runs us may load.
fn copy_hook(hook: &LoadedHook, folder: &Path) -> anyhow::Result<HookSpec> {
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, readable.clone())?;
    let path = folder.join("hook.so");
    fs::copy(&hook.reachable, &path)
        .with_context(|| format!("cannot copy {}", hook.path.display()))?;
    fs::set_permissions(&path, readable)?;
    Ok(HookSpec {
        path,
        environment: Vec::new(),
    })
}

fn begins_with(function: &Function) -> anyhow::Result<FirstInstruction> {
    let mut code = [0; 16];
    let file = fs::File::open(&function.file)?;
    let length = file.read_at(&mut code, function.offset)?;
    Ok(FirstInstruction::of(&code[..length]))
}

/// How a trace ended.
enum Ended {
    /// As it was to end.
    AsAsked(String),
    /// Before.
    CutShort(String),
}

/// Everything that is open while tracing.
struct Session {
    probes: Probes,
    events: Option<EventLog>,
    pids: Vec<Pid>,
    attached: Instant,
}

impl Session {
    /// Traces until something ends it.
    async fn wait(
        &mut self,
        stop: &mut Stop,
        duration: Option<Duration>,
        mut live: Option<Live>,
    ) -> anyhow::Result<Ended> {
        let end = duration.map(|duration| self.attached + duration);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_behind = false;
        loop {
            let due = live.as_ref().map(Live::due);
            tokio::select! {
                reason = stop.requested() => return Ok(match end {
                    None => Ended::AsAsked(reason.to_owned()),
                    Some(_) => Ended::CutShort(reason.to_owned()),
                }),
                () = at(end) => return Ok(Ended::AsAsked("the duration is over".to_owned())),
                () = at(due) => if let Some(live) = &mut live {
                    live.print(&self.probes)?;
                },
                _ = tick.tick() => {
                    if let Some(events) = &mut self.events {
                        events.flush();
                    }
                    if self.pids.iter().all(|pid| processes::by_pid(*pid).is_err()) {
                        return Ok(Ended::AsAsked("the processes have ended".to_owned()));
                    }
                }
                woken = self.probes.readable() => woken?,
                () = yield_now(), if is_behind => {}
            }
            let events = &mut self.events;
            is_behind = !self.probes.drain_some(|record| {
                if let Some(events) = events {
                    events.push(record);
                }
                Ok(())
            })?;
            if let Some(trouble) = self.events.as_ref().and_then(EventLog::trouble) {
                return Ok(Ended::CutShort(trouble.to_owned()));
            }
        }
    }

    /// Detaches, takes the last records, and writes down what was seen.
    fn close(mut self, trace: &mut Trace, ended: anyhow::Result<Ended>) -> anyhow::Result<()> {
        trace.duration_s = self.attached.elapsed().as_secs_f64();
        trace.detached_ns = Some(machine::monotonic_ns());
        let detached = self.probes.detach();
        // And the eBPF side's last messages.
        let drained = self.probes.drain(|record| {
            if let Some(events) = &mut self.events {
                events.push(record);
            }
            Ok(())
        });
        let woken = self.probes.reader_woken();
        let finished = self.events.map(|events| events.finish(woken));
        let trouble = finished
            .as_ref()
            .and_then(|finished| finished.trouble.clone());
        (trace.ended, trace.cut_short) = match (ended, trouble) {
            (Ok(Ended::CutShort(reason)), _) | (Ok(Ended::AsAsked(_)), Some(reason)) => {
                (reason, true)
            }
            (Ok(Ended::AsAsked(reason)), None) => (reason, false),
            (Err(error), _) => (format!("{error:#}"), true),
        };
        detached?;
        drained?;
        trace.probes = self.probes.describe();
        trace.spans = summarize(&self.probes, trace.calibration.as_ref())?;
        trace.coverage = coverage(trace);
        trace.ledger = self.probes.ledger()?;
        if let Some(finished) = finished {
            trace.events = Some(finished.events.clone());
            finished.complete(trace)?;
        }
        Ok(())
    }
}

/// Waits until then; without an instant, for ever.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

fn find_targets(arguments: &TraceArguments) -> anyhow::Result<Vec<Target>> {
    let pids = match (arguments.pid, &arguments.exe, arguments.port) {
        (Some(pid), _, _) => processes::by_pid(pid)?,
        (_, Some(path), _) => processes::by_executable(path)?,
        (_, _, Some(port)) => processes::by_port(port)?,
        _ => bail!("one of --pid, --exe and --port is needed"),
    };
    pids.into_iter()
        .map(|pid| {
            let executable = PathBuf::from(format!("/proc/{pid}/exe"));
            // The programs know the registers of 64-bit processes; this refuses others.
            let elf =
                Elf::open(&executable).with_context(|| format!("cannot trace process {pid}"))?;
            let function = arguments.function.find(pid, &executable, &elf)?;
            Ok(Target {
                pid,
                arm: 0,
                hook: loaded_hook(pid)?,
                function,
            })
        })
        .collect()
}

fn describe(target: &Target) -> TraceTarget {
    let executable = fs::read_link(format!("/proc/{}/exe", target.pid)).unwrap_or_default();
    TraceTarget {
        pid: target.pid,
        executable: executable.display().to_string(),
        hook: target.hook.as_ref().map(LoadedHook::name),
    }
}

/// How many reads the hook saw. What was in flight at either end is in neither count, or in the first alone;
/// the ledger has it.
fn coverage(trace: &Trace) -> Option<Coverage> {
    let all_hooked = trace.targets.iter().all(|target| target.hook.is_some());
    if !all_hooked || trace.probes.kernel_probe == KernelProbe::None.name() {
        return None;
    }
    let count = |kind: SpanKind| {
        let spans = trace.spans.get(kind.name());
        spans.map_or(0, |spans| spans.count)
    };
    let (reads, hooked) = (
        count(SpanKind::ReadSyscall),
        count(SpanKind::HookedReadSyscall),
    );
    Some(Coverage {
        reads,
        hooked,
        outside: reads.saturating_sub(hooked),
    })
}

fn summarize(
    probes: &Probes,
    calibration: Option<&Calibration>,
) -> anyhow::Result<BTreeMap<String, SpanSummary>> {
    let mut spans = BTreeMap::new();
    for kind in SpanKind::ALL {
        let durations = probes.durations(0, kind)?;
        if !durations.histogram.is_empty() {
            let summary = summary(kind, &durations, calibration);
            spans.insert(kind.name().to_owned(), summary);
        }
    }
    Ok(spans)
}

/// Sums durations of one kind up.
pub(super) fn summary(
    kind: SpanKind,
    durations: &Durations,
    calibration: Option<&Calibration>,
) -> SpanSummary {
    let Durations { histogram, sum_ns } = durations;
    let summary = SpanSummary::of(histogram, *sum_ns);
    SpanSummary {
        corrected: calibration
            .and_then(|calibration| calibration.of(kind.name()))
            .map(|calibrated| corrected_span(&summary, calibrated)),
        ..summary
    }
}
