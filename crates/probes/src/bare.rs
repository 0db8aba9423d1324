//! Probes whose programs do nothing.

use std::fmt::Debug;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;
use aya::programs::{BtfTracePoint, UProbe};
use aya::{Btf, Ebpf};

use crate::discover::sites::LoadedHook;
use crate::loader::OBJECT;
use crate::pair::program;
use crate::perf::{self, Place};
use crate::site_offset::{SiteChoice, at_site};
use crate::uprobes::UprobePrograms;

/// The site that fires once a hooked read.
const READ_DONE: &str = "read_done";

/// Attached probes. Dropping them detaches.
#[derive(Debug)]
pub struct Bare {
    links: Vec<Box<dyn Debug>>,
    ebpf: Ebpf,
}

impl Bare {
    /// Loads the programs, and attaches none yet.
    pub fn load() -> anyhow::Result<Self> {
        Ok(Self {
            links: Vec::new(),
            ebpf: Ebpf::load(OBJECT).context("cannot load the eBPF object")?,
        })
    }

    /// Attaches a uprobe and uretprobe to the function that begins at `offset` of a file, by perf events:
    /// so other tools do it.
    pub fn attach_to_function(&mut self, file: &Path, offset: u64) -> anyhow::Result<()> {
        for (is_return, name) in [(false, "bare_entry"), (true, "bare_return")] {
            let place = Place {
                path: file,
                offset,
                semaphore_offset: None,
                is_return,
            };
            self.attach_uprobe(name, place)?;
        }
        Ok(())
    }

    /// Attaches a uprobe to the site of a hook that fires once a read, as ours are attached.
    pub fn attach_to_site(&mut self, hook: &LoadedHook) -> anyhow::Result<()> {
        let site = hook.sites.iter().find(|site| site.name == READ_DONE);
        let site = site.with_context(|| format!("the hook has no site {READ_DONE}"))?;
        let wanted = SiteChoice::Auto.offset();
        let place = Place {
            path: &hook.reachable,
            offset: site.offset + at_site(&wanted, &hook.reachable, site.offset),
            semaphore_offset: site.semaphore_offset,
            is_return: false,
        };
        let programs = UprobePrograms::load(&mut self.ebpf, ["bare_entry"].into_iter())?;
        let uprobe = programs.attach("bare_entry", place)?;
        self.links.push(Box::new((uprobe, programs)));
        Ok(())
    }

    /// Attaches to the tracepoints of all system calls, with BTF.
    pub fn attach_to_syscalls(&mut self) -> anyhow::Result<()> {
        let btf = Btf::from_sys_fs().context("the kernel has no BTF")?;
        for (name, tracepoint) in [
            ("bare_sys_enter", "sys_enter"),
            ("bare_sys_exit", "sys_exit"),
        ] {
            let program: &mut BtfTracePoint = program(&mut self.ebpf, name)?;
            program.load(tracepoint, &btf)?;
            let link = program.attach()?;
            self.links.push(Box::new(program.take_link(link)?));
        }
        Ok(())
    }

    fn attach_uprobe(&mut self, name: &str, place: Place<'_>) -> anyhow::Result<()> {
        let program: &mut UProbe = program(&mut self.ebpf, name)?;
        program.load()?;
        let uprobe = perf::attach(program.fd()?.as_fd(), place)
            .with_context(|| format!("cannot attach {name} to {}", place.path.display()))?;
        self.links.push(Box::new(uprobe));
        Ok(())
    }
}
