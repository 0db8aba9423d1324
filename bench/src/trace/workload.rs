//! The process that is traced, or that stands by: it does what it is told on stdin, and answers with
//! what it took. What is timed is a loop of one call and nothing else.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::children::pin_to;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::trace::calls::{pushed, read_byte};
use crate::worker::serve;

/// What one order has the workload do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Batches of calls.
    Batches {
        /// What is called.
        call: Call,
        /// Batches, each of which is answered by its duration in ns.
        batches: u32,
        /// Calls in each.
        calls: u32,
    },
    /// Reads of connections by so many threads at once, answered by the number of reads.
    Flood {
        /// Threads, each on a CPU of its own as far as there are CPUs.
        threads: usize,
        /// For how long, in ms.
        duration_ms: u64,
        /// What each thread waits between reads, in ns.
        pause_ns: u64,
    },
}

/// A call that is timed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Call {
    /// `read` of one byte of an accepted connection: the hook's sites fire.
    ConnectionRead,
    /// `read` of one byte of `/dev/zero`.
    ZeroRead,
    /// A function that begins with `push`.
    Function,
}

/// Does what it is told. Each answer is a list of numbers.
pub fn work(cpu: Option<usize>) -> anyhow::Result<()> {
    cpu.map_or(Ok(()), pin_to)?;
    let mut connection = Connection::open()?;
    let zero = File::open("/dev/zero").context("/dev/zero")?;
    serve(|order| match order {
        Order::Batches {
            call,
            batches,
            calls,
        } => {
            let mut batch = || match call {
                Call::ConnectionRead => connection.timed_reads(calls),
                Call::ZeroRead => timed(calls, || read_byte(zero.as_fd())),
                Call::Function => timed(calls, || {
                    pushed();
                    Ok(())
                }),
            };
            let durations: io::Result<Vec<u64>> = (0..batches).map(|_| batch()).collect();
            Ok(durations?)
        }
        Order::Flood {
            threads,
            duration_ms,
            pause_ns,
        } => {
            let duration = Duration::from_millis(duration_ms);
            let pause = Duration::from_nanos(pause_ns);
            Ok(vec![flood(threads, duration, pause)?])
        }
    })
}

/// How long so many calls take, in ns.
fn timed(calls: u32, mut call: impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    let start = Instant::now();
    for _ in 0..calls {
        call()?;
    }
    u64::try_from(start.elapsed().as_nanos()).map_err(io::Error::other)
}

/// An accepted connection to ourselves: accepted through the hook, where there is one.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no TCP socket")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        Ok(Self { client, server })
    }

    /// Sends itself so many bytes, and reads them one by one. Over loopback they have arrived when the
    /// write returns, so that no read waits.
    fn timed_reads(&mut self, reads: u32) -> io::Result<u64> {
        let bytes = usize::try_from(reads).map_err(io::Error::other)?;
        self.client.write_all(&vec![b'x'; bytes])?;
        timed(reads, || read_byte(self.server.as_fd()))
    }
}

/// Reads connections on so many threads, as fast as the pauses allow; returns the number of reads.
fn flood(threads: usize, duration: Duration, pause: Duration) -> anyhow::Result<u64> {
    /// Bytes that a thread sends itself at a time: they fit any socket's buffer.
    const AT_A_TIME: u32 = 1_000;
    let cpus = thread::available_parallelism()?.get().max(threads);
    let reader = |number: usize| -> anyhow::Result<u64> {
        if threads > 1 {
            // Where there are fewer CPUs, the scheduler places the rest.
            let _ = pin_to(number % cpus);
        }
        let mut connection = Connection::open()?;
        let end = Instant::now() + duration;
        let mut reads = 0;
        while Instant::now() < end {
            connection.client.write_all(&[b'x'; AT_A_TIME as usize])?;
            for _ in 0..AT_A_TIME {
                read_byte(connection.server.as_fd())?;
                if !pause.is_zero() {
                    let start = Instant::now();
                    while start.elapsed() < pause {}
                }
            }
            reads += u64::from(AT_A_TIME);
        }
        Ok(reads)
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || reader(number)))
            .collect();
        let counts = readers.into_iter().map(|reader| match reader.join() {
            Ok(count) => count,
            Err(_) => bail!("a reader has panicked"),
        });
        counts.sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_read_takes_one_byte() {
        let mut connection = Connection::open().unwrap();
        connection.timed_reads(100).unwrap();
        connection.client.write_all(b"ab").unwrap();
        let mut rest = [0; 10];
        let count = io::Read::read(&mut connection.server, &mut rest).unwrap();
        assert_eq!(&rest[..count], b"ab", "nothing is left over from before");
    }

    #[test]
    fn a_flood_counts_the_reads_of_all_threads() {
        let reads = flood(2, Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(reads % 1_000, 0);
    }
}
