//! What a call of `read` does, rung by rung. Each rung does all that the one before does, and each
//! is compiled on its own, so that no call pays for asking which one is in use.
#![allow(
    unsafe_code,
    reason = "the rungs are C functions: they take raw pointers and call the next read"
)]

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use libc::{size_t, ssize_t};

use crate::clock::{busy_wait, monotonic_ns, wait_for_call_of};
use crate::next::{self, ReadFn};
use crate::scan::Filter;
use crate::site::{self, CallWord};
use crate::{errno, marks, match_log, words};

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
static MARKING: AtomicBool = AtomicBool::new(false);

/// Puts `rung` to work for the life of the program.
pub fn install(rung: Rung, delay_ns: u64) {
    let read = match rung {
        Rung::Off => next::read(),
        Rung::Passthrough => read_on::<PASSTHROUGH>,
        Rung::Lookup => read_on::<LOOKUP>,
        Rung::Scan => read_on::<SCAN>,
        Rung::Log => read_on::<LOG>,
    };
    WAIT_NS.store(wait_for_call_of(delay_ns), Ordering::Relaxed);
    READ.store(read as *mut c_void, Ordering::Release);
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

/// A read of an accepted connection. The timestamps bracket what the hook adds: the lookup that
/// led here (one load) is the only part of it before the first of them.
#[inline(never)]
unsafe extern "C" fn read_connection<const RUNG: u8>(
    fd: c_int,
    connection: u64,
    buffer: *mut c_void,
    count: size_t,
    wait_ns: u64,
) -> ssize_t {
    let watched = site::READ_DONE.is_watched();
    let enter_ns = if watched { monotonic_ns() } else { 0 };
    // SAFETY: the caller's arguments, passed on.
    let returned = unsafe { next::read()(fd, buffer, count) };
    let inner_exit_ns = if watched { monotonic_ns() } else { 0 };

    let mut matched = None;
    if let Ok(length @ 1..) = usize::try_from(returned) {
        if wait_ns > 0 {
            busy_wait(wait_ns);
        }
        if RUNG >= SCAN {
            // SAFETY: the kernel has just written `length` bytes here, so they are the caller's
            // to read; nothing beyond them is looked at.
            let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length) };
            let scanner = words::scanner();
            matched = scanner.first_of_list(bytes, Filter::in_use());
            if RUNG >= LOG
                && let Some(rank) = matched
            {
                errno::keeping(|| match_log::append(fd, connection, scanner.word(rank)));
            }
        }
    }
    if watched {
        site::read_done(
            CallWord::new(fd, matched),
            returned,
            enter_ns,
            inner_exit_ns,
            monotonic_ns(),
            connection,
        );
    }
    returned
}
