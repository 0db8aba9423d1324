//! The process that the micro layer is measured in: it has the hook preloaded and calls `read` both
//! through the hook and past it, on one accepted socket, in turn.
//!
//! It is this program again, as `probe-user micro-worker`, started by [`super`].
#![allow(
    unsafe_code,
    reason = "both reads are C functions, one of them found by dlsym past the hook"
)]

use std::ffi::{c_int, c_void};
use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use stats::{Trim, mean};

use crate::machine::monotonic_ns;
use crate::run::micro::evict::Evictor;
use crate::run::micro::words::{Begin, Order};
use verdict::micro_blocks::{LONGEST_CALL_NS, MicroBlock, Temperature};

/// `read(2)`.
type ReadFn = unsafe extern "C" fn(c_int, *mut c_void, libc::size_t) -> libc::ssize_t;

/// Calls of each read at the start of a hot block that do not count: another process ran before.
const WARMING_CALLS: u32 = 100;

/// Follows orders on stdin until it ends.
pub fn work() -> anyhow::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let begin = lines.next().context("no first line")??;
    let Begin { message, trim } = serde_json::from_str(&begin)?;
    if message.is_empty() {
        bail!("the message is empty");
    }
    let trim = Trim::each_end(trim).context("the trim must be from 0 to below 0.5")?;
    let hooked: ReadFn = libc::read;
    let bare = bare_read()?;
    if std::ptr::fn_addr_eq(hooked, bare) {
        bail!("no hook on read is preloaded");
    }
    let library = std::env::var_os("LD_PRELOAD").context("no LD_PRELOAD")?;
    let mut worker = Worker {
        reads: [hooked, bare],
        socket: Socket::open(message.len())?,
        message,
        evictor: Evictor::new(&PathBuf::from(library))?,
    };
    say(&worker.evictor.describe())?;
    for line in lines {
        let order: Order = serde_json::from_str(&line?)?;
        say(&worker.block(order, trim)?)?;
    }
    Ok(())
}

fn say(answer: &impl Serialize) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(answer)?)?;
    output.flush().context("nobody listens")
}

struct Worker {
    /// Through the hook, and past it.
    reads: [ReadFn; 2],
    socket: Socket,
    message: Vec<u8>,
    evictor: Evictor,
}

impl Worker {
    fn block(&mut self, order: Order, trim: Trim) -> anyhow::Result<MicroBlock> {
        let mut random = ChaCha8Rng::seed_from_u64(order.seed);
        let warming = match order.temperature {
            Temperature::Hot => WARMING_CALLS,
            Temperature::Cold | Temperature::Flushed => 1,
        };
        let mut times_ns = [Vec::new(), Vec::new()];
        for number in 0..warming + order.calls {
            let first = usize::from(random.random::<bool>());
            for which in [first, 1 - first] {
                self.evictor.evict(order.temperature);
                let duration_ns = self.socket.timed(self.reads[which], &self.message)?;
                if number >= warming {
                    times_ns[which].push(duration_ns);
                }
            }
        }
        let clipped_mean = |times_ns: &[f64]| {
            let clipped = times_ns.iter().map(|ns| ns.min(LONGEST_CALL_NS));
            mean(&clipped.collect::<Vec<_>>()).context("no calls")
        };
        let [hooked_ns, bare_ns] = &mut times_ns;
        Ok(MicroBlock {
            hooked_mean_ns: clipped_mean(hooked_ns)?,
            bare_mean_ns: clipped_mean(bare_ns)?,
            hooked_ns: trim.mean(hooked_ns).context("no calls")?,
            bare_ns: trim.mean(bare_ns).context("no calls")?,
        })
    }
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
