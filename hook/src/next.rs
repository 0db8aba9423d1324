//! The functions that the hook stands in front of: the next definition in link order, looked up
//! once.
#![allow(
    unsafe_code,
    reason = "symbols found by dlsym are called through function pointers of their C type"
)]

use core::ffi::{CStr, c_int, c_void};
use core::mem;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

/// `read(2)`.
pub type ReadFn = unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t;
/// `close(2)`.
pub type CloseFn = unsafe extern "C" fn(c_int) -> c_int;
/// `accept(2)`.
pub type AcceptFn = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
/// `accept4(2)`.
pub type Accept4Fn = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;

/// `recv(2)`.
pub type RecvFn = unsafe extern "C" fn(c_int, *mut c_void, size_t, c_int) -> ssize_t;
/// `recvfrom(2)`.
pub type RecvFromFn = unsafe extern "C" fn(
    c_int,
    *mut c_void,
    size_t,
    c_int,
    *mut sockaddr,
    *mut socklen_t,
) -> ssize_t;
/// `recvmsg(2)`.
pub type RecvMsgFn = unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t;
/// `readv(2)`.
pub type ReadVFn = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;

/// A symbol that is looked up on first use. [`resolve_all`] does so at load time, so that no later
/// call finds it unresolved: `dlsym` is not async-signal-safe.
pub struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            address: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    #[inline]
    fn address(&self) -> *mut c_void {
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            self.resolve()
        } else {
            address
        }
    }

    #[cold]
    #[inline(never)]
    fn resolve(&self) -> *mut c_void {
        let address = find(self.name);
        if address.is_null() {
            // Without the C library there is nothing to forward to: better a stop than a lie.
            abort()
        }
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

/// The next definition of a symbol, or null. Not async-signal-safe.
pub fn find(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string; RTLD_NEXT searches behind this library.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

static READ: Next = Next::new(c"read");
static CLOSE: Next = Next::new(c"close");
static ACCEPT: Next = Next::new(c"accept");
static ACCEPT4: Next = Next::new(c"accept4");
static RECV: Next = Next::new(c"recv");
static RECVFROM: Next = Next::new(c"recvfrom");
static RECVMSG: Next = Next::new(c"recvmsg");
static READV: Next = Next::new(c"readv");

/// Looks every symbol up. Called from the constructor.
pub fn resolve_all() {
    for next in [
        &READ, &CLOSE, &ACCEPT, &ACCEPT4, &RECV, &RECVFROM, &RECVMSG, &READV,
    ] {
        next.address();
    }
}

/// The next `read`.
#[inline]
pub fn read() -> ReadFn {
    // SAFETY: the symbol `read` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, ReadFn>(READ.address()) }
}

/// The next `read`, without a look at whether it is known.
///
/// # Safety
/// [`resolve_all`] has been called.
#[inline]
pub unsafe fn known_read() -> ReadFn {
    let address = READ.address.load(Ordering::Relaxed);
    // SAFETY: it is not null, and the symbol `read` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, ReadFn>(address) }
}

/// The next `close`.
#[inline]
pub fn close() -> CloseFn {
    // SAFETY: the symbol `close` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, CloseFn>(CLOSE.address()) }
}

/// The next `accept`.
#[inline]
pub fn accept() -> AcceptFn {
    // SAFETY: the symbol `accept` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, AcceptFn>(ACCEPT.address()) }
}

/// The next `accept4`.
#[inline]
pub fn accept4() -> Accept4Fn {
    // SAFETY: the symbol `accept4` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, Accept4Fn>(ACCEPT4.address()) }
}

/// The next `recv`.
#[inline]
pub fn recv() -> RecvFn {
    // SAFETY: the symbol `recv` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, RecvFn>(RECV.address()) }
}

/// The next `recvfrom`.
#[inline]
pub fn recvfrom() -> RecvFromFn {
    // SAFETY: the symbol `recvfrom` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, RecvFromFn>(RECVFROM.address()) }
}

/// The next `recvmsg`.
#[inline]
pub fn recvmsg() -> RecvMsgFn {
    // SAFETY: the symbol `recvmsg` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, RecvMsgFn>(RECVMSG.address()) }
}

/// The next `readv`.
#[inline]
pub fn readv() -> ReadVFn {
    // SAFETY: the symbol `readv` has this type in every C library.
    unsafe { mem::transmute::<*mut c_void, ReadVFn>(READV.address()) }
}

/// Stops the program.
pub fn abort() -> ! {
    // SAFETY: abort has no preconditions and is async-signal-safe.
    unsafe { libc::abort() }
}
