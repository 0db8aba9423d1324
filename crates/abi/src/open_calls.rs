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
mod tests;
