//! Requests at a rate: in each round, one to each server, and then all answers. So a server is woken once for each, as
//! in life, and the client spends little on it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::children::pin_to;
use anyhow::{Context as _, ensure};

use crate::agent::servers::Listening;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: agent-bench\r\n\r\n";
const ANSWER_ENDS: &[u8] = b"Hello World";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much lateness is made up for.
const CATCH_UP: Duration = Duration::from_millis(100);

/// A load that goes on: a thread for each CPU that has servers.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    begun: Instant,
    threads: Vec<JoinHandle<anyhow::Result<Loaded>>>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Requests that were answered.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// The connections, which are open.
    pub connections: Vec<TcpStream>,
}

impl Load {
    /// Connects to servers, and begins.
    pub fn begin(servers: &[Listening], requests_per_second: u32) -> anyhow::Result<Self> {
        let mut of_cpus: BTreeMap<usize, Vec<TcpStream>> = BTreeMap::new();
        for server in servers {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port));
            let stream = stream.context("cannot connect to a server")?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            of_cpus.entry(server.cpu).or_default().push(stream);
        }
        let every = Duration::from_secs_f64(servers.len() as f64 / f64::from(requests_per_second));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (cpu, connections) in of_cpus {
            let over = Arc::clone(&is_over);
            // On the CPU of its servers: to wake another, idle CPU for each request costs several times the request.
            let load = move || {
                pin_to(cpu)?;
                rounds(connections, every, &over)
            };
            threads.push(
                thread::Builder::new()
                    .name(format!("load-{cpu}"))
                    .spawn(load)?,
            );
        }
        Ok(Self {
            is_over,
            begun: Instant::now(),
            threads,
        })
    }

    /// Ends it.
    pub fn end(self) -> anyhow::Result<Loaded> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Loaded::default();
        for thread in self.threads {
            let loaded = thread.join().ok().context("the load has panicked")??;
            all.requests += loaded.requests;
            all.connections.extend(loaded.connections);
        }
        all.seconds = self.begun.elapsed().as_secs_f64();
        Ok(all)
    }
}

fn rounds(
    mut connections: Vec<TcpStream>,
    every: Duration,
    is_over: &AtomicBool,
) -> anyhow::Result<Loaded> {
    let mut due = Instant::now();
    let mut requests = 0;
    while !is_over.load(Ordering::Relaxed) {
        for connection in &mut connections {
            connection.write_all(REQUEST)?;
        }
        for connection in &mut connections {
            answer(connection)?;
        }
        requests += connections.len() as u64;
        due += every;
        let now = Instant::now();
        // A round that was late is made up for, and a machine that cannot keep up is not asked for ever more: the rate
        // that was reached is what is said.
        due = due.max(now.checked_sub(CATCH_UP).unwrap_or(now));
        thread::sleep(due.saturating_duration_since(now));
    }
    Ok(Loaded {
        requests,
        connections,
        ..Loaded::default()
    })
}

fn answer(connection: &mut TcpStream) -> anyhow::Result<()> {
    let mut answer = [0; 1_024];
    let mut length = 0;
    while !answer[..length].ends_with(ANSWER_ENDS) {
        let read = connection
            .read(&mut answer[length..])
            .context("a server does not answer")?;
        ensure!(read > 0, "a server has gone, or answers something else");
        length += read;
    }
    Ok(())
}
