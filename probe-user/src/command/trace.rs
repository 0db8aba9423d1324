//! `probe-user trace`: how long reads take in processes that run already, with or without a hook.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use probe_common::SpanKind;
use runlog::trace::{SCHEMA, SpanSummary, Trace, TraceTarget};
use tokio::time::sleep;

use crate::command::End;
use crate::discover::elf::Elf;
use crate::discover::mapped::find_library;
use crate::discover::processes::{self, Pid};
use crate::discover::sites::loaded_hook;
use crate::probes::attach::{Function, Target};
use crate::probes::{KernelProbe, Options, Probes, SiteChoice};
use crate::run::stop::Stop;
use crate::show;

/// How often targets are looked at, and the eBPF side's messages passed on.
const TICK: Duration = Duration::from_millis(50);

/// Options of `trace`.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("target").required(true)))]
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

    /// Also time a function: its name
    #[arg(long, value_name = "NAME")]
    symbol: Option<String>,

    /// The library that has the function: a path, or a name as in libc.so.6 [default: the
    /// executable]
    #[arg(long, value_name = "LIBRARY", requires = "symbol")]
    lib: Option<PathBuf>,

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
    })?;
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
        spans: summarize(&probes)?,
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
            let function = match &arguments.symbol {
                None => None,
                Some(symbol) => Some(find_function(pid, arguments, symbol, &executable, &elf)?),
            };
            Ok(Target {
                pid,
                arm: 0,
                hook: loaded_hook(pid)?,
                function,
            })
        })
        .collect()
}

fn find_function(
    pid: Pid,
    arguments: &TraceArguments,
    symbol: &str,
    executable: &std::path::Path,
    elf: &Elf,
) -> anyhow::Result<Function> {
    let Some(library) = &arguments.lib else {
        return Ok(Function {
            offset: elf.function_offset(symbol)?,
            file: executable.to_owned(),
        });
    };
    if !elf.is_dynamic_executable()? {
        bail!(
            "process {pid} ({}) is statically linked: it has no libraries; leave --lib out to look \
             for \"{symbol}\" in the executable itself",
            fs::read_link(executable).unwrap_or_default().display()
        );
    }
    let file = find_library(pid, library)?;
    let offset = Elf::open(&file.reachable)?
        .function_offset(symbol)
        .with_context(|| format!("in {}", file.path.display()))?;
    Ok(Function {
        file: file.reachable,
        offset,
    })
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

fn summarize(probes: &Probes) -> anyhow::Result<std::collections::BTreeMap<String, SpanSummary>> {
    let mut spans = std::collections::BTreeMap::new();
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
        };
        spans.insert(kind.name().to_owned(), summary);
    }
    Ok(spans)
}
