//! What can be told of a hook by its file, before anything is started.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use probes::discover::elf::{Elf, ElfError};
use runlog::record::READS;

use crate::run::arms::HookSpec;

/// What a hook is to be measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasuredBy {
    /// Calls of its `read`, in a loop.
    Reads,
    /// A trial: its calls, request by request.
    Trial,
    /// Whole servers with and without it.
    Servers,
}

/// Checks that a library can be preloaded, and has what it is to be measured by.
pub fn check(path: &Path, by: MeasuredBy) -> anyhow::Result<()> {
    check_separators(path, "give the hook (--hook) a path without")?;
    let elf = Elf::open(path).context("the hook (--hook) cannot be used")?;
    let path = path.display();
    match by {
        MeasuredBy::Reads if !elf.defines(READS[0])? => {
            bail!("{path}: defines no function \"{}\"", READS[0])
        }
        MeasuredBy::Trial if hooked_reads(&elf)?.is_empty() => bail!(
            "{path}: defines none of {}, by which a trial draws whether a request goes through the hook; measure whole servers \
             with and without it (--order rmit)",
            READS.join(", ")
        ),
        MeasuredBy::Trial if elf.defines("dlsym")? || elf.defines("dlopen")? => bail!(
            "{path}: defines dlsym or dlopen, by which a trial finds the hook and what is behind it; measure whole servers with and \
             without it (--order rmit)"
        ),
        MeasuredBy::Servers if !elf.defines_any()? => {
            bail!("{path}: defines no function, so it hooks nothing")
        }
        _ => Ok(()),
    }
}

/// Which of the functions that read a library defines.
pub fn hooked_reads(elf: &Elf) -> Result<Vec<String>, ElfError> {
    let mut defined = Vec::new();
    for name in READS {
        if elf.defines(name)? {
            defined.push(name.to_owned());
        }
    }
    Ok(defined)
}

/// Which of the functions that read a hook is to stand in front of: ours defines all of them, and passes on what it is not asked for.
pub fn reads_asked_for(hook: &HookSpec) -> Result<Vec<String>, ElfError> {
    let elf = Elf::open(&hook.path)?;
    let mut reads = hooked_reads(&elf)?;
    if elf.exports("readhook_matches")? {
        let mut settings = hook.environment.iter();
        let asked_for = settings.find(|(name, _)| name == "READHOOK_FUNCTIONS");
        let asked_for = asked_for.map_or(READS[0], |(_, value)| value.as_str());
        reads.retain(|name| asked_for.split(',').any(|asked| asked == name));
    }
    Ok(reads)
}

/// Checks that a path can be one of several in `LD_PRELOAD`.
pub fn check_separators(path: &Path, advice: &str) -> anyhow::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.iter().any(|byte| matches!(byte, b' ' | b':')) {
        bail!(
            "{}: LD_PRELOAD takes spaces and colons for separators; {advice}",
            path.display()
        );
    }
    Ok(())
}
