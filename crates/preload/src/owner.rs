//! Which process the marks belong to.
//!
//! A child of `vfork` runs in the memory of its parent, but has descriptors of its own: what it
//! closes stays open in the parent, so it must leave the marks alone. A child of `fork` has a copy
//! of the marks and clears its own. The number of the process that the memory belongs to tells one
//! from the other: `fork` runs a handler in the child that renews it, and `vfork` does not.
//!
//! A child made by `_Fork` or by `clone` runs no handler either. For its sake the number lies in a
//! page that the kernel empties in each copy of the memory; the child then claims it at its first
//! use, which must come before a `vfork` of its own.
#![allow(
    unsafe_code,
    reason = "the page is mapped, and the registration comes from dlsym"
)]

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use crate::{next, raw};

/// Smaller than any page; the kernel rounds it up to a whole one.
const PAGE_BYTES: usize = size_of::<AtomicI32>();

/// Holds the number if no page could be had. `fork` then still renews it by the handler.
static OUTSIDE: AtomicI32 = AtomicI32::new(0);
/// Where the number is; it is 0 while nobody has claimed this memory.
static OWNER: AtomicPtr<AtomicI32> = AtomicPtr::new((&raw const OUTSIDE).cast_mut());

/// Makes the calling process the owner, and children of `fork` owners of their copies. Called once,
/// from the constructor.
pub fn establish() {
    if let Some(page) = map_page_emptied_on_fork() {
        OWNER.store(page, Ordering::Release);
    }
    renew();
    // Should it fail, the emptied page still does for children of `fork`.
    let _ = call_in_children_of_fork(renew);
}

/// Makes the calling process the owner if nobody is, as in a fresh copy of the memory.
pub fn claim() {
    if owner().load(Ordering::Relaxed) == 0 {
        renew();
    }
}

/// Whether the calling process owns this memory, rather than runs in that of its parent.
pub fn is_this_process() -> bool {
    claim();
    owner().load(Ordering::Relaxed) == raw::process()
}

/// The number of the process that owns this memory. Without a system call, except in a fresh copy. A child
/// that runs in its parent's memory gets its parent's.
pub fn number() -> u64 {
    claim();
    u64::from(owner().load(Ordering::Relaxed).cast_unsigned())
}

/// Async-signal-safe, as a handler of `fork` must be when the program has threads.
extern "C" fn renew() {
    owner().store(raw::process(), Ordering::Relaxed);
}

fn owner() -> &'static AtomicI32 {
    // SAFETY: points at `OUTSIDE` or at a page that is mapped for good, zeroed at first and aligned.
    unsafe { &*OWNER.load(Ordering::Acquire) }
}

/// Maps a page of zeros that is zeroed again in each copy of the memory, but not where the memory is
/// shared. `None` where the kernel has no such pages (before Linux 4.14).
fn map_page_emptied_on_fork() -> Option<*mut AtomicI32> {
    let page = raw::map_zeros(PAGE_BYTES);
    if page.is_null() {
        return None;
    }
    // SAFETY: the page was mapped above.
    if !unsafe { raw::empty_on_fork(page, PAGE_BYTES) } {
        // SAFETY: nobody has seen the page.
        unsafe { raw::unmap(page, PAGE_BYTES) };
        return None;
    }
    Some(page.cast())
}

type Handler = extern "C" fn();
/// Takes what to call before `fork`, and after it in the parent and in the child.
type PthreadAtfork =
    unsafe extern "C" fn(Option<Handler>, Option<Handler>, Option<Handler>) -> c_int;
/// Takes in addition the library whose unloading ends the registration.
type RegisterAtfork =
    unsafe extern "C" fn(Option<Handler>, Option<Handler>, Option<Handler>, *const c_void) -> c_int;

/// Looked up by name: glibc exports the one under every version, others the other, and an import
/// would bind the library to the C library that it was built with.
fn call_in_children_of_fork(handler: Handler) -> bool {
    // SAFETY: glibc's function of this name has this type; a null pointer becomes `None`.
    let register = unsafe {
        mem::transmute::<*mut c_void, Option<RegisterAtfork>>(next::find(c"__register_atfork"))
    };
    if let Some(register) = register {
        // SAFETY: the library is never unloaded (the build script sees to it), so the handler lives for good,
        // and none needs to be named.
        return unsafe { register(None, None, Some(handler), ptr::null()) } == 0;
    }
    // SAFETY: the POSIX function of this name has this type; a null pointer becomes `None`.
    let register = unsafe {
        mem::transmute::<*mut c_void, Option<PthreadAtfork>>(next::find(c"pthread_atfork"))
    };
    // SAFETY: as above.
    register.is_some_and(|register| unsafe { register(None, None, Some(handler)) } == 0)
}
