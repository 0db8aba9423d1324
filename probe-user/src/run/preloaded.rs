//! Whether what is preloaded into servers can be seen at work there, and is.

use std::fs;
use std::path::{Path, PathBuf};

use abi::trial::{RECORDS_VARIABLE, VARIABLE};
use anyhow::{Context as _, bail};

use crate::run::arms::Server;
use crate::run::process::{self, Process};
use crate::run::shared_memory::SharedMemory;
use probes::discover::elf::Elf;
use probes::discover::mapped::mapped_code;

/// What may be behind a descriptor that is not there.
const CLOSED: &str = ". The server, or what starts it, has closed the descriptors that it inherited, as Python's subprocess and \
    multiprocessing do (uvicorn --workers): have it keep them, or take --order rmit";

/// Refuses a program whose reads no preloaded library sees.
pub fn check_program(program: &Path, elf: &Elf) -> anyhow::Result<()> {
    if !elf.is_dynamic_executable()? {
        bail!(
            "{} is statically linked: the dynamic linker never runs, so no hook can be preloaded \
             into it",
            program.display()
        );
    }
    if elf.is_go_program()? {
        bail!(
            "{} is a Go program: it makes its system calls itself, past the C library, so no hook that is preloaded sees them. \
             probe-user trace shows its reads",
            program.display()
        );
    }
    Ok(())
}

/// Checks that what is preloaded is where it should be and does what it should: a hook that silently does
/// nothing would be measured as one that costs nothing.
pub fn check(
    libraries: &[PathBuf],
    memory: Option<&SharedMemory>,
    servers: &[Server],
    process: &Process,
) -> anyhow::Result<()> {
    if let Some(complaint) = complaint(&process.said()) {
        let is_of_records = complaint.contains(&*process::name(RECORDS_VARIABLE).to_string_lossy());
        let advice = if is_of_records { CLOSED } else { "" };
        bail!("{complaint}{advice}");
    }
    for server in servers.iter().filter(|_| !libraries.is_empty()) {
        let program = PathBuf::from(format!("/proc/{}/exe", server.pid));
        // What may not be looked at is left to other checks.
        if let (Ok(path), Ok(elf)) = (fs::read_link(&program), Elf::open(&program)) {
            check_program(&path, &elf)?;
        }
    }
    for library in libraries {
        let path = fs::canonicalize(library)
            .with_context(|| format!("cannot find {}", library.display()))?;
        let has_mapped = |server: &Server| {
            mapped_code(server.pid).is_ok_and(|files| files.iter().any(|file| file.path == path))
        };
        if !servers.iter().any(has_mapped) {
            bail!(
                "the server has not loaded {}: is it statically linked or set-uid, or does it clear \
                 LD_PRELOAD?",
                path.display()
            );
        }
    }
    if memory.is_some() {
        check_clock(servers)?;
    }
    let is_told = |memory: &SharedMemory| {
        let has_mapped = |server: &Server| memory.is_mapped_by(server.pid).unwrap_or(false);
        servers.iter().any(has_mapped)
    };
    if !memory.is_none_or(is_told) {
        bail!(
            "the server has not mapped the memory for its records: does it clear {} or {}, or close the descriptors that \
             it inherits?",
            process::name(VARIABLE).display(),
            process::name(RECORDS_VARIABLE).display(),
        );
    }
    Ok(())
}

/// Checks that instants of the servers' records can be compared with those of the load generator, which has our clock.
fn check_clock(servers: &[Server]) -> anyhow::Result<()> {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/time")).ok();
    let ours = namespace("self");
    for server in servers {
        let theirs = namespace(&server.pid.to_string());
        if theirs.is_some() && theirs != ours {
            bail!(
                "the server (process {}) is in a time namespace of its own, in which the clock is not the load generator's: \
                 start it without one, as by unshare without --time",
                server.pid
            );
        }
    }
    Ok(())
}

/// The line in which the hook, or what stands in front of it, says that it refuses its settings.
pub fn complaint(said: &str) -> Option<&str> {
    let is_complaint = |line: &&str| {
        ["readhook: ", "hookprobe front: "]
            .iter()
            .any(|name| line.starts_with(name))
    };
    said.lines().find(is_complaint)
}
