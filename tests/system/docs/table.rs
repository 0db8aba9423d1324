//! What of the documentation was run, and what was not and why.

use std::collections::{BTreeMap, BTreeSet};

use super::fence::Reason;
use super::sandbox::CallKind;

#[derive(Debug, Default)]
pub struct Table {
    pub rows: Vec<Row>,
    pub reasons: BTreeSet<Reason>,
}

/// A Markdown file.
#[derive(Debug)]
pub struct Row {
    pub file: String,
    /// Blocks of shell commands.
    pub blocks: usize,
    /// Blocks of PowerShell.
    pub powershell: usize,
    /// Lines on which commands began.
    pub lines: usize,
    pub calls: BTreeMap<CallKind, usize>,
    pub seconds: f64,
}

/// The columns of calls.
const KINDS: [(CallKind, &str); 4] = [
    (CallKind::Shortened, "shortened"),
    (CallKind::Served, "left running"),
    (CallKind::Unusable, "exit code 4"),
    (CallKind::StandIn, "stand-ins"),
];

impl Table {
    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.file.len()).max();
        let width = width.unwrap_or_default();
        let kinds = KINDS.map(|(_, name)| name).join("  ");
        println!(
            "{:width$}  blocks  PowerShell  lines run  {kinds}  seconds",
            "file"
        );
        for row in &self.rows {
            let calls = KINDS.map(|(kind, name)| {
                let calls = row.calls.get(&kind).copied().unwrap_or_default();
                format!("{calls:>width$}", width = name.len())
            });
            println!(
                "{:width$}  {:6}  {:10}  {:9}  {}  {:7.1}",
                row.file,
                row.blocks,
                row.powershell,
                row.lines,
                calls.join("  "),
                row.seconds
            );
        }
        for reason in &self.reasons {
            println!("stand-ins, {}: {}", reason.name(), reason.explanation());
        }
        println!("PowerShell is not run: the files that it names are there");
    }
}
