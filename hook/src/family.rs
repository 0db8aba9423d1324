//! The relatives of `read`: `recv`, `recvfrom`, `recvmsg` and `readv`. They pass straight on unless
//! `READHOOK_FUNCTIONS` names them; then they do with a connection what `read` does.
//!
//! Calls that take nothing out of the stream of bytes pass straight on all the same: those with `MSG_PEEK`,
//! whose bytes come again, with `MSG_OOB` or with `MSG_ERRQUEUE`. Where several buffers are filled, each is
//! scanned for itself: as in two reads, a word that lies in two is not found.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds programs to"
)]

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicU8, Ordering};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::rung::{self, Buffers};
use crate::site::Function;
use crate::{marks, next};

/// The functions that are hooked, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Functions(u8);

impl Functions {
    /// `read` alone.
    pub const READ: Self = Self(1 << Function::Read as u8);
    /// None.
    pub const NONE: Self = Self(0);

    /// Reads a list of names with commas between them. `None` if it holds another name, or none.
    pub fn parse(list: &[u8]) -> Option<Self> {
        let mut functions = Self::NONE;
        for name in list.split(|byte| *byte == b',') {
            let function = Function::ALL
                .iter()
                .find(|function| function.name().as_bytes() == name)?;
            functions.0 |= 1 << *function as u8;
        }
        Some(functions)
    }

    /// Whether a function is among them.
    pub const fn contains(self, function: Function) -> bool {
        self.0 >> function as u8 & 1 != 0
    }

    /// Has the relatives of `read` that are among them hooked for the life of the program.
    pub fn put_in_use(self) {
        IN_USE.store(self.0, Ordering::Release);
    }
}

static IN_USE: AtomicU8 = AtomicU8::new(0);

/// The connection behind `fd`, if calls of `function` are hooked; else 0.
#[inline]
fn connection(function: Function, fd: c_int) -> u64 {
    if Functions(IN_USE.load(Ordering::Relaxed)).contains(function) {
        marks::get(fd)
    } else {
        0
    }
}

/// Whether a call with these flags takes bytes out of the stream.
fn takes(flags: c_int) -> bool {
    flags & (libc::MSG_PEEK | libc::MSG_OOB | libc::MSG_ERRQUEUE) == 0
}

/// Whether it also puts them into the buffer, all that it counts. TCP throws them away with `MSG_TRUNC`.
fn fills(flags: c_int) -> bool {
    flags & libc::MSG_TRUNC == 0
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
    let connection = connection(Function::Recv, fd);
    if connection == 0 || !takes(flags) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::recv()(fd, buffer, count, flags) };
    }
    let buffers = Buffers::One(fills(flags).then_some(buffer));
    // SAFETY: the caller's arguments, passed on.
    let call = || unsafe { next::recv()(fd, buffer, count, flags) };
    // SAFETY: the buffer is what the call fills.
    unsafe { rung::hooked(Function::Recv, fd, connection, &buffers, call) }
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
    let connection = connection(Function::Recvfrom, fd);
    if connection == 0 || !takes(flags) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::recvfrom()(fd, buffer, count, flags, address, length) };
    }
    let buffers = Buffers::One(fills(flags).then_some(buffer));
    // SAFETY: the caller's arguments, passed on.
    let call = || unsafe { next::recvfrom()(fd, buffer, count, flags, address, length) };
    // SAFETY: the buffer is what the call fills.
    unsafe { rung::hooked(Function::Recvfrom, fd, connection, &buffers, call) }
}

/// `recvmsg(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let connection = connection(Function::Recvmsg, fd);
    if connection == 0 || !takes(flags) {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::recvmsg()(fd, message, flags) };
    }
    let buffers = if fills(flags) {
        Buffers::OfMessage(message)
    } else {
        Buffers::One(None)
    };
    // SAFETY: the caller's arguments, passed on.
    let call = || unsafe { next::recvmsg()(fd, message, flags) };
    // SAFETY: the buffers are what the call fills.
    unsafe { rung::hooked(Function::Recvmsg, fd, connection, &buffers, call) }
}

/// `readv(2)`.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn readv(fd: c_int, vector: *const iovec, count: c_int) -> ssize_t {
    let connection = connection(Function::Readv, fd);
    if connection == 0 {
        // SAFETY: the caller's arguments, passed on.
        return unsafe { next::readv()(fd, vector, count) };
    }
    let buffers = Buffers::Many(vector, count.cast_unsigned() as usize);
    // SAFETY: the caller's arguments, passed on.
    let call = || unsafe { next::readv()(fd, vector, count) };
    // SAFETY: the buffers are what the call fills.
    unsafe { rung::hooked(Function::Readv, fd, connection, &buffers, call) }
}

/// Calls `visit` with what each buffer of a vector got, when a call that filled them returned `length`.
///
/// # Safety
/// The call must have succeeded with this vector, so that the kernel has read it.
pub unsafe fn for_each_filled(
    vector: *const iovec,
    count: usize,
    mut length: usize,
    mut visit: impl FnMut(&[u8]),
) {
    for index in 0..count {
        if length == 0 {
            break;
        }
        // SAFETY: the kernel has read `count` elements.
        let element = unsafe { vector.add(index) };
        // SAFETY: as above.
        let element = unsafe { element.read_unaligned() };
        let filled = element.iov_len.min(length);
        length -= filled;
        if filled > 0 {
            // SAFETY: the kernel has filled these bytes.
            visit(unsafe { slice::from_raw_parts(element.iov_base.cast::<u8>(), filled) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_functions_are_read_exactly() {
        let all = Functions::parse(b"read,recv,recvfrom,recvmsg,readv").unwrap();
        assert!(Function::ALL.iter().all(|function| all.contains(*function)));
        let some = Functions::parse(b"readv,recv").unwrap();
        assert!(some.contains(Function::Recv) && some.contains(Function::Readv));
        assert!(!some.contains(Function::Read) && !some.contains(Function::Recvmsg));
        assert_eq!(Functions::parse(b"read"), Some(Functions::READ));
        for nonsense in [b"".as_slice(), b"read,", b"read, recv", b"write", b"READ"] {
            assert_eq!(Functions::parse(nonsense), None);
        }
    }

    #[test]
    fn bytes_are_found_in_the_buffers_that_got_them() {
        let (mut first, mut second, mut third) = (*b"abc", *b"defg", *b"hi");
        let vector =
            [&mut first[..], &mut [], &mut second[..], &mut third[..]].map(|buffer| iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            });
        let filled = |length| {
            let mut seen = Vec::new();
            // SAFETY: the vector is of live buffers.
            unsafe {
                for_each_filled(vector.as_ptr(), vector.len(), length, |bytes| {
                    seen.push(bytes.to_vec());
                });
            }
            seen
        };
        assert_eq!(filled(0), Vec::<Vec<u8>>::new());
        assert_eq!(filled(2), [b"ab".to_vec()]);
        assert_eq!(filled(5), [b"abc".to_vec(), b"de".to_vec()]);
        assert_eq!(
            filled(9),
            [b"abc".to_vec(), b"defg".to_vec(), b"hi".to_vec()]
        );
    }
}
