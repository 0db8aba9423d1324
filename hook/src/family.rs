//! `recv`, `recvfrom`, `recvmsg` and `readv`, which programs read connections by that do not call `read`.
//! They are hooked when `READHOOK_FUNCTIONS` names them, and pass straight on otherwise.
//!
//! Calls that leave the stream as it is (`MSG_PEEK`), or read beside it (`MSG_OOB`, `MSG_ERRQUEUE`), pass
//! on too: their bytes are scanned when they are taken, and count then.
#![allow(
    unsafe_code,
    reason = "the rungs are C functions: they take raw pointers and call the next function"
)]

use core::ffi::{c_int, c_void};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use preload::buffers;
use preload::next::{self, ReadVFn, RecvFn, RecvFromFn, RecvMsgFn, Target};
use preload::site::Function;

use crate::call::{connection_of, on_connection};
use crate::pieces;
use crate::rung::{LOG, LOOKUP, PASSTHROUGH, Rung, SCAN};
use crate::scan::Filter;

/// The rung of a function: the instance of a generic function, or the next function for none.
macro_rules! on_rung {
    ($rung:expr, $function:ident, $next:expr) => {
        match $rung {
            Rung::Off => $next,
            Rung::Passthrough => $function::<PASSTHROUGH>,
            Rung::Lookup => $function::<LOOKUP>,
            Rung::Scan => $function::<SCAN>,
            Rung::Log => $function::<LOG>,
        }
    };
}
pub(crate) use on_rung;

// SAFETY: each is a function of its type.
static RECV: Target<RecvFn> = unsafe { Target::new(recv_before_load as *mut c_void) };
// SAFETY: as above.
static RECVFROM: Target<RecvFromFn> = unsafe { Target::new(recvfrom_before_load as *mut c_void) };
// SAFETY: as above.
static RECVMSG: Target<RecvMsgFn> = unsafe { Target::new(recvmsg_before_load as *mut c_void) };
// SAFETY: as above.
static READV: Target<ReadVFn> = unsafe { Target::new(readv_before_load as *mut c_void) };

/// Puts the rungs of these functions to work for the life of the program.
pub fn install(rung_of: impl Fn(Function) -> Rung) {
    let recv: RecvFn = on_rung!(rung_of(Function::Recv), recv_on, next::RECV.get());
    let recvfrom: RecvFromFn = on_rung!(
        rung_of(Function::RecvFrom),
        recvfrom_on,
        next::RECVFROM.get()
    );
    let recvmsg: RecvMsgFn = on_rung!(rung_of(Function::RecvMsg), recvmsg_on, next::RECVMSG.get());
    let readv: ReadVFn = on_rung!(rung_of(Function::ReadV), readv_on, next::READV.get());
    RECV.set(recv);
    RECVFROM.set(recvfrom);
    RECVMSG.set(recvmsg);
    READV.set(readv);
}

/// The `recv` of the rung in use.
#[inline]
pub fn recv() -> RecvFn {
    RECV.get()
}

/// The `recvfrom` of the rung in use.
#[inline]
pub fn recvfrom() -> RecvFromFn {
    RECVFROM.get()
}

/// The `recvmsg` of the rung in use.
#[inline]
pub fn recvmsg() -> RecvMsgFn {
    RECVMSG.get()
}

/// The `readv` of the rung in use.
#[inline]
pub fn readv() -> ReadVFn {
    READV.get()
}

unsafe extern "C" fn recv_before_load(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::RECV.get()(fd, buffer, count, flags) }
}

unsafe extern "C" fn recvfrom_before_load(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::RECVFROM.get()(fd, buffer, count, flags, address, length) }
}

unsafe extern "C" fn recvmsg_before_load(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::RECVMSG.get()(fd, message, flags) }
}

unsafe extern "C" fn readv_before_load(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::READV.get()(fd, buffers, count) }
}

unsafe extern "C" fn recv_on<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::RECV.get()(fd, buffer, count, flags) };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || !buffers::takes(flags) {
        return next();
    }
    on_connection::<RUNG>(
        Function::Recv,
        fd,
        connection,
        next,
        move |scanner, length| {
            // SAFETY: the kernel has just written what was read there.
            let bytes = unsafe { buffers::flat(buffer, count, flags, length) }?;
            scanner.first_of_list(bytes, Filter::in_use())
        },
    )
}

unsafe extern "C" fn recvfrom_on<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_length: *mut socklen_t,
) -> ssize_t {
    let next = move || {
        let next = next::RECVFROM.get();
        // SAFETY: the caller's arguments, passed on.
        unsafe { next(fd, buffer, count, flags, address, address_length) }
    };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || !buffers::takes(flags) {
        return next();
    }
    on_connection::<RUNG>(
        Function::RecvFrom,
        fd,
        connection,
        next,
        move |scanner, length| {
            // SAFETY: the kernel has just written what was read there.
            let bytes = unsafe { buffers::flat(buffer, count, flags, length) }?;
            scanner.first_of_list(bytes, Filter::in_use())
        },
    )
}

unsafe extern "C" fn recvmsg_on<const RUNG: u8>(
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::RECVMSG.get()(fd, message, flags) };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || !buffers::takes(flags) {
        return next();
    }
    on_connection::<RUNG>(
        Function::RecvMsg,
        fd,
        connection,
        next,
        move |scanner, length| {
            // SAFETY: the kernel has just taken this message header for valid, and read so much.
            let pieces = unsafe { buffers::of_message(message, flags, length) }?;
            pieces::first_of_list(scanner, Filter::in_use(), pieces)
        },
    )
}

unsafe extern "C" fn readv_on<const RUNG: u8>(
    fd: c_int,
    buffers: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::READV.get()(fd, buffers, count) };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 {
        return next();
    }
    on_connection::<RUNG>(
        Function::ReadV,
        fd,
        connection,
        next,
        move |scanner, length| {
            let count = usize::try_from(count).unwrap_or(0);
            // SAFETY: the kernel has written what was read into these buffers, so there are so many.
            let pieces = unsafe { buffers::pieces(buffers, count, length) };
            pieces::first_of_list(scanner, Filter::in_use(), pieces)
        },
    )
}
