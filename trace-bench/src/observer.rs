//! What observes: our probes by kind, and other tools on the same calls.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::calls::PUSHED_SYMBOL;

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

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It fails: so does the bench. That the kernel lacks a kind of probe is no failure.
    Ours,
    /// It fails, or is not installed: the table says so.
    Peer,
}

/// What an observer prints at its end, that tells that it has seen the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// JSON, with a count of the spans of this kind.
    Spans(&'static str),
    /// A histogram, in characters.
    Histogram,
    /// Nothing: its programs do nothing, not even count.
    None,
}

/// What observes in one state of the bench.
#[derive(Clone, Debug)]
pub struct Observer {
    /// Name in tables.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// What tells that it has worked.
    pub proof: Proof,
    /// The command; none where nothing observes.
    pub command: Vec<OsString>,
    /// The folder that it writes to, and that it wants empty.
    pub folder: Option<PathBuf>,
    /// What it prints once it is attached.
    pub says_when_attached: &'static str,
}

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
pub fn ours(places: Places<'_>) -> Vec<Observer> {
    let nothing = |name: &str| Observer {
        name: name.to_owned(),
        owner: Owner::Ours,
        proof: Proof::None,
        command: Vec::new(),
        folder: None,
        says_when_attached: "",
    };
    let of_kind = |kind: &&str| {
        let name = match *kind {
            "none" => "hook sites alone".to_owned(),
            kind => format!("hook sites + {kind}"),
        };
        let options = ["--kernel-probe", kind];
        probe_user(places, &name, Proof::Spans("hook"), "trace", &options)
    };
    let mut observers = vec![nothing(NOTHING), nothing("nothing again (A/A)")];
    observers.extend(KERNEL_PROBES.iter().map(of_kind));
    observers.push(everything(places));
    let function = ["--kernel-probe", "none", "--symbol", PUSHED_SYMBOL];
    observers.push(probe_user(
        places,
        "trace --symbol",
        Proof::Spans("function"),
        "trace",
        &function,
    ));
    let mut bare = |name: &str, options: &[&str]| {
        let observer = probe_user(places, name, Proof::None, "bare", options);
        observers.push(observer);
    };
    bare(BARE_PAIR, &["--symbol", PUSHED_SYMBOL]);
    bare(BARE_SITE, &["--site"]);
    bare(BARE_EVERYTHING, &["--site", "--tp-btf"]);
    observers
}

/// The cheapest pair that the kernel has, with records.
pub fn everything(places: Places<'_>) -> Observer {
    let records = [OsStr::new("--events"), places.records.as_os_str()];
    let observer = probe_user(places, EVERYTHING, Proof::Spans("hook"), "trace", &records);
    Observer {
        folder: Some(places.records.to_owned()),
        ..observer
    }
}

fn probe_user(
    places: Places<'_>,
    name: &str,
    proof: Proof,
    task: &str,
    options: &[impl AsRef<OsStr>],
) -> Observer {
    let mut command = vec![places.probe_user.into(), task.into()];
    command.extend(["--pid".into(), places.pid.to_string().into()]);
    if task == "trace" {
        command.extend(["--json", "--calibration-rounds", "0"].map(OsString::from));
    }
    command.extend(options.iter().map(|option| option.as_ref().to_owned()));
    Observer {
        name: name.to_owned(),
        owner: Owner::Ours,
        proof,
        command,
        folder: None,
        says_when_attached: "attached to",
    }
}

/// What others do about the same calls.
pub fn peers(places: Places<'_>) -> anyhow::Result<Vec<Observer>> {
    let pid = places.pid.to_string();
    let executable = std::env::current_exe()?;
    let executable = executable.display();
    let libc = mapped_libc(places.pid)?;
    let libc = libc.display();
    let hook = places.hook.canonicalize().context("the hook's path")?;
    // What bpftrace prints goes out only when every probe is attached, whatever their order is.
    let script = |probes: &str| {
        format!("{probes} interval:ms:100 /!@said/ {{ @said = 1; printf(\"attached\\n\"); }}")
    };
    let pair = |file: &dyn std::fmt::Display, symbol: &str| {
        script(&format!(
            "uprobe:{file}:{symbol} {{ @start_ns[tid] = nsecs; }} \
             uretprobe:{file}:{symbol} {{ @took_ns = hist(nsecs - @start_ns[tid]); }}"
        ))
    };
    let bpftrace = |name: &str, script: String| Observer {
        name: name.to_owned(),
        owner: Owner::Peer,
        proof: Proof::Histogram,
        command: ["bpftrace", "-B", "line", "-p", &pid, "-e", &script]
            .map(OsString::from)
            .into(),
        folder: None,
        says_when_attached: "attached",
    };
    let site = format!(
        "usdt:{}:readhook:read_done {{ @overhead_ns = hist(arg4 - arg3); }}",
        hook.display()
    );
    Ok(vec![
        bpftrace(PEER_READ, pair(&libc, "read")),
        bpftrace("bpftrace, hook site read_done", script(&site)),
        bpftrace(PEER_PAIR, pair(&executable, PUSHED_SYMBOL)),
        Observer {
            name: "libbpf-tools funclatency, function".to_owned(),
            owner: Owner::Peer,
            proof: Proof::Histogram,
            // Through stdbuf, as it would keep its first line to itself on a pipe.
            command: [
                "stdbuf",
                "-oL",
                "funclatency",
                "-p",
                &pid,
                &format!(":{PUSHED_SYMBOL}"),
            ]
            .map(OsString::from)
            .into(),
            folder: None,
            says_when_attached: "Tracing",
        },
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
