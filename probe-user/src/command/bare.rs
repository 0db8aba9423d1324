//! `probe-user bare`: probes that do nothing, for `cargo xtask bench-trace` to measure.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::command::End;
use crate::run::stop::Stop;
use probes::bare::Bare;
use probes::discover::elf::Elf;
use probes::discover::function::FunctionName;
use probes::discover::processes::Pid;
use probes::discover::sites::loaded_hook;

/// Options of `bare`.
#[derive(Args, Debug)]
pub struct BareArguments {
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
pub async fn bare(arguments: BareArguments) -> anyhow::Result<End> {
    let mut stop = Stop::listen()?;
    let mut probes = Bare::load()?;
    if let Some(symbol) = arguments.symbol {
        let executable = PathBuf::from(format!("/proc/{}/exe", arguments.pid));
        let function = FunctionName::Symbol(symbol);
        let offset = Elf::open(&executable)?.function_offset(&function)?;
        probes.attach_to_function(&executable, offset)?;
    }
    if arguments.site {
        let hook = loaded_hook(arguments.pid)?
            .with_context(|| format!("process {} has loaded no hook", arguments.pid))?;
        probes.attach_to_site(&hook)?;
    }
    if arguments.tp_btf {
        probes.attach_to_syscalls()?;
    }
    eprintln!("probe-user: attached to {}", arguments.pid);
    stop.requested().await;
    drop(probes);
    Ok(End::Complete)
}
