//! `cargo xtask check-hook`: whether the built hook, and the bracket around it, keep what their files must promise, so
//! that they load under every C library and do no harm there.

mod facts;
mod lists;
mod notes;
mod rules;

use std::path::Path;

use anyhow::{Context as _, bail};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::build::LIBRARIES;
use crate::check_hook::facts::Facts;
use crate::check_hook::rules::Rules;

/// Checks all preloaded libraries, in the folder of the programs.
pub fn check_all(folder: &Path) -> anyhow::Result<()> {
    LIBRARIES
        .iter()
        .try_for_each(|name| check(&folder.join(format!("{name}.so")), name))
}

/// Checks a file as the library of this name, and prints what was found. An error if anything is wrong with it.
pub fn check(hook: &Path, name: &str) -> anyhow::Result<()> {
    let bytes = std::fs::read(hook)
        .with_context(|| format!("cannot read {}; run cargo xtask build", hook.display()))?;
    let facts = Facts::read(&bytes)
        .with_context(|| format!("{} is not a 64-bit ELF file", hook.display()))?;
    let findings = rules::check(&facts, &Rules::of(name)?);

    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["", "what", "found"]);
    for finding in &findings {
        let verdict = if finding.faults.is_empty() {
            "ok"
        } else {
            "BAD"
        };
        table.add_row([verdict, finding.what, &finding.found]);
        for fault in &finding.faults {
            table.add_row(["", "", fault]);
        }
    }
    println!("{}", hook.display());
    println!("{table}");
    let faults: Vec<&str> = findings
        .iter()
        .flat_map(|finding| &finding.faults)
        .map(String::as_str)
        .collect();
    if !faults.is_empty() {
        bail!("{}: {}", hook.display(), faults.join("; "));
    }
    Ok(())
}
