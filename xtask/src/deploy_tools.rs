//! Programs that check the manifests under `deploy/`: `kubectl` renders them, `kubernetes-validate` holds them against
//! the schemas of Kubernetes, `promtool` reads rules. None of them needs a cluster. They are fetched once, kept in the
//! target folder, and the same everywhere, whatever the machine has.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::apt::{self, Suite};
use crate::command::target;
use crate::setup;
use crate::vm::architecture::Architecture;

/// Debian's packages, each named as its program. Older releases have a kubectl without components and replacements.
const PACKAGES: [&str; 2] = ["kubectl", "promtool"];
/// The release that has them.
const SUITE: &str = "trixie";
/// A package from the Python Package Index, which brings the schemas of all releases of Kubernetes until its own version.
const VALIDATOR: &str = "kubernetes-validate";
const VALIDATOR_VERSION: &str = "1.37.0";

/// Fetches those that are missing. Where that cannot be done, the tests that need one are skipped by name, or this
/// fails if they must run.
pub fn fetch(must_run: bool) -> anyhow::Result<()> {
    let folder = target().join("deploy-tools");
    for fetched in [from_debian(&folder), from_pypi(&folder)] {
        setup::tolerate(fetched, must_run)?;
    }
    Ok(())
}

fn from_debian(folder: &Path) -> anyhow::Result<()> {
    let kept = |package: &str| folder.join(package);
    if PACKAGES.iter().all(|package| kept(package).is_file()) {
        return Ok(());
    }
    let suite = Suite {
        label: "Debian",
        name: SUITE,
        architecture: Architecture::of_this_machine()?.debian(),
    };
    apt::fetch(
        suite,
        &PACKAGES,
        &folder.join("apt"),
        |package, unpacked| {
            let program = unpacked.join("usr/bin").join(package);
            fs::rename(&program, kept(package))
                .with_context(|| format!("there is no {}", program.display()))
        },
    )
    .context("cannot fetch kubectl and promtool")
}

fn from_pypi(folder: &Path) -> anyhow::Result<()> {
    let python = folder.join(format!("python-{VALIDATOR}-{VALIDATOR_VERSION}"));
    let program = setup::python_program(VALIDATOR, VALIDATOR_VERSION, &python)
        .with_context(|| format!("cannot fetch {VALIDATOR}"))?;
    let kept = folder.join(VALIDATOR);
    // Under a name without the version, for the tests.
    if kept.read_link().is_ok_and(|link| link == program) {
        return Ok(());
    }
    let _ = fs::remove_file(&kept);
    std::os::unix::fs::symlink(&program, &kept)
        .with_context(|| format!("cannot make the link {}", kept.display()))
}
