//! The documentation: links within the repository hold, and every command block does what it says, or is checked as far
//! as it can be here.
//!
//! # How a block is written
//!
//! Commands are ```` ```sh ````. Those of one Markdown file are run in order by one `bash`, with `-euo pipefail`, in a copy
//! of the repository after `cargo xtask build`, as root, in namespaces of its own. A variable of one block is there in the
//! next, and ports and process names mean what the text means. Each command must end with exit code 0. Behind `sh`, where
//! GitHub shows nothing, the fence may say
//!
//! - `needs=NAME,…`: what must be there before. `sandbox/needs.sh` has the names: `servers`, `redis`, `runs`, …
//! - `checked-as=REASON,…`: why programs of the block cannot be run here. [`fence::Reason`] has the names, and what is
//!   checked instead. A block that calls such a program without a reason fails, and so does a reason without such a call.
//!
//! `probe-user agent`, `loadgen serve` and servers go on in the background until the file's end or until another takes
//! their place. `probe-user bench`, `validate`, `micro` and `trace` first read their options as they are
//! written, and then measure with fewer requests and for less time. Exit code 4, figures not usable, counts as done. The
//! table says of each file how many lines of commands ran, and how often one of these came in.
//!
//! PowerShell is not run: the files that it names must be there.

mod commands;
mod faults;
mod fence;
mod links;
pub mod markdown;
mod repository;
mod sandbox;
mod script;
mod stand_ins;
mod table;

use self::commands::Workshop;
use self::repository::Repository;
use self::table::Table;
use crate::Test;
use crate::kit::Kit;
use crate::skips::Need;

const LINKS: &[Need] = &[Need::NoOtherKernel, Need::Program("git")];

/// What the documentation's commands take beside our own programs.
const COMMANDS: &[Need] = &[
    Need::Root,
    Need::NoOtherKernel,
    Need::Architecture("x86_64"),
    Need::Program("bash"),
    Need::Program("cc"),
    Need::Program("curl"),
    Need::Program("git"),
    Need::Program("ip"),
    Need::Program("javac"),
    Need::Program("jq"),
    Need::Program("less"),
    Need::Program("openssl"),
    Need::Program("pidof"),
    Need::Program("redis-cli"),
    Need::Program("redis-server"),
    Need::Program("unshare"),
];

pub const TESTS: &[Test] = &[
    Test {
        name: "docs::links_hold",
        needs: LINKS,
        run: links_hold,
    },
    Test {
        name: "docs::wrong_links_are_found",
        needs: LINKS,
        run: faults::wrong_links_are_found,
    },
    Test {
        name: "docs::commands_run",
        needs: COMMANDS,
        run: commands_run,
    },
    Test {
        name: "docs::wrong_commands_are_found",
        needs: COMMANDS,
        run: faults::wrong_commands_are_found,
    },
];

fn links_hold(_: &Kit) -> anyhow::Result<()> {
    let repository = Repository::open()?;
    let pages = repository.pages()?;
    ensure!(
        pages.iter().any(|(_, page)| !page.links.is_empty()),
        "no links were found"
    );
    let faults: Vec<String> = pages
        .iter()
        .flat_map(|(file, page)| links::faults(&repository, file, page))
        .collect();
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

fn commands_run(kit: &Kit) -> anyhow::Result<()> {
    let repository = Repository::open()?;
    let workshop = Workshop::new(kit, &repository)?;
    let mut table = Table::default();
    let mut faults = Vec::new();
    for (file, page) in &repository.pages()? {
        match workshop.check(file, page) {
            Ok(Some(checked)) => {
                faults.extend(checked.faults);
                table.rows.push(checked.row);
                table.reasons.extend(checked.reasons);
            }
            Ok(None) => {}
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    table.print();
    ensure!(!table.rows.is_empty(), "no commands were found");
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
