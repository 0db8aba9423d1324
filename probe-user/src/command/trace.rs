//! `probe-user trace`: how long reads take in processes that run already, with or without a hook.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use probe_common::SpanKind;
use runlog::calibration::Calibration;
use runlog::trace::{SCHEMA, SpanSummary, Trace, TraceTarget};
use stats::Trim;
use tokio::time::sleep;

use crate::analysis::correct::corrected_span;
use crate::command::End;
use crate::command::function::FunctionArguments;
use crate::command::options::{CalibrationOptions, progress_bar};
use crate::discover::elf::Elf;
use crate::discover::processes::{self, Pid};
use crate::discover::sites::{LoadedHook, loaded_hook};
use crate::machine;
use crate::probes::attach::{Function, Target};
use crate::probes::{KernelProbe, Options, Probes, SiteChoice};
use crate::run::arms::HookSpec;
use crate::run::calibration::first_instruction::FirstInstruction;
use crate::run::calibration::{Functions, Plan, calibrate_or_say_why};
use crate::run::stop::Stop;
use crate::show;

/// How often targets are looked at, and the eBPF side's messages passed on.
const TICK: Duration = Duration::from_millis(50);

/// Share of the calibration's values left out at each end: what interrupts add is no bias.
const CALIBRATION_TRIM: f64 = 0.05;

/// Options of `trace`.
#[derive(Args, Debug)]
#[command(
    group(clap::ArgGroup::new("target").required(true)),
    after_help = "\
Examples:
  sudo probe-user trace --port 6379 --duration 10
  sudo probe-user trace --pid 4242 --symbol handle_request
  sudo probe-user trace --pid 4242 --lib libc.so.6 --symbol malloc
  sudo probe-user trace --pid 4242 --offset 0x1234    a function without a name, by nm's address

Do not time functions that exceptions pass through or that coroutines yield in: docs/functions.md"
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

    /// What brackets read(2) in the kernel
    #[arg(long, value_enum, default_value_t = KernelProbe::Auto)]
    kernel_probe: KernelProbe,

    /// Where in the hook's probe sites to attach
    #[arg(long, value_enum, default_value_t = SiteChoice::Auto)]
    site: SiteChoice,

    /// Have the kernel count and time our eBPF programs, which slows them by two clock reads a run
    #[arg(long)]
    program_stats: bool,

    #[command(flatten)]
    calibration: CalibrationOptions,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Traces.
pub async fn trace(arguments: TraceArguments) -> anyhow::Result<End> {
    let duration = match arguments.duration {
        Some(seconds) if !(seconds > 0.0 && seconds <= 1e9) => {
            bail!("--duration {seconds}: must be a number of seconds above 0")
        }
        seconds => seconds.map(Duration::from_secs_f64),
    };
    if !processes::in_root_pid_namespace() {
        bail!("{}", processes::OWN_PID_NAMESPACE);
    }
    let mut stop = Stop::listen()?;
    let targets = find_targets(&arguments)?;
    let described = targets.iter().map(describe).collect();
    let pids: Vec<Pid> = targets.iter().map(|target| target.pid).collect();

    let mut probes = Probes::load(Options {
        kernel_probe: arguments.kernel_probe,
        ring_bytes: None,
        site: arguments.site,
        program_stats: arguments.program_stats,
        arms: 1,
        function_threads: arguments.function.threads(&pids),
    })?;
    let calibration = if arguments.calibration.calibration_rounds > 0 {
        Some(tokio::select! {
            calibration = calibrate(&arguments, &probes, &targets) => calibration?,
            reason = stop.requested() => bail!("{reason} before the probes were attached"),
        })
    } else {
        None
    };
    probes.set_targets(targets)?;
    probes.attach()?;
    let attached = Instant::now();
    eprintln!("probe-user: attached to {}", show::list(&pids));
    let ended = wait(&mut probes, &mut stop, &pids, duration).await;
    let duration_s = attached.elapsed().as_secs_f64();
    probes.detach()?;
    // The eBPF side's last messages.
    probes.drain(|_| Ok(()))?;

    let trace = Trace {
        schema: SCHEMA.to_owned(),
        targets: described,
        duration_s,
        ended: ended?,
        probes: probes.describe(),
        spans: summarize(&probes, calibration.as_ref())?,
        calibration,
        ledger: probes.ledger()?,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&trace)?);
    } else {
        show::trace::print(&trace);
    }
    Ok(if trace.ledger.balanced {
        End::Complete
    } else {
        End::NotUsable
    })
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
        site: arguments.site,
        rounds: arguments.calibration.calibration_rounds,
        trim: Trim::each_end(CALIBRATION_TRIM).unwrap_or(Trim::NONE),
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

async fn wait(
    probes: &mut Probes,
    stop: &mut Stop,
    pids: &[Pid],
    duration: Option<Duration>,
) -> anyhow::Result<String> {
    let end = duration.map(|duration| Instant::now() + duration);
    loop {
        tokio::select! {
            reason = stop.requested() => return Ok(reason.to_owned()),
            () = sleep(TICK) => {}
        }
        probes.drain(|_| Ok(()))?;
        if end.is_some_and(|end| Instant::now() >= end) {
            return Ok("the duration is over".to_owned());
        }
        if pids.iter().all(|pid| processes::by_pid(*pid).is_err()) {
            return Ok("the processes have ended".to_owned());
        }
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
        hook: target
            .hook
            .as_ref()
            .map(|hook| hook.path.display().to_string()),
    }
}

fn summarize(
    probes: &Probes,
    calibration: Option<&Calibration>,
) -> anyhow::Result<BTreeMap<String, SpanSummary>> {
    let mut spans = BTreeMap::new();
    for kind in SpanKind::ALL {
        let histogram = probes.histogram(0, kind)?;
        if histogram.is_empty() {
            continue;
        }
        let summary = SpanSummary {
            count: histogram.len(),
            mean_ns: probes.sum_ns(0, kind)? as f64 / histogram.len() as f64,
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
            corrected: None,
        };
        let summary = SpanSummary {
            corrected: calibration
                .and_then(|calibration| calibration.of(kind.name()))
                .map(|calibrated| corrected_span(&summary, calibrated)),
            ..summary
        };
        spans.insert(kind.name().to_owned(), summary);
    }
    Ok(spans)
}
