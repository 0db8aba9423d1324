//! Which descriptors are accepted connections: one word a descriptor, zero when it is not one.
//!
//! The word is the connection's identity (see [`crate::connection`]), so a descriptor number that
//! is used again never continues the connection before it.
//!
//! The first 65,536 descriptors live in static memory and cost one load to look up. Higher numbers
//! live in chunks that are mapped when the first of them is marked.
#![allow(
    unsafe_code,
    reason = "chunks of the table are mapped by mmap and read through raw pointers"
)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Descriptors in one chunk, and in the static one.
const CHUNK: usize = 1 << 16;
/// Enough chunks for every non-negative descriptor.
const CHUNKS: usize = 1 << (31 - 16);

type Chunk = [AtomicU64; CHUNK];

static FIRST: Chunk = [const { AtomicU64::new(0) }; CHUNK];
/// `HIGHER[0]` stays null: its descriptors are in `FIRST`.
static HIGHER: [AtomicPtr<Chunk>; CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];

/// The connection behind `fd`, or 0.
#[inline]
pub fn get(fd: i32) -> u64 {
    get_first(fd).unwrap_or_else(|| get_higher(fd))
}

/// The same by one load, where that tells.
#[inline]
pub fn get_first(fd: i32) -> Option<u64> {
    // A negative descriptor becomes a large number and takes the slow path, which knows it.
    let mark = FIRST.get(fd.cast_unsigned() as usize)?;
    Some(mark.load(Ordering::Relaxed))
}

/// Marks `fd` as `connection`. Returns whether it could: a chunk that cannot be mapped leaves its
/// descriptors untracked, as a read of them then is.
pub fn set(fd: i32, connection: u64) -> bool {
    let Ok(index) = usize::try_from(fd) else {
        return false;
    };
    let chunk = match index / CHUNK {
        0 => &FIRST,
        number => match chunk_or_map(&HIGHER[number]) {
            Some(chunk) => chunk,
            None => return false,
        },
    };
    chunk[index % CHUNK].store(connection, Ordering::Relaxed);
    true
}

/// Clears the mark of `fd` and returns the connection that it was, or 0.
#[inline]
pub fn take(fd: i32) -> u64 {
    if get(fd) == 0 {
        return 0;
    }
    match FIRST.get(fd.cast_unsigned() as usize) {
        Some(mark) => mark.swap(0, Ordering::Relaxed),
        None => higher(fd).map_or(0, |mark| mark.swap(0, Ordering::Relaxed)),
    }
}

#[cold]
#[inline(never)]
fn get_higher(fd: i32) -> u64 {
    higher(fd).map_or(0, |mark| mark.load(Ordering::Relaxed))
}

fn higher(fd: i32) -> Option<&'static AtomicU64> {
    let index = usize::try_from(fd).ok()?;
    let chunk = HIGHER[index / CHUNK].load(Ordering::Acquire);
    // SAFETY: a non-null entry points at a chunk that was mapped zeroed, is as large and aligned
    // as `Chunk`, and is never unmapped. Atomics allow shared access.
    let chunk = unsafe { chunk.as_ref() }?;
    Some(&chunk[index % CHUNK])
}

fn chunk_or_map(entry: &AtomicPtr<Chunk>) -> Option<&'static Chunk> {
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
                unsafe { libc::munmap(mapped.cast(), size_of::<Chunk>()) };
                other
            }
        };
    }
    // SAFETY: as in `higher`.
    unsafe { chunk.as_ref() }
}

fn map_chunk() -> Option<*mut Chunk> {
    // SAFETY: an anonymous private mapping of a fixed size; the kernel chooses the address.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<Chunk>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    (mapped != libc::MAP_FAILED).then_some(mapped.cast())
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, get, set, take};

    #[test]
    fn a_mark_is_found_until_it_is_taken() {
        for fd in [0, 3, 65_535, 65_536, 70_000, i32::MAX] {
            assert_eq!(get(fd), 0, "fd {fd}");
            assert!(set(fd, 7 + u64::try_from(fd).unwrap()));
            assert_eq!(get(fd), 7 + u64::try_from(fd).unwrap(), "fd {fd}");
            assert_eq!(take(fd), 7 + u64::try_from(fd).unwrap(), "fd {fd}");
            assert_eq!((get(fd), take(fd)), (0, 0), "fd {fd}");
        }
    }

    #[test]
    fn marks_do_not_leak_into_the_neighbours_or_the_same_slot_of_another_chunk() {
        let fd = i32::try_from(3 * CHUNK + 17).unwrap();
        assert!(set(fd, 42));
        for other in [17, fd - 1, fd + 1, fd + i32::try_from(CHUNK).unwrap()] {
            assert_eq!(get(other), 0, "fd {other}");
        }
        assert_eq!(take(fd), 42);
    }

    #[test]
    fn a_negative_descriptor_is_never_marked() {
        for fd in [-1, i32::MIN] {
            assert!(!set(fd, 1));
            assert_eq!((get(fd), take(fd)), (0, 0));
        }
    }
}
