//! apt on a private root, so that the machine's own sources and lists stay as they are.
//!
//! apt checks signatures; the mirrors are those that the machine is configured for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::command::{command, output, run};

/// A suite of one of Debian's repositories, for one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// The label of the repository, as in its `Release` file.
    pub label: &'static str,
    /// The name of the suite.
    pub name: &'static str,
    /// Debian's name of the architecture.
    pub architecture: &'static str,
}

/// Unpacks packages of a suite, one after the other, in a folder that is gone afterwards. `keep` takes what is wanted of
/// each from where it was unpacked.
pub fn fetch(
    suite: Suite,
    packages: &[&str],
    root: &Path,
    keep: impl Fn(&str, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    eprintln!("fetching {} of {}", packages.join(", "), suite.name);
    let apt = Apt::new(root.to_owned(), suite)?;
    for package in packages {
        let unpacked = apt
            .unpack(package)
            .with_context(|| format!("cannot fetch {package}"))?;
        keep(package, &unpacked)
            .with_context(|| format!("cannot keep {package} of {}", suite.name))?;
    }
    fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))
}

/// apt on a private root, which knows one suite.
#[derive(Debug)]
pub struct Apt {
    root: PathBuf,
    architecture: &'static str,
}

impl Apt {
    /// Sets it up in a folder, and fetches the lists of packages.
    pub fn new(root: PathBuf, suite: Suite) -> anyhow::Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let source = format!("deb {} {} main\n", mirror(suite.label)?, suite.name);
        fs::write(root.join("sources.list"), source)?;
        fs::write(root.join("status"), "")?;
        let apt = Self {
            root,
            architecture: suite.architecture,
        };
        run(apt.tool("apt-get").args(["update", "-qq"]))
            .with_context(|| format!("cannot fetch the lists of packages of {}", suite.name))?;
        Ok(apt)
    }

    /// An apt program on the private root.
    fn tool(&self, program: &str) -> Command {
        let mut command = command(program);
        let settings = [
            ("Dir::Etc::sourcelist", self.root.join("sources.list")),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::State::lists", self.root.join("lists")),
            ("Dir::State::status", self.root.join("status")),
            ("Dir::Cache", self.root.join("cache")),
            ("APT::Architecture", self.architecture.into()),
            ("APT::Architectures", self.architecture.into()),
            // apt would drop root for a user that may not write here.
            ("APT::Sandbox::User", "root".into()),
        ];
        for (name, value) in settings {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        command
    }

    /// The packages that a package depends on.
    pub fn dependencies(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let shown = output(self.tool("apt-cache").args(["depends", package]))?;
        let shown = String::from_utf8_lossy(&shown.stdout);
        Ok(shown
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .map(str::to_owned)
            .collect())
    }

    /// Downloads a package and unpacks it; returns the folder.
    pub fn unpack(&self, package: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join("unpacked").join(package);
        fs::create_dir_all(&folder)?;
        run(self
            .tool("apt-get")
            .args(["download", "-qq", package])
            .current_dir(&folder))?;
        let archive = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get did not download {package}"))?;
        run(command("dpkg-deb").arg("-x").arg(&archive).arg(&folder))?;
        fs::remove_file(&archive)?;
        Ok(folder)
    }
}

/// The mirror that this machine uses for repositories with a label.
pub fn mirror(label: &str) -> anyhow::Result<String> {
    let targets =
        output(command("apt-get").args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]))
            .context("it comes from Debian's packages, by apt")?;
    let targets = String::from_utf8_lossy(&targets.stdout);
    let found = targets.lines().find_map(|line| {
        // A label may have spaces, an address has none.
        let (its_label, mirror) = line.rsplit_once(' ')?;
        (its_label == label).then(|| mirror.to_owned())
    });
    match found {
        Some(mirror) => Ok(mirror),
        None => bail!("apt knows no repository \"{label}\" (has apt-get update been run?)"),
    }
}
