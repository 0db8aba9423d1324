//! Other tracers of the machine. While one watches all system calls, each read takes longer, whatever
//! observes here.

use std::fs;

use procfs::process::{Process, all_processes};

/// Whether a process has tracing programs of BPF attached now, apart from `ours` and what it has started.
/// Processes that may not be looked at count as having none.
pub fn are_tracing(ours: i32) -> bool {
    let processes = all_processes().into_iter().flatten().flatten();
    processes
        .map(|process| process.pid)
        .filter(|pid| has_tracing_links(*pid))
        .any(|pid| !descends(pid, ours))
}

fn has_tracing_links(pid: i32) -> bool {
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

fn descends(pid: i32, from: i32) -> bool {
    let mut ancestors = std::iter::successors(Some(pid), |pid| parent(*pid));
    ancestors.any(|ancestor| ancestor == from)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = Process::new(pid).and_then(|process| process.stat()).ok()?;
    Some(stat.ppid).filter(|parent| *parent != 0)
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
        let us = std::process::id().cast_signed();
        let parent = parent(us).unwrap();
        assert!(descends(us, us) && descends(us, parent));
        assert!(!descends(parent, us));
    }
}
