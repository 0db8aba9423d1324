//! Servers of the world under `bench`: each by each layout of arms works, or is refused with the reason that was expected.

mod judge;
mod run;
mod set_up;
mod table;

use std::process::ExitCode;

use comfy_table::{Table, presets};

use crate::command::Stages;
use crate::privilege::{Privilege, privilege};
use crate::servers::judge::{Finding, judge};
use crate::servers::set_up::Programs;
use crate::servers::table::{Expected, MODES, SERVERS};
use crate::{build, interrupt};

/// Runs them all, and prints what came of each. Fails if any did not come out as the table says, or if `must_run` and one could not
/// be had.
pub fn prove(must_run: bool, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    build::prepare(stages)?;
    let programs = stages.run("servers", Programs::fetch)?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(
        ["server"]
            .into_iter()
            .chain(MODES.iter().map(|mode| mode.name)),
    );
    for server in SERVERS {
        let mut row = vec![server.name.to_owned()];
        for (mode, expected) in MODES.iter().zip(server.expected) {
            interrupt::check()?;
            if expected == Expected::NotAsked {
                row.push(String::new());
                continue;
            }
            let is_without_root = mode.has_probes && privilege() == Privilege::None;
            let missing = programs.lacks(server.needs);
            let finding = if is_without_root {
                Finding::Skipped("probes need root".to_owned())
            } else if let Some(program) = missing {
                Finding::Skipped(format!("{program} could not be had"))
            } else {
                let seen = run::bench(server, mode, expected, &programs)?;
                judge(server, mode, expected, &seen)
            };
            match &finding {
                Finding::Passed(_) => passed += 1,
                Finding::Failed(_) => failed += 1,
                Finding::Skipped(_) => skipped += 1,
            }
            eprintln!("{}, {}: {finding}", server.name, mode.name);
            row.push(finding.to_string());
        }
        table.add_row(row);
    }
    println!("{table}");
    println!("{passed} as expected, {failed} not, {skipped} skipped");
    let is_whole = failed == 0 && passed > 0 && (skipped == 0 || !must_run);
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
