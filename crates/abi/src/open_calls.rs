//! The calls of one thread that have begun and not ended, of the function that is being timed.
//!
//! A call is known by its stack pointer, as the kernel knows it: the deeper a call, the lower its
//! stack pointer. So a call that is left without a return, by `longjmp` for instance, is found out as
//! soon as the thread calls or returns above it. Threads that switch between stacks of their own
//! (coroutines, handlers of signals on a stack of theirs) cannot be followed so, but nor does the
//! kernel follow them: see `arch_uretprobe_is_alive` and its users in `kernel/events/uprobes.c`.

use zerocopy::{FromBytes, IntoBytes};

use core::hint::black_box;

/// The returns that the kernel waits for in one thread at most, of all tracers together:
/// `MAX_URETPROBE_DEPTH` in the kernel's `include/linux/uprobes.h`. The return of a call beyond is
/// not seen.
pub const MAX_OPEN_CALLS: usize = 64;

/// An open call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct OpenCall {
    /// Stack pointer at the function's first instruction.
    pub stack_pointer: u64,
    /// Function entered.
    pub enter_ns: u64,
}

/// The open calls of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes)]
#[repr(C)]
pub struct OpenCalls {
    /// Process: the number of a thread that has ended may be given to one of another process.
    pub tgid: u32,
    /// Arm of the process.
    pub arm: u32,
    /// How many are open. They are the first of `calls`, the outermost first.
    depth: u64,
    /// Returns that the kernel waits for: the open calls, and while there is no room, also calls
    /// that have been left.
    awaited: u64,
    calls: [OpenCall; MAX_OPEN_CALLS],
}

/// What an entry into the function has shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Entered<'c> {
    /// Calls that turn out to have been left without a return.
    pub left: u64,
    /// The call that begins; `None` when the kernel will not show its return.
    pub call: Option<&'c mut OpenCall>,
}

/// What a return from the function has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Calls that turn out to have been left without a return.
    pub left: u64,
    /// The call that ends; `None` when its entry was not seen.
    pub call: Option<OpenCall>,
}

impl Default for OpenCalls {
    fn default() -> Self {
        Self {
            tgid: 0,
            arm: 0,
            depth: 0,
            awaited: 0,
            calls: [OpenCall::default(); MAX_OPEN_CALLS],
        }
    }
}

#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
impl OpenCalls {
    /// How many calls are open.
    #[inline(always)]
    pub const fn depth(&self) -> u64 {
        self.depth
    }

    /// Begins anew, for a thread of this process.
    #[inline(always)]
    pub fn reset(&mut self, tgid: u32, arm: u32) {
        self.tgid = tgid;
        self.arm = arm;
        self.depth = 0;
        self.awaited = 0;
    }

    /// The function is entered. `is_tail_call` tells whether it returns to where another open call
    /// of the function returns, with whose stack pointer it shares; it is asked only when needed.
    #[inline(always)]
    pub fn enter(
        &mut self,
        stack_pointer: u64,
        is_tail_call: impl FnOnce() -> bool,
    ) -> Entered<'_> {
        let mut left = self.forget_below(stack_pointer);
        let same_frame = |call: &OpenCall| call.stack_pointer == stack_pointer;
        if self.innermost().is_some_and(same_frame) && !is_tail_call() {
            // Nobody has returned from it.
            left += self.forget_below(stack_pointer + 1);
        }
        // The kernel looks for room before it forgets what has been left.
        if self.awaited >= MAX_OPEN_CALLS as u64 {
            return Entered { left, call: None };
        }
        let place = place(self.depth);
        self.depth += 1;
        self.awaited = self.depth;
        let call = &mut self.calls[place];
        call.stack_pointer = stack_pointer;
        Entered {
            left,
            call: Some(call),
        }
    }

    /// The function has returned; `stack_pointer` is the one that the call had begun with.
    #[inline(always)]
    pub fn leave(&mut self, stack_pointer: u64) -> Returned {
        let left = self.forget_below(stack_pointer);
        let mut ended = None;
        if let Some(call) = self.innermost()
            && call.stack_pointer == stack_pointer
        {
            ended = Some(*call);
            self.depth -= 1;
        }
        self.awaited = self.depth;
        Returned { left, call: ended }
    }

    /// The innermost open call.
    #[inline(always)]
    fn innermost(&self) -> Option<&OpenCall> {
        (self.depth > 0).then(|| &self.calls[place(self.depth - 1)])
    }

    /// Forgets the calls below a stack pointer; returns how many there were.
    #[inline(always)]
    fn forget_below(&mut self, stack_pointer: u64) -> u64 {
        let before = self.depth;
        // Old kernels want to see that a loop ends.
        for _ in 0..MAX_OPEN_CALLS {
            match self.innermost() {
                Some(call) if call.stack_pointer < stack_pointer => self.depth -= 1,
                _ => break,
            }
        }
        before - self.depth
    }
}

/// The place of a call: its number, which is never as large as the limit. The kernel's verifier
/// cannot know that, but sees the mask, if the compiler is kept from knowing better.
#[inline(always)]
#[allow(clippy::inline_always, reason = "eBPF programs are one function each")]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the kernel and the agent are 64 bits wide"
)]
fn place(number: u64) -> usize {
    black_box(number) as usize % MAX_OPEN_CALLS
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Enters; the new call is to be open. Returns how many calls had been left.
    fn enter(calls: &mut OpenCalls, stack_pointer: u64) -> u64 {
        let entered = calls.enter(stack_pointer, || false);
        entered.call.unwrap().enter_ns = stack_pointer;
        entered.left
    }

    /// Leaves; the call is to be the one that had begun there.
    fn leave(calls: &mut OpenCalls, stack_pointer: u64) -> u64 {
        let returned = calls.leave(stack_pointer);
        assert_eq!(returned.call.unwrap().enter_ns, stack_pointer);
        returned.left
    }

    #[test]
    fn nested_calls_are_kept_apart() {
        let mut calls = OpenCalls::default();
        for stack_pointer in [900, 800, 700] {
            assert_eq!(enter(&mut calls, stack_pointer), 0);
        }
        assert_eq!(leave(&mut calls, 700), 0);
        assert_eq!(enter(&mut calls, 700), 0);
        for stack_pointer in [700, 800, 900] {
            assert_eq!(leave(&mut calls, stack_pointer), 0);
        }
        assert_eq!(calls.depth(), 0);
    }

    #[test]
    fn calls_left_by_longjmp_are_found_at_the_next_entry_or_return() {
        let mut calls = OpenCalls::default();
        for stack_pointer in [900, 800, 700, 600] {
            enter(&mut calls, stack_pointer);
        }
        assert_eq!(enter(&mut calls, 650), 1, "600 is below");
        assert_eq!(enter(&mut calls, 650), 1, "the same frame again");
        assert_eq!(leave(&mut calls, 800), 2, "650 and 700 are below");
        assert_eq!(calls.depth(), 1);
        assert_eq!(leave(&mut calls, 900), 0);
    }

    #[test]
    fn a_return_without_entry_takes_no_open_call_for_its_own() {
        let mut calls = OpenCalls::default();
        enter(&mut calls, 900);
        assert_eq!(calls.leave(800).call, None);
        assert_eq!(leave(&mut calls, 900), 0);
        assert_eq!(calls.leave(900).call, None);
    }

    #[test]
    fn tail_calls_share_a_frame_and_return_one_after_the_other() {
        let mut calls = OpenCalls::default();
        enter(&mut calls, 900);
        for _ in 0..2 {
            let entered = calls.enter(900, || true);
            assert_eq!(entered.left, 0);
            entered.call.unwrap().enter_ns = 900;
        }
        for _ in 0..3 {
            assert_eq!(leave(&mut calls, 900), 0);
        }
        assert_eq!(calls.depth(), 0);
    }

    #[test]
    fn beyond_the_kernels_limit_no_return_is_awaited() {
        let mut calls = OpenCalls::default();
        let frame = |depth: u64| 10_000 - 100 * depth;
        for depth in 0..64 {
            assert_eq!(enter(&mut calls, frame(depth)), 0);
        }
        for depth in 64..70 {
            assert_eq!(calls.enter(frame(depth), || false).call, None);
        }
        for depth in (0..64).rev() {
            assert_eq!(leave(&mut calls, frame(depth)), 0);
        }
        assert_eq!(calls.depth(), 0);
    }

    /// The kernel clears up only when it has room, or when a call returns.
    #[test]
    fn calls_left_at_the_limit_keep_their_room_until_an_outer_call_returns() {
        let mut calls = OpenCalls::default();
        for depth in 0..64 {
            enter(&mut calls, 10_000 - 100 * depth);
        }
        let entered = calls.enter(9_950, || false);
        assert_eq!((entered.left, entered.call), (63, None));
        assert_eq!(calls.depth(), 1, "the outermost is open still");
        assert_eq!(calls.enter(9_950, || false).call, None);
        assert_eq!(leave(&mut calls, 10_000), 0);
        assert_eq!(enter(&mut calls, 9_950), 0);
    }

    /// Random walks over a stack, against a plain vector of what is on it.
    #[test]
    fn every_call_is_accounted_for_on_random_walks() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut calls = OpenCalls::default();
        let mut stack: Vec<u64> = Vec::new();
        let (mut entered, mut returned, mut left) = (0, 0, 0);
        for _ in 0..100_000 {
            match next(16) {
                0 => {
                    // longjmp: some of the innermost are gone, and nobody is told.
                    let kept = next(stack.len() as u64 + 1);
                    stack.truncate(usize::try_from(kept).unwrap());
                }
                1..=8 if stack.len() < MAX_OPEN_CALLS && calls.depth() < 64 => {
                    let top = stack.last().copied().unwrap_or(100_000);
                    let stack_pointer = top - 16 - 16 * next(4);
                    stack.push(stack_pointer);
                    left += enter(&mut calls, stack_pointer);
                    entered += 1;
                }
                _ => {
                    if let Some(stack_pointer) = stack.pop() {
                        left += leave(&mut calls, stack_pointer);
                        returned += 1;
                    }
                }
            }
        }
        assert_eq!(entered, returned + left + calls.depth());
        assert!(returned > 1_000 && left > 1_000, "{returned} {left}");
    }
}
