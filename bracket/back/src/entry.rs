//! The symbols that hooks find in front of the C library's.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds hooks to"
)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::AtomicPtr;

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use preload::clock::{self, monotonic_ns};
use preload::frame::{Back, Frame};
use preload::next::{self, ReadFn, ReadVFn, RecvFn, RecvFromFn, RecvMsgFn, Target};

use crate::storage::{frame, is_under_way};

/// Runs when the library is loaded, before `main`.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    clock::find();
    read::TARGET.set(next::READ.get());
    recv::TARGET.set(next::RECV.get());
    recvfrom::TARGET.set(next::RECVFROM.get());
    recvmsg::TARGET.set(next::RECVMSG.get());
    readv::TARGET.set(next::READV.get());
}

/// A function that reads: the symbol, and what it is made of.
///
/// Front calls `enter`, as the symbol's address would be that of front's own, and so must the symbol: were the two of one body,
/// the compiler might make the one of the other.
macro_rules! reader {
    ($name:ident: $function:ty, $next:ident, ($($argument:ident: $type:ty),*)) => {
        #[doc = concat!("`", stringify!($name), "(2)`.")]
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(fd: c_int, $($argument: $type),*) -> ssize_t {
            // SAFETY: the caller's arguments, passed on.
            unsafe { $name::enter(fd, $($argument),*) }
        }

        mod $name {
            use super::*;

            /// What calls go to: the C library's function.
            pub static TARGET: Target<$function> =
                // SAFETY: it is a function of this type.
                unsafe { Target::new(before_load as *mut c_void) };

            /// Serves constructors of other libraries that run before ours.
            unsafe extern "C" fn before_load(fd: c_int, $($argument: $type),*) -> ssize_t {
                // SAFETY: the caller's arguments, passed on.
                unsafe { next::$next.get()(fd, $($argument),*) }
            }

            #[inline(never)]
            pub unsafe extern "C" fn enter(fd: c_int, $($argument: $type),*) -> ssize_t {
                if is_under_way(fd) {
                    // SAFETY: the caller's arguments, passed on.
                    return unsafe { note(fd, $($argument),*) };
                }
                // SAFETY: as above.
                unsafe { TARGET.get()(fd, $($argument),*) }
            }

            #[inline(never)]
            unsafe extern "C" fn note(fd: c_int, $($argument: $type),*) -> ssize_t {
                // SAFETY: the caller's arguments, passed on.
                let call = move || unsafe { TARGET.get()(fd, $($argument),*) };
                frame().around(monotonic_ns, call)
            }
        }
    };
}

reader!(read: ReadFn, READ, (buffer: *mut c_void, count: size_t));
reader!(recv: RecvFn, RECV, (buffer: *mut c_void, count: size_t, flags: c_int));
reader!(recvfrom: RecvFromFn, RECVFROM, (
    buffer: *mut c_void,
    count: size_t,
    flags: c_int,
    address: *mut sockaddr,
    length: *mut socklen_t
));
reader!(recvmsg: RecvMsgFn, RECVMSG, (message: *mut msghdr, flags: c_int));
reader!(readv: ReadVFn, READV, (buffers: *const iovec, count: c_int));

/// In the order of their numbers.
static BACK: Back = Back {
    version: Back::VERSION,
    functions: [
        AtomicPtr::new(read::enter as *mut c_void),
        AtomicPtr::new(recv::enter as *mut c_void),
        AtomicPtr::new(recvfrom::enter as *mut c_void),
        AtomicPtr::new(recvmsg::enter as *mut c_void),
        AtomicPtr::new(readv::enter as *mut c_void),
    ],
    frame: frame_of_thread,
};

/// What front looks for: see [`Back`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn hookprobe_back() -> *const Back {
    &raw const BACK
}

extern "C" fn frame_of_thread() -> *const Frame {
    frame()
}
