//! The functions that a library stands in front of: the next definition in link order, looked up once.
#![allow(
    unsafe_code,
    reason = "symbols found by dlsym are called through function pointers of their C type"
)]

use core::ffi::{CStr, c_int, c_void};
use core::marker::PhantomData;
use core::mem;
use core::sync::atomic::{AtomicPtr, Ordering};

use libc::{iovec, msghdr, off_t, size_t, sockaddr, socklen_t, ssize_t};

/// `read(2)`.
pub type ReadFn = unsafe extern "C" fn(c_int, *mut c_void, size_t) -> ssize_t;
/// `close(2)`.
pub type CloseFn = unsafe extern "C" fn(c_int) -> c_int;
/// `accept(2)`.
pub type AcceptFn = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
/// `accept4(2)`.
pub type Accept4Fn = unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t, c_int) -> c_int;

/// `recv(2)`.
pub type RecvFn = unsafe extern "C" fn(c_int, *mut c_void, size_t, c_int) -> ssize_t;
/// `recvfrom(2)`.
pub type RecvFromFn = unsafe extern "C" fn(
    c_int,
    *mut c_void,
    size_t,
    c_int,
    *mut sockaddr,
    *mut socklen_t,
) -> ssize_t;
/// `recvmsg(2)`.
pub type RecvMsgFn = unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t;
/// `readv(2)`.
pub type ReadVFn = unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t;

/// `write(2)`.
pub type WriteFn = unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t;
/// `writev(2)`.
pub type WriteVFn = ReadVFn;
/// `send(2)`.
pub type SendFn = unsafe extern "C" fn(c_int, *const c_void, size_t, c_int) -> ssize_t;
/// `sendto(2)`.
pub type SendToFn = unsafe extern "C" fn(
    c_int,
    *const c_void,
    size_t,
    c_int,
    *const sockaddr,
    socklen_t,
) -> ssize_t;
/// `sendmsg(2)`.
pub type SendMsgFn = unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t;
/// `sendfile(2)`.
pub type SendFileFn = unsafe extern "C" fn(c_int, c_int, *mut off_t, size_t) -> ssize_t;

/// A symbol that is looked up on first use. A library looks all of its own up when it is loaded ([`Next::get`]), so that no
/// later call finds one unresolved: `dlsym` is not async-signal-safe.
#[derive(Debug)]
pub struct Next<F> {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F: Copy> Next<F> {
    /// # Safety
    /// `F` is a pointer to a function, of the type that the symbol has in every C library.
    const unsafe fn new(name: &'static CStr) -> Self {
        const {
            assert!(size_of::<F>() == size_of::<*mut c_void>());
        }
        Self {
            name,
            address: AtomicPtr::new(core::ptr::null_mut()),
            function: PhantomData,
        }
    }

    /// The next function of this name.
    #[inline]
    pub fn get(&self) -> F {
        let address = self.address.load(Ordering::Relaxed);
        let address = if address.is_null() {
            self.resolve()
        } else {
            address
        };
        // SAFETY: whoever has made this says that it has this type.
        unsafe { mem::transmute_copy::<*mut c_void, F>(&address) }
    }

    /// The same, without a look at whether it is known.
    ///
    /// # Safety
    /// [`Next::get`] has been called.
    #[inline]
    pub unsafe fn known(&self) -> F {
        let address = self.address.load(Ordering::Relaxed);
        // SAFETY: it is not null, and whoever has made this says that it has this type.
        unsafe { mem::transmute_copy::<*mut c_void, F>(&address) }
    }

    /// As [`Next::get`]. A C library that has no such function has another that does the same.
    pub fn get_or(&self, other: &Self) -> F {
        if find(self.name).is_null() {
            other.get();
            let address = other.address.load(Ordering::Relaxed);
            self.address.store(address, Ordering::Relaxed);
        }
        self.get()
    }

    #[cold]
    #[inline(never)]
    fn resolve(&self) -> *mut c_void {
        let address = find(self.name);
        if address.is_null() {
            // Without the C library there is nothing to forward to: better a stop than a lie.
            abort()
        }
        self.address.store(address, Ordering::Relaxed);
        address
    }
}

/// A function that calls go to: one load and a jump. It is chosen when the library is loaded.
#[derive(Debug)]
pub struct Target<F> {
    address: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F: Copy> Target<F> {
    /// # Safety
    /// `F` is a pointer to a function, and this is one.
    pub const unsafe fn new(function: *mut c_void) -> Self {
        const {
            assert!(size_of::<F>() == size_of::<*mut c_void>());
        }
        Self {
            address: AtomicPtr::new(function),
            function: PhantomData,
        }
    }

    /// The function.
    #[inline]
    pub fn get(&self) -> F {
        let address = self.address.load(Ordering::Relaxed);
        // SAFETY: only such functions are ever stored there.
        unsafe { mem::transmute_copy::<*mut c_void, F>(&address) }
    }

    /// Has calls go to another.
    pub fn set(&self, function: F) {
        // SAFETY: `F` is a pointer to a function.
        let address = unsafe { mem::transmute_copy::<F, *mut c_void>(&function) };
        self.address.store(address, Ordering::Release);
    }
}

/// The next definition of a symbol, or null. Not async-signal-safe.
pub fn find(name: &CStr) -> *mut c_void {
    // SAFETY: the name is a C string; RTLD_NEXT searches behind this library.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

macro_rules! next_functions {
    ($($constant:ident: $function:ty = $name:literal;)*) => {
        $(
            #[doc = concat!("The next `", stringify!($name), "`.")]
            // SAFETY: the type is that of the symbol in every C library.
            pub static $constant: Next<$function> = unsafe { Next::new($name) };
        )*
    };
}

next_functions! {
    READ: ReadFn = c"read";
    CLOSE: CloseFn = c"close";
    ACCEPT: AcceptFn = c"accept";
    ACCEPT4: Accept4Fn = c"accept4";
    RECV: RecvFn = c"recv";
    RECVFROM: RecvFromFn = c"recvfrom";
    RECVMSG: RecvMsgFn = c"recvmsg";
    READV: ReadVFn = c"readv";
    WRITE: WriteFn = c"write";
    WRITEV: WriteVFn = c"writev";
    SEND: SendFn = c"send";
    SENDTO: SendToFn = c"sendto";
    SENDMSG: SendMsgFn = c"sendmsg";
    SENDFILE: SendFileFn = c"sendfile";
    SENDFILE64: SendFileFn = c"sendfile64";
}

/// Stops the program.
pub fn abort() -> ! {
    // SAFETY: abort has no preconditions and is async-signal-safe.
    unsafe { libc::abort() }
}
