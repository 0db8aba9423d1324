//! Bytes with an unreadable page right behind them, and right before.

use std::ptr;

/// Bytes to be looked at where nothing else can be.
pub struct Guarded<'b> {
    bytes: &'b [u8],
}

/// Readable pages, and one on each side that is not.
struct Pages {
    start: *mut u8,
    mapped: usize,
}

const PAGE: usize = 4_096;

impl<'b> Guarded<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// What `look` makes of the bytes where they end at an unreadable page, and where they begin behind one.
    pub fn each<T>(&self, look: impl Fn(&[u8]) -> T) -> [T; 2] {
        let pages = Pages::map(self.bytes.len());
        let room = pages.mapped - 2 * PAGE;
        [room - self.bytes.len(), 0].map(|offset| {
            // SAFETY: `offset + bytes.len()` is at most `room`, which begins one page into the mapping and
            // is readable and writable; nobody else has it.
            let place = unsafe { pages.start.add(PAGE + offset) };
            // SAFETY: as above; the two do not overlap.
            unsafe { ptr::copy_nonoverlapping(self.bytes.as_ptr(), place, self.bytes.len()) };
            // SAFETY: as above, and written just now.
            look(unsafe { std::slice::from_raw_parts(place, self.bytes.len()) })
        })
    }
}

impl Pages {
    fn map(length: usize) -> Self {
        let mapped = length.next_multiple_of(PAGE).max(PAGE) + 2 * PAGE;
        // SAFETY: an anonymous private mapping; the kernel chooses the address.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "mmap");
        let pages = Self {
            start: start.cast(),
            mapped,
        };
        for page in [0, mapped - PAGE] {
            // SAFETY: `page` lies in the mapping, which is ours.
            let address = unsafe { pages.start.add(page) };
            // SAFETY: as above.
            let result = unsafe { libc::mprotect(address.cast(), PAGE, libc::PROT_NONE) };
            assert_eq!(result, 0, "mprotect");
        }
        pages
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: unmaps what `map` has mapped; no reference into it is left.
        unsafe { libc::munmap(self.start.cast(), self.mapped) };
    }
}
