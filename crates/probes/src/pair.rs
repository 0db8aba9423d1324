//! The kernel pair: what brackets `read(2)` and the write family inside the kernel.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;

use anyhow::{Context as _, anyhow};
use aya::programs::{Program, ProgramError};
use aya::{Btf, BtfError, Ebpf};
use runlog::manifest::PassedOver;

use crate::load::brief;

use crate::load;

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
    /// fentry and fexit
    Fentry,
    /// Tracepoints of each syscall's own, as `syscalls:sys_enter_read`
    Tracepoint,
    /// kprobe and kretprobe
    Kprobe,
    /// None: no syscall spans
    None,
}

impl KernelProbe {
    /// All kinds of pairs, in the order in which they are shown.
    pub const PAIRS: [Self; 5] = [
        Self::TpBtf,
        Self::RawTracepoint,
        Self::Fentry,
        Self::Tracepoint,
        Self::Kprobe,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::TpBtf => "tp-btf",
            Self::RawTracepoint => "raw-tracepoint",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
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

/// An attached kernel pair. Dropping it detaches: each link detaches its program when it goes.
#[derive(Debug)]
pub struct AttachedPair {
    _links: Vec<Box<dyn Debug + Send>>,
}

/// Candidates of `auto`, the cheapest first, by the instructions that each adds to a read
/// (`cargo xtask bench-trace --instructions`). The tracepoints became dearer with Linux 7, where their
/// programs can be preempted; fentry then takes 390 fewer. Before, it takes as many or up to 70 more.
fn by_cost(release: &str) -> [KernelProbe; 5] {
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let tracepoints = [KernelProbe::TpBtf, KernelProbe::RawTracepoint];
    let [first, second, third] = if major.is_some_and(|major: u32| major >= 7) {
        [KernelProbe::Fentry, tracepoints[0], tracepoints[1]]
    } else {
        [tracepoints[0], tracepoints[1], KernelProbe::Fentry]
    };
    let last = [KernelProbe::Tracepoint, KernelProbe::Kprobe];
    [first, second, third, last[0], last[1]]
}

/// The syscalls of the write family.
const WRITE_FAMILY: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];

/// A program of the eBPF object, and the place in the kernel that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    program: String,
    place: String,
}

impl Part {
    fn new(program: impl Into<String>, place: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            place: place.into(),
        }
    }
}

/// The parts of a kernel probe.
fn parts(probe: KernelProbe) -> Vec<Part> {
    let syscalls = || ["read"].into_iter().chain(WRITE_FAMILY);
    let family = |syscall| if syscall == "read" { "read" } else { "write" };
    let mut parts: Vec<Part> = match probe {
        KernelProbe::TpBtf => vec![
            Part::new("btf_sys_enter", "sys_enter"),
            Part::new("btf_sys_exit", "sys_exit"),
        ],
        KernelProbe::RawTracepoint => vec![
            Part::new("raw_sys_enter", "sys_enter"),
            Part::new("raw_sys_exit", "sys_exit"),
        ],
        KernelProbe::Fentry => syscalls()
            .flat_map(|syscall| {
                let place = syscall_symbol(syscall);
                [
                    Part::new(format!("fentry_{syscall}"), place.clone()),
                    Part::new(format!("fexit_{syscall}"), place),
                ]
            })
            .collect(),
        KernelProbe::Tracepoint => syscalls()
            .flat_map(|syscall| {
                ["enter", "exit"].map(|end| {
                    let program = format!("tp_{}_{end}", family(syscall));
                    Part::new(program, format!("sys_{end}_{syscall}"))
                })
            })
            .collect(),
        KernelProbe::Kprobe => syscalls()
            .flat_map(|syscall| {
                ["enter", "exit"].map(|end| {
                    let program = format!("kprobe_{}_{end}", family(syscall));
                    Part::new(program, syscall_symbol(syscall))
                })
            })
            .collect(),
        KernelProbe::Auto | KernelProbe::None => return Vec::new(),
    };
    // What a pair remembers of a thread goes when the thread ends.
    parts.push(Part::new("thread_exit", "sched_process_exit"));
    parts
}

/// Names of the programs of all kernel probes.
#[cfg(test)]
pub(crate) fn all_programs() -> impl Iterator<Item = String> {
    KernelProbe::PAIRS
        .into_iter()
        .flat_map(parts)
        .map(|part| part.program)
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

/// Chooses a kernel probe by loading and attaching it for a moment.
pub fn choose(ebpf: &mut Ebpf, wanted: KernelProbe) -> anyhow::Result<Choice> {
    let mut passed_over = Vec::new();
    match wanted {
        KernelProbe::None => {}
        KernelProbe::Auto => {
            let release = rustix::system::uname();
            for probe in by_cost(&release.release().to_string_lossy()) {
                match try_out(ebpf, probe) {
                    Ok(()) => return Ok(Choice { probe, passed_over }),
                    Err(error) => passed_over.push(PassedOver {
                        kernel_probe: probe.name().to_owned(),
                        reason: brief(&format!("{error:#}")),
                    }),
                }
            }
        }
        probe => {
            try_out(ebpf, probe)
                .with_context(|| format!("--kernel-probe {} does not work here", probe.name()))?;
            return Ok(Choice { probe, passed_over });
        }
    }
    Ok(Choice {
        probe: KernelProbe::None,
        passed_over,
    })
}

fn try_out(ebpf: &mut Ebpf, probe: KernelProbe) -> anyhow::Result<()> {
    let btf = match probe {
        KernelProbe::TpBtf | KernelProbe::Fentry => {
            Some(Btf::from_sys_fs().context("the kernel has no BTF")?)
        }
        _ => None,
    };
    for part in parts(probe) {
        load(ebpf, &part, btf.as_ref())
            .with_context(|| format!("cannot load {} for {}", part.program, part.place))?;
    }
    attach(ebpf, probe).map(|_| ())
}

/// Loads a program, unless it is loaded already: it may serve several places.
fn load(ebpf: &mut Ebpf, part: &Part, btf: Option<&Btf>) -> anyhow::Result<()> {
    let program = any_program(ebpf, &part.program)?;
    if program.fd().is_ok() {
        return Ok(());
    }
    let btf = || btf.context("the kernel has no BTF");
    load::load(|| {
        match &mut *program {
            Program::BtfTracePoint(program) => program.load(&part.place, btf()?)?,
            Program::FEntry(program) => program.load(&part.place, btf()?)?,
            Program::FExit(program) => program.load(&part.place, btf()?)?,
            Program::RawTracePoint(program) => program.load()?,
            Program::TracePoint(program) => program.load()?,
            Program::KProbe(program) => program.load()?,
            other => anyhow::bail!("a program of type {:?} is in no pair", other.prog_type()),
        }
        Ok(())
    })
}

/// Attaches the loaded programs of a kernel probe.
pub fn attach(ebpf: &mut Ebpf, probe: KernelProbe) -> anyhow::Result<AttachedPair> {
    let btf = LazyCell::new(Btf::from_sys_fs as fn() -> _);
    let links = parts(probe)
        .iter()
        .map(|part| {
            attach_part(ebpf, part, &btf)
                .with_context(|| format!("cannot attach {} to {}", part.program, part.place))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(AttachedPair { _links: links })
}

/// A pair's programs, by the kernel's numbers of them.
pub fn programs(ebpf: &Ebpf, probe: KernelProbe) -> anyhow::Result<BTreeMap<u32, String>> {
    let programs = parts(probe).into_iter().map(|Part { program, .. }| {
        let loaded = ebpf.program(&program);
        let loaded = loaded.with_context(|| format!("the eBPF object has no program {program}"))?;
        Ok((loaded.info()?.id(), program))
    });
    programs.collect()
}

/// The kernel's types, read when they are first needed.
type LazyBtf = LazyCell<Result<Btf, BtfError>>;

fn attach_part(
    ebpf: &mut Ebpf,
    part: &Part,
    btf: &LazyBtf,
) -> anyhow::Result<Box<dyn Debug + Send>> {
    /// Attaches, and takes the link out of the program, so that it is ours to drop.
    macro_rules! attach {
        ($program:ident $(, $place:expr)*) => {{
            let link = $program.attach($($place),*)?;
            Box::new($program.take_link(link)?)
        }};
    }
    /// As above. A kernel before 5.13 attaches a program of fentry or fexit once; to be attached again,
    /// it must be loaded again.
    macro_rules! attach_or_reload {
        ($program:ident) => {{
            let link = match $program.attach() {
                Err(error) if is_spent(&error) => {
                    let btf = LazyCell::force(btf);
                    let btf = btf.as_ref().map_err(|error| anyhow!("{error}"))?;
                    $program.unload()?;
                    $program.load(&part.place, btf)?;
                    $program.attach()?
                }
                result => result?,
            };
            Box::new($program.take_link(link)?)
        }};
    }
    Ok(match any_program(ebpf, &part.program)? {
        Program::BtfTracePoint(program) => attach!(program),
        Program::FEntry(program) => attach_or_reload!(program),
        Program::FExit(program) => attach_or_reload!(program),
        Program::RawTracePoint(program) => attach!(program, &part.place),
        Program::TracePoint(program) => attach!(program, "syscalls", &part.place),
        Program::KProbe(program) => attach!(program, &part.place, 0),
        other => anyhow::bail!("a program of type {:?} is in no pair", other.prog_type()),
    })
}

/// Whether the kernel refused to attach a program that was attached before.
fn is_spent(error: &ProgramError) -> bool {
    match error {
        ProgramError::SyscallError(error) => error.io_error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn any_program<'e>(ebpf: &'e mut Ebpf, name: &str) -> anyhow::Result<&'e mut Program> {
    ebpf.program_mut(name)
        .with_context(|| format!("the eBPF object has no program {name}"))
}

/// A program of the object, by name and type.
pub fn program<'e, P>(ebpf: &'e mut Ebpf, name: &str) -> anyhow::Result<&'e mut P>
where
    &'e mut P: TryFrom<&'e mut Program, Error = ProgramError>,
{
    Ok(any_program(ebpf, name)?.try_into()?)
}

#[cfg(test)]
mod tests;
