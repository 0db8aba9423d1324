//! What was measured on, and what is measured with.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// Release of the kernel.
pub fn kernel() -> String {
    let names = rustix::system::uname();
    names.release().to_string_lossy().into_owned()
}

/// As the kernel names the CPU.
pub fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| "unknown CPU".to_owned())
}

/// Whether a program is on the PATH.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A file beside the program that runs.
pub fn beside_us(name: &str) -> PathBuf {
    let us = std::env::current_exe().unwrap_or_default();
    us.parent().unwrap_or(Path::new(".")).join(name)
}

/// As above, for a file that must be there. `task` is the command that builds it.
pub fn built_beside_us(name: &str, task: &str) -> anyhow::Result<PathBuf> {
    built(beside_us(name), task)
}

/// A file that must be there.
pub fn built(path: PathBuf, task: &str) -> anyhow::Result<PathBuf> {
    if !path.is_file() {
        bail!("there is no {}; `{task}` builds it", path.display());
    }
    Ok(path)
}
