//! Debian's kernels, fetched with apt into a folder of our own and kept there.
//!
//! apt checks signatures. It runs on a private root, so that the machine's own sources and lists stay
//! as they are; the mirrors are those that the machine is configured for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::command::{command, output, run, target};

/// Fetches the kernel that a meta-package of a suite stands for; returns the path of its image.
pub fn fetch(suite: &str, meta_package: &str) -> anyhow::Result<PathBuf> {
    let kept = target()
        .join("vm/kernels")
        .join(format!("{suite}-{meta_package}"));
    if kept.is_file() {
        return Ok(kept);
    }
    let apt = Apt::new(suite)?;
    let package = apt.real_package(meta_package)?;
    eprintln!("fetching {package} of {suite}");
    let image = apt.kernel_image(&package)?;
    fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
    fs::rename(&image, &kept).with_context(|| format!("cannot keep {}", kept.display()))?;
    Ok(kept)
}

/// apt on a private root.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new(suite: &str) -> anyhow::Result<Self> {
        let root = target().join("vm/apt").join(suite);
        for folder in ["lists/partial", "cache/archives/partial", "download"] {
            fs::create_dir_all(root.join(folder))?;
        }
        // Both may carry the kernel; apt takes the newer.
        let mut sources = String::new();
        for (label, distribution) in [
            ("Debian", suite.to_owned()),
            ("Debian-Security", format!("{suite}-security")),
        ] {
            let mirror = mirror(label)?;
            writeln!(sources, "deb {mirror} {distribution} main")?;
        }
        fs::write(root.join("sources.list"), sources)?;
        fs::write(root.join("status"), "")?;
        let apt = Self { root };
        run(apt.tool("apt-get").args(["update", "-qq"]))
            .context("cannot fetch lists of packages")?;
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
        ];
        for (name, value) in settings {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        // apt would drop root for a user that may not write here.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    }

    /// The package that a meta-package depends on: that of one version of the kernel.
    fn real_package(&self, meta_package: &str) -> anyhow::Result<String> {
        let shown = output(self.tool("apt-cache").args(["depends", meta_package]))?;
        String::from_utf8_lossy(&shown.stdout)
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Depends: "))
            .find(|package| package.starts_with("linux-image-"))
            .map(str::to_owned)
            .with_context(|| format!("{meta_package} depends on no kernel"))
    }

    /// Downloads a kernel package and takes the image out.
    fn kernel_image(&self, package: &str) -> anyhow::Result<PathBuf> {
        let folder = self.root.join("download");
        run(self
            .tool("apt-get")
            .args(["download", "-qq", package])
            .current_dir(&folder))?;
        let archive = fs::read_dir(&folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded nothing")?;
        run(command("dpkg-deb").arg("-x").arg(&archive).arg(&folder))?;
        fs::remove_file(&archive)?;
        let image = fs::read_dir(folder.join("boot"))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().contains("/vmlinuz-"))
            .context("the package has no kernel image")?;
        let kept = self.root.join("vmlinuz");
        fs::rename(image, &kept)?;
        fs::remove_dir_all(&folder)?;
        Ok(kept)
    }
}

/// The mirror that this machine uses for repositories with a label.
fn mirror(label: &str) -> anyhow::Result<String> {
    let targets =
        output(command("apt-get").args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]))
            .context("kernels come from Debian's packages, by apt")?;
    let targets = String::from_utf8_lossy(&targets.stdout);
    let found = targets.lines().find_map(|line| {
        let (its_label, mirror) = line.split_once(' ')?;
        (its_label == label).then(|| mirror.to_owned())
    });
    match found {
        Some(mirror) => Ok(mirror),
        None => bail!("apt knows no repository \"{label}\" (has apt-get update been run?)"),
    }
}
