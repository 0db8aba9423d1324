//! Requests at a rate: in each round, one to each server, and then all answers. So a server is woken once for each, as
//! in life, and the client spends little on it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: agent-bench\r\n\r\n";
const ANSWER_ENDS: &[u8] = b"Hello World";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A load that goes on.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Loaded>>,
}

/// What was done.
#[derive(Debug)]
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
    pub fn begin(ports: &[u16], requests_per_second: u32) -> anyhow::Result<Self> {
        let connections = ports.iter().map(|port| {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let connections: Vec<TcpStream> = connections
            .collect::<std::io::Result<_>>()
            .context("cannot connect to a server")?;
        let every =
            Duration::from_secs_f64(connections.len() as f64 / f64::from(requests_per_second));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || rounds(connections, every, &over))?;
        Ok(Self { is_over, thread })
    }

    /// Ends it.
    pub fn end(self) -> anyhow::Result<Loaded> {
        self.is_over.store(true, Ordering::Relaxed);
        let loaded = self.thread.join();
        loaded.ok().context("the load has panicked")?
    }
}

fn rounds(
    mut connections: Vec<TcpStream>,
    every: Duration,
    is_over: &AtomicBool,
) -> anyhow::Result<Loaded> {
    let begun = Instant::now();
    let mut due = begun;
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
        // What was not done in time is not made up for: the rate that was reached is what is said.
        due = due.max(now);
        thread::sleep(due - now);
    }
    Ok(Loaded {
        requests,
        seconds: begun.elapsed().as_secs_f64(),
        connections,
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
