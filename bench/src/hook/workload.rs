//! The process whose reads are timed: with a hook preloaded, or none. It is this program again, as
//! `bench hook-worker`.
//!
//! Both reads are timed in one process and on one descriptor, in batches and in random order, so that
//! nothing differs but the hook. A batch reads what was written before it began: no read waits.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use rand::Rng as _;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use stats::moments::quantile;

use crate::children::pin_to;
use crate::hook::calls::{Read, accept};
use crate::hook::corpus::messages;
use crate::worker::serve;

/// Bytes that a batch reads at most. They must be in the socket before it begins.
const BATCH_BYTES: usize = 96 * 1024;
/// Room for them in the socket's buffer. The kernel counts more than the bytes alone.
const SOCKET_BYTES: usize = 208 * 1024;

/// Reads of `/dev/zero` in a batch.
const ZERO_CALLS: usize = 200;

/// What is read.
#[derive(Args, Clone, Debug)]
pub struct WorkerArguments {
    /// Descriptor to read from
    #[arg(long, value_enum)]
    pub from: From,
    /// Name of what is read, in the corpus
    #[arg(long)]
    pub message: String,
    /// Spoil the words that occur in it
    #[arg(long)]
    pub without_words: bool,
    /// Threads that read at once
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Batches of each read
    #[arg(long, default_value_t = 1)]
    pub batches: usize,
    /// CPU to run on; several threads run on any
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Fail unless a hook is loaded
    #[arg(long)]
    pub must_be_hooked: bool,
    /// Make so many calls of one read instead, for callgrind
    #[arg(long, requires = "through")]
    pub count: Option<usize>,
    /// Which
    #[arg(long, value_enum)]
    pub through: Option<Through>,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// `/dev/zero`, one byte at a time: no hook tracks it.
    Zero,
    /// A connection that `accept` returned.
    Connection,
}

/// One of the two reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Through {
    /// The symbol `read`.
    Hook,
    /// The C library's.
    Bare,
}

/// What a read takes: the median over batches, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Took {
    /// By the symbol `read`.
    pub hooked_ns: f64,
    /// Past it.
    pub bare_ns: f64,
}

/// Measures once for each order.
pub fn work(arguments: &WorkerArguments) -> anyhow::Result<()> {
    let is_hooked = Read::is_hook_loaded()?;
    ensure!(
        is_hooked || !arguments.must_be_hooked,
        "the hook has not been loaded"
    );
    if let (Some(cpu), 1) = (arguments.cpu, arguments.threads) {
        pin_to(cpu)?;
    }
    if let (Some(count), Some(through)) = (arguments.count, arguments.through) {
        return make_calls(arguments, count, through);
    }
    let mut sources: Vec<Source> = (0..arguments.threads)
        .map(|_| Source::open(arguments))
        .collect::<Result<_, _>>()?;
    serve(|()| measure(&mut sources, arguments.batches))
}

fn make_calls(arguments: &WorkerArguments, count: usize, through: Through) -> anyhow::Result<()> {
    let read = match through {
        Through::Hook => Read::hooked(),
        Through::Bare => Read::bare()?,
    };
    let mut source = Source::open(arguments)?;
    let mut made = 0;
    while made < count {
        source.prepare()?;
        made += source.read_batch(read)?;
    }
    ensure!(
        made == count,
        "{count} calls are no whole number of batches"
    );
    Ok(())
}

fn measure(sources: &mut [Source], batches: usize) -> anyhow::Result<Took> {
    let clock = if sources.len() == 1 {
        ClockId::Monotonic
    } else {
        // Threads take turns on the CPUs, and what one waits for another is not the hook's.
        ClockId::ThreadCPUTime
    };
    let reads = [Read::hooked(), Read::bare()?];
    let start = Barrier::new(sources.len());
    let batches_of = |source: &mut Source| -> anyhow::Result<[Vec<f64>; 2]> {
        start.wait();
        let mut random = rand::rng();
        // Warms up: caches, branch predictors, the socket's window.
        for read in reads {
            source.timed(read, clock)?;
            source.timed(read, clock)?;
        }
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..batches {
            let first = usize::from(random.random::<bool>());
            for which in [first, 1 - first] {
                took[which].push(source.timed(reads[which], clock)?);
            }
        }
        Ok(took)
    };
    let took = thread::scope(|scope| {
        let (ours, others) = sources.split_first_mut().context("no thread")?;
        let others: Vec<_> = others
            .iter_mut()
            .map(|source| scope.spawn(|| batches_of(source)))
            .collect();
        let mut took = vec![batches_of(ours)?];
        for other in others {
            let result = other.join();
            took.push(result.map_err(|_| anyhow::Error::msg("a thread has panicked"))??);
        }
        anyhow::Ok(took)
    })?;
    let mut all = [Vec::new(), Vec::new()];
    for of_thread in took {
        for (all, of_thread) in all.iter_mut().zip(of_thread) {
            all.extend(of_thread);
        }
    }
    let [hooked, bare] = all.map(|took| quantile(&took, 0.5).context("no batch"));
    Ok(Took {
        hooked_ns: hooked?,
        bare_ns: bare?,
    })
}

/// How many reads there are in a batch.
pub fn calls_of_batch(from: From, message: &str) -> anyhow::Result<usize> {
    match from {
        From::Zero => Ok(ZERO_CALLS),
        From::Connection => {
            let messages = messages(message, false)?;
            Ok(times_in_a_batch(&messages) * messages.len())
        }
    }
}

/// How many times a batch reads all messages.
fn times_in_a_batch(messages: &[Vec<u8>]) -> usize {
    let once: usize = messages.iter().map(Vec::len).sum();
    (BATCH_BYTES / once).min(100 / messages.len()).max(1)
}

/// A descriptor, and what is read from it.
struct Source {
    from: OwnedFd,
    /// Where the bytes come from; nothing for `/dev/zero`.
    client: Option<TcpStream>,
    /// All that one batch reads.
    bytes: Vec<u8>,
    /// Reads of a batch.
    calls: usize,
    /// Where reads go, in turn: each is as long as what is read and one NUL more, as the paper's hook
    /// looks for one.
    buffers: Vec<Vec<u8>>,
}

impl Source {
    fn open(arguments: &WorkerArguments) -> anyhow::Result<Self> {
        match arguments.from {
            From::Zero => Ok(Self {
                calls: ZERO_CALLS,
                from: File::open("/dev/zero").context("/dev/zero")?.into(),
                client: None,
                bytes: Vec::new(),
                buffers: vec![vec![0; 2]],
            }),
            From::Connection => {
                let messages = messages(&arguments.message, arguments.without_words)?;
                Self::connect(&messages)
            }
        }
    }

    fn connect(messages: &[Vec<u8>]) -> anyhow::Result<Self> {
        ensure!(!messages.is_empty(), "no message");
        let times = times_in_a_batch(messages);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // What is accepted inherits it; the window is laid out when the connection is made.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, SOCKET_BYTES)?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        Ok(Self {
            from: accept(&listener)?,
            client: Some(client),
            bytes: messages.concat().repeat(times),
            calls: times * messages.len(),
            buffers: messages.iter().map(|m| vec![0; m.len() + 1]).collect(),
        })
    }

    /// Has a batch's bytes in the socket.
    fn prepare(&mut self) -> anyhow::Result<()> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        client.write_all(&self.bytes)?;
        for _ in 0..10_000_000 {
            let there = rustix::io::ioctl_fionread(&self.from)?;
            if usize::try_from(there)? >= self.bytes.len() {
                return Ok(());
            }
        }
        anyhow::bail!("the bytes of a batch do not arrive");
    }

    /// One batch; returns the number of reads.
    fn read_batch(&mut self, read: Read) -> anyhow::Result<usize> {
        let from = self.from.as_fd();
        for _ in 0..self.calls / self.buffers.len() {
            for buffer in &mut self.buffers {
                let length = buffer.len() - 1;
                read.fill(from, &mut buffer[..length])?;
            }
        }
        Ok(self.calls)
    }

    /// What one read of a batch takes, in ns.
    fn timed(&mut self, read: Read, clock: ClockId) -> anyhow::Result<f64> {
        self.prepare()?;
        let start_ns = now_ns(clock);
        let calls = self.read_batch(read)?;
        let took_ns = now_ns(clock) - start_ns;
        Ok(took_ns as f64 / calls as f64)
    }
}

fn now_ns(clock: ClockId) -> i64 {
    let now = clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_each_message_whole_and_in_turn() {
        let messages = [b"first".to_vec(), b"second!".to_vec()];
        let mut source = Source::connect(&messages).unwrap();
        source.prepare().unwrap();
        let read = Read::bare().unwrap();
        assert_eq!(source.read_batch(read).unwrap(), 100);
        assert_eq!(source.buffers, [b"first\0".to_vec(), b"second!\0".to_vec()]);
        let large = vec![vec![b'x'; 16_384]];
        let mut source = Source::connect(&large).unwrap();
        for _ in 0..20 {
            source.prepare().unwrap();
            assert_eq!(source.read_batch(read).unwrap(), 6);
        }
    }
}
