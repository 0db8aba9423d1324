//! A table by descriptor, without locks.
//!
//! The first 65,536 descriptors live in static memory and cost one load to look up. Higher numbers
//! live in chunks that are mapped when the first of them is written to.
#![allow(
    unsafe_code,
    reason = "chunks of the table are mapped and read through raw pointers"
)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::raw;

/// Descriptors in one chunk, and in the static one.
pub const CHUNK: usize = 1 << 16;
/// Enough chunks for every non-negative descriptor.
const CHUNKS: usize = 1 << (31 - 16);

/// What a table may hold.
///
/// # Safety
/// Memory of zeros, aligned to a page, is a valid value: [`Entry::EMPTY`].
pub unsafe trait Entry: Sync + 'static {
    /// What nobody has written to.
    const EMPTY: Self;
}

// SAFETY: it is zero.
unsafe impl Entry for AtomicU64 {
    const EMPTY: Self = Self::new(0);
}

/// An entry for each descriptor.
#[derive(Debug)]
pub struct Table<T> {
    first: [T; CHUNK],
    /// `higher[0]` stays null: its descriptors are in `first`.
    higher: [AtomicPtr<[T; CHUNK]>; CHUNKS],
}

impl<T: Entry> Table<T> {
    /// An empty one. It is large: for statics.
    #[allow(clippy::new_without_default, reason = "it is too large for the stack")]
    #[allow(clippy::large_stack_arrays, reason = "it is made by the compiler")]
    pub const fn new() -> Self {
        Self {
            first: [const { T::EMPTY }; CHUNK],
            higher: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
        }
    }

    /// The entry of a low descriptor, at once.
    #[inline]
    pub fn first(&'static self, fd: i32) -> Option<&'static T> {
        // A negative descriptor becomes a large number and takes the slow path, which knows it.
        self.first.get(fd.cast_unsigned() as usize)
    }

    /// The entry of a descriptor, unless it has never been written to.
    #[inline]
    pub fn get(&'static self, fd: i32) -> Option<&'static T> {
        self.first(fd).or_else(|| self.higher(fd))
    }

    /// The entry of a descriptor, to write to. `None` when its chunk cannot be mapped, and for negative ones.
    pub fn get_or_map(&'static self, fd: i32) -> Option<&'static T> {
        let index = usize::try_from(fd).ok()?;
        let chunk = match index / CHUNK {
            0 => &self.first,
            number => chunk_or_map(&self.higher[number])?,
        };
        Some(&chunk[index % CHUNK])
    }

    #[cold]
    #[inline(never)]
    fn higher(&'static self, fd: i32) -> Option<&'static T> {
        let index = usize::try_from(fd).ok()?;
        let chunk = self.higher[index / CHUNK].load(Ordering::Acquire);
        // SAFETY: a non-null entry points at a chunk that was mapped zeroed, is as large and aligned
        // as a chunk, and is never unmapped. Entries allow shared access.
        let chunk = unsafe { chunk.as_ref() }?;
        Some(&chunk[index % CHUNK])
    }
}

fn chunk_or_map<T: Entry>(entry: &AtomicPtr<[T; CHUNK]>) -> Option<&'static [T; CHUNK]> {
    let mut chunk = entry.load(Ordering::Acquire);
    if chunk.is_null() {
        let mapped = map_chunk()?;
        chunk = match entry.compare_exchange(
            ptr::null_mut(),
            mapped,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            Ok(_) => mapped,
            Err(other) => {
                // SAFETY: another thread was first; nobody has seen this fresh mapping.
                unsafe { raw::unmap(mapped.cast(), size_of::<[T; CHUNK]>()) };
                other
            }
        };
    }
    // SAFETY: as in `higher`.
    unsafe { chunk.as_ref() }
}

fn map_chunk<T>() -> Option<*mut [T; CHUNK]> {
    let mapped = raw::map_zeros(size_of::<[T; CHUNK]>());
    (!mapped.is_null()).then_some(mapped.cast())
}
