//! The memory that is shared with the agent: see [`Shared`].
#![allow(
    unsafe_code,
    reason = "the memory comes from mmap, and is looked at through a raw pointer"
)]

use core::ptr;
use core::sync::atomic::Ordering;

use abi::trial::shared::{Count, MAGIC, Shared};
use preload::raw::file_size;

/// Maps it, if that is what the descriptor is. It must be sealed: nobody can then cut it off under us.
pub fn map(fd: i32) -> Option<&'static Shared> {
    const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    // SAFETY: this command of fcntl takes no pointer.
    let seals = unsafe { libc::fcntl(fd, libc::F_GET_SEALS) };
    if seals < 0 || seals & SEALS != SEALS || file_size(fd)? != size_of::<Shared>() as u64 {
        return None;
    }
    // SAFETY: a shared mapping of the whole file; the kernel chooses the address.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<Shared>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it is mapped for good, in whole, and aligned to a page; any bytes are valid atomic integers.
    let shared = unsafe { &*mapped.cast::<Shared>() };
    if shared.magic.load(Ordering::Relaxed) != MAGIC {
        // SAFETY: nobody keeps the reference.
        unsafe { libc::munmap(mapped, size_of::<Shared>()) };
        return None;
    }
    shared.count(Count::Processes);
    Some(shared)
}
