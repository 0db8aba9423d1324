//! `sut`: the HTTP system under test. Its socket reads are `read(2)`, so that a hook on `read`
//! takes hold.

mod answer;
mod http;
mod sequence_log;
mod server;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use cli::outln;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::sequence_log::SequenceLog;
use crate::server::{Settings, serve};

/// HTTP/1.1 server to measure a hook on: / answers "Hello World", /echo the request's body,
/// /work?us=N after burning N microseconds of CPU.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Examples:
  sut --port 8080 --quiet
  LD_PRELOAD=./readhook.so SERVER_PORT=8081 sut
  curl http://127.0.0.1:8080/work?us=250"
)]
struct Arguments {
    /// TCP port; 0 takes a free one, which the first line of output names
    #[arg(long, env = "SERVER_PORT", default_value_t = 8080)]
    port: u16,

    /// Address to listen on; 0.0.0.0 for all, as in a container
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    bind: IpAddr,

    /// Threads that serve connections
    #[arg(long, default_value = "1", value_name = "N")]
    threads: NonZeroUsize,

    /// Do not log a line for each request
    #[arg(long)]
    quiet: bool,

    /// Test mode: write which read delivered which sequence number to this CSV file
    #[arg(long, value_name = "FILE")]
    sequence_log: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments: Arguments = cli::parse();
    let mut runtime = if arguments.threads.get() == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(arguments.threads.get());
        runtime
    };
    runtime
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let sequence_log = match &arguments.sequence_log {
        Some(path) => Some(
            SequenceLog::create(path)
                .with_context(|| format!("cannot write --sequence-log {}", path.display()))?,
        ),
        None => None,
    };
    let address = SocketAddr::new(arguments.bind, arguments.port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another port with --port or SERVER_PORT")
    })?;
    // Programs that start this one wait for the line.
    outln!("sut: listening on http://{}", listener.local_addr()?);

    let settings = Arc::new(Settings {
        quiet: arguments.quiet,
        sequence_log,
    });
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = serve(listener, Arc::clone(&settings)) => {}
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    if let Some(log) = &settings.sequence_log {
        log.flush().context("cannot write the sequence log")?;
    }
    Ok(())
}
