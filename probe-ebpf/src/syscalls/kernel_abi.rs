//! Numbers of the syscalls, and where the kernel keeps number and arguments. The programs of the benches use this file
//! too.
#![allow(
    unsafe_code,
    reason = "registers are read through the kernel's pointers, which the verifier checks"
)]

use aya_ebpf::bindings::pt_regs;

pub use self::words::*;

/// `struct pt_regs` of `arch/x86/include/asm/ptrace.h`.
#[cfg(bpf_target_arch = "x86_64")]
mod words {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const WRITEV: i64 = 20;
    pub const SENDTO: i64 = 44;
    pub const SENDMSG: i64 = 46;
    /// `orig_ax`, in words.
    pub const NUMBER_WORD: usize = 15;
    /// `di`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 14;
}

/// As above, `arch/arm64/include/asm/ptrace.h`: `regs[31]`, `sp`, `pc`, `pstate`, `orig_x0`,
/// `syscallno`. The kernel overwrites `regs[0]` with the result, and keeps `orig_x0`.
#[cfg(bpf_target_arch = "aarch64")]
mod words {
    pub const READ: i64 = 63;
    pub const WRITE: i64 = 64;
    pub const WRITEV: i64 = 66;
    pub const SENDTO: i64 = 206;
    pub const SENDMSG: i64 = 211;
    /// `syscallno`, an `s32` at the start of its word.
    pub const NUMBER_WORD: usize = 35;
    /// `orig_x0`, in words.
    pub const FIRST_ARGUMENT_WORD: usize = 34;
}

/// A word of a register set that the verifier knows by its BTF type.
#[inline(always)]
pub fn typed_word(regs: *const pt_regs, word: usize) -> u64 {
    // SAFETY: the verifier allows just the loads that stay within the type.
    unsafe { *regs.cast::<u64>().wrapping_add(word) }
}

/// The syscall's number in a register set that the verifier knows by its BTF type. On arm64 the field is
/// 32 bits wide, and no load may reach beyond it.
#[inline(always)]
pub fn typed_number(regs: *const pt_regs) -> i64 {
    let field = regs.cast::<u64>().wrapping_add(NUMBER_WORD);
    // SAFETY: the verifier allows just the loads that stay within the field.
    unsafe { *field.cast::<i32>() }.into()
}
