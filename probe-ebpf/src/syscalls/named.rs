//! The tracepoints that each syscall has of its own, of the category `syscalls`.
//!
//! Their fields are in `events/syscalls/sys_enter_read/format` of tracefs: behind the common ones and
//! the number, both padded to eight bytes, comes the first argument, or what was returned.

use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;

use super::{Family, enter, exit};

const FIRST_FIELD: usize = 16;

#[inline(always)]
fn first_field(ctx: &TracePointContext) -> Option<i64> {
    // SAFETY: the helper behind this checks the address.
    unsafe { ctx.read_at(FIRST_FIELD) }.ok()
}

#[inline(always)]
fn on_enter(ctx: &TracePointContext, family: Family) -> u32 {
    if let Some(fd) = first_field(ctx) {
        enter(family, fd as i32);
    }
    0
}

#[inline(always)]
fn on_exit(ctx: &TracePointContext, family: Family) -> u32 {
    if let Some(returned) = first_field(ctx) {
        exit(ctx, family, returned);
    }
    0
}

#[tracepoint]
pub fn tp_read_enter(ctx: TracePointContext) -> u32 {
    on_enter(&ctx, Family::Read)
}

#[tracepoint]
pub fn tp_read_exit(ctx: TracePointContext) -> u32 {
    on_exit(&ctx, Family::Read)
}

#[tracepoint]
pub fn tp_write_enter(ctx: TracePointContext) -> u32 {
    on_enter(&ctx, Family::Write)
}

#[tracepoint]
pub fn tp_write_exit(ctx: TracePointContext) -> u32 {
    on_exit(&ctx, Family::Write)
}
