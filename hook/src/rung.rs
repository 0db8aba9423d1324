//! What a call of `read` does, rung by rung. Each rung does all that the one before does, and each
//! is compiled on its own, so that no call pays for asking which one is in use.
#![allow(
    unsafe_code,
    reason = "the rungs are C functions: they take raw pointers and call the next read"
)]

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use libc::{iovec, msghdr, size_t, ssize_t};

use crate::clock::{busy_wait, monotonic_ns, wait_for_call_of};
use crate::family::Functions;
use crate::next::{self, ReadFn};
use crate::scan::Filter;
use crate::site::{self, CallWord, Function};
use crate::{errno, family, marks, match_log, words};

/// How much the hook does on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rung {
    /// The symbol is interposed; calls go straight on.
    Off,
    /// Calls pass through the hook's own function, which asks whether a tracer watches.
    Passthrough,
    /// The descriptor is looked up.
    Lookup,
    /// What was read from a connection is scanned for the keywords.
    Scan,
    /// Each match is appended to the log.
    Log,
}

const PASSTHROUGH: u8 = Rung::Passthrough as u8;
const LOOKUP: u8 = Rung::Lookup as u8;
const SCAN: u8 = Rung::Scan as u8;
const LOG: u8 = Rung::Log as u8;

/// The function that `read` jumps to.
static READ: AtomicPtr<c_void> = AtomicPtr::new(before_load as ReadFn as *mut c_void);
/// What a read of a connection waits, 0 for nothing.
static WAIT_NS: AtomicU64 = AtomicU64::new(0);
/// The rung, for `read`'s relatives. They ask on each call of a connection.
static IN_USE: AtomicU8 = AtomicU8::new(Rung::Off as u8);
static MARKING: AtomicBool = AtomicBool::new(false);

/// Puts `rung` to work for the life of the program, in those functions.
pub fn install(rung: Rung, functions: Functions, delay_ns: u64) {
    let read = match rung {
        _ if !functions.contains(Function::Read) => next::read(),
        Rung::Off => next::read(),
        Rung::Passthrough => read_on::<PASSTHROUGH>,
        Rung::Lookup => read_on::<LOOKUP>,
        Rung::Scan => read_on::<SCAN>,
        Rung::Log => read_on::<LOG>,
    };
    WAIT_NS.store(wait_for_call_of(delay_ns), Ordering::Relaxed);
    READ.store(read as *mut c_void, Ordering::Release);
    IN_USE.store(rung as u8, Ordering::Relaxed);
    if rung != Rung::Off {
        functions.put_in_use();
    }
    MARKING.store(rung != Rung::Off, Ordering::Release);
}

/// Whether accepted connections are to be marked.
pub fn marks_connections() -> bool {
    MARKING.load(Ordering::Acquire)
}

/// The `read` of the rung in use.
#[inline]
pub fn read() -> ReadFn {
    let read = READ.load(Ordering::Relaxed);
    // SAFETY: only functions of this type are ever stored.
    unsafe { core::mem::transmute::<*mut c_void, ReadFn>(read) }
}

/// Serves constructors of other libraries that run before ours.
unsafe extern "C" fn before_load(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::read()(fd, buffer, count) }
}

unsafe extern "C" fn read_on<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
) -> ssize_t {
    let wait_ns = WAIT_NS.load(Ordering::Relaxed);
    let looks_up = RUNG >= LOOKUP || wait_ns > 0 || site::READ_DONE.is_watched();
    let connection = if looks_up { marks::get(fd) } else { 0 };
    if connection == 0 {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::read()(fd, buffer, count) };
    }
    // SAFETY: as above.
    unsafe { read_connection::<RUNG>(fd, connection, buffer, count, wait_ns) }
}

/// A read of an accepted connection.
#[inline(never)]
unsafe extern "C" fn read_connection<const RUNG: u8>(
    fd: c_int,
    connection: u64,
    buffer: *mut c_void,
    count: size_t,
    wait_ns: u64,
) -> ssize_t {
    let call = Call {
        function: Function::Read,
        fd,
        connection,
    };
    // SAFETY: the caller's arguments, passed on.
    let read = || unsafe { next::read()(fd, buffer, count) };
    // SAFETY: the buffer is what the call fills.
    unsafe { around(call, RUNG, wait_ns, &Buffers::One(Some(buffer)), read) }
}

/// A call of one of `read`'s relatives on an accepted connection.
///
/// # Safety
/// `buffers` must be those that `next` fills.
#[inline]
pub unsafe fn hooked(
    function: Function,
    fd: c_int,
    connection: u64,
    buffers: &Buffers,
    next: impl FnOnce() -> ssize_t,
) -> ssize_t {
    let rung = IN_USE.load(Ordering::Relaxed);
    let wait_ns = WAIT_NS.load(Ordering::Relaxed);
    let call = Call {
        function,
        fd,
        connection,
    };
    // SAFETY: as the caller promises.
    unsafe { around(call, rung, wait_ns, buffers, next) }
}

/// What a call fills.
pub enum Buffers {
    /// One; `None` when what was read is thrown away.
    One(Option<*mut c_void>),
    /// So many.
    Many(*const iovec, usize),
    /// Those of a message.
    OfMessage(*const msghdr),
}

/// A call that is hooked.
#[derive(Clone, Copy)]
struct Call {
    function: Function,
    fd: c_int,
    connection: u64,
}

/// Does what the rung says around a call. The timestamps bracket what the hook adds: the lookup that
/// led here (one load) is the only part of it before the first of them.
///
/// # Safety
/// `buffers` must be those that `next` fills.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each rung of read")]
unsafe fn around(
    call: Call,
    rung: u8,
    wait_ns: u64,
    buffers: &Buffers,
    next: impl FnOnce() -> ssize_t,
) -> ssize_t {
    let watched = site::READ_DONE.is_watched();
    let enter_ns = if watched { monotonic_ns() } else { 0 };
    let returned = next();
    let inner_exit_ns = if watched { monotonic_ns() } else { 0 };

    let mut matched = None;
    if let Ok(length @ 1..) = usize::try_from(returned) {
        if wait_ns > 0 {
            busy_wait(wait_ns);
        }
        if rung >= SCAN {
            // SAFETY: the kernel has just filled them.
            matched = unsafe { scan(buffers, length) };
            if rung >= LOG
                && let Some(rank) = matched
            {
                let word = words::scanner().word(rank);
                errno::keeping(|| match_log::append(call.fd, call.connection, word));
            }
        }
    }
    if watched {
        site::read_done(
            CallWord::new(call.function, call.fd, matched),
            returned,
            enter_ns,
            inner_exit_ns,
            monotonic_ns(),
            call.connection,
        );
    }
    returned
}

/// The first word of the list in what was read.
///
/// # Safety
/// A call must have just filled the buffers with `length` bytes.
#[inline(always)]
#[allow(clippy::inline_always, reason = "one kind of buffers for each caller")]
unsafe fn scan(buffers: &Buffers, length: usize) -> Option<u16> {
    let find = |bytes: &[u8]| words::scanner().first_of_list(bytes, Filter::in_use());
    let (vector, count) = match *buffers {
        Buffers::One(None) => return None,
        Buffers::One(Some(buffer)) => {
            // SAFETY: the kernel has just written `length` bytes here, so they are the caller's
            // to read; nothing beyond them is looked at.
            return find(unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length) });
        }
        Buffers::Many(vector, count) => (vector, count),
        Buffers::OfMessage(message) => {
            // SAFETY: the kernel has read and updated the message.
            let vector = unsafe { (*message).msg_iov };
            // SAFETY: as above. glibc and musl differ in the type.
            #[allow(clippy::unnecessary_cast, reason = "musl's is an int")]
            let count = unsafe { (*message).msg_iovlen } as usize;
            (vector.cast_const(), count)
        }
    };
    let mut best: Option<u16> = None;
    let mut visit = |bytes: &[u8]| {
        best = match (best, find(bytes)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    };
    // SAFETY: the call has succeeded with this vector.
    unsafe { family::for_each_filled(vector, count, length, &mut visit) };
    best
}
