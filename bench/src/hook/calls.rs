//! The calls that are timed: `read` through whatever is preloaded, and past it.
#![allow(
    unsafe_code,
    reason = "both reads are C functions, one of them found by dlsym; and an accept that asks for the address"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, bail, ensure};

/// `read(2)`.
type ReadFn = unsafe extern "C" fn(c_int, *mut c_void, libc::size_t) -> libc::ssize_t;

/// One of the two ways to read. Both are called through a pointer, so that they differ in nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Read(ReadFn);

impl Read {
    /// The symbol `read`, as every program calls it.
    pub fn hooked() -> Self {
        Self(libc::read)
    }

    /// The C library's own, as if there were no hook.
    pub fn bare() -> anyhow::Result<Self> {
        // SAFETY: the name is a C string. The library is loaded already; this only finds it.
        let library =
            unsafe { libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        ensure!(!library.is_null(), "the C library is not libc.so.6");
        // SAFETY: the handle is valid and the name a C string.
        let address = unsafe { libc::dlsym(library, c"read".as_ptr()) };
        ensure!(!address.is_null(), "the C library has no read");
        // SAFETY: the symbol `read` has this type in every C library.
        Ok(Self(unsafe {
            std::mem::transmute::<*mut c_void, ReadFn>(address)
        }))
    }

    /// Whether something stands between the two.
    pub fn is_hook_loaded() -> anyhow::Result<bool> {
        Ok(!std::ptr::fn_addr_eq(Self::hooked().0, Self::bare()?.0))
    }

    /// Fills `buffer`, or fails: what is read is there before the call.
    #[inline]
    pub fn fill(self, from: BorrowedFd<'_>, buffer: &mut [u8]) -> anyhow::Result<()> {
        // SAFETY: the buffer is writable for its length, and the descriptor open.
        let count = unsafe { (self.0)(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if usize::try_from(count) != Ok(buffer.len()) {
            bail!("read returned {count} of {} bytes", buffer.len());
        }
        Ok(())
    }
}

/// Accepts a connection by `accept`, and asks for the address: else the paper's hook does not track it.
pub fn accept(listener: &TcpListener) -> anyhow::Result<OwnedFd> {
    // SAFETY: all-zero bytes are a valid sockaddr_in.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>())?;
    let listener = listener.as_raw_fd();
    // SAFETY: `address` and `length` are live; the kernel writes at most `length` bytes.
    let accepted = unsafe { libc::accept(listener, (&raw mut address).cast(), &raw mut length) };
    if accepted < 0 {
        return Err(io::Error::last_os_error()).context("accept");
    }
    // SAFETY: the descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}
