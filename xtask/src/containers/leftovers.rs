//! What containers can leave behind on the machine.

use std::collections::BTreeSet;
use std::fs;

use anyhow::ensure;

/// Network interfaces, mounts, and processes of the images' programs.
#[derive(Debug)]
pub struct Leftovers(BTreeSet<String>);

/// Where the images have their programs. On the machine itself there need be none.
const PROGRAMS: [&str; 4] = [
    "/usr/local/bin/sut",
    "/usr/local/bin/loadgen",
    "/usr/local/bin/probe-user",
    "/install-readhook",
];

impl Leftovers {
    /// What there is now.
    pub fn look() -> anyhow::Result<Self> {
        let mut there = BTreeSet::new();
        for interface in fs::read_dir("/sys/class/net")? {
            let name = interface?.file_name();
            there.insert(format!("network interface {}", name.display()));
        }
        for mount in fs::read_to_string("/proc/self/mounts")?.lines() {
            let place = mount.split(' ').nth(1).unwrap_or_default();
            if place.contains("hookprobe-engine") || place.contains("/containers/engine") {
                there.insert(format!("mount {place}"));
            }
        }
        for process in fs::read_dir("/proc")? {
            let process = process?.path();
            let program = fs::read_link(process.join("exe")).unwrap_or_default();
            let words = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
            let is_ours = PROGRAMS.iter().any(|ours| program.starts_with(ours))
                // The engine, containerd, its shims.
                || words.split('\0').any(|word| word.contains("hookprobe-engine"));
            if is_ours {
                let name = process.file_name().unwrap_or_default();
                there.insert(format!(
                    "process {}: {}",
                    name.display(),
                    words.replace('\0', " ")
                ));
            }
        }
        Ok(Self(there))
    }

    /// An error if there is more now.
    pub fn check_nothing_new(&self) -> anyhow::Result<()> {
        let now = Self::look()?;
        let new: Vec<&str> = now.0.difference(&self.0).map(String::as_str).collect();
        ensure!(new.is_empty(), "left behind: {}", new.join("; "));
        Ok(())
    }
}
