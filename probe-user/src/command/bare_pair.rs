//! `probe-user bare-pair`: a uprobe and uretprobe that do nothing, on a function of a process.

use std::path::PathBuf;

use clap::Args;

use crate::command::End;
use crate::discover::elf::Elf;
use crate::discover::function::FunctionName;
use crate::discover::processes::Pid;
use crate::probes::bare_pair::BarePair;
use crate::run::stop::Stop;

/// Options of `bare-pair`.
#[derive(Args, Debug)]
pub struct BarePairArguments {
    /// A process that runs the executable with the function
    #[arg(long, value_name = "PID")]
    pid: Pid,

    /// The function
    #[arg(long, value_name = "NAME")]
    symbol: String,
}

/// Keeps the pair attached until a signal comes.
pub async fn bare_pair(arguments: BarePairArguments) -> anyhow::Result<End> {
    let mut stop = Stop::listen()?;
    let executable = PathBuf::from(format!("/proc/{}/exe", arguments.pid));
    let function = FunctionName::Symbol(arguments.symbol);
    let offset = Elf::open(&executable)?.function_offset(&function)?;
    let pair = BarePair::attach(&executable, offset)?;
    eprintln!("probe-user: attached to {}", arguments.pid);
    stop.requested().await;
    drop(pair);
    Ok(End::Complete)
}
