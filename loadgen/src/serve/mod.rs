//! `loadgen serve`: a page and an API that start, watch and stop loads, one at a time.
//!
//! Each load is a process of its own: see [`process`].

mod access;
mod api;
mod history;
mod listen;
mod process;
mod runs;
mod targets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use cli::{End, outln};
use runlog::load_api::{Limits, NamedUrl};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use web::access::{read_token_file, token_in};

use self::access::Access;
use self::api::{Server, router};
use self::runs::Runs;
use self::targets::Allowed;
use crate::agent::AgentOptions;
use crate::target::Arm;

/// The token, for who cannot give a file.
const TOKEN_VARIABLE: &str = "LOADGEN_TOKEN";
/// Arms of a run.
const MAX_ARMS: usize = 16;

/// Options of `loadgen serve`.
#[derive(Args, Debug)]
pub struct ServeArguments {
    /// An arm that the page offers, and that requests may go to; repeat for more
    #[arg(long = "arm", value_name = "NAME=URL")]
    arms: Vec<Arm>,

    /// Where else requests may go: URLs that begin like this one; repeat for more
    #[arg(long, value_name = "URL")]
    allow: Vec<Allowed>,

    /// Address and port to listen on; beyond loopback a token is needed
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8089")]
    listen: SocketAddr,

    /// File whose first line is the token that callers must know [default: that of `LOADGEN_TOKEN`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Folder with a folder for each run; those that are there are shown too
    #[arg(long, value_name = "DIR", default_value = "runs")]
    runs: PathBuf,

    #[command(flatten)]
    agent: AgentOptions,

    /// Requests that a run may have, over all arms
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    max_requests: u64,

    /// Seconds that a run may take; then it is stopped, and what was measured is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_seconds: u64,
}

/// Serves until a signal.
pub fn serve(arguments: &ServeArguments) -> anyhow::Result<End> {
    let token = token(arguments.token_file.as_deref())?;
    let loopback = arguments.listen.ip().is_loopback();
    ensure!(
        loopback || token.is_some(),
        "--listen {}: beyond loopback a token is needed, that callers must know: --token-file FILE or \
         ${TOKEN_VARIABLE}",
        arguments.listen
    );
    let mut allowed = arguments.allow.clone();
    for arm in &arguments.arms {
        let place = arm.url.split('?').next().unwrap_or(&arm.url);
        let place: Allowed = place
            .parse()
            .with_context(|| format!("--arm {}", arm.name))?;
        if !allowed.contains(&place) {
            allowed.push(place);
        }
    }
    ensure!(
        !allowed.is_empty(),
        "there is nowhere that requests may go: give --arm NAME=URL or --allow URL"
    );
    let limits = Limits {
        arms: MAX_ARMS,
        requests: arguments.max_requests,
        seconds: arguments.max_seconds,
    };
    let server = Server {
        runs: Arc::new(Runs::new(
            arguments.runs.clone(),
            allowed,
            limits,
            arguments.agent.clone(),
        )?),
        access: Access::new(loopback, token)?,
        arms: arguments
            .arms
            .iter()
            .map(|arm| NamedUrl {
                name: arm.name.clone(),
                url: arm.url.clone(),
            })
            .collect(),
    };
    // One thread: the machine's others are for the load and the servers.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the server")?
        .block_on(run(server, arguments.listen))
}

async fn run(server: Server, address: SocketAddr) -> anyhow::Result<End> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (--listen)"))?;
    let runs = Arc::clone(&server.runs);
    let mut signals = Signals::new()?;
    outln!("http://{}/", listener.local_addr()?);
    tokio::select! {
        ended = listen::serve(listener, router(server)) => match ended? {},
        () = signals.next() => {}
    }
    if !runs.stop_current("the server was stopped") {
        return Ok(End::Complete);
    }
    eprintln!("loadgen serve: the load writes what it has measured; Ctrl-C ends it at once");
    tokio::select! {
        () = runs.idle() => Ok(End::Complete),
        // The load is killed with its handle.
        () = signals.next() => Ok(End::CutShort),
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The token, if there is to be one.
fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let (text, origin) = match file {
        Some(path) => (read_token_file(path)?, "--token-file"),
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => (text, TOKEN_VARIABLE),
            Err(std::env::VarError::NotPresent) => return Ok(None),
            Err(error) => bail!("{TOKEN_VARIABLE}: {error}"),
        },
    };
    Ok(Some(token_in(&text, origin)?.to_owned()))
}
