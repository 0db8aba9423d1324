//! The symbols that programs find in front of the C library's.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds programs to"
)]

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use preload::clock::monotonic_ns;
use preload::connection::peer_of;
use preload::{marks, next, owner};

use crate::{family, rung, settings, site};

/// Runs when the library is loaded, before `main`.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    owner::establish();
    settings::apply();
}

/// `read(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn read(fd: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { rung::read()(fd, buffer, count) }
}

/// `recv(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recv(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { family::recv()(fd, buffer, count, flags) }
}

/// `recvfrom(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { family::recvfrom()(fd, buffer, count, flags, address, length) }
}

/// `recvmsg(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { family::recvmsg()(fd, message, flags) }
}

/// `readv(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn readv(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { family::readv()(fd, buffers, count) }
}

/// `close(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    if marks::get(fd) != 0 {
        forget(fd);
    }
    // SAFETY: the caller's argument, passed on.
    unsafe { next::CLOSE.get()(fd) }
}

/// `accept(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    let accepted = unsafe { next::ACCEPT.get()(fd, address, length) };
    mark(accepted);
    accepted
}

/// `accept4(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    let accepted = unsafe { next::ACCEPT4.get()(fd, address, length, flags) };
    mark(accepted);
    accepted
}

/// Clears the mark of a connection that is about to be closed. Out of line, so that the close of
/// anything else saves no registers for it.
#[cold]
#[inline(never)]
fn forget(fd: c_int) {
    if let Some(connection) = marks::forget(fd)
        && site::CLOSED.is_watched()
    {
        site::closed(fd, connection);
    }
}

/// Marks an accepted descriptor if it is an internet connection.
fn mark(fd: c_int) {
    if !rung::marks_connections() {
        return;
    }
    marks::accept(fd, |connection| {
        if site::ACCEPTED.is_watched() {
            site::accepted(fd, connection, peer_of(fd), monotonic_ns());
        }
    });
}
