//! What front and back tell each other about one call, and how they meet.

use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::site::Function;

/// The call that front has under way in a thread. It lies in that thread's own storage, in back: it cannot dangle, whatever a
/// `longjmp` or a cancellation leaves behind, and signal handlers that read put it back as it was.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    /// The descriptor, and [`Frame::NO_CALL`] when there is no call.
    fd: AtomicI32,
    /// Whether back is to take times.
    is_timed: AtomicU32,
    /// How often back was entered.
    entries: AtomicU64,
    /// When first.
    enter_ns: AtomicU64,
    /// When the C library returned to it, last.
    exit_ns: AtomicU64,
    /// Where on the stack front is.
    stack: AtomicUsize,
}

/// A frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    fd: i32,
    is_timed: bool,
    /// How often back was entered for the descriptor.
    pub entries: u64,
    /// When first, if it was to take times.
    pub enter_ns: u64,
    /// When the C library returned to it, last.
    pub exit_ns: u64,
    stack: usize,
}

impl Inner {
    /// Of a call that front is about to make from there on the stack.
    #[inline]
    pub fn new(fd: i32, is_timed: bool, stack: usize) -> Self {
        Self {
            fd,
            is_timed,
            entries: 0,
            enter_ns: 0,
            exit_ns: 0,
            stack,
        }
    }
}

impl Frame {
    /// Puts another content in, and returns the one that was there.
    #[inline]
    pub fn replace(&self, inner: Inner) -> Inner {
        let before = Inner {
            fd: self.fd.load(Ordering::Relaxed),
            is_timed: self.is_timed.load(Ordering::Relaxed) != 0,
            entries: self.entries.load(Ordering::Relaxed),
            enter_ns: self.enter_ns.load(Ordering::Relaxed),
            exit_ns: self.exit_ns.load(Ordering::Relaxed),
            stack: self.stack.load(Ordering::Relaxed),
        };
        self.fd.store(inner.fd, Ordering::Relaxed);
        let is_timed = u32::from(inner.is_timed);
        self.is_timed.store(is_timed, Ordering::Relaxed);
        self.entries.store(inner.entries, Ordering::Relaxed);
        self.enter_ns.store(inner.enter_ns, Ordering::Relaxed);
        self.exit_ns.store(inner.exit_ns, Ordering::Relaxed);
        self.stack.store(inner.stack, Ordering::Relaxed);
        before
    }

    /// No descriptor: the first four bytes of a frame, all else being zero, in a new thread.
    pub const NO_CALL: i32 = -1;

    /// Whether front has a call of this descriptor under way. The descriptor is the first word of a frame.
    pub fn is_of(&self, fd: i32) -> bool {
        self.fd.load(Ordering::Relaxed) == fd
    }

    /// Whether a call of this descriptor that is made from there on the stack is made within the one under way. Stacks grow
    /// down: what a `longjmp` has left behind is not above the calls that are made from the same place again.
    #[inline]
    pub fn encloses(&self, fd: i32, stack: usize) -> bool {
        self.is_of(fd) && stack < self.stack.load(Ordering::Relaxed)
    }

    /// Calls the C library in such a call, and notes it.
    #[inline]
    pub fn around<T>(&self, clock: impl Fn() -> u64, call: impl FnOnce() -> T) -> T {
        let entries = self.entries.load(Ordering::Relaxed);
        self.entries.store(entries + 1, Ordering::Relaxed);
        if self.is_timed.load(Ordering::Relaxed) == 0 {
            return call();
        }
        if entries == 0 {
            self.enter_ns.store(clock(), Ordering::Relaxed);
        }
        let result = call();
        self.exit_ns.store(clock(), Ordering::Relaxed);
        result
    }
}

/// What back has for front, found by [`Back::SYMBOL`]: a function without arguments that returns the address of this.
#[derive(Debug)]
#[repr(C)]
pub struct Back {
    /// [`Back::VERSION`].
    pub version: u64,
    /// By [`Function`]: back's own functions. Their names would be bound to front's.
    pub functions: [AtomicPtr<c_void>; Function::COUNT],
    /// The frame of the calling thread.
    pub frame: extern "C" fn() -> *const Frame,
}

/// The function by which back is found.
pub type FindBack = extern "C" fn() -> *const Back;

impl Back {
    /// Name of that function.
    pub const SYMBOL: &core::ffi::CStr = c"hookprobe_back";
    /// Of this layout and of the frame's: front and back go together.
    pub const VERSION: u64 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that counts its reads.
    fn clock(reads: &AtomicU64) -> impl Fn() -> u64 {
        || reads.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Where on the stack calls are made from.
    const STACK: usize = 0x7000;

    fn empty() -> Frame {
        Frame {
            fd: AtomicI32::new(Frame::NO_CALL),
            is_timed: AtomicU32::new(0),
            entries: AtomicU64::new(0),
            enter_ns: AtomicU64::new(0),
            exit_ns: AtomicU64::new(0),
            stack: AtomicUsize::new(0),
        }
    }

    #[test]
    fn a_frame_is_of_its_descriptor_alone() {
        let frame = empty();
        assert!(!frame.is_of(0) && !frame.is_of(7));
        let outside = frame.replace(Inner::new(7, false, STACK));
        assert!(frame.is_of(7) && !frame.is_of(6));
        frame.replace(outside);
        assert!(!frame.is_of(7));
    }

    #[test]
    fn a_call_encloses_those_of_its_descriptor_that_are_made_further_down() {
        let frame = empty();
        assert!(!frame.encloses(7, STACK - 1));
        frame.replace(Inner::new(7, false, STACK));
        assert!(frame.encloses(7, STACK - 1));
        assert!(!frame.encloses(6, STACK - 1));
        assert!(!frame.encloses(7, STACK) && !frame.encloses(7, STACK + 1));
    }

    #[test]
    fn the_first_entry_and_the_last_exit_are_noted() {
        let (frame, reads) = (empty(), AtomicU64::new(0));
        frame.replace(Inner::new(3, true, STACK));
        assert_eq!(frame.around(clock(&reads), || 5), 5);
        frame.around(clock(&reads), || ());
        let inner = frame.replace(Inner::new(Frame::NO_CALL, false, STACK));
        // Entry 1, exit 2; no entry again, exit 3.
        assert_eq!((inner.entries, inner.enter_ns, inner.exit_ns), (2, 1, 3));
    }

    #[test]
    fn nobody_reads_the_clock_for_a_call_that_is_not_timed() {
        let (frame, reads) = (empty(), AtomicU64::new(0));
        frame.replace(Inner::new(3, false, STACK));
        frame.around(clock(&reads), || ());
        assert_eq!(
            frame
                .replace(Inner::new(Frame::NO_CALL, false, STACK))
                .entries,
            1
        );
        assert_eq!(reads.into_inner(), 0);
    }

    #[test]
    fn a_call_in_a_signal_handler_leaves_the_outer_one_as_it_was() {
        let (frame, reads) = (empty(), AtomicU64::new(0));
        let outside = frame.replace(Inner::new(3, true, STACK));
        frame.around(clock(&reads), || {
            let outer = frame.replace(Inner::new(4, true, STACK));
            frame.around(clock(&reads), || assert!(!frame.is_of(3)));
            assert_eq!(frame.replace(outer).enter_ns, 2);
            assert!(frame.is_of(3));
        });
        let inner = frame.replace(outside);
        assert_eq!((inner.entries, inner.enter_ns, inner.exit_ns), (1, 1, 4));
    }
}
