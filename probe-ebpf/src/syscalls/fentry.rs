//! fentry and fexit on the kernel's functions behind the syscalls. Such a program is loaded for one
//! function, so each syscall has a pair of its own.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use super::{Family, enter, exit, typed_word};
use crate::clock::now_ns;

/// Where the caller's registers, the function's only argument, keep the descriptor on entry.
#[cfg(bpf_target_arch = "x86_64")]
const DESCRIPTOR_WORD: usize = super::abi::FIRST_ARGUMENT_WORD;
#[cfg(bpf_target_arch = "aarch64")]
const DESCRIPTOR_WORD: usize = 0;

macro_rules! pair {
    ($family:expr, $enter:ident, $exit:ident) => {
        #[fentry]
        pub fn $enter(ctx: FEntryContext) -> i32 {
            enter($family, typed_word(ctx.arg(0), DESCRIPTOR_WORD) as i32);
            0
        }

        #[fexit]
        pub fn $exit(ctx: FExitContext) -> i32 {
            let now_ns = now_ns();
            // What was returned stands behind the arguments.
            exit(&ctx, $family, ctx.arg(1), now_ns);
            0
        }
    };
}

pair!(Family::Read, fentry_read, fexit_read);
pair!(Family::Write, fentry_write, fexit_write);
pair!(Family::Write, fentry_writev, fexit_writev);
pair!(Family::Write, fentry_sendto, fexit_sendto);
pair!(Family::Write, fentry_sendmsg, fexit_sendmsg);
