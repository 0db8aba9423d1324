//! The symbols that programs find in front of the C library's.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds programs to"
)]

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::clock::monotonic_ns;
use crate::connection::{is_internet_socket, new_identity, peer_of};
use crate::{errno, family, marks, next, owner, rung, settings, site};

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
    unsafe { next::close()(fd) }
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
    let accepted = unsafe { next::accept()(fd, address, length) };
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
    let accepted = unsafe { next::accept4()(fd, address, length, flags) };
    mark(accepted);
    accepted
}

/// Clears the mark of a connection that is about to be closed. Out of line, so that the close of
/// anything else saves no registers for it.
#[cold]
#[inline(never)]
fn forget(fd: c_int) {
    // A child of vfork closes its own descriptor; the mark is of its parent's, which stays open.
    if !owner::is_this_process() {
        return;
    }
    // The mark goes first: once the descriptor is closed, another thread may be given its number.
    let connection = marks::take(fd);
    if connection != 0 && site::CLOSED.is_watched() {
        site::closed(fd, connection);
    }
}

/// Marks an accepted descriptor if it is an internet connection.
fn mark(fd: c_int) {
    if fd < 0 || !rung::marks_connections() {
        return;
    }
    owner::claim();
    errno::keeping(|| {
        // Storing 0 clears the mark of a descriptor that was closed behind our back.
        let connection = if is_internet_socket(fd) {
            new_identity()
        } else {
            0
        };
        if marks::set(fd, connection) && connection != 0 && site::ACCEPTED.is_watched() {
            site::accepted(fd, connection, peer_of(fd), monotonic_ns());
        }
    });
}
