//! A uprobe and uretprobe that do nothing.

use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;
use aya::Ebpf;
use aya::programs::UProbe;

use crate::probes::loader::OBJECT;
use crate::probes::pair::program;
use crate::probes::perf::{self, Place, Uprobe};

/// An attached pair. Dropping it detaches.
#[derive(Debug)]
pub struct BarePair {
    _uprobes: Vec<Uprobe>,
    _ebpf: Ebpf,
}

impl BarePair {
    /// Attaches the pair to the function that begins at `offset` of a file.
    pub fn attach(file: &Path, offset: u64) -> anyhow::Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("cannot load the eBPF object")?;
        let ends = [(false, "bare_entry"), (true, "bare_return")];
        let uprobes = ends
            .into_iter()
            .map(|(is_return, name)| {
                let program: &mut UProbe = program(&mut ebpf, name)?;
                program.load()?;
                let place = Place {
                    path: file,
                    offset,
                    semaphore_offset: None,
                    is_return,
                };
                perf::attach(program.fd()?.as_fd(), place)
                    .with_context(|| format!("cannot attach {name} to {}", file.display()))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            _uprobes: uprobes,
            _ebpf: ebpf,
        })
    }
}
