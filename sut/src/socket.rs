//! A socket whose reads and writes are `read(2)` and `write(2)`, by the C library's symbols.
//!
//! Rust's standard library and tokio read sockets with `recv`, which a hook on `read` never sees.
#![allow(
    unsafe_code,
    reason = "the symbols `read` and `write` of the C library are what this module exists to call"
)]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use bytes::BytesMut;
use tokio::io::unix::AsyncFd;

/// Bytes asked for in one read. A short read has drained the socket, so requests smaller than this
/// cost one `read` each.
const READ_SIZE: usize = 64 * 1024;

/// A connected, non-blocking TCP socket.
#[derive(Debug)]
pub struct Socket {
    inner: AsyncFd<TcpStream>,
}

/// `CLOCK_MONOTONIC` just before and just after the call that delivered bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadTimes {
    /// Before.
    pub before_ns: u64,
    /// After.
    pub after_ns: u64,
}

impl Socket {
    /// Takes over an accepted connection.
    pub fn new(stream: tokio::net::TcpStream) -> io::Result<Self> {
        let stream = stream.into_std()?;
        stream.set_nodelay(true)?;
        // SAFETY: the stream owns its descriptor, and `AsyncFd` owns the stream.
        let inner = unsafe { AsyncFd::register(stream) }?;
        Ok(Self { inner })
    }

    /// Waits for bytes and appends them to `buffer`. `None` at the end of the stream.
    pub async fn read(&self, buffer: &mut BytesMut) -> io::Result<Option<ReadTimes>> {
        buffer.reserve(READ_SIZE);
        loop {
            let mut ready = self.inner.readable().await?;
            let mut times = ReadTimes {
                before_ns: monotonic_ns(),
                after_ns: 0,
            };
            match read(self.inner.get_ref(), buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    times.after_ns = monotonic_ns();
                    if count < READ_SIZE {
                        // epoll(7): a short read has drained the socket. Asking again would cost
                        // a second, useless read per request.
                        ready.clear_ready();
                    }
                    return Ok(Some(times));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match write(self.inner.get_ref(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.inner.writable().await?.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One `read(2)` of at most [`READ_SIZE`] bytes behind what `buffer` holds.
fn read(stream: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let size = spare.len().min(READ_SIZE);
    // SAFETY: `spare` is writable for `size` bytes, and the descriptor is open while borrowed.
    let count = unsafe { libc::read(stream.as_raw_fd(), spare.as_mut_ptr().cast(), size) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has initialised `count` bytes behind the old end.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// One `write(2)`.
fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length, and the descriptor is open while borrowed. A
    // broken connection is EPIPE: Rust programs ignore SIGPIPE.
    let count = unsafe { libc::write(stream.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
