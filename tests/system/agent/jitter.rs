//! A network whose messages arrive late by chance, where the kernel has no `netem`: a relay that holds each of them back.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The longest delay of a message, one way; all up to it are equally likely.
const LONGEST_NS: u64 = 200_000;
/// Where it runs, in a busy loop, as timers are late by more than what it is to wait: on no CPU of what is measured.
const CPU: usize = 1;

/// Takes connections on a port of its own, in the network namespace of the thread that starts it, and passes on what comes, late.
pub struct Relay {
    pub port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Relay {
    /// In front of the server on this port.
    pub fn start(server: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut cpus = CpuSet::new();
            cpus.set(CPU);
            sched_setaffinity(None, &cpus).context("no CPU for the relay")?;
            pass_on(&listener, server, &over)
        });
        Ok(Self {
            port,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            println!("the relay has failed: {error:#}");
        }
    }
}

fn pass_on(listener: &TcpListener, server: u16, is_over: &AtomicBool) -> anyhow::Result<()> {
    let mut ways: Vec<Way> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((client, _)) = listener.accept() {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
            for stream in [&client, &server] {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
            }
            ways.push(Way::new(client.try_clone()?, server.try_clone()?));
            ways.push(Way::new(server, client));
        }
        ways.retain_mut(|way| {
            let goes_on = way.turn().is_ok();
            if !goes_on {
                let _ = way.to.shutdown(Shutdown::Both); // of one that is gone, too
            }
            goes_on
        });
    }
    Ok(())
}

/// One direction of a connection. Messages do not overtake each other.
struct Way {
    from: TcpStream,
    to: TcpStream,
    waiting: VecDeque<(Instant, Vec<u8>)>,
    state: u64,
}

impl Way {
    fn new(from: TcpStream, to: TcpStream) -> Self {
        // Another sequence in each run: else the arms, which are the same in each, would always get the same delays.
        let seed = RandomState::new().hash_one(());
        Self {
            from,
            to,
            waiting: VecDeque::new(),
            state: seed | 1,
        }
    }

    /// Takes what has come, and passes on what is due. An error is its end.
    fn turn(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        match self.from.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                let due = Instant::now() + Duration::from_nanos(self.draw() % LONGEST_NS);
                self.waiting.push_back((due, buffer[..length].to_vec()));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some((due, message)) = self.waiting.front()
            && *due <= Instant::now()
        {
            self.to.write_all(message)?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Xorshift64 (Marsaglia, 2003).
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}
