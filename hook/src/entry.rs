//! The symbols that programs find in front of the C library's.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds programs to"
)]

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use preload::{clock, owner};

use crate::{family, rung, settings, site};

/// Runs when the library is loaded, before `main`.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    clock::find();
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

preload::connections!(
    site: site,
    is_at_work: rung::marks_connections(),
    also: |_fd| {}
);
