//! Other tracers of the machine. While one watches all system calls, each read takes longer, whatever
//! observes here.

use std::fs;

/// Whether a process has tracing programs of BPF attached now, apart from `ours` and what it has started.
/// Processes that may not be looked at count as having none.
pub fn are_tracing(ours: u32) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|pid| has_tracing_links(*pid))
        .any(|pid| !descends(pid, ours))
}

fn has_tracing_links(pid: u32) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo"));
    descriptors
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|info| is_tracing_link(&info))
}

/// Whether a descriptor's `fdinfo` is that of a link to a tracepoint or to a function of the kernel.
fn is_tracing_link(fdinfo: &str) -> bool {
    fdinfo.lines().any(|line| {
        let kind = line.strip_prefix("link_type:").map(str::trim);
        matches!(kind, Some("raw_tracepoint" | "tracing" | "kprobe_multi"))
    })
}

fn descends(pid: u32, from: u32) -> bool {
    let mut next = Some(pid);
    while let Some(pid) = next {
        if pid == from {
            return true;
        }
        next = parent(pid).filter(|parent| *parent != 0);
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_known_by_their_fdinfo() {
        let link = "pos:\t0\nflags:\t02000000\nlink_type:\traw_tracepoint\nlink_id:\t7\ntp_name:\tsys_enter\n";
        assert!(is_tracing_link(link));
        assert!(!is_tracing_link("pos:\t0\nlink_type:\tcgroup\n"));
        assert!(!is_tracing_link("pos:\t0\nprog_type:\traw_tracepoint\n"));
    }

    #[test]
    fn we_descend_from_our_parent_and_not_the_other_way() {
        let us = std::process::id();
        let parent = parent(us).unwrap();
        assert!(descends(us, us) && descends(us, parent));
        assert!(!descends(parent, us));
    }
}
