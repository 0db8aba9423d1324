//! Which function `read` jumps to, rung by rung. Each rung does all that the one before does, and each is
//! compiled on its own, so that no call pays for asking which one is in use.
#![allow(
    unsafe_code,
    reason = "the rungs are C functions: they take raw pointers and call the next read"
)]

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use libc::{size_t, ssize_t};

use crate::call::{self, Function, connection_of, on_connection};
use crate::family::{self, on_rung};
use crate::next::{self, ReadFn};
use crate::scan::Filter;

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

/// [`Rung::Passthrough`], as a generic argument.
pub const PASSTHROUGH: u8 = Rung::Passthrough as u8;
/// [`Rung::Lookup`].
pub const LOOKUP: u8 = Rung::Lookup as u8;
/// [`Rung::Scan`].
pub const SCAN: u8 = Rung::Scan as u8;
/// [`Rung::Log`].
pub const LOG: u8 = Rung::Log as u8;

/// The function that `read` jumps to.
static READ: AtomicPtr<c_void> = AtomicPtr::new(before_load as ReadFn as *mut c_void);
static MARKING: AtomicBool = AtomicBool::new(false);

/// Puts `rung` to work for the life of the program, in the functions that are hooked.
pub fn install(rung: Rung, is_hooked: impl Fn(Function) -> bool, delay_ns: u64) {
    let rung_of = |function| if is_hooked(function) { rung } else { Rung::Off };
    let read: ReadFn = on_rung!(rung_of(Function::Read), read_on, next::read());
    call::delay_by(delay_ns);
    READ.store(read as *mut c_void, Ordering::Release);
    family::install(rung_of);
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
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::read()(fd, buffer, count) };
    }
    // SAFETY: as above.
    unsafe { read_connection::<RUNG>(fd, connection, buffer, count) }
}

/// A read of an accepted connection. Out of line, so that other reads save no registers for it.
#[inline(never)]
unsafe extern "C" fn read_connection<const RUNG: u8>(
    fd: c_int,
    connection: u64,
    buffer: *mut c_void,
    count: size_t,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = || unsafe { next::read()(fd, buffer, count) };
    on_connection::<RUNG>(Function::Read, fd, connection, next, |scanner, length| {
        // SAFETY: the kernel has just written `length` bytes here, so they are the caller's to read;
        // nothing beyond them is looked at.
        let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length) };
        scanner.first_of_list(bytes, Filter::in_use())
    })
}
