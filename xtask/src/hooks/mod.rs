//! `cargo xtask prove hooks`: hooks that nobody here wrote, each under several servers.
//!
//! `bench` measures a hook, or refuses it with a reason, and no server breaks by our doing. Where it says that whole servers are
//! to be measured, they are: so its advice is tried too.

mod cell;
mod list;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets};

use crate::apt::{self, Suite};
use crate::command::{Stages, is_installed, target};
use crate::hooks::cell::Cell;
use crate::hooks::list::{FILES, HOOKS, SERVERS};
use crate::{build, interrupt};

/// The package that has nginx.
const NGINX: &str = "nginx";

fn folder() -> PathBuf {
    target().join("hooks")
}

/// Measures all, and prints a table. Where packages or a server cannot be had that is skipped, by name, or this fails if it must
/// run.
pub fn prove(must_run: bool, stages: &mut Stages) -> anyhow::Result<ExitCode> {
    match stages.run("packages", fetch) {
        Ok(()) => {}
        Err(error) if must_run => return Err(error.context("the hooks must run")),
        Err(error) => {
            println!("skipped: hooks: {error:#}");
            return Ok(ExitCode::SUCCESS);
        }
    }
    build::prepare(stages)?;
    stages.run("hooks under servers", measure_all)
}

/// Unpacks the packages that are missing, each in a folder of its own. Nothing is installed.
fn fetch() -> anyhow::Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the libraries' places in their packages are known for x86-64 alone"
    );
    ensure!(
        is_installed("node"),
        "node, one of the servers, is not installed"
    );
    let packages = HOOKS.iter().map(|hook| hook.package).chain([NGINX]);
    let missing: Vec<&str> = packages
        .filter(|package| !folder().join(package).is_dir())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let suite = Suite {
        label: "Debian",
        name: "bookworm",
        architecture: "amd64",
    };
    apt::fetch(
        suite,
        &missing,
        &folder().join("apt"),
        |package, unpacked| Ok(fs::rename(unpacked, folder().join(package))?),
    )
}

fn measure_all() -> anyhow::Result<ExitCode> {
    for (name, text) in FILES {
        fs::write(folder().join(name), text)?;
    }
    let nginx = folder().join(NGINX).join("usr/sbin/nginx");
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let servers = SERVERS.iter().map(|server| server.name);
    table.set_header(["hook", "what it interposes"].into_iter().chain(servers));
    let mut failed = Vec::new();
    for hook in HOOKS {
        let package = folder().join(hook.package);
        if let Some((name, text)) = hook.file {
            fs::write(package.join(name), text)?;
        }
        let mut row = vec![hook.package.to_owned(), hook.interposes.to_owned()];
        for server in &SERVERS {
            interrupt::check()?;
            let cell = cell::measure(hook, &package, server, &nginx, &folder());
            let cell = cell.with_context(|| format!("{} under {}", hook.package, server.name))?;
            eprintln!("{} under {}: {cell}", hook.package, server.name);
            if matches!(cell, Cell::Fails(_)) {
                failed.push(format!("{} under {}", hook.package, server.name));
            }
            row.push(cell.to_string());
        }
        table.add_row(row);
    }
    println!("{table}");
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}
