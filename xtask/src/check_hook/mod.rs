//! `cargo xtask check-hook`: whether the built hook keeps what its file must promise, so that it loads under
//! every C library and does no harm there.

mod facts;
mod lists;
mod notes;
mod rules;

use std::path::Path;

use anyhow::{Context as _, bail};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::check_hook::facts::Facts;
use crate::check_hook::lists::Lists;

/// Checks a hook, and prints what was found. An error if anything is wrong with it.
pub fn check(hook: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(hook)
        .with_context(|| format!("cannot read {}; run cargo xtask build", hook.display()))?;
    let facts = Facts::read(&bytes)
        .with_context(|| format!("{} is not a 64-bit ELF file", hook.display()))?;
    let findings = rules::check(&facts, &Lists::kept()?);

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
