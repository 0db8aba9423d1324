//! The calling thread's `errno`.
#![allow(
    unsafe_code,
    reason = "errno lives behind a pointer that the C library hands out"
)]

use core::ffi::c_int;

/// The value now.
pub fn get() -> c_int {
    // SAFETY: has no preconditions.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid as long as the thread lives.
    unsafe { *errno }
}

/// Does `work`, which may change `errno`, and puts the value back that was there before.
pub fn keeping<T>(work: impl FnOnce() -> T) -> T {
    let before = get();
    let result = work();
    // SAFETY: has no preconditions.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as in `get`.
    unsafe { *errno = before };
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_survives_work_that_changes_it() {
        let close_nothing = || {
            // SAFETY: closing a descriptor that is not open fails with EBADF.
            unsafe { libc::close(-1) };
            get()
        };
        assert_eq!(close_nothing(), libc::EBADF);
        let inside = keeping(|| {
            // SAFETY: fails with ENOENT.
            unsafe { libc::open(c"/nonexistent".as_ptr(), libc::O_RDONLY) };
            get()
        });
        assert_eq!((inside, get()), (libc::ENOENT, libc::EBADF));
    }
}
