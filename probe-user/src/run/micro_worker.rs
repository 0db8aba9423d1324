//! The process that the micro layer is measured in: it has the hook preloaded and calls `read` both
//! through the hook and past it, on one accepted socket, in turn.
//!
//! It is this program again, as `probe-user micro-worker`, started by [`super::micro`].
#![allow(
    unsafe_code,
    reason = "both reads are C functions, one of them found by dlsym past the hook"
)]

use std::ffi::{c_int, c_void};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, bail};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use stats::Trim;

use crate::machine::monotonic_ns;

/// `read(2)`.
type ReadFn = unsafe extern "C" fn(c_int, *mut c_void, libc::size_t) -> libc::ssize_t;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerArguments {
    /// Blocks
    #[arg(long)]
    pub blocks: u32,
    /// Calls of each read in a block
    #[arg(long)]
    pub calls: u32,
    /// Share of the sorted calls of a block left out at each end
    #[arg(long)]
    pub trim: f64,
    /// Seed of the order within each pair of calls
    #[arg(long)]
    pub seed: u64,
}

/// One block: the trimmed mean duration of a call of each read.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MicroBlock {
    /// Through the hook.
    pub hooked_ns: f64,
    /// Past the hook.
    pub bare_ns: f64,
}

/// Measures, and prints the blocks as JSON. The bytes to read come on stdin.
pub fn work(arguments: &WorkerArguments) -> anyhow::Result<()> {
    let mut message = Vec::new();
    io::stdin()
        .read_to_end(&mut message)
        .context("cannot read the message")?;
    if message.is_empty() {
        bail!("the message on stdin is empty");
    }
    let trim = Trim::each_end(arguments.trim).context("--trim must be from 0 to below 0.5")?;
    let hooked: ReadFn = libc::read;
    let bare = bare_read()?;
    if std::ptr::fn_addr_eq(hooked, bare) {
        bail!("no hook on read is preloaded");
    }
    let mut socket = Socket::open(message.len())?;
    let mut random = ChaCha8Rng::seed_from_u64(arguments.seed);
    let mut blocks = Vec::new();
    // The first block warms caches and branch predictors up, and is thrown away.
    for number in 0..=arguments.blocks {
        let mut hooked_ns = Vec::new();
        let mut bare_ns = Vec::new();
        for _ in 0..arguments.calls {
            if random.random() {
                hooked_ns.push(socket.timed(hooked, &message)?);
                bare_ns.push(socket.timed(bare, &message)?);
            } else {
                bare_ns.push(socket.timed(bare, &message)?);
                hooked_ns.push(socket.timed(hooked, &message)?);
            }
        }
        if number > 0 {
            blocks.push(MicroBlock {
                hooked_ns: trim.mean(&mut hooked_ns).context("no calls")?,
                bare_ns: trim.mean(&mut bare_ns).context("no calls")?,
            });
        }
    }
    println!("{}", serde_json::to_string(&blocks)?);
    Ok(())
}

/// The C library's own `read`, as if there were no hook.
fn bare_read() -> anyhow::Result<ReadFn> {
    // SAFETY: the name is a C string. The library is loaded already; this only finds it.
    let library =
        unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
    if library.is_null() {
        bail!("the C library is not libc.so.6");
    }
    // SAFETY: the handle is valid and the name a C string.
    let address = unsafe { libc::dlsym(library, c"read".as_ptr()) };
    if address.is_null() {
        bail!("the C library has no read");
    }
    // SAFETY: the symbol `read` has this type in every C library.
    Ok(unsafe { std::mem::transmute::<*mut c_void, ReadFn>(address) })
}

/// An accepted connection to ourselves. It was accepted through the hook, which so has marked it.
struct Socket {
    client: TcpStream,
    server: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    fn open(capacity: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (server, _) = listener.accept()?;
        Ok(Self {
            client,
            server,
            buffer: vec![0; capacity],
        })
    }

    /// Sends the message to ourselves and times the read of it, in ns. Over loopback the bytes have
    /// arrived when the write returns, so the read never waits.
    fn timed(&mut self, read: ReadFn, message: &[u8]) -> anyhow::Result<f64> {
        self.client.write_all(message)?;
        let fd = self.server.as_raw_fd();
        let buffer = self.buffer.as_mut_ptr().cast();
        let start_ns = monotonic_ns();
        // SAFETY: the buffer is writable for its length, the descriptor open.
        let count = unsafe { read(fd, buffer, self.buffer.len()) };
        let end_ns = monotonic_ns();
        if usize::try_from(count) != Ok(message.len()) {
            bail!("read returned {count} of {} bytes", message.len());
        }
        Ok((end_ns - start_ns) as f64)
    }
}
