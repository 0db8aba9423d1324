//! The engine's programs, from Debian's packages, unpacked into the target folder and run from there.

use std::fs;
use std::path::PathBuf;

use anyhow::bail;

use crate::apt::{self, Suite};
use crate::containers::folder;
use crate::setup;
use crate::vm::architecture::Architecture;

/// The suites, and what is taken of each. Docker of Debian 12 does not know the capabilities BPF and PERFMON; runc of
/// Debian 13 wants newer libraries than Debian 12 has.
const PACKAGES: [(&str, &[&str]); 2] = [
    (
        "trixie",
        &[
            "docker.io",
            "docker-cli",
            "containerd",
            "docker-compose",
            "docker-buildx",
        ],
    ),
    ("bookworm", &["runc", "debootstrap"]),
];

/// The folder of an unpacked package.
pub fn unpacked(package: &str) -> PathBuf {
    folder().join("packages").join(package)
}

/// What else it takes, of the machine's own packages. By iptables, in a container's network alone, names of services
/// are found; curl speaks to the load generator's page.
const INSTALLED: [&str; 2] = ["iptables", "curl"];

/// Fetches those that are missing.
pub fn fetch() -> anyhow::Result<()> {
    let path = path()?;
    let is_here =
        |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<&str> = INSTALLED
        .into_iter()
        .filter(|program| !is_here(program))
        .collect();
    setup::install_packages(&missing);
    if let Some(missing) = INSTALLED.iter().find(|program| !is_here(program)) {
        bail!("{missing} is not installed, and could not be");
    }
    let architecture = Architecture::of_this_machine()?.debian();
    for (suite, packages) in PACKAGES {
        let missing: Vec<&str> = packages
            .iter()
            .copied()
            .filter(|package| !unpacked(package).is_dir())
            .collect();
        if missing.is_empty() {
            continue;
        }
        let root = folder().join(format!("{suite}.apt"));
        let suite = Suite {
            label: "Debian",
            name: suite,
            architecture,
        };
        fs::create_dir_all(folder().join("packages"))?;
        // Whole or not at all.
        apt::fetch(suite, &missing, &root, |package, fresh| {
            Ok(fs::rename(fresh, unpacked(package))?)
        })?;
    }
    Ok(())
}

/// The PATH with these programs before the machine's own.
pub fn path() -> anyhow::Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = ["docker.io", "docker-cli", "containerd", "runc"]
        .into_iter()
        .flat_map(|package| ["usr/sbin", "usr/bin"].map(|folder| unpacked(package).join(folder)));
    // Root's programs are not on every user's PATH.
    let roots = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let all = std::env::join_paths(ours.chain(std::env::split_paths(&path)).chain(roots))?;
    all.into_string()
        .map_err(|path| anyhow::anyhow!("the PATH is not UTF-8: {}", path.display()))
}

/// Where Docker finds its plugins.
pub fn plugins() -> [PathBuf; 2] {
    ["docker-compose", "docker-buildx"].map(|package| {
        unpacked(package)
            .join("usr/libexec/docker/cli-plugins")
            .join(package)
    })
}
