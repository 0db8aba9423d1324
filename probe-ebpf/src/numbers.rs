//! The kernel's numbers of processes, for an agent in a PID namespace of its own.
//!
//! Such an agent knows processes by the numbers of its namespace, and the other programs by those of the root
//! namespace. This program, run over all processes that the agent can see, tells both numbers of each. A process has a
//! number for each namespace that it is in, one inside the other; the agent's is as deep as the agent itself.
#![allow(
    unsafe_code,
    reason = "the kernel's structures are read at offsets that the agent has from the kernel's type information"
)]

use core::ffi::c_void;
use core::mem::size_of;

use abi::numbers::{Numbers, Offsets};
use aya_ebpf::helpers::generated::bpf_seq_write;
use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel};

use crate::cells::setting;

/// Where the kernel has what is read here. Set by the loader.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNKNOWN;

/// `struct bpf_iter__task` of the kernel.
#[repr(C)]
pub struct TaskContext {
    meta: *const Meta,
    task: *const c_void,
}

/// `struct bpf_iter_meta` of the kernel, as far as it is used.
#[repr(C)]
struct Meta {
    seq: *mut c_void,
}

/// Tells the numbers of one process.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn list_processes(context: *const TaskContext) -> i32 {
    // SAFETY: the kernel calls this with such a context.
    let task = unsafe { (*context).task };
    if !task.is_null() {
        let _ = tell(context, task as u64);
    }
    0
}

#[inline(always)]
fn tell(context: *const TaskContext, task: u64) -> Option<()> {
    let offsets = setting(&OFFSETS);
    let kernels: u32 = read(task + offsets.task_tgid)?;
    let thread: u32 = read(task + offsets.task_pid)?;
    if thread != kernels {
        return None; // a thread of a process that is told by its first
    }
    // SAFETY: the helper takes no arguments.
    let own_task = unsafe { bpf_get_current_task() };
    let own: u64 = read(own_task + offsets.task_thread_pid)?;
    let level: u32 = read(own + offsets.pid_level)?;
    let pid: u64 = read(task + offsets.task_thread_pid)?;
    let place = offsets.pid_numbers + u64::from(level) * offsets.upid_size + offsets.upid_nr;
    let numbers = Numbers {
        kernels,
        agents: read(pid + place)?,
    };
    // SAFETY: as in `list_processes`.
    let meta = unsafe { (*context).meta };
    // SAFETY: as above.
    let seq = unsafe { (*meta).seq };
    let size = size_of::<Numbers>() as u32;
    // SAFETY: the kernel copies so many bytes. What does not fit, it asks for once more.
    unsafe { bpf_seq_write(seq.cast(), (&raw const numbers).cast_mut().cast(), size) };
    Some(())
}

#[inline(always)]
fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper fails for an address that is none.
    unsafe { bpf_probe_read_kernel(address as *const T) }.ok()
}
