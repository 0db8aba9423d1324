//! One call that reads from a connection: what the hook adds to it, whichever function it is.

use core::sync::atomic::{AtomicU64, Ordering};

use libc::ssize_t;

use preload::clock::{busy_wait, monotonic_ns, wait_for_call_of};
use preload::site::{CallWord, Function};
use preload::{errno, marks};

use crate::rung::Rung;
use crate::scan::Scanner;
use crate::{match_log, matches, site, words};

/// What a read of a connection waits, 0 for nothing.
static WAIT_NS: AtomicU64 = AtomicU64::new(0);

/// Has reads of connections take so much longer.
pub fn delay_by(delay_ns: u64) {
    WAIT_NS.store(wait_for_call_of(delay_ns), Ordering::Relaxed);
}

/// The connection that a call reads from, or 0.
#[inline]
pub fn connection_of<const RUNG: u8>(fd: i32) -> u64 {
    if looks_up::<RUNG>() {
        marks::get(fd)
    } else {
        0
    }
}

/// The same by one load, where that tells.
#[inline]
pub fn connection_at_once<const RUNG: u8>(fd: i32) -> Option<u64> {
    if looks_up::<RUNG>() {
        marks::get_first(fd)
    } else {
        Some(0)
    }
}

/// Whether calls look their descriptors up. Below [`Rung::Lookup`] only who delays or is watched does.
#[inline]
fn looks_up<const RUNG: u8>() -> bool {
    RUNG >= Rung::Lookup as u8
        || WAIT_NS.load(Ordering::Relaxed) > 0
        || site::READ_DONE.is_watched()
}

/// Whether a tracer watches.
#[inline]
pub fn is_watched() -> bool {
    site::READ_DONE.is_watched()
}

/// Calls the next function of a connection, and does what the rung does. `scan` looks at so many bytes
/// that were read.
#[inline]
pub fn on_connection<const RUNG: u8>(
    function: Function,
    fd: i32,
    connection: u64,
    next: impl FnOnce() -> ssize_t,
    scan: impl FnOnce(&Scanner<'_>, usize) -> Option<u16>,
) -> ssize_t {
    if is_watched() {
        watched::<RUNG>(function, fd, connection, next, scan)
    } else {
        unwatched::<RUNG>(fd, connection, next, scan)
    }
}

/// As above, when nobody watches.
#[inline]
pub fn unwatched<const RUNG: u8>(
    fd: i32,
    connection: u64,
    next: impl FnOnce() -> ssize_t,
    scan: impl FnOnce(&Scanner<'_>, usize) -> Option<u16>,
) -> ssize_t {
    let returned = next();
    look_at::<RUNG>(fd, connection, returned, scan);
    returned
}

/// As above, with the site. The timestamps bracket what the hook adds: the lookup before (one load) is the
/// only part of it before the first of them.
#[cold]
#[inline(never)]
pub fn watched<const RUNG: u8>(
    function: Function,
    fd: i32,
    connection: u64,
    next: impl FnOnce() -> ssize_t,
    scan: impl FnOnce(&Scanner<'_>, usize) -> Option<u16>,
) -> ssize_t {
    let enter_ns = monotonic_ns();
    let returned = next();
    let inner_exit_ns = monotonic_ns();
    let matched = look_at::<RUNG>(fd, connection, returned, scan);
    let call = CallWord::new(function, fd, matched);
    let exit_ns = monotonic_ns();
    site::read_done(call, returned, enter_ns, inner_exit_ns, exit_ns, connection);
    returned
}

/// What the rung does with what was read: the rank of the word that it has found.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "it is in two functions, watched and not, and a call from the second would be the site's cost"
)]
fn look_at<const RUNG: u8>(
    fd: i32,
    connection: u64,
    returned: ssize_t,
    scan: impl FnOnce(&Scanner<'_>, usize) -> Option<u16>,
) -> Option<u16> {
    let Ok(length @ 1..) = usize::try_from(returned) else {
        return None;
    };
    let wait_ns = WAIT_NS.load(Ordering::Relaxed);
    if wait_ns > 0 {
        busy_wait(wait_ns);
    }
    if RUNG < Rung::Scan as u8 {
        return None;
    }
    let scanner = words::scanner();
    let matched = scan(&scanner, length)?;
    matches::count(fd);
    if RUNG >= Rung::Log as u8 {
        errno::keeping(|| match_log::append(fd, connection, scanner.word(matched)));
    }
    Some(matched)
}
