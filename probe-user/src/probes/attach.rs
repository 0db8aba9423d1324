//! What to attach, and what is attached.

use std::collections::BTreeSet;
use std::fs;
use std::mem;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use aya::Ebpf;
use aya::programs::UProbe;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};

use crate::discover::processes::Pid;
use crate::discover::sites::LoadedHook;
use crate::probes::pair::{self, AttachedPair, KernelProbe, program};
use crate::probes::perf::{self, Place, Uprobe};
use crate::probes::site_offset::{SiteOffset, at_site};

/// The function that `--symbol` names, in the file of one process.
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
    /// The process.
    pub pid: Pid,
    /// Its arm.
    pub arm: u32,
    /// The hook that it has loaded.
    pub hook: Option<LoadedHook>,
    /// A function to probe in it.
    pub function: Option<Function>,
}

/// Everything that is attached. Dropping it detaches: the sites first, then the kernel pair that
/// their calls are paired with.
#[derive(Debug)]
pub struct Attached {
    sites: Vec<Uprobe>,
    _functions: Vec<UProbeLink>,
    _pair: AttachedPair,
}

impl Drop for Attached {
    fn drop(&mut self) {
        perf::detach_all(mem::take(&mut self.sites));
    }
}

/// Programs of the hook's sites, by the name of the site. They have the same names.
pub const SITE_PROGRAMS: [&str; 3] = ["read_done", "accepted", "closed"];
/// Programs of a function.
pub const FUNCTION_PROGRAMS: [&str; 2] = ["function_return", "function_entry"];

/// Attaches the loaded programs to the targets. A file that several targets have mapped is probed
/// once: its probes fire for all of them, and would count twice.
pub fn attach(
    ebpf: &mut Ebpf,
    kernel_probe: KernelProbe,
    site_offset: &SiteOffset,
    targets: &[Target],
) -> anyhow::Result<Attached> {
    let pair = pair::attach(ebpf, kernel_probe).context("cannot attach the kernel probe")?;
    let mut sites = Vec::new();
    let mut functions = Vec::new();
    let mut probed = BTreeSet::new();
    for target in targets {
        if let Some(hook) = &target.hook
            && probed.insert((file_identity(&hook.reachable)?, 0))
        {
            sites.extend(attach_sites(ebpf, site_offset, hook)?);
        }
        if let Some(function) = &target.function
            && probed.insert((file_identity(&function.file)?, function.offset))
        {
            functions.extend(attach_function(ebpf, function)?);
        }
    }
    Ok(Attached {
        sites,
        _functions: functions,
        _pair: pair,
    })
}

fn file_identity(path: &Path) -> anyhow::Result<(u64, u64)> {
    let file = fs::metadata(path)
        .with_context(|| format!("cannot reach {} (has the process ended?)", path.display()))?;
    Ok((file.dev(), file.ino()))
}

fn attach_sites(
    ebpf: &mut Ebpf,
    site_offset: &SiteOffset,
    hook: &LoadedHook,
) -> anyhow::Result<Vec<Uprobe>> {
    let mut uprobes = Vec::new();
    for site in &hook.sites {
        if !SITE_PROGRAMS.contains(&site.name.as_str()) {
            bail!(
                "{}: has a probe site of unknown name \"{}\"",
                hook.path.display(),
                site.name
            );
        }
        let probe: &mut UProbe = program(ebpf, &site.name)?;
        let place = Place {
            path: &hook.reachable,
            offset: site.offset + at_site(site_offset, &hook.reachable, site.offset),
            semaphore_offset: site.semaphore_offset,
        };
        let uprobe = perf::attach(probe.fd()?.as_fd(), place)
            .with_context(|| format!("cannot attach to {}:{}", hook.path.display(), site.name))?;
        uprobes.push(uprobe);
    }
    Ok(uprobes)
}

fn attach_function(ebpf: &mut Ebpf, function: &Function) -> anyhow::Result<Vec<UProbeLink>> {
    let mut links = Vec::new();
    for name in FUNCTION_PROGRAMS {
        let probe: &mut UProbe = program(ebpf, name)?;
        let location = UProbeAttachLocation::AbsoluteOffset(function.offset);
        // Not bound to a process, for the same reason as the sites: see `perf::attach`.
        let link = probe
            .attach(location, &function.file, UProbeScope::AllProcesses)
            .with_context(|| format!("cannot attach to {}", function.file.display()))?;
        links.push(probe.take_link(link)?);
    }
    Ok(links)
}
