//! Which function `read` jumps to, rung by rung. Each rung does all that the one before does, and each is
//! compiled on its own, so that no call pays for asking which one is in use.
#![allow(
    unsafe_code,
    reason = "the rungs are C functions: they take raw pointers and call the next read"
)]

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

use libc::{size_t, ssize_t};

use preload::next::{self, ReadFn, Target};
use preload::site::Function;

use crate::call::{self, connection_at_once, connection_of};
use crate::family::{self, on_rung};
use crate::scan::{Filter, Scanner};

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
// SAFETY: it is a function of this type.
static READ: Target<ReadFn> = unsafe { Target::new(before_load as *mut c_void) };
static MARKING: AtomicBool = AtomicBool::new(false);

/// Puts `rung` to work for the life of the program, in the functions that are hooked.
pub fn install(rung: Rung, is_hooked: impl Fn(Function) -> bool, delay_ns: u64) {
    let rung_of = |function| if is_hooked(function) { rung } else { Rung::Off };
    let read: ReadFn = on_rung!(rung_of(Function::Read), read_on, next::READ.get());
    call::delay_by(delay_ns);
    READ.set(read);
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
    READ.get()
}

/// Serves constructors of other libraries that run before ours.
unsafe extern "C" fn before_load(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::READ.get()(fd, buffer, count) }
}

/// Nothing is kept over a call here, so that nothing has to be saved: each way out is a jump.
unsafe extern "C" fn read_on<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
) -> ssize_t {
    match connection_at_once::<RUNG>(fd) {
        // SAFETY: the caller's arguments, passed on.
        Some(0) => unsafe { next_read(fd, buffer, count) },
        // SAFETY: as above.
        Some(connection) => unsafe { read_connection::<RUNG>(fd, buffer, count, connection) },
        // SAFETY: as above.
        None => unsafe { read_higher::<RUNG>(fd, buffer, count) },
    }
}

/// A read of a high descriptor.
#[cold]
#[inline(never)]
unsafe extern "C" fn read_higher<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
) -> ssize_t {
    match connection_of::<RUNG>(fd) {
        // SAFETY: the caller's arguments, passed on.
        0 => unsafe { next_read(fd, buffer, count) },
        // SAFETY: as above.
        connection => unsafe { read_connection::<RUNG>(fd, buffer, count, connection) },
    }
}

/// A read of an accepted connection: a jump to the one or the other.
#[inline]
unsafe extern "C" fn read_connection<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    connection: u64,
) -> ssize_t {
    if call::is_watched() {
        // SAFETY: the caller's arguments, passed on.
        unsafe { read_as::<RUNG, true>(fd, buffer, count, connection) }
    } else {
        // SAFETY: as above.
        unsafe { read_as::<RUNG, false>(fd, buffer, count, connection) }
    }
}

/// Out of line, so that other reads save no registers for it, and those that nobody watches none for
/// the site.
#[inline(never)]
unsafe extern "C" fn read_as<const RUNG: u8, const IS_WATCHED: bool>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    connection: u64,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next_read(fd, buffer, count) };
    let scan = move |scanner: &Scanner<'_>, length| {
        // SAFETY: the kernel has just written `length` bytes here, so they are the caller's to read;
        // nothing beyond them is looked at.
        let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length) };
        scanner.first_of_list(bytes, Filter::in_use())
    };
    if IS_WATCHED {
        call::watched::<RUNG>(Function::Read, fd, connection, next, scan)
    } else {
        call::unwatched::<RUNG>(fd, connection, next, scan)
    }
}

/// The next `read`, as the rungs call it.
///
/// # Safety
/// As `read`'s. A rung is in use.
#[inline]
unsafe fn next_read(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: rungs are put to work when all symbols have been looked up.
    let next = unsafe { next::READ.known() };
    // SAFETY: the caller's arguments, passed on.
    unsafe { next(fd, buffer, count) }
}
