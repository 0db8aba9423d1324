//! Which descriptors are accepted connections: one word a descriptor, zero when it is not one.
//!
//! The word is the connection's identity (see [`crate::connection`]), so a descriptor number that
//! is used again never continues the connection before it.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::connection::{is_internet_socket, new_identity};
use crate::table::Table;
use crate::{errno, owner};

static MARKS: Table<AtomicU64> = Table::new();

/// The connection behind `fd`, or 0.
#[inline]
pub fn get(fd: i32) -> u64 {
    MARKS.get(fd).map_or(0, |mark| mark.load(Ordering::Relaxed))
}

/// The same by one load, where that tells.
#[inline]
pub fn get_first(fd: i32) -> Option<u64> {
    Some(MARKS.first(fd)?.load(Ordering::Relaxed))
}

/// Marks `fd` as `connection`. Returns whether it could: a chunk that cannot be mapped leaves its
/// descriptors untracked, as a read of them then is.
pub fn set(fd: i32, connection: u64) -> bool {
    let mark = MARKS.get_or_map(fd);
    mark.is_some_and(|mark| {
        mark.store(connection, Ordering::Relaxed);
        true
    })
}

/// Clears the mark of `fd` and returns the connection that it was, or 0.
#[inline]
pub fn take(fd: i32) -> u64 {
    if get(fd) == 0 {
        return 0;
    }
    MARKS
        .get(fd)
        .map_or(0, |mark| mark.swap(0, Ordering::Relaxed))
}

/// Marks a descriptor that was accepted if it is an internet connection, and then does `also`. `errno` is kept.
#[inline]
pub fn accept(fd: i32, also: impl FnOnce(u64)) {
    if fd < 0 {
        return;
    }
    owner::claim();
    errno::keeping(|| {
        // Storing 0 clears the mark of a descriptor that was closed behind our back.
        let connection = if is_internet_socket(fd) {
            new_identity()
        } else {
            0
        };
        if set(fd, connection) && connection != 0 {
            also(connection);
        }
    });
}

/// Clears the mark of a connection that is about to be closed, and returns it; `None` if there is none, or another
/// process's.
#[inline]
pub fn forget(fd: i32) -> Option<u64> {
    // A child of vfork closes its own descriptor; the mark is of its parent's, which stays open.
    if !owner::is_this_process() {
        return None;
    }
    // The mark goes first: once the descriptor is closed, another thread may be given its number.
    let connection = take(fd);
    (connection != 0).then_some(connection)
}

#[cfg(test)]
mod tests {
    use super::{get, set, take};
    use crate::table::CHUNK;

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
