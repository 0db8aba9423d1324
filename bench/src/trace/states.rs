//! The states of the bench: what observes in each, of our probes and of other tools.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::observer::{Observer, Proof, at_read_done};
use crate::trace::calls::PUSHED_SYMBOL;

/// Name of the state in which nothing observes: what the others are compared with.
pub const NOTHING: &str = "nothing";
/// Name of the state with all of ours: sites, kernel pair, histograms, records.
pub const EVERYTHING: &str = "hook sites + pair, with records";
/// Name of the state with a pair of uprobes that do nothing.
pub const BARE_PAIR: &str = "bare uprobe + uretprobe";
/// Name of the state with a site whose program does nothing: what is left is the hook's clock and the
/// kernel's way to a program and back.
pub const BARE_SITE: &str = "bare site";
/// Name of the state with the same, and tracepoints whose programs do nothing: the least that all of ours
/// could add here.
pub const BARE_EVERYTHING: &str = "bare site + tp-btf";
/// Name of the state with a pair of uprobes and one histogram.
pub const PEER_PAIR: &str = "bpftrace, function, one histogram";
/// Name of the state with stock tools' way to time `read`.
pub const PEER_READ: &str = "bpftrace, libc read";

/// What observers are told.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// `probe-user`.
    pub probe_user: &'p Path,
    /// The hook.
    pub hook: &'p Path,
    /// The traced process.
    pub pid: u32,
    /// A folder for records.
    pub records: &'p Path,
}

/// The kinds of kernel pair, as `probe-user trace --kernel-probe` knows them.
const KERNEL_PROBES: [&str; 6] = [
    "tp-btf",
    "raw-tracepoint",
    "tracepoint",
    "fentry",
    "kprobe",
    "none",
];

/// All of ours, and nothing twice: the second time shows what the procedure makes of no difference.
pub fn ours(places: Places<'_>) -> anyhow::Result<Vec<Observer>> {
    let nothing = |name: &str| Observer::ours(name, Proof::None, Vec::new());
    let trace = |name: &str, span: &'static str, options: &[&str]| {
        Observer::trace(name, span, places.probe_user, places.pid, options)
    };
    let of_kind = |kind: &str| {
        let name = match kind {
            "none" => "hook sites alone".to_owned(),
            kind => format!("hook sites + {kind}"),
        };
        trace(&name, "hook", &["--kernel-probe", kind])
    };
    let us = std::env::current_exe()?;
    let pid = places.pid.to_string();
    let bare = |name: &str, options: &[&str]| {
        let mut command = vec![us.clone().into()];
        command.extend(
            ["bare", "--pid", &pid]
                .iter()
                .chain(options)
                .map(Into::into),
        );
        Observer::ours(name, Proof::None, command)
    };
    let mut observers = vec![nothing(NOTHING), nothing("nothing again (A/A)")];
    observers.extend(KERNEL_PROBES.map(of_kind));
    observers.push(everything(places));
    let function = ["--kernel-probe", "none", "--symbol", PUSHED_SYMBOL];
    observers.push(trace("trace --symbol", "function", &function));
    observers.push(bare(BARE_PAIR, &["--symbol", PUSHED_SYMBOL]));
    observers.push(bare(BARE_SITE, &["--site"]));
    observers.push(bare(BARE_EVERYTHING, &["--site", "--tp-btf"]));
    Ok(observers)
}

/// The cheapest pair that the kernel has, with records.
pub fn everything(places: Places<'_>) -> Observer {
    let Places {
        probe_user,
        pid,
        records,
        ..
    } = places;
    let options = [OsStr::new("--events"), records.as_os_str()];
    Observer {
        folder: Some(records.to_owned()),
        ..Observer::trace(EVERYTHING, "hook", probe_user, pid, &options)
    }
}

/// What others do about the same calls.
pub fn peers(places: Places<'_>) -> anyhow::Result<Vec<Observer>> {
    let pair = |name: &str, file: PathBuf, symbol: &str| {
        let file = file.display();
        let probes = format!(
            "uprobe:{file}:{symbol} {{ @start_ns[tid] = nsecs; }} \
             uretprobe:{file}:{symbol} {{ @took_ns = hist(nsecs - @start_ns[tid]); }}"
        );
        Observer::bpftrace(name, places.pid, &probes)
    };
    let pid = places.pid.to_string();
    let symbol = format!(":{PUSHED_SYMBOL}");
    Ok(vec![
        pair(PEER_READ, mapped_libc(places.pid)?, "read"),
        Observer::bpftrace(
            "bpftrace, hook site read_done",
            places.pid,
            &at_read_done(places.hook)?,
        ),
        pair(PEER_PAIR, std::env::current_exe()?, PUSHED_SYMBOL),
        Observer::peer(
            "libbpf-tools funclatency, function",
            // Through stdbuf, as it would keep its first line to itself on a pipe.
            &["stdbuf", "-oL", "funclatency", "-p", &pid, &symbol],
            "Tracing",
        ),
    ])
}

/// The C library that a process has mapped.
fn mapped_libc(pid: u32) -> anyhow::Result<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let path = maps.lines().find_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        let name = path.rsplit('/').next()?;
        (name == "libc.so.6" || name.starts_with("libc-2.")).then(|| PathBuf::from(path))
    });
    path.context("the workload has mapped no libc.so.6")
}
