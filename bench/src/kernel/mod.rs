//! The benches' own eBPF programs, loaded and attached: [`bare`] ones that do nothing, [`round_trips`] of a client, and
//! the [`histogram`] of given values.

pub mod bare;
pub mod histogram;
pub mod round_trips;
#[path = "../../ebpf/src/shared.rs"]
mod shared;

use std::fmt::Debug;
use std::io;

use abi::layout::Spans;
use anyhow::Context as _;
use aya::maps::PerCpuArray;
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use probes::load::load;
use probes::pair::program;
use probes::spans::Total;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The programs, as built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bench-ebpf"));

/// What keeps a program attached.
type Link = Box<dyn Debug>;

/// Signals that end what observes. They are kept from ending the program by themselves.
fn ends() -> io::Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGHUP])
}

/// Says that the probes are attached, and waits for a signal.
fn observe(pid: i32, mut ends: Signals) {
    eprintln!("bench: attached to {pid}");
    ends.forever().next();
}

/// Attaches programs to the tracepoints of all system calls, with BTF: at their entry and at their exit.
fn attach_to_syscalls(ebpf: &mut Ebpf, names: [&str; 2]) -> anyhow::Result<Vec<Link>> {
    let btf = Btf::from_sys_fs().context("the kernel has no BTF")?;
    let mut links: Vec<Link> = Vec::new();
    for (name, tracepoint) in names.into_iter().zip(["sys_enter", "sys_exit"]) {
        let program: &mut BtfTracePoint = program(ebpf, name)?;
        load(|| Ok(program.load(tracepoint, &btf)?))
            .with_context(|| format!("cannot load {name}"))?;
        let link = program.attach()?;
        links.push(Box::new(program.take_link(link)?));
    }
    Ok(links)
}

/// What the histogram has, over all CPUs.
fn total(ebpf: &Ebpf) -> anyhow::Result<Total> {
    let spans: PerCpuArray<_, Spans> = ebpf.map("SPANS").context("no map SPANS")?.try_into()?;
    let mut total = Total::default();
    for of_cpu in spans.get(&0, 0)?.iter() {
        total.add(&of_cpu.buckets, of_cpu.sum_ns);
    }
    Ok(total)
}
