//! kprobe and kretprobe on the kernel's functions behind the syscalls.

use aya_ebpf::bindings::pt_regs;
use aya_ebpf::macros::{kprobe, kretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

use super::{Family, enter, exit, probed_word};

/// The descriptor that `__x64_sys_*` or `__arm64_sys_*` was called with: its only argument points
/// at the user's registers. On entry `di` or `x0` still hold it.
#[inline(always)]
fn wrapped_fd(ctx: &ProbeContext) -> Option<i32> {
    #[cfg(bpf_target_arch = "x86_64")]
    const WORD: usize = super::kernel_abi::FIRST_ARGUMENT_WORD;
    #[cfg(bpf_target_arch = "aarch64")]
    const WORD: usize = 0;
    let regs: *const pt_regs = ctx.arg(0)?;
    probed_word(regs, WORD).map(|word| word as i32)
}

#[kprobe]
pub fn kprobe_read_enter(ctx: ProbeContext) -> u32 {
    if let Some(fd) = wrapped_fd(&ctx) {
        enter(Family::Read, fd);
    }
    0
}

#[kretprobe]
pub fn kprobe_read_exit(ctx: RetProbeContext) -> u32 {
    exit(&ctx, Family::Read, ctx.ret());
    0
}

#[kprobe]
pub fn kprobe_write_enter(ctx: ProbeContext) -> u32 {
    if let Some(fd) = wrapped_fd(&ctx) {
        enter(Family::Write, fd);
    }
    0
}

#[kretprobe]
pub fn kprobe_write_exit(ctx: RetProbeContext) -> u32 {
    exit(&ctx, Family::Write, ctx.ret());
    0
}
