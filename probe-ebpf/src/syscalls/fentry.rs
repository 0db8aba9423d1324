//! fentry and fexit on the kernel's functions behind the syscalls. Such a program is loaded for one
//! function, so each syscall has a pair of its own.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use super::{Family, enter, exit, probed_word, typed_word};

/// Where the caller's registers, the function's only argument, keep the descriptor on entry.
#[cfg(bpf_target_arch = "x86_64")]
const DESCRIPTOR_WORD: usize = super::kernel_abi::FIRST_ARGUMENT_WORD;
#[cfg(bpf_target_arch = "aarch64")]
const DESCRIPTOR_WORD: usize = 0;

/// The descriptor, where the verifier knows the type of the argument.
#[inline(always)]
fn typed_fd(ctx: &FEntryContext) -> i32 {
    typed_word(ctx.arg(0), DESCRIPTOR_WORD) as i32
}

/// The descriptor, where it may not: of the network's functions, the BTF of 5.10 has no more of the
/// argument's type than its name, and then the verifier allows no load of the argument.
#[inline(always)]
fn probed_fd(ctx: &FEntryContext) -> i32 {
    let regs = probed_word(ctx.as_ptr().cast(), 0).unwrap_or(0);
    let regs = core::ptr::with_exposed_provenance(regs as usize);
    // -1 is no descriptor, and so no connection of ours.
    probed_word(regs, DESCRIPTOR_WORD).map_or(-1, |fd| fd as i32)
}

macro_rules! pair {
    ($family:expr, $enter:ident, $exit:ident, $fd:ident) => {
        #[fentry]
        pub fn $enter(ctx: FEntryContext) -> i32 {
            enter($family, $fd(&ctx));
            0
        }

        #[fexit]
        pub fn $exit(ctx: FExitContext) -> i32 {
            // What was returned stands behind the arguments.
            exit(&ctx, $family, ctx.arg(1));
            0
        }
    };
}

pair!(Family::Read, fentry_read, fexit_read, typed_fd);
pair!(Family::Write, fentry_write, fexit_write, typed_fd);
pair!(Family::Write, fentry_writev, fexit_writev, typed_fd);
pair!(Family::Write, fentry_sendto, fexit_sendto, probed_fd);
pair!(Family::Write, fentry_sendmsg, fexit_sendmsg, probed_fd);
