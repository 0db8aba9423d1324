//! The kernel pair: what brackets `read(2)` and the write family inside the kernel.

use anyhow::Context as _;
use aya::programs::kprobe::KProbeLink;
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, KProbe, RawTracePoint};
use aya::{Btf, Ebpf};
use runlog::manifest::PassedOver;

/// Which kernel probe to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KernelProbe {
    /// The cheapest that attaches
    #[default]
    Auto,
    /// Tracepoints with BTF
    TpBtf,
    /// Raw tracepoints
    RawTracepoint,
    /// kprobe and kretprobe
    Kprobe,
    /// None: no syscall spans
    None,
}

impl KernelProbe {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::TpBtf => "tp-btf",
            Self::RawTracepoint => "raw-tracepoint",
            Self::Kprobe => "kprobe",
            Self::None => "none",
        }
    }
}

/// The kernel probe in use, and what was passed over for it.
#[derive(Clone, Debug)]
pub struct Choice {
    /// In use; never `Auto`.
    pub probe: KernelProbe,
    /// Cheaper ones that do not attach here.
    pub passed_over: Vec<PassedOver>,
}

/// An attached kernel pair. Dropping it detaches.
#[derive(Debug)]
pub struct AttachedPair {
    _links: Vec<PairLink>,
}

#[derive(Debug)]
#[expect(
    dead_code,
    reason = "the links are held, not used: dropping one detaches its program"
)]
enum PairLink {
    Btf(BtfTracePointLink),
    Raw(RawTracePointLink),
    Kprobe(KProbeLink),
}

/// Candidates of `auto`, the cheapest first.
const BY_COST: [KernelProbe; 3] = [
    KernelProbe::TpBtf,
    KernelProbe::RawTracepoint,
    KernelProbe::Kprobe,
];

/// The syscalls of the write family.
const WRITE_FAMILY: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];

/// Chooses a kernel probe by loading and attaching it for a moment.
pub fn choose(ebpf: &mut Ebpf, wanted: KernelProbe) -> anyhow::Result<Choice> {
    let mut passed_over = Vec::new();
    match wanted {
        KernelProbe::None => {}
        KernelProbe::Auto => {
            for probe in BY_COST {
                match load(ebpf, probe).and_then(|()| attach(ebpf, probe)) {
                    Ok(_) => return Ok(Choice { probe, passed_over }),
                    Err(error) => passed_over.push(PassedOver {
                        kernel_probe: probe.name().to_owned(),
                        reason: format!("{error:#}"),
                    }),
                }
            }
        }
        probe => {
            load(ebpf, probe)
                .and_then(|()| attach(ebpf, probe))
                .with_context(|| format!("--kernel-probe {} does not work here", probe.name()))?;
            return Ok(Choice { probe, passed_over });
        }
    }
    Ok(Choice {
        probe: KernelProbe::None,
        passed_over,
    })
}

/// The program that sees threads end: what a pair remembers of a thread goes with it.
const THREAD_EXIT: (&str, &str) = ("thread_exit", "sched_process_exit");

/// Loads the programs of a kernel probe.
fn load(ebpf: &mut Ebpf, probe: KernelProbe) -> anyhow::Result<()> {
    let thread_exit: &mut RawTracePoint = program(ebpf, THREAD_EXIT.0)?;
    if thread_exit.fd().is_err() {
        thread_exit.load()?;
    }
    match probe {
        KernelProbe::TpBtf => {
            let btf = Btf::from_sys_fs().context("the kernel has no BTF")?;
            for (name, tracepoint) in [("btf_sys_enter", "sys_enter"), ("btf_sys_exit", "sys_exit")]
            {
                let program: &mut BtfTracePoint = program(ebpf, name)?;
                program.load(tracepoint, &btf)?;
            }
        }
        KernelProbe::RawTracepoint => {
            for name in ["raw_sys_enter", "raw_sys_exit"] {
                let program: &mut RawTracePoint = program(ebpf, name)?;
                program.load()?;
            }
        }
        KernelProbe::Kprobe => {
            for name in [
                "kprobe_read_enter",
                "kprobe_read_exit",
                "kprobe_write_enter",
                "kprobe_write_exit",
            ] {
                let program: &mut KProbe = program(ebpf, name)?;
                program.load()?;
            }
        }
        KernelProbe::Auto | KernelProbe::None => {}
    }
    Ok(())
}

/// Attaches the loaded programs of a kernel probe.
pub fn attach(ebpf: &mut Ebpf, probe: KernelProbe) -> anyhow::Result<AttachedPair> {
    let mut links = Vec::new();
    if probe != KernelProbe::None {
        links.push(attach_raw(ebpf, THREAD_EXIT)?);
    }
    match probe {
        KernelProbe::TpBtf => {
            for name in ["btf_sys_enter", "btf_sys_exit"] {
                let program: &mut BtfTracePoint = program(ebpf, name)?;
                let link = program.attach()?;
                links.push(PairLink::Btf(program.take_link(link)?));
            }
        }
        KernelProbe::RawTracepoint => {
            for ends in [("raw_sys_enter", "sys_enter"), ("raw_sys_exit", "sys_exit")] {
                links.push(attach_raw(ebpf, ends)?);
            }
        }
        KernelProbe::Kprobe => {
            let reads = [("read", "kprobe_read_enter"), ("read", "kprobe_read_exit")];
            let writes = WRITE_FAMILY
                .into_iter()
                .flat_map(|name| [(name, "kprobe_write_enter"), (name, "kprobe_write_exit")]);
            for (syscall, name) in reads.into_iter().chain(writes) {
                let program: &mut KProbe = program(ebpf, name)?;
                let link = program.attach(syscall_symbol(syscall), 0)?;
                links.push(PairLink::Kprobe(program.take_link(link)?));
            }
        }
        KernelProbe::Auto | KernelProbe::None => {}
    }
    Ok(AttachedPair { _links: links })
}

fn attach_raw(ebpf: &mut Ebpf, (name, tracepoint): (&str, &str)) -> anyhow::Result<PairLink> {
    let program: &mut RawTracePoint = program(ebpf, name)?;
    let link = program.attach(tracepoint)?;
    Ok(PairLink::Raw(program.take_link(link)?))
}

/// The kernel's function behind a syscall. It takes one pointer to the caller's registers.
fn syscall_symbol(name: &str) -> String {
    let prefix = if cfg!(target_arch = "aarch64") {
        "__arm64_sys"
    } else {
        "__x64_sys"
    };
    format!("{prefix}_{name}")
}

/// A program of the object, by name and type.
pub fn program<'e, P>(ebpf: &'e mut Ebpf, name: &str) -> anyhow::Result<&'e mut P>
where
    &'e mut P: TryFrom<&'e mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the eBPF object has no program {name}"))?;
    Ok(program.try_into()?)
}
