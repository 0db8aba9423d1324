//! The memory that is shared with the agent: see [`Shared`].
#![allow(
    unsafe_code,
    reason = "the memory is mapped, and looked at through a raw pointer"
)]

use core::sync::atomic::Ordering;

use abi::trial::shared::{Count, MAGIC, Shared};
use preload::raw;

/// Maps it, if that is what the descriptor is. It must be sealed: nobody can then cut it off under us.
pub fn map(fd: i32) -> Option<&'static Shared> {
    const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    if raw::seals(fd)? & SEALS != SEALS || raw::file_size(fd)? != size_of::<Shared>() as u64 {
        return None;
    }
    let mapped = raw::map_shared(fd, size_of::<Shared>());
    if mapped.is_null() {
        return None;
    }
    // SAFETY: it is mapped for good, in whole, and aligned to a page; any bytes are valid atomic integers.
    let shared = unsafe { &*mapped.cast::<Shared>() };
    if shared.magic.load(Ordering::Relaxed) != MAGIC {
        // SAFETY: nobody keeps the reference.
        unsafe { raw::unmap(mapped, size_of::<Shared>()) };
        return None;
    }
    shared.count(Count::Processes);
    Some(shared)
}
