//! The options that name a function, and the function that they name in one process.

use std::fs;
use std::path::{Path, PathBuf};

use abi::MAX_THREADS;
use anyhow::{Context as _, bail};
use clap::Args;

use probes::attach::Function;
use probes::discover::elf::Elf;
use probes::discover::function::FunctionName;
use probes::discover::mapped::find_library;
use probes::discover::processes::Pid;
use probes::return_probe;

/// Which function to time.
#[derive(Args, Debug)]
#[group(skip)]
pub struct FunctionArguments {
    /// Also time a function: its name; NAME@VERSION for a version that is not today's
    #[arg(long, value_name = "NAME", group = "function")]
    symbol: Option<String>,

    /// Also time the function that begins at this address, as in 0x1234
    ///
    /// It is the address that nm and objdump -d print, as in bpftrace's uprobe:FILE:0x1234, not an offset into the file.
    #[arg(long, value_name = "ADDRESS", group = "function", value_parser = parse_address)]
    offset: Option<u64>,

    /// The library that has the function: a path, or a name as in libc.so.6 [default: the
    /// executable]
    #[arg(long, value_name = "LIBRARY", requires = "function")]
    lib: Option<PathBuf>,
}

fn parse_address(text: &str) -> Result<u64, String> {
    let digits = text
        .strip_prefix("0x")
        .ok_or("an address begins with 0x, as in 0x1234")?;
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

impl FunctionArguments {
    fn name(&self) -> Option<FunctionName> {
        match (&self.symbol, self.offset) {
            (Some(symbol), _) => Some(FunctionName::Symbol(symbol.clone())),
            (None, Some(address)) => Some(FunctionName::Address(address)),
            (None, None) => None,
        }
    }

    /// How many threads are to be followed through the function: as many as there are now, and three
    /// times as many to come. 0 without a function.
    pub fn threads(&self, pids: &[Pid]) -> u32 {
        if self.name().is_none() {
            return 0;
        }
        let now = pids.iter().map(|pid| thread_count(*pid)).sum();
        threads_to_follow(now)
    }

    /// The function in a process; `None` when none is asked for. An error when it is not there, or
    /// when probing it would do harm.
    pub fn find(&self, pid: Pid, executable: &Path, elf: &Elf) -> anyhow::Result<Option<Function>> {
        let Some(name) = self.name() else {
            return Ok(None);
        };
        let function = match &self.lib {
            None => Function {
                offset: elf.function_offset(&name)?,
                file: executable.to_owned(),
            },
            Some(library) => find_in_library(pid, library, &name, executable, elf)?,
        };
        return_probe::check(pid)?;
        Ok(Some(function))
    }
}

fn thread_count(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// The kernel sets aside a kilobyte for each: from one megabyte to 16.
fn threads_to_follow(now: usize) -> u32 {
    u32::try_from(now.saturating_mul(4))
        .unwrap_or(u32::MAX)
        .clamp(1_024, MAX_THREADS)
}

fn find_in_library(
    pid: Pid,
    library: &Path,
    name: &FunctionName,
    executable: &Path,
    elf: &Elf,
) -> anyhow::Result<Function> {
    if !elf.is_dynamic_executable()? {
        bail!(
            "process {pid} ({}) is statically linked: it has no libraries; leave --lib out to look \
             for the function in the executable itself",
            fs::read_link(executable).unwrap_or_default().display()
        );
    }
    let file = find_library(pid, library)?;
    let offset = Elf::open(&file.reachable)?
        .function_offset(name)
        .with_context(|| format!("in {}", file.path.display()))?;
    Ok(Function {
        file: file.reachable,
        offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_threads_is_bounded() {
        assert_eq!(threads_to_follow(0), 1_024);
        assert_eq!(threads_to_follow(1_000), 4_000);
        assert_eq!(threads_to_follow(usize::MAX), MAX_THREADS);
    }

    #[test]
    fn addresses_are_hexadecimal_and_say_so() {
        assert_eq!(parse_address("0x1f0"), Ok(0x1f0));
        for text in ["1139", "0x", "0xg", "", "0x10000000000000000", "-0x1"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
