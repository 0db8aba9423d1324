//! The part that an agent in the servers' machine takes in a run: `--agent`.
//!
//! It is told of the run before the first request, gets the request log while the run goes on, and joins it to what it
//! has recorded. Whatever fails there, the load goes on, and keeps its own results.

mod client;
mod clock;
mod show;
mod stream;

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::Args;
use runlog::RunDirectory;
use runlog::agent_run::{AgentPart, AgentRun, Announcement, Finish};
use runlog::summary::LoadSummary;
use rustix::process::setpriority_process;

use self::client::{AgentClient, Failure};
use self::stream::{Sent, Stream};
use crate::clock::ServerClock;

pub use self::clock::AgentClock;
pub use self::show::print;

/// How long a join may take.
const JOIN_PATIENCE: Duration = Duration::from_mins(10);
/// How often to ask whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// The thread that sends stands back where it shares a core with the load.
const NICE: i32 = 10;

/// Which agent takes part.
#[derive(Args, Clone, Debug, Default)]
pub struct AgentOptions {
    /// Have this agent record the spans of the arms, and join them to the requests
    ///
    /// It must have been started with --runs-dir, and know the arms by the same names.
    #[arg(long = "agent", value_name = "URL")]
    pub agent_url: Option<String>,

    /// File whose first line is the agent's token
    #[arg(
        long = "agent-token-file",
        hide_short_help = true,
        value_name = "FILE",
        requires = "agent_url"
    )]
    pub agent_token_file: Option<PathBuf>,
}

impl AgentOptions {
    /// The agent, if there is to be one.
    pub fn client(&self) -> anyhow::Result<Option<AgentClient>> {
        let url = self.agent_url.as_deref();
        url.map(|url| AgentClient::new(url, self.agent_token_file.as_deref()))
            .transpose()
    }
}

/// The agent's clock, by which slices of time are cut; read for the first time.
pub fn clock_of(agent: &AgentClient, clock: &ServerClock) -> anyhow::Result<AgentClock> {
    AgentClock::read(agent.clone(), clock.clone()).with_context(|| {
        let url = agent.url();
        format!(
            "cannot read the clock of the agent at {url}, which slices of time need; nothing was sent (--agent)"
        )
    })
}

/// Announces a run to an agent.
pub fn announce(agent: AgentClient, announced: &Announcement) -> anyhow::Result<Announced> {
    let run = agent.announce(announced).with_context(|| {
        let url = agent.url();
        format!("the agent at {url} takes no part, and nothing was sent (--agent)")
    })?;
    for (arm, processes) in &run.processes {
        if *processes == 0 {
            eprintln!("loadgen: the agent observes no process of arm {arm} yet");
        }
    }
    Ok(Announced { agent, run })
}

/// A run that an agent records.
#[derive(Debug)]
pub struct Announced {
    agent: AgentClient,
    run: AgentRun,
}

/// A run whose logs are on their way.
#[derive(Debug)]
pub struct Session {
    agent: AgentClient,
    run: AgentRun,
    thread: JoinHandle<(Sent, Result<(), Failure>)>,
    ended: Sender<()>,
}

impl Announced {
    /// Begins to send the logs of the run.
    pub fn stream(self, directory: &RunDirectory) -> anyhow::Result<Session> {
        let Self { agent, run } = self;
        let mut stream = Stream::new(agent.clone(), run.id.clone(), directory);
        let (ended, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || {
                // Of this thread alone, on Linux. Without it the load still waits for nothing.
                let _ = setpriority_process(None, NICE);
                stream.run(&receiver)
            })?;
        Ok(Session {
            agent,
            run,
            thread,
            ended,
        })
    }
}

impl Session {
    /// The load has ended, and its logs are complete: sends the rest, and waits for what the agent makes of it.
    pub fn finish(self, summary: &LoadSummary) -> AgentPart {
        let Self {
            agent,
            run,
            thread,
            ended,
        } = self;
        drop(ended);
        let ended = Instant::now();
        let (sent, end) = thread.join().unwrap_or_else(|_| {
            let failure = Failure::NoAnswer("the thread that sends has failed".to_owned());
            (Sent::default(), Err(failure))
        });
        let catch_up_s = ended.elapsed().as_secs_f64();
        let url = agent.url().to_owned();
        let id = run.id.clone();
        let part = AgentPart {
            url,
            run: Some(run),
            trouble: None,
            most_behind_bytes: sent.most_behind,
            catch_up_s,
        };
        let result = end
            .map_err(|failure| {
                let all = sent.bytes.all();
                anyhow!(failure).context(format!("{all} bytes of the logs have reached it"))
            })
            .and_then(|()| conclude(&agent, &id, sent, summary));
        match result {
            Ok(run) => AgentPart {
                trouble: (run.result.is_none() || run.reason.is_some()).then(|| {
                    let reason = run.reason.as_deref().unwrap_or("it has no result");
                    format!("run {id} at the agent: {reason}")
                }),
                run: Some(run),
                ..part
            },
            Err(error) => AgentPart {
                trouble: Some(format!("run {id} at the agent: {error:#}")),
                ..part
            },
        }
    }
}

/// Tells the agent that the load has ended, and waits for its result.
fn conclude(
    agent: &AgentClient,
    id: &str,
    sent: Sent,
    summary: &LoadSummary,
) -> anyhow::Result<AgentRun> {
    let finish = Finish {
        bytes: sent.bytes,
        summary: summary.clone(),
    };
    let mut run = patiently(|| agent.finish(id, &finish))?;
    let give_up = Instant::now() + JOIN_PATIENCE;
    while !run.state.is_over() {
        anyhow::ensure!(
            Instant::now() < give_up,
            "it still joins after {} s: GET {}/v1/runs/{id} will tell",
            JOIN_PATIENCE.as_secs(),
            agent.url()
        );
        thread::sleep(ASK_EVERY);
        run = patiently(|| agent.run(id))?;
    }
    Ok(run)
}

/// Asks again where that may help.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    const TRIES: usize = 20;
    for _ in 1..TRIES {
        match ask() {
            Err(failure) if failure.may_pass() => thread::sleep(2 * ASK_EVERY),
            end => return end,
        }
    }
    ask()
}
