//! What changes while the probes run: libraries that come and go, and what has been counted up to now.
//!
//! An experiment attaches everything at once. An agent attaches the kernel pair, and then to each library when it
//! is first seen.

use abi::MAX_ARMS;
use anyhow::Context as _;

use crate::attach::attach_sites;
use crate::discover::sites::LoadedHook;
use crate::ledger;
use crate::loader::Probes;
use crate::perf::{self, Uprobe};
use crate::tables;
use crate::totals::{self, ArmTotals};

/// The attached sites of one file.
#[derive(Debug)]
pub struct AttachedHook {
    uprobes: Vec<Uprobe>,
}

impl Drop for AttachedHook {
    fn drop(&mut self) {
        perf::detach_all(std::mem::take(&mut self.uprobes));
    }
}

impl Probes {
    /// Attaches to the sites of a hook until the value goes, for every process that has mapped its file.
    pub fn attach_hook(&self, hook: &LoadedHook) -> anyhow::Result<AttachedHook> {
        let uprobes = attach_sites(&self.uprobe_programs, &self.site_offset, hook)?;
        Ok(AttachedHook { uprobes })
    }

    /// Has records written of these arms from now on, and of no others. Returns when no program runs any more that has
    /// seen it otherwise.
    pub fn ask_for_records(&mut self, arms: impl IntoIterator<Item = u32>) -> anyhow::Result<()> {
        let mut asked_for = [0_u32; MAX_ARMS as usize];
        for arm in arms {
            let of_arm = asked_for.get_mut(arm as usize);
            *of_arm.context("there are fewer arms")? = 1;
        }
        tables::set_table(&mut self.ebpf, "asked_for", &asked_for)?;
        perf::wait_for_running_programs();
        Ok(())
    }

    /// Begins no new spans. What is left is to drop the attached hooks and to detach.
    pub fn stop_observing(&mut self) -> anyhow::Result<()> {
        self.observe(false)
    }

    /// What has been counted of each of these arms, up to now.
    pub fn totals(&mut self, arms: &[u32]) -> anyhow::Result<Vec<ArmTotals>> {
        let at_work = tables::at_work(&mut self.ebpf, self.options.arms)?;
        arms.iter()
            .map(|arm| {
                let at_work = at_work.get(*arm as usize).copied().unwrap_or_default();
                ArmTotals::read(&self.ebpf, *arm, at_work)
            })
            .collect()
    }

    /// Empties what has been counted of an arm, of which no process may be a target.
    pub fn clear(&mut self, arm: u32) -> anyhow::Result<()> {
        totals::clear(&mut self.ebpf, arm)
    }

    /// Hits of sites by processes that are no targets.
    pub fn hits_of_others(&self) -> anyhow::Result<u64> {
        ledger::hits_of_others(&self.ebpf)
    }
}
