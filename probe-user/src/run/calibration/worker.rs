//! The process that probes are calibrated on: it makes calls that do as little as can be, and says how
//! long they took.
//!
//! It is this program again, as `probe-user calibrate-worker`, with the hook preloaded where there is
//! one; started by [`super::process`].
#![allow(
    unsafe_code,
    reason = "the calls are system calls with arguments that a safe wrapper would not let through"
)]

use std::ffi::c_int;
use std::io::{BufRead as _, BufReader, Write as _, stdin};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use procfs::process::{MMapPath, Process};
use stats::{Trim, grouped};

use super::functions::{EMPTY_FUNCTIONS, Empty};
use super::words::{Answer, CALLS_TIMED_TOGETHER, Call, Hello, Order, Pace};
use crate::machine::monotonic_ns;

/// The sleep before a call of [`Pace::AfterPause`].
const PAUSE: Duration = Duration::from_micros(100);

/// Share of the values left out at each end.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct WorkerArguments {
    /// Share of the sorted values left out at each end
    #[arg(long)]
    pub trim: Trim,
}

/// Follows the orders that come through stdin, a socket, until there are no more.
pub fn work(arguments: WorkerArguments) -> anyhow::Result<()> {
    let connection = Connection::open()?;
    // A socket of the standard library is read with recv: waiting for orders with read would be seen too.
    let agent = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    say(
        &agent,
        &Hello {
            functions: offsets_of_functions()?,
        },
    )?;
    for line in BufReader::new(&agent).lines() {
        let order: Order = serde_json::from_str(&line?).context("not an order")?;
        ensure!(
            order.calls > 0 && order.calls.is_multiple_of(CALLS_TIMED_TOGETHER),
            "{} calls: not a multiple of {CALLS_TIMED_TOGETHER}",
            order.calls
        );
        say(&agent, &follow(order, &connection, arguments.trim)?)?;
    }
    Ok(())
}

fn say<T: serde::Serialize>(mut agent: &UnixStream, word: &T) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(agent.write_all(&line)?)
}

fn follow(order: Order, connection: &Connection, trim: Trim) -> anyhow::Result<Answer> {
    let mut values_ns: Vec<f64> = match order.call {
        Call::ClockTwice => (0..order.calls).map(|_| empty_span_ns()).collect(),
        Call::NoWork => repeat(order, no_work),
        Call::RefusedRead => repeat(order, refused_read),
        Call::RefusedWrite => repeat(order, || connection.refused_write()),
        Call::HookedRead => (0..order.calls / CALLS_TIMED_TOGETHER)
            .map(|_| connection.hooked_reads_ns())
            .collect::<anyhow::Result<_>>()?,
        Call::Function(kind) => {
            let Some(function) = EMPTY_FUNCTIONS.iter().find(|f| f.begins_with == kind) else {
                bail!("there is no function that begins with {}", kind.name());
            };
            let function: Empty = *function;
            repeat(order, || function.call())
        }
    };
    let mean_ns = trim.mean(&mut values_ns).context("no values")?;
    // They are sorted now.
    let groups: Vec<grouped::Group> = values_ns
        .iter()
        .map(|ns| grouped::Group {
            lowest: *ns,
            highest: *ns,
            count: 1,
        })
        .collect();
    let median_ns = grouped::quantile(&groups, 0.5).context("no values")?;
    Ok(Answer { mean_ns, median_ns })
}

/// What a call takes, over and over, in ns.
fn repeat(order: Order, mut call: impl FnMut()) -> Vec<f64> {
    let (together, pause) = match order.pace {
        Pace::BackToBack => (CALLS_TIMED_TOGETHER, None),
        Pace::AfterPause => (1, Some(PAUSE)),
    };
    (0..order.calls / together)
        .map(|_| {
            if let Some(pause) = pause {
                thread::sleep(pause);
            }
            let start_ns = monotonic_ns();
            for _ in 0..together {
                call();
            }
            (monotonic_ns() - start_ns) as f64 / f64::from(together)
        })
        .collect()
}

fn empty_span_ns() -> f64 {
    let start_ns = monotonic_ns();
    (monotonic_ns() - start_ns) as f64
}

fn no_work() {
    // SAFETY: the call takes nothing.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

fn refused_read() {
    const NO_DESCRIPTOR: c_int = -1;
    // SAFETY: the kernel refuses the descriptor before it looks at the buffer. Not the function `read`, which
    // may be hooked.
    unsafe { libc::syscall(libc::SYS_read, NO_DESCRIPTOR, 0_usize, 0_usize) };
}

/// A connection to ourselves, accepted through the hook where there is one.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (server, _) = listener.accept()?;
        Ok(Self { client, server })
    }

    /// Reads bytes one by one that have arrived already; what one read takes.
    fn hooked_reads_ns(&self) -> anyhow::Result<f64> {
        (&self.client).write_all(&[b'.'; CALLS_TIMED_TOGETHER as usize])?;
        let fd = self.server.as_raw_fd();
        let mut all_read = true;
        let start_ns = monotonic_ns();
        for _ in 0..CALLS_TIMED_TOGETHER {
            let mut byte = 0_u8;
            // SAFETY: the descriptor is open and there is room for one byte.
            all_read &= unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } == 1;
        }
        let duration_ns = monotonic_ns() - start_ns;
        ensure!(all_read, "a read of our own connection failed");
        Ok(duration_ns as f64 / f64::from(CALLS_TIMED_TOGETHER))
    }

    fn refused_write(&self) {
        const TOO_LONG: c_int = -1;
        let no_address = [0_u8; 1];
        let fd = self.server.as_raw_fd();
        // SAFETY: the kernel refuses the length before it looks at the address; there is nothing to send.
        unsafe {
            libc::syscall(
                libc::SYS_sendto,
                fd,
                0_usize,
                0_usize,
                0,
                no_address.as_ptr(),
                TOO_LONG,
            );
        }
    }
}

/// Where in our executable the empty functions are.
fn offsets_of_functions() -> anyhow::Result<Vec<(super::first_instruction::FirstInstruction, u64)>>
{
    let maps = Process::myself()?.maps()?;
    EMPTY_FUNCTIONS
        .iter()
        .map(|function| {
            let address = function.address();
            let map = maps
                .iter()
                .find(|map| (map.address.0..map.address.1).contains(&address))
                .filter(|map| matches!(map.pathname, MMapPath::Path(_)))
                .context("our own code is in no file")?;
            Ok((function.begins_with, address - map.address.0 + map.offset))
        })
        .collect()
}

#[cfg(test)]
mod tests;
