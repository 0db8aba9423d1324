//! Control groups: which limits hold for a process, and how often they were hit. Both versions of them.

use std::fs;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";

/// A controller, by its name in version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// The groups that a process is in, from its own to the outermost that can be seen. A limit may be at each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    is_version_1: bool,
    folders: Vec<PathBuf>,
}

impl Groups {
    /// Those of a process, a number or `self`; none if they cannot be seen.
    pub fn of(process: &str, controller: Controller) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        let (is_version_1, mount, path) = match path_in(&text, controller.name()) {
            Some(path) => (true, Path::new(MOUNT).join(controller.name()), path),
            None => match path_in(&text, "") {
                Some(path) => (false, PathBuf::from(MOUNT), path),
                None => return Self::default(),
            },
        };
        let own = mount.join(path.trim_start_matches('/'));
        let own = if own.is_dir() && !path.contains("/..") {
            own
        } else if process == "self" {
            // In a container without a namespace of groups the path is the host's, and what is mounted is ours.
            mount.clone()
        } else {
            return Self::default();
        };
        let folders = own
            .ancestors()
            .take_while(|folder| folder.starts_with(&mount))
            .map(Path::to_owned)
            .collect();
        Self {
            is_version_1,
            folders,
        }
    }

    /// The least CPU limit, in CPUs.
    pub fn cpu_limit(&self) -> Option<f64> {
        self.each(|folder| {
            if self.is_version_1 {
                let quota = line(folder, "cpu.cfs_quota_us")?;
                return ratio(&quota, &line(folder, "cpu.cfs_period_us")?);
            }
            let line = line(folder, "cpu.max")?;
            let (quota, period) = line.split_once(' ')?;
            ratio(quota, period)
        })
        .reduce(f64::min)
    }

    /// How often processes of the groups were kept from running, as their CPU time was used up.
    pub fn throttled_periods(&self) -> Option<u64> {
        self.each(|folder| numbered(&line_by_line(folder, "cpu.stat")?, "nr_throttled"))
            .reduce(|all, one| all + one)
    }

    /// The least memory limit, in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        let file = if self.is_version_1 {
            "memory.limit_in_bytes"
        } else {
            "memory.max"
        };
        // Without a limit, version 2 says "max" and version 1 a number near 2^63.
        self.each(|folder| line(folder, file)?.parse().ok())
            .filter(|limit| *limit < 1 << 62)
            .min()
    }

    /// How often the groups came up against a memory limit.
    pub fn memory_limit_hits(&self) -> Option<u64> {
        self.each(|folder| {
            if self.is_version_1 {
                return line(folder, "memory.failcnt")?.parse().ok();
            }
            numbered(&line_by_line(folder, "memory.events")?, "max")
        })
        .reduce(|all, one| all + one)
    }

    fn each<T>(&self, read: impl Fn(&Path) -> Option<T>) -> impl Iterator<Item = T> {
        self.folders.iter().filter_map(move |folder| read(folder))
    }
}

/// The path of a hierarchy in `/proc/PID/cgroup`; "" names version 2.
fn path_in<'t>(text: &'t str, controller: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?;
        controllers
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn line(folder: &Path, file: &str) -> Option<String> {
    let text = line_by_line(folder, file)?;
    Some(text.lines().next()?.trim().to_owned())
}

fn line_by_line(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

/// A number in lines like `nr_throttled 3`.
fn numbered(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == name)
            .then(|| number.trim().parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests;
