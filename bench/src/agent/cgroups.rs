//! Control groups that are named as those of containers are. No container engine is needed: the name is all that the
//! agent goes by.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Where a hierarchy may be mounted that limits nothing as long as nobody asks: version 2, alone or beside version 1,
/// and one of version 1.
const MOUNTS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup/pids",
];
/// How long the kernel may take to let go of processes that have ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group for each container, in one of ours. They go with the value.
#[derive(Debug)]
pub struct Containers {
    ours: PathBuf,
    groups: Vec<PathBuf>,
}

impl Containers {
    /// Makes so many.
    pub fn make(count: u32) -> anyhow::Result<Self> {
        let mounted = |mount: &&str| Path::new(mount).join("cgroup.procs").is_file();
        let Some(mount) = MOUNTS.into_iter().find(mounted) else {
            bail!(
                "no hierarchy of control groups is mounted at {}",
                MOUNTS.join(", ")
            );
        };
        let us = std::process::id();
        let ours = Path::new(mount).join(format!("hookprobe-agent-bench-{us}"));
        let mut containers = Self {
            groups: Vec::new(),
            ours,
        };
        for number in 0..count {
            // 64 digits, of which the first twelve are shown: others for each container.
            let id = format!("{number:06x}{us:058x}");
            let group = containers.ours.join(format!("docker-{id}.scope"));
            fs::create_dir_all(&group)
                .with_context(|| format!("cannot make {}: this takes root", group.display()))?;
            containers.groups.push(group);
        }
        Ok(containers)
    }

    /// Moves a process into a container.
    pub fn put(&self, process: u32, container: usize) -> anyhow::Result<()> {
        let group = self.groups.get(container).context("no such container")?;
        fs::write(group.join("cgroup.procs"), process.to_string())
            .with_context(|| format!("cannot move process {process} to {}", group.display()))
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let give_up = Instant::now() + PATIENCE;
        for group in self.groups.iter().chain([&self.ours]) {
            while let Err(error) = fs::remove_dir(group) {
                if Instant::now() > give_up {
                    eprintln!("bench: cannot remove {}: {error}", group.display());
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
