//! The symbols that programs find in front of the hook's.
#![allow(
    unsafe_code,
    reason = "these are the C functions that the dynamic linker binds programs to"
)]

use core::ffi::{c_int, c_void};
use core::mem;

use abi::trial::shared::Count;
use libc::{iovec, msghdr, off_t, size_t, sockaddr, socklen_t, ssize_t};

use preload::buffers::{flat, of_message, pieces, takes};
use preload::frame::{Back, FindBack};
use preload::next::{
    self, ReadFn, ReadVFn, RecvFn, RecvFromFn, RecvMsgFn, SendFileFn, SendFn, SendMsgFn, SendToFn,
    Target, WriteFn, WriteVFn,
};
use preload::site::Function;
use preload::{clock, marks, owner};

use crate::call::{on_connection, on_write};
use crate::plan::{self, is_at_work};
use crate::stream::STREAMS;
use crate::{settings, site};

/// Runs when the library is loaded, before `main`.
#[cfg(not(test))]
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = construct;

extern "C" fn construct() {
    clock::find();
    owner::establish();
    next::CLOSE.get();
    next::ACCEPT.get();
    next::ACCEPT4.get();
    // Before the first call that may ask for them.
    next::SENDFILE64.get_or(&next::SENDFILE);
    let plan = settings::plan();
    if let Some(plan) = &plan {
        plan::put_to_work(plan);
    }
    let in_trial = plan.is_some_and(|plan| plan.trial.is_some());
    read::install(in_trial);
    recv::install(in_trial);
    recvfrom::install(in_trial);
    recvmsg::install(in_trial);
    readv::install(in_trial);
    write::install(in_trial);
    writev::install(in_trial);
    send::install(in_trial);
    sendto::install(in_trial);
    sendmsg::install(in_trial);
    sendfile::install(in_trial);
    sendfile64::install(in_trial);
}

/// The hook's functions that read, in the order of their numbers.
pub fn hook() -> [*mut c_void; Function::COUNT] {
    [
        next::READ.get() as *mut c_void,
        next::RECV.get() as *mut c_void,
        next::RECVFROM.get() as *mut c_void,
        next::RECVMSG.get() as *mut c_void,
        next::READV.get() as *mut c_void,
    ]
}

/// Back, if it is behind us, and of this release.
pub fn back() -> Option<&'static Back> {
    // SAFETY: only back has a symbol of this name, of this type; a null pointer becomes `None`.
    let find = unsafe { mem::transmute::<*mut c_void, Option<FindBack>>(next::find(Back::SYMBOL)) };
    // SAFETY: back has a static there.
    let back = unsafe { find?().as_ref() }?;
    (back.version == Back::VERSION).then_some(back)
}

/// What others know front by. It returns the version of what front and back agree on.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn hookprobe_front() -> u64 {
    Back::VERSION
}

/// A symbol with a target that is chosen when the library is loaded: the next function, or `seen`.
macro_rules! symbol {
    (
        $name:ident: $function:ty, $next:ident, ($($argument:ident: $type:ty),*),
        watched: $is_watched:expr, seen: |$fd:ident, $hook:ident, $call:ident| $seen:expr
    ) => {
        #[doc = concat!("`", stringify!($name), "(2)`.")]
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(fd: c_int, $($argument: $type),*) -> ssize_t {
            if $is_watched {
                // SAFETY: the caller's arguments, passed on.
                return unsafe { $name::seen(fd, $($argument),*) };
            }
            // SAFETY: as above.
            unsafe { $name::TARGET.get()(fd, $($argument),*) }
        }

        mod $name {
            use super::*;

            /// Where calls go.
            pub static TARGET: Target<$function> =
                // SAFETY: it is a function of this type.
                unsafe { Target::new(before_load as *mut c_void) };

            /// Serves constructors of other libraries that run before ours.
            unsafe extern "C" fn before_load(fd: c_int, $($argument: $type),*) -> ssize_t {
                // SAFETY: the caller's arguments, passed on.
                unsafe { next::$next.get()(fd, $($argument),*) }
            }

            /// Chooses where calls go for the life of the program.
            pub fn install(in_trial: bool) {
                let next = next::$next.get();
                TARGET.set(if in_trial { seen } else { next });
            }

            /// A call in a trial, or while a tracer watches.
            #[inline(never)]
            pub unsafe extern "C" fn seen(fd: c_int, $($argument: $type),*) -> ssize_t {
                let $fd = fd;
                let $hook = next::$next.get() as *mut c_void;
                let $call = move |target: *mut c_void| {
                    // SAFETY: targets of this function have this type, and so has the next one.
                    let target = unsafe { mem::transmute::<*mut c_void, $function>(target) };
                    // SAFETY: the caller's arguments, passed on.
                    unsafe { target($fd, $($argument),*) }
                };
                $seen
            }
        }
    };
}

/// A function that reads. `takes` says whether a call takes bytes from the stream, `pieces` where it has read so many to.
macro_rules! reader {
    (
        $name:ident: $function:ty, $next:ident, $number:expr, ($($argument:ident: $type:ty),*),
        takes: $takes:expr, pieces: $pieces:expr
    ) => {
        symbol!(
            $name: $function, $next, ($($argument: $type),*),
            watched: site::READ_DONE.is_watched(),
            seen: |fd, hook, call| match marks::get(fd) {
                0 => call(hook),
                connection => on_connection($number, fd, connection, $takes, call, $pieces),
            }
        );
    };
}

/// A function that writes: the arm of the connection moves on with its next read.
macro_rules! writer {
    ($name:ident: $function:ty, $next:ident, ($($argument:ident: $type:ty),*)) => {
        symbol!(
            $name: $function, $next, ($($argument: $type),*),
            watched: false,
            seen: |fd, hook, call| {
                match marks::get(fd) {
                    0 => {}
                    connection => on_write(fd, connection),
                }
                call(hook)
            }
        );
    };
}

preload::connections!(
    site: site,
    is_at_work: is_at_work(),
    also: |fd| {
        if let Some(stream) = STREAMS.get_or_map(fd) {
            stream.reset();
        }
        if let Some(shared) = plan::plan().shared {
            shared.count(Count::Connections);
        }
    }
);

reader!(
    read: ReadFn, READ, Function::Read, (buffer: *mut c_void, count: size_t),
    takes: true,
    // SAFETY: the kernel has just written so many bytes there.
    pieces: |length| unsafe { flat(buffer, count, 0, length) }.into_iter()
);
reader!(
    recv: RecvFn, RECV, Function::Recv, (buffer: *mut c_void, count: size_t, flags: c_int),
    takes: takes(flags),
    // SAFETY: as above.
    pieces: |length| unsafe { flat(buffer, count, flags, length) }.into_iter()
);
reader!(
    recvfrom: RecvFromFn, RECVFROM, Function::RecvFrom, (
        buffer: *mut c_void,
        count: size_t,
        flags: c_int,
        address: *mut sockaddr,
        address_length: *mut socklen_t
    ),
    takes: takes(flags),
    // SAFETY: as above.
    pieces: |length| unsafe { flat(buffer, count, flags, length) }.into_iter()
);
reader!(
    recvmsg: RecvMsgFn, RECVMSG, Function::RecvMsg, (message: *mut msghdr, flags: c_int),
    takes: takes(flags),
    // SAFETY: the kernel has just taken this message header for valid, and written so many bytes.
    pieces: |length| unsafe { of_message(message, flags, length) }.into_iter().flatten()
);
reader!(
    readv: ReadVFn, READV, Function::ReadV, (buffers: *const iovec, count: c_int),
    takes: true,
    // SAFETY: the kernel has written so many bytes into these buffers, so there are as many as the caller says.
    pieces: |length| unsafe { pieces(buffers, usize::try_from(count).unwrap_or(0), length) }
);

writer!(write: WriteFn, WRITE, (bytes: *const c_void, count: size_t));
writer!(writev: WriteVFn, WRITEV, (buffers: *const iovec, count: c_int));
writer!(send: SendFn, SEND, (bytes: *const c_void, count: size_t, flags: c_int));
writer!(sendto: SendToFn, SENDTO, (
    bytes: *const c_void,
    count: size_t,
    flags: c_int,
    address: *const sockaddr,
    length: socklen_t
));
writer!(sendmsg: SendMsgFn, SENDMSG, (message: *const msghdr, flags: c_int));
writer!(sendfile: SendFileFn, SENDFILE, (source: c_int, offset: *mut off_t, count: size_t));
writer!(sendfile64: SendFileFn, SENDFILE64, (source: c_int, offset: *mut off_t, count: size_t));
