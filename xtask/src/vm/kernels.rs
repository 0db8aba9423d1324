//! Debian's kernels, fetched once and kept.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::apt::{Apt, Suite};
use crate::command::target;
use crate::vm::architecture::Architecture;

/// A kernel to boot.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// Its architecture.
    pub architecture: Architecture,
    /// The label of Debian's repository that has it.
    label: &'static str,
    /// The suite there.
    suite: &'static str,
    /// The package that stands for the newest such kernel.
    meta_package: &'static str,
}

const SECURITY: &str = "Debian-Security";

/// The kernels of the matrix: those of Debian's releases, of the flavour for virtual machines. Each
/// release's kernel is in its security suite, also when the release itself has been archived.
pub const KERNELS: [Kernel; 5] = [
    Kernel {
        name: "5.10",
        architecture: Architecture::X86_64,
        label: SECURITY,
        suite: "bullseye-security",
        meta_package: "linux-image-cloud-amd64",
    },
    Kernel {
        name: "6.1",
        architecture: Architecture::X86_64,
        label: SECURITY,
        suite: "bookworm-security",
        meta_package: "linux-image-cloud-amd64",
    },
    Kernel {
        name: "6.12",
        architecture: Architecture::X86_64,
        label: SECURITY,
        suite: "trixie-security",
        meta_package: "linux-image-cloud-amd64",
    },
    Kernel {
        name: "7",
        architecture: Architecture::X86_64,
        label: "Debian",
        suite: "trixie-backports",
        meta_package: "linux-image-cloud-amd64",
    },
    Kernel {
        name: "6.1-arm64",
        architecture: Architecture::Aarch64,
        label: SECURITY,
        suite: "bookworm-security",
        meta_package: "linux-image-cloud-arm64",
    },
];

/// The kernels with these names; all of them when none is named.
pub fn select(names: &[String]) -> anyhow::Result<Vec<Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.to_vec());
    }
    names.iter().map(|name| by_name(name)).collect()
}

/// The oldest and the newest kernel, which CI boots.
fn ends() -> Option<(&'static Kernel, &'static Kernel)> {
    let is_native = |kernel: &&Kernel| kernel.architecture == Architecture::X86_64;
    let mut native = KERNELS.iter().filter(is_native);
    native.next().zip(native.next_back())
}

/// The names of the other ones.
pub fn between() -> impl Iterator<Item = &'static str> {
    let in_ci = ends().map(|(oldest, newest)| [oldest.name, newest.name]);
    let names = KERNELS.iter().map(|kernel| kernel.name);
    names.filter(move |name| !in_ci.into_iter().flatten().any(|end| end == *name))
}

/// The kernel of a name; `oldest` and `newest` are names, too.
pub fn by_name(name: &str) -> anyhow::Result<Kernel> {
    let found = match (name, ends()) {
        ("oldest", Some((oldest, _))) => Some(oldest),
        ("newest", Some((_, newest))) => Some(newest),
        _ => KERNELS.iter().find(|kernel| kernel.name == name),
    };
    found.copied().with_context(|| {
        let known = KERNELS.map(|kernel| kernel.name).join(", ");
        format!("there is no kernel \"{name}\"; there are {known}")
    })
}

impl Kernel {
    /// Path of the kernel's image. It is fetched the first time.
    pub fn image(&self) -> anyhow::Result<PathBuf> {
        let kept = target()
            .join("vm/kernels")
            .join(format!("{}-{}", self.suite, self.meta_package));
        if kept.is_file() {
            return Ok(kept);
        }
        let root = target().join("vm/apt").join(self.name);
        let suite = Suite {
            label: self.label,
            name: self.suite,
            architecture: self.architecture.debian(),
        };
        let image = self
            .fetch(&Apt::new(root.clone(), suite)?)
            .with_context(|| format!("cannot fetch kernel {}", self.name))?;
        fs::create_dir_all(kept.parent().unwrap_or(Path::new(".")))?;
        fs::rename(&image, &kept).with_context(|| format!("cannot keep {}", kept.display()))?;
        fs::remove_dir_all(&root)?;
        Ok(kept)
    }

    /// Fetches the image from one of the packages that the meta-package stands for. Which of them has it
    /// differs by version: since 7, `linux-image-*` is empty, and depends on `linux-binary-*`.
    fn fetch(&self, apt: &Apt) -> anyhow::Result<PathBuf> {
        let mut seen = BTreeSet::new();
        let mut queue = VecDeque::from([self.meta_package.to_owned()]);
        while let Some(package) = queue.pop_front() {
            if package != self.meta_package {
                eprintln!("fetching {package} of {}", self.suite);
                if let Some(image) = find_image(&apt.unpack(&package)?)? {
                    return Ok(image);
                }
            }
            for dependency in apt.dependencies(&package)? {
                let may_have_it = ["linux-image-", "linux-binary-"]
                    .iter()
                    .any(|prefix| dependency.starts_with(prefix));
                if may_have_it && seen.insert(dependency.clone()) {
                    queue.push_back(dependency);
                }
            }
        }
        bail!(
            "no package behind {} of {} has a kernel image",
            self.meta_package,
            self.suite
        )
    }
}

/// The kernel image in an unpacked package.
fn find_image(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && entry.file_name().to_string_lossy().starts_with("vmlinuz") {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_its_name() {
        assert_eq!(by_name("7").unwrap().suite, "trixie-backports");
        let refused = by_name("6.2").unwrap_err().to_string();
        assert!(
            refused.contains("\"6.2\"") && refused.contains("6.12"),
            "{refused}"
        );
    }

    #[test]
    fn the_oldest_and_the_newest_are_not_between() {
        let ends = ["oldest", "newest"].map(|name| by_name(name).unwrap().name);
        assert_eq!(ends, ["5.10", "7"]);
        let between: Vec<_> = between().collect();
        assert_eq!(between, ["6.1", "6.12", "6.1-arm64"]);
    }

    #[test]
    fn names_and_kept_images_are_distinct() {
        let names: BTreeSet<_> = KERNELS.iter().map(|kernel| kernel.name).collect();
        let images: BTreeSet<_> = KERNELS
            .iter()
            .map(|kernel| (kernel.suite, kernel.meta_package))
            .collect();
        assert_eq!((names.len(), images.len()), (KERNELS.len(), KERNELS.len()));
    }
}
