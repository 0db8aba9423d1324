//! `bench bare`: probes whose programs do nothing.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aya::Ebpf;
use aya::programs::UProbe;
use clap::Args;
use probes::discover::elf::Elf;
use probes::discover::function::FunctionName;
use probes::discover::processes::Pid;
use probes::discover::sites::loaded_hook;
use probes::pair::program;
use probes::perf::{self, Place};
use probes::site_offset::{SiteChoice, at_site};
use probes::uprobes::UprobePrograms;

use crate::kernel::{Link, OBJECT, attach_to_syscalls, ends, observe};

/// The site that fires once a hooked read.
const READ_DONE: &str = "read_done";

/// Options of `bench bare`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// A process that runs the executable with the function, or has the hook loaded
    #[arg(long, value_name = "PID")]
    pid: Pid,

    /// A uprobe and uretprobe on this function
    #[arg(long, value_name = "NAME", required_unless_present = "site")]
    symbol: Option<String>,

    /// A uprobe on the hook's site of reads
    #[arg(long)]
    site: bool,

    /// Tracepoints with BTF around all system calls
    #[arg(long)]
    tp_btf: bool,
}

/// Keeps the probes attached until a signal comes.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { pid, symbol, .. } = arguments;
    let ends = ends()?;
    let mut ebpf = Ebpf::load(OBJECT).context("cannot load the eBPF object")?;
    let mut links = Vec::new();
    if let Some(symbol) = symbol {
        let executable = PathBuf::from(format!("/proc/{pid}/exe"));
        let function = FunctionName::Symbol(symbol.clone());
        let offset = Elf::open(&executable)?.function_offset(&function)?;
        links.extend(attach_to_function(&mut ebpf, &executable, offset)?);
    }
    if arguments.site {
        links.push(attach_to_site(&mut ebpf, *pid)?);
    }
    if arguments.tp_btf {
        let names = ["bare_sys_enter", "bare_sys_exit"];
        links.extend(attach_to_syscalls(&mut ebpf, names)?);
    }
    observe(*pid, ends);
    Ok(())
}

/// Attaches a uprobe and uretprobe to the function that begins at `offset` of a file, by perf events:
/// so other tools do it.
fn attach_to_function(ebpf: &mut Ebpf, file: &Path, offset: u64) -> anyhow::Result<[Link; 2]> {
    let mut attach = |name, is_return| -> anyhow::Result<Link> {
        let program: &mut UProbe = program(ebpf, name)?;
        program.load()?;
        let place = Place {
            path: file,
            offset,
            semaphore_offset: None,
            is_return,
        };
        let uprobe = perf::attach(program.fd()?.as_fd(), place)
            .with_context(|| format!("cannot attach {name} to {}", file.display()))?;
        Ok(Box::new(uprobe))
    };
    Ok([attach("bare_entry", false)?, attach("bare_return", true)?])
}

/// Attaches a uprobe to the site of a hook that fires once a read, as the product's are attached.
fn attach_to_site(ebpf: &mut Ebpf, pid: Pid) -> anyhow::Result<Link> {
    let hook = loaded_hook(pid)?.with_context(|| format!("process {pid} has loaded no hook"))?;
    let site = hook.sites.iter().find(|site| site.name == READ_DONE);
    let site = site.with_context(|| format!("the hook has no site {READ_DONE}"))?;
    let wanted = SiteChoice::Auto.offset();
    let place = Place {
        path: &hook.reachable,
        offset: site.offset + at_site(&wanted, &hook.reachable, site.offset),
        semaphore_offset: site.semaphore_offset,
        is_return: false,
    };
    let programs = UprobePrograms::load(ebpf, OBJECT, ["bare_entry"].into_iter())?;
    let uprobe = programs.attach("bare_entry", place)?;
    Ok(Box::new((uprobe, programs)))
}
