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
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::call::{Function, connection_of, on_connection};
use crate::next::{self, ReadVFn, RecvFn, RecvFromFn, RecvMsgFn};
use crate::pieces;
use crate::rung::{LOG, LOOKUP, PASSTHROUGH, Rung, SCAN};
use crate::scan::{Filter, Scanner};

/// Flags of calls that take nothing from the stream.
const BESIDE_THE_STREAM: c_int = libc::MSG_PEEK | libc::MSG_OOB | libc::MSG_ERRQUEUE;

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

static RECV: AtomicPtr<c_void> = AtomicPtr::new(recv_before_load as RecvFn as *mut c_void);
static RECVFROM: AtomicPtr<c_void> =
    AtomicPtr::new(recvfrom_before_load as RecvFromFn as *mut c_void);
static RECVMSG: AtomicPtr<c_void> = AtomicPtr::new(recvmsg_before_load as RecvMsgFn as *mut c_void);
static READV: AtomicPtr<c_void> = AtomicPtr::new(readv_before_load as ReadVFn as *mut c_void);

/// Puts the rungs of these functions to work for the life of the program.
pub fn install(rung_of: impl Fn(Function) -> Rung) {
    let recv: RecvFn = on_rung!(rung_of(Function::Recv), recv_on, next::recv());
    let recvfrom: RecvFromFn = on_rung!(rung_of(Function::RecvFrom), recvfrom_on, next::recvfrom());
    let recvmsg: RecvMsgFn = on_rung!(rung_of(Function::RecvMsg), recvmsg_on, next::recvmsg());
    let readv: ReadVFn = on_rung!(rung_of(Function::ReadV), readv_on, next::readv());
    RECV.store(recv as *mut c_void, Ordering::Release);
    RECVFROM.store(recvfrom as *mut c_void, Ordering::Release);
    RECVMSG.store(recvmsg as *mut c_void, Ordering::Release);
    READV.store(readv as *mut c_void, Ordering::Release);
}

/// The `recv` of the rung in use.
#[inline]
pub fn recv() -> RecvFn {
    let recv = RECV.load(Ordering::Relaxed);
    // SAFETY: only functions of this type are ever stored there.
    unsafe { core::mem::transmute::<*mut c_void, RecvFn>(recv) }
}

/// The `recvfrom` of the rung in use.
#[inline]
pub fn recvfrom() -> RecvFromFn {
    let recvfrom = RECVFROM.load(Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*mut c_void, RecvFromFn>(recvfrom) }
}

/// The `recvmsg` of the rung in use.
#[inline]
pub fn recvmsg() -> RecvMsgFn {
    let recvmsg = RECVMSG.load(Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*mut c_void, RecvMsgFn>(recvmsg) }
}

/// The `readv` of the rung in use.
#[inline]
pub fn readv() -> ReadVFn {
    let readv = READV.load(Ordering::Relaxed);
    // SAFETY: as above.
    unsafe { core::mem::transmute::<*mut c_void, ReadVFn>(readv) }
}

unsafe extern "C" fn recv_before_load(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::recv()(fd, buffer, count, flags) }
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
    unsafe { next::recvfrom()(fd, buffer, count, flags, address, length) }
}

unsafe extern "C" fn recvmsg_before_load(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::recvmsg()(fd, message, flags) }
}

unsafe extern "C" fn readv_before_load(fd: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    unsafe { next::readv()(fd, buffers, count) }
}

unsafe extern "C" fn recv_on<const RUNG: u8>(
    fd: c_int,
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::recv()(fd, buffer, count, flags) };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || flags & BESIDE_THE_STREAM != 0 {
        return next();
    }
    on_connection::<RUNG>(
        Function::Recv,
        fd,
        connection,
        next,
        move |scanner, length| {
            // SAFETY: the kernel has just written what was read there.
            unsafe { scan_flat(scanner, buffer, count, flags, length) }
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
        let next = next::recvfrom();
        // SAFETY: the caller's arguments, passed on.
        unsafe { next(fd, buffer, count, flags, address, address_length) }
    };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || flags & BESIDE_THE_STREAM != 0 {
        return next();
    }
    on_connection::<RUNG>(
        Function::RecvFrom,
        fd,
        connection,
        next,
        move |scanner, length| {
            // SAFETY: the kernel has just written what was read there.
            unsafe { scan_flat(scanner, buffer, count, flags, length) }
        },
    )
}

unsafe extern "C" fn recvmsg_on<const RUNG: u8>(
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::recvmsg()(fd, message, flags) };
    let connection = connection_of::<RUNG>(fd);
    if connection == 0 || flags & BESIDE_THE_STREAM != 0 {
        return next();
    }
    on_connection::<RUNG>(
        Function::RecvMsg,
        fd,
        connection,
        next,
        move |scanner, length| {
            if flags & libc::MSG_TRUNC != 0 {
                return None;
            }
            // SAFETY: the kernel has just taken this message header for valid.
            let message = unsafe { &*message };
            // Of this word musl has an int and 32 bits that may hold anything; the kernel takes 1,024 at most.
            let count = message.msg_iovlen & 0xffff_ffff;
            // SAFETY: it has written what was read into these buffers.
            unsafe { scan_pieces(scanner, message.msg_iov, count, length) }
        },
    )
}

unsafe extern "C" fn readv_on<const RUNG: u8>(
    fd: c_int,
    buffers: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: the caller's arguments, passed on.
    let next = move || unsafe { next::readv()(fd, buffers, count) };
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
            unsafe { scan_pieces(scanner, buffers, count, length) }
        },
    )
}

/// Scans `length` bytes that were read into a buffer of `count`. With `MSG_TRUNC`, TCP throws them away
/// (tcp(7)): there is nothing to be scanned.
///
/// # Safety
/// Without that flag the first of them, as many as the buffer has, are there and initialised.
unsafe fn scan_flat(
    scanner: &Scanner<'_>,
    buffer: *const c_void,
    count: usize,
    flags: c_int,
    length: usize,
) -> Option<u16> {
    if flags & libc::MSG_TRUNC != 0 {
        return None;
    }
    // SAFETY: as the caller has promised.
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length.min(count)) };
    scanner.first_of_list(bytes, Filter::in_use())
}

/// Scans `length` bytes that were read into buffers, one after the other.
///
/// # Safety
/// There are so many buffers, and these bytes have been written to them.
unsafe fn scan_pieces(
    scanner: &Scanner<'_>,
    buffers: *const iovec,
    count: usize,
    length: usize,
) -> Option<u16> {
    // SAFETY: as the caller has promised.
    let buffers = unsafe { slice::from_raw_parts(buffers, count) };
    let mut rest = length;
    let pieces = buffers.iter().map_while(|buffer| {
        let here = buffer.iov_len.min(rest);
        rest -= here;
        if here == 0 {
            // It may have any address.
            return (rest > 0).then_some(&[][..]);
        }
        // SAFETY: so many bytes were written there.
        Some(unsafe { slice::from_raw_parts(buffer.iov_base.cast::<u8>(), here) })
    });
    pieces::first_of_list(scanner, Filter::in_use(), pieces)
}
