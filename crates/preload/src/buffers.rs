//! Where the bytes are that a call has read.
#![allow(
    unsafe_code,
    reason = "the buffers are what the program has passed: raw pointers"
)]

use core::ffi::{c_int, c_void};
use core::slice;

use libc::{iovec, msghdr};

/// Whether a call with these flags takes something from the stream: others look at what is there, or read beside it.
#[inline]
pub fn takes(flags: c_int) -> bool {
    flags & (libc::MSG_PEEK | libc::MSG_OOB | libc::MSG_ERRQUEUE) == 0
}

/// The bytes that were read into a buffer of `count`. With `MSG_TRUNC`, TCP throws them away
/// (tcp(7)): there is nothing to be looked at.
///
/// # Safety
/// Without that flag the first `length` of them, as many as the buffer has, are there and initialised.
#[inline]
pub unsafe fn flat<'b>(
    buffer: *const c_void,
    count: usize,
    flags: c_int,
    length: usize,
) -> Option<&'b [u8]> {
    if flags & libc::MSG_TRUNC != 0 {
        return None;
    }
    // SAFETY: as the caller has promised.
    Some(unsafe { slice::from_raw_parts(buffer.cast::<u8>(), length.min(count)) })
}

/// `length` bytes that were read into buffers, one after the other.
///
/// # Safety
/// There are so many buffers, and these bytes have been written to them.
#[inline]
pub unsafe fn pieces<'b>(
    buffers: *const iovec,
    count: usize,
    length: usize,
) -> impl Iterator<Item = &'b [u8]> {
    // SAFETY: as the caller has promised.
    let buffers = unsafe { slice::from_raw_parts(buffers, count) };
    let mut rest = length;
    buffers.iter().map_while(move |buffer| {
        let here = buffer.iov_len.min(rest);
        rest -= here;
        if here == 0 {
            // It may have any address.
            return (rest > 0).then_some(&[][..]);
        }
        // SAFETY: so many bytes were written there.
        Some(unsafe { slice::from_raw_parts(buffer.iov_base.cast::<u8>(), here) })
    })
}

/// The same of a message, and as in [`flat`] with `MSG_TRUNC`.
///
/// # Safety
/// The kernel has just taken this message header for valid, and written so many bytes into its buffers.
#[inline]
pub unsafe fn of_message<'b>(
    message: *const msghdr,
    flags: c_int,
    length: usize,
) -> Option<impl Iterator<Item = &'b [u8]>> {
    if flags & libc::MSG_TRUNC != 0 {
        return None;
    }
    // SAFETY: as the caller has promised.
    let message = unsafe { &*message };
    // Of this word musl has an int and 32 bits that may hold anything; the kernel takes 1,024 at most.
    let count = message.msg_iovlen & 0xffff_ffff;
    // SAFETY: it has written what was read into these buffers.
    Some(unsafe { pieces(message.msg_iov, count, length) })
}
