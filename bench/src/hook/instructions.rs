//! Instructions that the hook adds to a read, counted by valgrind's callgrind: those of the program, not
//! those of the kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::table::table;
use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::hook::cases::{Case, Loaded, Watcher};
use crate::hook::subject::{Files, load, words};
use crate::hook::workload::calls_of_batch;

/// Calls of the shorter of two counts; their difference has nothing of what comes before and after.
const FEW: usize = 1_000;
/// Calls of the longer.
const MANY: usize = 3_000;
/// The most instructions that a site which nobody watches may add.
const SITE_AT_MOST: f64 = 3.0;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Instructions {
    /// One entry a case.
    pub cases: Vec<Counted>,
    /// Cases whose site adds more than it may.
    pub sites_too_dear: Vec<String>,
}

/// One case.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counted {
    /// Its name.
    pub name: String,
    /// Instructions of a read past the hook, the loop around it included.
    pub bare: f64,
    /// What the hook adds.
    pub added: f64,
    /// What the same hook adds when it is built without the probe sites; null for the paper's.
    pub added_without_sites: Option<f64>,
}

impl Counted {
    /// What the sites add while nobody watches.
    pub fn of_the_site(&self) -> Option<f64> {
        Some(self.added - self.added_without_sites?)
    }
}

/// Counts. `without_sites` is the hook built without them.
pub fn count(cases: &[Case], files: &Files, without_sites: &Path) -> anyhow::Result<Instructions> {
    let siteless = Files {
        hook: without_sites.to_owned(),
        ..files.clone()
    };
    let mut found = Instructions::default();
    let counted = cases.iter().filter(|case| {
        case.loaded != Loaded::Nothing && case.threads == 1 && case.watcher == Watcher::Nobody
    });
    for case in counted {
        eprintln!("counting {}", case.name);
        let bare = per_call(case, files, "bare")?;
        let added = per_call(case, files, "hook")? - bare;
        let added_without_sites = match case.loaded {
            Loaded::Ours { .. } => {
                let bare = per_call(case, &siteless, "bare")?;
                Some(per_call(case, &siteless, "hook")? - bare)
            }
            _ => None,
        };
        let counted = Counted {
            name: case.name.to_owned(),
            bare,
            added,
            added_without_sites,
        };
        if counted.of_the_site() > Some(SITE_AT_MOST) {
            found.sites_too_dear.push(counted.name.clone());
        }
        found.cases.push(counted);
    }
    ensure!(!found.cases.is_empty(), "no case of these can be counted");
    Ok(found)
}

fn per_call(case: &Case, files: &Files, through: &str) -> anyhow::Result<f64> {
    let batch = calls_of_batch(case.from, case.message)?;
    let [few, many] = [FEW, MANY].map(|about| about.next_multiple_of(batch));
    let fewer = instructions(case, files, through, few)?;
    let more = instructions(case, files, through, many)?;
    Ok((more - fewer) as f64 / (many - few) as f64)
}

/// Instructions of a whole worker that makes so many calls.
fn instructions(case: &Case, files: &Files, through: &str, calls: usize) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let out: PathBuf = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(words(case))
        .args(["--count", &calls.to_string(), "--through", through])
        .arg("--must-be-hooked");
    load(&mut command, case, files)?;
    let output = command.output().context("cannot start valgrind")?;
    ensure!(
        output.status.success(),
        "callgrind ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let text = fs::read_to_string(&out).context("callgrind has written nothing")?;
    total(&text).context("callgrind's file has no total")
}

fn total(text: &str) -> Option<u64> {
    let mut totals = text.lines().filter_map(|line| {
        line.strip_prefix("totals:")
            .or(line.strip_prefix("summary:"))
    });
    totals.next_back()?.trim().parse().ok()
}

/// Prints what was counted.
pub fn print(found: &Instructions) {
    println!("instructions of one read, by callgrind (none of the kernel's)");
    let mut table = table(&["case", "bare", "hook adds", "without sites", "site, unseen"]);
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
    for counted in &found.cases {
        table.add_row([
            counted.name.clone(),
            number(Some(counted.bare)),
            number(Some(counted.added)),
            number(counted.added_without_sites),
            number(counted.of_the_site()),
        ]);
    }
    println!("{table}");
    if found.sites_too_dear.is_empty() {
        println!(
            "target: a site that nobody watches adds at most {SITE_AT_MOST} instructions: holds"
        );
    }
    for name in &found.sites_too_dear {
        println!(
            "target: a site that nobody watches adds at most {SITE_AT_MOST} instructions: MISSED by {name}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_last_of_the_file() {
        let file = "summary: 5\nfn=(1) main\n10 4\n\ntotals: 12345\n";
        assert_eq!(total(file), Some(12_345));
        assert_eq!(total("events: Ir\n"), None);
    }
}
