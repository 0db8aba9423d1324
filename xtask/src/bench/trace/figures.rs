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
mod tests {
    use super::*;

    fn figures(kernel: &str, values: &[(&str, f64)]) -> Figures {
        let of_kernel = values
            .iter()
            .map(|(state, value)| ((*state).to_owned(), *value));
        let mut figures = Figures::default();
        figures.insert(kernel, of_kernel.collect());
        figures
    }

    #[test]
    fn a_rise_of_more_than_five_percent_is_a_fault() {
        let kept = figures("6.1", &[("records", 2_000.0), ("none", 100.0)]);
        let faults = |records, none| {
            compare(
                &kept,
                &figures("6.1", &[("records", records), ("none", none)]),
            )
        };
        assert!(faults(2_098.0, 104.9).is_empty(), "4.9 %");
        assert!(faults(1_000.0, 1.0).is_empty(), "a fall is welcome");
        let rise = faults(2_102.0, 100.0);
        assert_eq!(rise.len(), 1, "5.1 %");
        assert!(
            rise[0].contains("6.1") && rise[0].contains("records"),
            "{rise:?}"
        );
        assert_eq!(faults(2_102.0, 105.1).len(), 2);
    }

    #[test]
    fn what_is_kept_must_be_found() {
        let kept = figures("6.1", &[("records", 2_000.0)]);
        assert_eq!(compare(&kept, &figures("6.1", &[("none", 1.0)])).len(), 1);
        assert_eq!(
            compare(&kept, &Figures::default()).len(),
            1,
            "missing kernel"
        );
        let other = figures("5.10", &[("records", 1.0)]);
        assert_eq!(compare(&kept, &other).len(), 2, "one missing, one unknown");
    }

    #[test]
    fn all_of_ours_must_take_less_than_the_bare_pair() {
        let above = |ours, bare| {
            figures("6.1", &[(EVERYTHING, ours), (BARE_PAIR, bare)]).above_the_bare_pair()
        };
        assert!(above(2_999.0, 3_000.0).is_empty());
        assert_eq!(above(3_000.0, 3_000.0).len(), 1);
        assert_eq!(
            figures("6.1", &[(EVERYTHING, 1.0)])
                .above_the_bare_pair()
                .len(),
            1
        );
    }

    #[test]
    fn an_update_keeps_the_other_kernels() {
        let mut kept = figures("6.1", &[("records", 1.0)]);
        kept.replace(figures("5.10", &[("records", 2.0)]));
        kept.replace(figures("5.10", &[("records", 3.0)]));
        let folder = std::env::temp_dir().join(format!("figures-{}", std::process::id()));
        kept.write(&folder).unwrap();
        let read = Figures::read(&folder);
        fs::remove_file(&folder).unwrap();
        let read = read.unwrap();
        assert_eq!(read, kept);
        assert_eq!(
            (read.0["6.1"]["records"], read.0["5.10"]["records"]),
            (1.0, 3.0)
        );
    }
}
