//! `probe-user agent`: watches the arms of a machine for as long as it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use cli::outln;
use tokio::net::TcpListener;

use crate::agent::core::{Core, Plan};
use crate::agent::http::{Access, Services, router, serve};
use crate::agent::rules::{IdPrefix, Named, Rules};
use crate::agent::runs::{Limits, Runs};
use crate::command::End;
use crate::machine;
use crate::run::stop::Stop;
use probes::ring::check_ring_bytes;
use probes::{KernelProbe, Options, SiteChoice, Writing};
use verdict::doubt::find;

/// Options of `agent`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo probe-user agent             watch processes that have HOOKPROBE_ARM set
  HOOKPROBE_ARM=hooked LD_PRELOAD=/opt/hook/readhook.so ./server
  curl http://127.0.0.1:9464/metrics            for Prometheus; JSON: /v1/arms
  sudo probe-user agent --port web=8080 --exe /usr/bin/redis-server
  sudo probe-user agent --listen 0.0.0.0:9464 --token-file /run/secrets/token
  curl -H \"Authorization: Bearer $TOKEN\" http://node:9464/v1/arms

SIGTERM and Ctrl-C detach and end it.")]
pub struct AgentArguments {
    /// Address and port to listen on; beyond loopback a token is needed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,

    /// File whose first line is the token that callers must know; /healthz and /readyz answer without
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Watch processes that run this executable, by the path that they see [arm: the file's name]
    #[arg(long = "exe", value_name = "[ARM=]PATH")]
    executables: Vec<Named<PathBuf>>,

    /// Watch processes that listen on this TCP port, in any network namespace [arm: port-N]
    #[arg(long = "port", value_name = "[ARM=]PORT")]
    ports: Vec<Named<u16>>,

    /// Watch all processes of the container whose id begins like this [arm: this]
    #[arg(long = "container", value_name = "[ARM=]ID")]
    containers: Vec<Named<IdPrefix>>,

    /// Watch all processes of the pod with this UID [arm: the UID]
    #[arg(long = "pod", value_name = "[ARM=]UID")]
    pods: Vec<Named<String>>,

    /// How often to look for processes that have begun or ended
    #[arg(
        long,
        hide_short_help = true,
        value_name = "SECONDS",
        default_value_t = 1.0
    )]
    scan_interval: f64,

    /// Arms in containers to keep figures of
    ///
    /// The kernel sets memory aside for each. Beyond, those without processes are forgotten, the longest dead first.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    max_series: u32,

    /// Take part in runs of load generators, and keep them in this folder
    ///
    /// While one goes on, the spans of its arms are recorded.
    #[arg(long, value_name = "DIR")]
    runs_dir: Option<PathBuf>,

    /// Runs to keep
    #[arg(long, hide_short_help = true, value_name = "N", default_value_t = 100, requires = "runs_dir", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_runs: u32,

    /// Bytes that a run may have, the load generator's logs and the spans; then it is cut short
    #[arg(long, hide_short_help = true, value_name = "BYTES", default_value_t = 4 << 30, requires = "runs_dir", value_parser = clap::value_parser!(u64).range(1..))]
    max_run_bytes: u64,

    /// Seconds that a run may take; then it is cut short
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 3_600, requires = "runs_dir", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_run_seconds: u64,

    /// Size of the ring buffer for the spans of runs, a power of two
    #[arg(long, hide_short_help = true, value_name = "BYTES", default_value_t = 16 * 1024 * 1024, requires = "runs_dir")]
    ring_bytes: u32,

    /// Write down here, each time it looks, what it observes
    ///
    /// Started again after it was killed, it counts as unobserved the gap alone, and not all the time that processes ran
    /// before.
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// Name of this node, for `probe-user merge` [default: the host's]
    #[arg(long, value_name = "NAME", env = "HOOKPROBE_NODE")]
    node: Option<String>,

    /// Use no eBPF probes, but only what bracketed processes of trials record in shared memory
    ///
    /// It takes no rights beyond seeing these processes. Without the rights to probe it is so in any case.
    #[arg(long)]
    no_probes: bool,

    /// What brackets read(2) in the kernel
    #[arg(long, hide_short_help = true, value_enum, default_value_t = KernelProbe::Auto)]
    kernel_probe: KernelProbe,

    /// Where in the hook's probe sites to attach
    #[arg(long, hide_short_help = true, value_enum, default_value_t = SiteChoice::Auto)]
    site: SiteChoice,
}

/// Watches until a signal.
pub async fn agent(arguments: AgentArguments) -> anyhow::Result<End> {
    let every = arguments.scan_interval;
    ensure!(
        (0.05..=3_600.0).contains(&every),
        "--scan-interval {every}: must be a number of seconds from 0.05 to 3600"
    );
    check_ring_bytes(arguments.ring_bytes)?;
    let access = Access::by_token_in(arguments.token_file.as_deref())?;
    let listen = arguments.listen;
    ensure!(
        listen.ip().is_loopback() || access.has_token(),
        "--listen {listen}: beyond loopback a token is needed, that callers must know: --token-file FILE"
    );
    let mut stop = Stop::listen()?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (--listen)"))?;
    let address = listener.local_addr()?;
    let limits = Limits {
        runs: usize::try_from(arguments.max_runs)?,
        bytes: arguments.max_run_bytes,
        time: Duration::from_secs(arguments.max_run_seconds),
    };
    let runs_dir = arguments.runs_dir.clone();
    let mut core = Core::start(plan(arguments, every)).context("cannot start a thread")?;
    let runs = runs_dir.map(|folder| Runs::open(folder, limits, core.clone()));
    let runs = runs.transpose()?;
    let services = Services {
        core: core.clone(),
        runs: runs.clone(),
    };
    // Whoever has started us can wait for this line.
    outln!("http://{address}/");
    let serving = serve(listener, router(services, access));
    tokio::select! {
        served = serving => match served? {},
        reason = core.failed() => bail!("{reason}"),
        reason = stop.requested() => eprintln!("probe-user: {reason}; detaching"),
    }
    if let Some(runs) = runs {
        runs.shut_down().await;
    }
    let ledger = core.end().await?;
    let is_sound = find::of_balance(&ledger).is_none();
    eprintln!(
        "probe-user: ledger {}: {} hits, {} recorded, {} dropped, {} unpaired ({} unexplained), {} in \
         flight; {} missed",
        if is_sound {
            "balances"
        } else {
            "does not balance"
        },
        ledger.hits,
        ledger.recorded,
        ledger.dropped,
        ledger.unpaired,
        ledger.unexplained,
        ledger.in_flight,
        ledger.missed
    );
    Ok(if is_sound {
        End::Complete
    } else {
        End::NotUsable
    })
}

fn plan(arguments: AgentArguments, every: f64) -> Plan {
    Plan {
        places: arguments.max_series,
        options: (!arguments.no_probes).then_some(Options {
            kernel_probe: arguments.kernel_probe,
            ring_bytes: arguments.runs_dir.as_ref().map(|_| arguments.ring_bytes),
            read_records: true,
            writing: Writing::WhileAskedFor,
            site: arguments.site,
            program_stats: false,
            arms: arguments.max_series,
            function_threads: 0,
        }),
        rules: Rules {
            executables: arguments.executables,
            ports: arguments.ports,
            containers: arguments.containers,
            pods: arguments.pods,
        },
        every: Duration::from_secs_f64(every),
        state_file: arguments.state_file,
        node: arguments.node.unwrap_or_else(machine::node_name),
    }
}
