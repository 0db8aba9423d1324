//! The kernel's numbers of processes.
//!
//! The eBPF programs see the numbers of the root PID namespace. Where we live in another, as in a node of Kind, the
//! kernel is asked for both numbers of each process that can be seen from here. It needs an iterator over tasks
//! (Linux 5.8) and the kernel's type information.

use std::collections::BTreeMap;
use std::io::Read as _;

use abi::numbers::{Numbers, Offsets};
use abi::plain;
use anyhow::Context as _;
use aya::programs::Iter;
use aya::{Btf, Ebpf};

use crate::discover::processes::{Pid, in_root_pid_namespace};
use crate::kernel_types::KernelTypes;
use crate::load;
use crate::pair::program;

/// What to say where the kernel cannot be asked.
const OWN_NAMESPACE: &str = "this process lives in a PID namespace of its own, where process numbers are not the \
    kernel's, and this kernel cannot be asked for those; run on the host, or with the host's PID namespace (hostPID, \
    --pid=host)";
/// The program that lists processes.
const LIST: &str = "list_processes";

/// Where the kernel keeps the numbers; without meaning where ours are the kernel's.
pub fn offsets() -> anyhow::Result<Offsets> {
    if in_root_pid_namespace() {
        return Ok(Offsets::UNKNOWN);
    }
    let types = KernelTypes::of_this_kernel().context(OWN_NAMESPACE)?;
    Ok(Offsets {
        task_tgid: types.offset("task_struct", "tgid")?,
        task_pid: types.offset("task_struct", "pid")?,
        task_thread_pid: types.offset("task_struct", "thread_pid")?,
        pid_level: types.offset("pid", "level")?,
        pid_numbers: types.offset("pid", "numbers")?,
        upid_nr: types.offset("upid", "nr")?,
        upid_size: types.size("upid")?,
    })
}

/// Loads what lists processes, if that is needed.
pub fn load(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    if in_root_pid_namespace() {
        return Ok(());
    }
    let types = Btf::from_sys_fs().context(OWN_NAMESPACE)?;
    let list: &mut Iter = program(ebpf, LIST)?;
    load::load(|| Ok(list.load("task", &types)?)).context(OWN_NAMESPACE)
}

/// The kernel's numbers by ours, of all processes that can be seen from here; `None` where they are the same.
pub fn kernel_numbers(ebpf: &mut Ebpf) -> anyhow::Result<Option<BTreeMap<Pid, Pid>>> {
    if in_root_pid_namespace() {
        return Ok(None);
    }
    let list: &mut Iter = program(ebpf, LIST)?;
    let link = list.attach()?;
    let mut bytes = Vec::new();
    list.take_link(link)?
        .into_file()?
        .read_to_end(&mut bytes)
        .context("cannot list processes")?;
    let entries = bytes.chunks_exact(size_of::<Numbers>());
    let numbers = entries.filter_map(plain::read);
    let pair = |(Numbers { kernels, agents }, _): (_, &[u8])| {
        (agents.cast_signed(), kernels.cast_signed())
    };
    Ok(Some(numbers.map(pair).collect()))
}
