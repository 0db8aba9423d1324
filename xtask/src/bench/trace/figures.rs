//! Instructions that tracing adds to a call, by kernel and by what observes; and their comparison with
//! those that are kept in the repository.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The state that everything else is held against.
pub const BARE_PAIR: &str = "bare uprobe + uretprobe";
/// The state with all of ours.
pub const EVERYTHING: &str = "hook sites + pair, with records";

/// How far above the kept figure one may be. Builds and the kernel's timer make less of a difference.
const ALLOWED_RISE: f64 = 0.05;

/// Instructions added to a call, by what observes.
pub type OfKernel = BTreeMap<String, f64>;

/// The figures of all kernels, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Figures(BTreeMap<String, OfKernel>);

impl Figures {
    /// Adds or replaces a kernel's.
    pub fn insert(&mut self, kernel: &str, figures: OfKernel) {
        self.0.insert(kernel.to_owned(), figures);
    }

    /// Replaces those of the kernels that `newer` has.
    pub fn replace(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    /// Leaves out kernels that the others do not have.
    pub fn retain_kernels_of(&mut self, others: &Self) {
        self.0.retain(|kernel, _| others.0.contains_key(kernel));
    }

    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read {} (--update writes it)", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes a file, to a tenth of an instruction.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut rounded = self.clone();
        for figure in rounded.0.values_mut().flat_map(BTreeMap::values_mut) {
            *figure = (*figure * 10.0).round() / 10.0;
        }
        let text = serde_json::to_string_pretty(&rounded)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Kernels on which all of ours takes no fewer instructions than a pair of uprobes that do nothing.
    pub fn above_the_bare_pair(&self) -> Vec<String> {
        let mut above = Vec::new();
        for (kernel, figures) in &self.0 {
            match (figures.get(EVERYTHING), figures.get(BARE_PAIR)) {
                (Some(ours), Some(bare)) if ours < bare => {}
                (Some(ours), Some(bare)) => {
                    above.push(format!(
                        "kernel {kernel}: {ours:.0}, and the pair {bare:.0}"
                    ));
                }
                _ => above.push(format!("kernel {kernel}: not measured")),
            }
        }
        above
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "instructions added to a call")?;
        for (kernel, figures) in &self.0 {
            writeln!(f, "kernel {kernel}")?;
            for (state, figure) in figures {
                writeln!(f, "  {state:<34} {figure:>8.0}")?;
            }
        }
        Ok(())
    }
}

/// What is wrong with what was found, held against what is kept: figures that have risen too far, and
/// those that are kept and were not found, be it a state or a kernel.
pub fn compare(kept: &Figures, found: &Figures) -> Vec<String> {
    let mut faults = Vec::new();
    for (kernel, found) in &found.0 {
        let Some(kept) = kept.0.get(kernel) else {
            faults.push(format!("kernel {kernel}: no figures are kept"));
            continue;
        };
        for (state, kept) in kept {
            match found.get(state) {
                None => faults.push(format!("kernel {kernel}, {state}: not measured any more")),
                Some(found) if *found > kept * (1.0 + ALLOWED_RISE) => faults.push(format!(
                    "kernel {kernel}, {state}: {found:.0}, kept {kept:.0} ({:+.1} %)",
                    (found / kept - 1.0) * 100.0
                )),
                Some(_) => {}
            }
        }
    }
    let lost = kept
        .0
        .keys()
        .filter(|kernel| !found.0.contains_key(*kernel));
    faults.extend(lost.map(|kernel| format!("kernel {kernel}: not measured any more")));
    faults
}

#[cfg(test)]
mod tests;
