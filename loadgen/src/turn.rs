//! One turn of the schedule: a block, or two at once.
//!
//! Of two, each has a thread and, where CPUs were named, a CPU of its own. Their rows are kept in memory
//! until both have ended, so that the log holds one block after the other.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Barrier};
use std::thread;

use anyhow::Context as _;
use runlog::record::{ClientConnection, Request};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::client::{ArmTarget, BlockReport, Client, Log, Logs, Numbered, Settings};
use crate::live::Live;

/// Runs turns.
#[derive(Debug)]
pub struct Runner {
    /// One for each block of a turn.
    clients: Vec<Client>,
    /// The CPU of each, or nothing.
    cpus: Vec<usize>,
}

/// The rows of a block that runs beside another.
#[derive(Debug, Default)]
struct Rows {
    requests: Vec<Request>,
    connections: Vec<ClientConnection>,
}

impl Log for Rows {
    fn request(&mut self, request: &Request) -> runlog::Result<()> {
        self.requests.push(*request);
        Ok(())
    }

    fn connection(&mut self, connection: &ClientConnection) -> runlog::Result<()> {
        self.connections.push(*connection);
        Ok(())
    }
}

impl Runner {
    /// A runner of `at_once` blocks, on these CPUs.
    pub fn new(
        at_once: usize,
        settings: Settings,
        stop: &Arc<AtomicBool>,
        cpus: &[usize],
    ) -> anyhow::Result<Self> {
        let next_connection = Arc::new(AtomicU32::new(0));
        let clients = (0..at_once)
            .map(|_| {
                let stop = Arc::clone(stop);
                Client::new(settings, stop, Arc::clone(&next_connection))
            })
            .collect::<Result<_, _>>()
            .context("cannot set up polling")?;
        Ok(Self {
            clients,
            cpus: cpus.to_vec(),
        })
    }

    /// How many blocks a turn has.
    pub fn at_once(&self) -> usize {
        self.clients.len()
    }

    /// Runs the blocks of a turn, of different arms, and logs them. Says what each came to.
    pub fn run(
        &mut self,
        blocks: &[Numbered],
        targets: &mut [Vec<ArmTarget>],
        logs: &mut Logs,
        live: &Live,
    ) -> anyhow::Result<Vec<BlockReport>> {
        match (&mut self.clients[..], blocks) {
            ([client], [numbered]) => {
                let target = server_of(&mut targets[usize::from(numbered.block.arm)], numbered)?;
                Ok(vec![run_one(client, target, *numbered, logs, live)?])
            }
            ([left, right], [first, second]) => {
                let arms = [first, second].map(|numbered| usize::from(numbered.block.arm));
                let [one, other] = targets
                    .get_disjoint_mut(arms)
                    .context("an arm cannot run beside itself")?;
                let (one, other) = (server_of(one, first)?, server_of(other, second)?);
                let barrier = Barrier::new(2);
                let cpu = |side: usize| self.cpus.get(side).copied();
                let sides = [(left, one, first, cpu(0)), (right, other, second, cpu(1))];
                let ends = thread::scope(|scope| {
                    let sides = sides.map(|(client, target, numbered, cpu)| {
                        let barrier = &barrier;
                        scope.spawn(move || {
                            let bound = cpu.map_or(Ok(()), bind_to);
                            let mut rows = Rows::default();
                            // The other side waits here, whatever has become of this one.
                            barrier.wait();
                            bound.context("--side-cpus")?;
                            let end = run_one(client, target, *numbered, &mut rows, live);
                            end.map(|end| (end, rows))
                        })
                    });
                    sides.map(|side| {
                        side.join()
                            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                    })
                });
                let mut reports = Vec::new();
                let mut failure = None;
                for end in ends {
                    match end {
                        Ok((report, rows)) => {
                            for request in &rows.requests {
                                logs.request(request)?;
                            }
                            for connection in &rows.connections {
                                logs.connection(connection)?;
                            }
                            reports.push(report);
                        }
                        Err(error) => failure = Some(error),
                    }
                }
                failure.map_or(Ok(reports), Err)
            }
            _ => anyhow::bail!("a turn has as many blocks as there are sides"),
        }
    }
}

fn server_of<'t>(
    servers: &'t mut [ArmTarget],
    numbered: &Numbered,
) -> anyhow::Result<&'t mut ArmTarget> {
    servers
        .get_mut(numbered.block.server)
        .context("an arm has fewer servers than the others")
}

fn run_one(
    client: &mut Client,
    target: &mut ArmTarget,
    numbered: Numbered,
    log: &mut dyn Log,
    live: &Live,
) -> anyhow::Result<BlockReport> {
    let block = live.begin_block(target.arms.clone());
    client.run_block(target, numbered, log, &mut |request| block.count(request))
}

/// Binds this thread to a CPU.
pub fn bind_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        anyhow::bail!("there is no CPU {cpu}");
    }
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot bind to CPU {cpu}"))
}
