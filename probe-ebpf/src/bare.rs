//! A pair of uprobes that do nothing: what any uprobe and uretprobe cost, which `cargo xtask bench-trace`
//! holds the others against.

use aya_ebpf::macros::{uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};

#[uprobe]
pub fn bare_entry(_ctx: ProbeContext) -> u32 {
    0
}

#[uretprobe]
pub fn bare_return(_ctx: RetProbeContext) -> u32 {
    0
}
