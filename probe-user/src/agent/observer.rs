//! The eBPF probes, or that there are none: an agent without the rights sees what processes record in shared memory alone.

use std::collections::BTreeMap;

use anyhow::Context as _;
use probes::attach::Target;
use probes::records::Record;
use probes::totals::ArmTotals;
use probes::{LoadError, Options, Probes};
use runlog::analysis::Ledger;
use rustix::process::geteuid;

/// Who observes processes from the kernel's side. Without probes nothing happens there, so nothing is counted.
pub enum Observer {
    /// The probes.
    Probes(Box<Probes>),
    /// There are none, and why.
    Nobody(String),
}

impl Observer {
    /// Loads the probes, if they are wanted and may be loaded.
    pub fn load(options: Option<Options>) -> Result<Self, LoadError> {
        let Some(options) = options else {
            return Ok(Self::Nobody("--no-probes".to_owned()));
        };
        match Probes::load(options) {
            // Root that may not is a fault of the set-up, to be seen; --no-probes asks for none.
            Err(error @ LoadError::NotPermitted(_)) if !geteuid().is_root() => {
                Ok(Self::Nobody(error.to_string()))
            }
            loaded => Ok(Self::Probes(Box::new(loaded?))),
        }
    }

    /// Why there are no probes, if there are none.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Probes(_) => None,
            Self::Nobody(reason) => Some(reason),
        }
    }

    /// The probes.
    pub fn probes(&self) -> Option<&Probes> {
        match self {
            Self::Probes(probes) => Some(probes),
            Self::Nobody(_) => None,
        }
    }

    fn each(&mut self, act: impl FnOnce(&mut Probes) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::Probes(probes) => act(probes),
            Self::Nobody(_) => Ok(()),
        }
    }

    /// See [`Probes::attach`].
    pub fn attach(&mut self) -> anyhow::Result<()> {
        self.each(Probes::attach)
    }

    /// See [`Probes::set_targets`].
    pub fn set_targets(&mut self, targets: Vec<Target>) -> anyhow::Result<()> {
        self.each(|probes| probes.set_targets(targets))
    }

    /// See [`Probes::clear`].
    pub fn clear(&mut self, arm: u32) -> anyhow::Result<()> {
        self.each(|probes| probes.clear(arm))
    }

    /// See [`Probes::ask_for_records`].
    pub fn ask_for_records(&mut self, arms: impl IntoIterator<Item = u32>) -> anyhow::Result<()> {
        self.each(|probes| probes.ask_for_records(arms))
    }

    /// See [`Probes::drain`].
    pub fn drain(&mut self, take: impl FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.each(|probes| probes.drain(take))
    }

    /// See [`Probes::stop_observing`].
    pub fn stop_observing(&mut self) -> anyhow::Result<()> {
        self.each(Probes::stop_observing)
    }

    /// See [`Probes::detach`].
    pub fn detach(&mut self) -> anyhow::Result<()> {
        self.each(Probes::detach)
    }

    /// See [`Probes::totals`].
    pub fn totals(&mut self, arms: &[u32]) -> anyhow::Result<Vec<ArmTotals>> {
        match self {
            Self::Probes(probes) => probes.totals(arms),
            Self::Nobody(_) => Ok(arms.iter().map(|_| ArmTotals::default()).collect()),
        }
    }

    /// See [`Probes::missed`].
    pub fn missed(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        self.probes()
            .map_or_else(|| Ok(BTreeMap::new()), Probes::missed)
    }

    /// See [`Probes::missed_since`].
    pub fn missed_since(
        &self,
        before: &BTreeMap<String, u64>,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        let probes = self.probes();
        probes.map_or_else(|| Ok(BTreeMap::new()), |probes| probes.missed_since(before))
    }

    /// See [`Probes::hits_of_others`].
    pub fn hits_of_others(&self) -> anyhow::Result<u64> {
        self.probes().map_or(Ok(0), Probes::hits_of_others)
    }

    /// See [`Probes::describe`].
    pub fn describe(&self) -> runlog::manifest::Probes {
        self.probes().map(Probes::describe).unwrap_or_default()
    }

    /// See [`Probes::ledger`].
    pub fn ledger(&self) -> anyhow::Result<Ledger> {
        let without = || Ledger {
            balanced: true,
            ..Ledger::default()
        };
        let ledger = self.probes().map(Probes::ledger).transpose();
        Ok(ledger
            .context("cannot read the ledger")?
            .unwrap_or_else(without))
    }
}
