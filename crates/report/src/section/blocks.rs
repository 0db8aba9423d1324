//! Blocks over time.

use maud::{Markup, html};

use super::{figure, missing, table};
use crate::chart::blocks::Blocks;
use crate::format::{count, decimal, ns};
use crate::run::Run;

/// Rows of the table. A long run has more blocks than anybody reads, and the page has to open.
const MOST_ROWS: usize = 1_200;

/// The blocks.
pub fn body(run: &Run) -> Markup {
    let requests = match &run.requests {
        Ok(requests) if requests.blocks.is_empty() => {
            return missing("No blocks:", "none came to its end");
        }
        Ok(requests) => requests,
        Err(why) => return missing("No blocks:", why),
    };
    let schedule = &run.manifest.schedule;
    let name = |arm: usize| {
        run.manifest
            .arms
            .get(arm)
            .map_or("unknown", |arm| arm.name.as_str())
    };
    let rows = html! {
        @for block in requests.blocks.iter().take(MOST_ROWS) {
            tr {
                th scope="row" { (block.block) }
                td class="text" { (name(block.arm)) }
                td class="text" { (if block.observed { "attached" } else { "detached" }) }
                td class="text" { (if block.warmup { "warm-up" } else { "" }) }
                td { (decimal(block.at_s, 2)) " s" }
                td { (ns(block.mean_ns)) }
            }
        }
    };
    html! {
        p {
            "A block is a run of consecutive requests to one arm, and the unit of replication. The first "
            (count(schedule.warmup_requests)) " requests of each arm and state are warm-up, and the first "
            (count(schedule.block_warmup_requests)) " of each block; both are logged, and left out of estimates. "
            @if requests.cut_off > 0 {
                (count(requests.cut_off as u64)) " blocks that did not come to their end are in no estimate, and not shown. "
            }
            @if requests.cut_short { "The request log was cut short: its complete rows are shown." }
        }
        (figure(&Blocks(requests), &table(&["Block", "Arm", "Probes", "", "At", "Mean"], &rows)))
        @if requests.blocks.len() > MOST_ROWS {
            p class="note" {
                "The table has the first " (count(MOST_ROWS as u64)) " of " (count(requests.blocks.len() as u64))
                " blocks; the plot has all of them."
            }
        }
    }
}
