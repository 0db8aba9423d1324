//! What to attach, and what is attached.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aya::Ebpf;
use aya::programs::RawTracePoint;
use aya::programs::raw_trace_point::RawTracePointLink;

use crate::discover::processes::Pid;
use crate::discover::sites::LoadedHook;
use crate::pair::{self, AttachedPair, KernelProbe, program};
use crate::perf::{self, Place, Uprobe};
use crate::site_offset::{SiteOffset, at_site};
use crate::uprobes::UprobePrograms;

/// The function that `--symbol` or `--offset` names, in the file of one process.
#[derive(Clone, Debug)]
pub struct Function {
    /// A path by which we reach the file.
    pub file: PathBuf,
    /// Offset of the function.
    pub offset: u64,
}

/// One traced process.
#[derive(Clone, Debug)]
pub struct Target {
    /// The process, by the kernel's number.
    pub pid: Pid,
    /// Its arm.
    pub arm: u32,
    /// The hook that it has loaded.
    pub hook: Option<LoadedHook>,
    /// A function to probe in it.
    pub function: Option<Function>,
}

/// Everything that is attached. Dropping it detaches. In what order does not matter: nothing new is
/// observed by then (see the map `OBSERVING`).
#[derive(Debug)]
pub struct Attached {
    uprobes: Vec<Uprobe>,
    _function_ends: Vec<RawTracePointLink>,
    _pair: AttachedPair,
}

impl Drop for Attached {
    fn drop(&mut self) {
        perf::detach_all(mem::take(&mut self.uprobes));
    }
}

/// Programs of the hook's sites, by the name of the site. They have the same names.
pub const SITE_PROGRAMS: [&str; 3] = ["read_done", "accepted", "closed"];
/// Programs of a function: at its entry and at its return.
pub const FUNCTION_PROGRAMS: [&str; 2] = ["function_entry", "function_return"];
/// Programs of what ends a thread's calls of a function without a return, and their tracepoints.
pub const FUNCTION_ENDS: [(&str, &str); 2] = [
    ("function_thread_exit", "sched_process_exit"),
    ("function_exec", "sched_process_exec"),
];

/// Attaches the loaded programs to the targets. A file that several targets have mapped is probed
/// once: its probes fire for all of them, and would count twice.
pub fn attach(
    ebpf: &mut Ebpf,
    programs: &UprobePrograms,
    kernel_probe: KernelProbe,
    site_offset: &SiteOffset,
    targets: &[Target],
) -> anyhow::Result<Attached> {
    let pair = pair::attach(ebpf, kernel_probe).context("cannot attach the kernel probe")?;
    let function_ends = if targets.iter().any(|target| target.function.is_some()) {
        attach_function_ends(ebpf)?
    } else {
        Vec::new()
    };
    let mut uprobes = Vec::new();
    let mut probed = BTreeSet::new();
    for target in targets {
        if let Some(hook) = &target.hook
            && probed.insert((file_identity(&hook.reachable)?, 0))
        {
            uprobes.extend(attach_sites(programs, site_offset, hook)?);
        }
        if let Some(function) = &target.function
            && probed.insert((file_identity(&function.file)?, function.offset))
        {
            uprobes.extend(attach_function(programs, function)?);
        }
    }
    Ok(Attached {
        uprobes,
        _function_ends: function_ends,
        _pair: pair,
    })
}

fn file_identity(path: &Path) -> anyhow::Result<(u64, u64)> {
    let file = fs::metadata(path)
        .with_context(|| format!("cannot reach {} (has the process ended?)", path.display()))?;
    Ok((file.dev(), file.ino()))
}

/// Attaches to the sites of a hook, for every process that has mapped its file.
pub fn attach_sites(
    programs: &UprobePrograms,
    site_offset: &SiteOffset,
    hook: &LoadedHook,
) -> anyhow::Result<Vec<Uprobe>> {
    let has = |name: &&&str| hook.sites.iter().any(|site| site.name == **name);
    if let Some(missing) = SITE_PROGRAMS.iter().find(|name| !has(name)) {
        bail!(
            "{}: lacks the probe site \"{missing}\", or it is in no segment of the file",
            hook.path.display()
        );
    }
    let mut uprobes = Vec::new();
    for site in &hook.sites {
        if !SITE_PROGRAMS.contains(&site.name.as_str()) {
            bail!(
                "{}: has a probe site of unknown name \"{}\"",
                hook.path.display(),
                site.name
            );
        }
        let place = Place {
            path: &hook.reachable,
            offset: site.offset + at_site(site_offset, &hook.reachable, site.offset),
            semaphore_offset: site.semaphore_offset,
            is_return: false,
        };
        let uprobe = programs
            .attach(&site.name, place)
            .with_context(|| format!("cannot attach to {}:{}", hook.path.display(), site.name))?;
        uprobes.push(uprobe);
    }
    Ok(uprobes)
}

fn attach_function(programs: &UprobePrograms, function: &Function) -> anyhow::Result<Vec<Uprobe>> {
    let ends = [(false, FUNCTION_PROGRAMS[0]), (true, FUNCTION_PROGRAMS[1])];
    ends.into_iter()
        .map(|(is_return, name)| {
            let place = Place {
                path: &function.file,
                offset: function.offset,
                semaphore_offset: None,
                is_return,
            };
            programs
                .attach(name, place)
                .with_context(|| format!("cannot attach to {}", function.file.display()))
        })
        .collect()
}

fn attach_function_ends(ebpf: &mut Ebpf) -> anyhow::Result<Vec<RawTracePointLink>> {
    FUNCTION_ENDS
        .into_iter()
        .map(|(name, tracepoint)| {
            let probe: &mut RawTracePoint = program(ebpf, name)?;
            let link = probe
                .attach(tracepoint)
                .with_context(|| format!("cannot attach {name} to {tracepoint}"))?;
            Ok(probe.take_link(link)?)
        })
        .collect()
}
