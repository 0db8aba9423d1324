//! Programs that do nothing: what it costs to have any at all in each place, which `cargo xtask bench-trace`
//! holds the others against.

use aya_ebpf::macros::{btf_tracepoint, uprobe, uretprobe};
use aya_ebpf::programs::{BtfTracePointContext, ProbeContext, RetProbeContext};

#[uprobe]
pub fn bare_entry(_ctx: ProbeContext) -> u32 {
    0
}

#[uretprobe]
pub fn bare_return(_ctx: RetProbeContext) -> u32 {
    0
}

#[btf_tracepoint(function = "sys_enter")]
pub fn bare_sys_enter(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn bare_sys_exit(_ctx: BtfTracePointContext) -> i32 {
    0
}
