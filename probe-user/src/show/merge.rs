//! The tables of `probe-user merge`.

use cli::outln;
use runlog::merged::{Merged, MergedSource};

use crate::show::{BAD, heading, ledger, table, trace};

/// Prints a merge.
pub fn print(merged: &Merged) {
    outln!("{}", sources(&merged.sources));
    for arm in &merged.arms {
        heading(format!(
            "arm {}: {} on {}",
            arm.arm,
            counted(arm.parts, "part"),
            counted(arm.nodes, "node")
        ));
        outln!("{}", trace::spans(&arm.spans));
        if arm.unobserved_s > 0.0 {
            outln!(
                "its processes ran {:.1} s, summed up, before they were observed",
                arm.unobserved_s
            );
        }
        ledger(&arm.ledger);
    }
    if !merged.findings.is_empty() {
        heading(format!("{BAD}before these figures are used{BAD:#}"));
        for finding in &merged.findings {
            outln!("{finding}");
        }
    }
}

fn sources(sources: &[MergedSource]) -> String {
    let header = ["node", "source", "watched", "arms", "spans"];
    let mut table = table(&header, 2);
    for source in sources {
        let spans = source.parts.iter().flat_map(|part| part.spans.values());
        let watched_ns = source.until_ns.saturating_sub(source.from_ns);
        table.add_row([
            source.node.clone(),
            source.source.clone(),
            format!("{:.1} s", watched_ns as f64 / 1e9),
            source.parts.len().to_string(),
            spans.sum::<u64>().to_string(),
        ]);
    }
    table.to_string()
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
