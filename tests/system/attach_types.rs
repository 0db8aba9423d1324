//! Every way to attach, on the kernel that runs: it sees just the calls that were made, or it is refused
//! with a reason. For kernels that are known, which of the two it is to be is known too.
//!
//! One line of JSON each tells `cargo xtask vm` what came of it.

use std::env::consts::ARCH;
use std::fs;
use std::io::{Read as _, Write as _};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::Test;
use crate::kit::{Kit, Running, Server, json, recursion_misses};
use crate::skips::Need;

pub const TESTS: &[Test] = &[Test {
    name: "attach_types::each_sees_every_call_or_is_refused_with_a_reason",
    needs: &[Need::Root],
    run: every_type,
}];

/// Begins the line that tells what came of an attach type; its JSON follows.
const LINE: &str = "attach type: ";

/// Requests to the server while a type is attached; one read each, and one write.
const REQUESTS: u64 = 25;

/// A way to attach.
struct AttachType {
    name: &'static str,
    /// What `probe-user trace` takes to attach this way.
    options: &'static [&'static str],
    /// The rows of the ledger that must each count one hit a request.
    rows: &'static [&'static str],
}

const SITE: &[&str] = &["site_read_done"];
/// A read is seen by its site too, which looks for the kernel's span of it.
const PAIR: &[&str] = &["site_read_done", "read_syscall", "write_syscall"];

const TYPES: &[AttachType] = &[
    AttachType {
        name: "site, by its note",
        options: &["--kernel-probe=none", "--site=note"],
        rows: SITE,
    },
    AttachType {
        name: "site, where best",
        options: &["--kernel-probe=none"],
        rows: SITE,
    },
    AttachType {
        name: "uprobe+uretprobe",
        options: &["--kernel-probe=none", "--lib=libc.so.6", "--symbol=read"],
        rows: &["site_read_done", "function"],
    },
    AttachType {
        name: "tp-btf",
        options: &["--kernel-probe=tp-btf"],
        rows: PAIR,
    },
    AttachType {
        name: "raw-tracepoint",
        options: &["--kernel-probe=raw-tracepoint"],
        rows: PAIR,
    },
    AttachType {
        name: "fentry",
        options: &["--kernel-probe=fentry"],
        rows: PAIR,
    },
    AttachType {
        name: "tracepoint",
        options: &["--kernel-probe=tracepoint"],
        rows: PAIR,
    },
    AttachType {
        name: "kprobe",
        options: &["--kernel-probe=kprobe"],
        rows: PAIR,
    },
    AttachType {
        name: "auto",
        options: &["--kernel-probe=auto"],
        rows: PAIR,
    },
];

/// What is known of a kernel.
struct Facts {
    /// How its version begins.
    version: &'static str,
    /// What ends its version: Debian's flavour for virtual machines, and the architecture.
    flavour: &'static str,
    /// Attach types that it refuses, with a word of the reason. It takes all others.
    refuses: &'static [(&'static str, &'static str)],
    /// Where in a site it serves a probe best.
    site_offset: u64,
}

/// Debian's kernels. The offsets are those of docs/probe-sites.md; arm64 has had a way for fentry and fexit
/// to attach to functions since 6.4.
const FACTS: &[Facts] = &[
    Facts {
        version: "5.10.",
        flavour: "-cloud-amd64",
        refuses: &[],
        site_offset: 0,
    },
    Facts {
        version: "6.1.",
        flavour: "-cloud-amd64",
        refuses: &[],
        site_offset: 0,
    },
    Facts {
        version: "6.12.",
        flavour: "-cloud-amd64",
        refuses: &[],
        site_offset: 0,
    },
    Facts {
        version: "7.",
        flavour: "-cloud-amd64",
        refuses: &[],
        site_offset: 1,
    },
    Facts {
        version: "6.1.",
        flavour: "-cloud-arm64",
        refuses: &[("fentry", "524")],
        site_offset: 0,
    },
];

/// What came of an attach type.
enum Outcome {
    /// It saw every call; what `trace` says of its probes.
    Worked(Value),
    /// The kernel refused it, for this reason.
    Refused(String),
}

fn every_type(kit: &Kit) -> anyhow::Result<()> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim();
    let facts = FACTS
        .iter()
        .find(|facts| kernel.starts_with(facts.version) && kernel.ends_with(facts.flavour));
    println!();
    let mut surprises = Vec::new();
    for kind in TYPES {
        let outcome = attempt(kit, kind).with_context(|| kind.name)?;
        let (outcome_name, detail) = match &outcome {
            Outcome::Worked(probes) => ("ok", detail(kind, probes)),
            Outcome::Refused(reason) => ("refused", reason.clone()),
        };
        let surprise = facts.and_then(|facts| surprise(facts, kind, &outcome));
        let line = json!({
            "kernel": kernel,
            "architecture": ARCH,
            "attach_type": kind.name,
            "outcome": outcome_name,
            "detail": detail,
            // Null where nothing is known of the kernel.
            "as_expected": facts.map(|_| surprise.is_none()),
        });
        println!("{LINE}{line}");
        surprises.extend(surprise);
    }
    if !surprises.is_empty() {
        bail!("unlike what is known of {kernel}: {}", surprises.join("; "));
    }
    Ok(())
}

/// What is worth to know of a type that works.
fn detail(kind: &AttachType, probes: &Value) -> String {
    match kind.name {
        "site, where best" => format!("+{}", probes["site_offset"]),
        "auto" => probes["kernel_probe"].as_str().unwrap_or("?").to_owned(),
        _ => String::new(),
    }
}

/// What in an outcome is not as the facts say.
fn surprise(facts: &Facts, kind: &AttachType, outcome: &Outcome) -> Option<String> {
    let name = kind.name;
    let refusal = facts.refuses.iter().find(|(refused, _)| *refused == name);
    match (outcome, refusal) {
        (Outcome::Worked(_), Some(_)) => Some(format!("{name} works")),
        (Outcome::Refused(reason), None) => Some(format!("{name} is refused: {reason}")),
        (Outcome::Refused(reason), Some((_, word))) => (!reason.contains(word))
            .then(|| format!("{name} is refused for another reason: {reason}")),
        (Outcome::Worked(probes), None) => {
            let is_best_site = name == "site, where best";
            (is_best_site && probes["site_offset"] != facts.site_offset)
                .then(|| format!("the site is probed at +{}", probes["site_offset"]))
        }
    }
}

/// Attaches to a hooked server, has it read, and holds what was seen against what was done.
fn attempt(kit: &Kit, kind: &AttachType) -> anyhow::Result<Outcome> {
    let server = kit.sut_with_own_libc()?;
    let mut command = kit.command("probe-user");
    command
        .args(["trace", "--json", "--calibration-rounds=0"])
        .args(["--pid", &server.pid().to_string()])
        .args(kind.options);
    let mut tracer = Running::start_piped(&mut command)?;
    let attached = tracer.wait_for_stderr("attached to");
    if let Err(error) = attached {
        let output = tracer.output()?;
        let said = format!("{error:#}");
        ensure!(
            output.status.code() == Some(1) && !said.contains("panicked"),
            "{}: {said}",
            output.status
        );
        let reason = said.split_once("does not work here: ");
        let (_, reason) = reason.with_context(|| format!("no reason is given: {said}"))?;
        return Ok(Outcome::Refused(reason.trim().to_owned()));
    }
    send_requests(&server)?;
    tracer.signal(Signal::INT)?;
    let output = tracer.output()?;
    let trace = json(&output)?;
    let ledger = &trace["ledger"];
    // What the kernel has passed over, and says so, may lack; nothing else.
    let passed_over = recursion_misses(ledger);
    let is_balanced = ledger["balanced"] == true;
    ensure!(is_balanced || passed_over > 0, "{ledger}");
    ensure!(
        output.status.code() == Some(if is_balanced { 0 } else { 4 }),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let least = REQUESTS - passed_over.min(REQUESTS);
    let is_complete = |count: &Value| {
        let count = count.as_u64();
        count.is_some_and(|count| (least..=REQUESTS).contains(&count))
    };
    for row in kind.rows {
        let counted = &ledger["probes"][row];
        ensure!(
            is_complete(&counted["hits"])
                && is_complete(&counted["recorded"])
                && counted["dropped"] == 0
                && (passed_over > 0 || (counted["unpaired"] == 0 && counted["in_flight"] == 0)),
            "{REQUESTS} requests, {passed_over} hits passed over, and {row} counts {counted}"
        );
    }
    ensure!(
        is_complete(&trace["spans"]["hook_overhead"]["count"]),
        "{}",
        trace["spans"]
    );
    Ok(Outcome::Worked(trace["probes"].clone()))
}

/// Sends requests on one connection, one after the other, and waits until the server has closed it: it
/// has made one read and one write for each by then, and makes no more.
fn send_requests(server: &Server) -> anyhow::Result<()> {
    let mut stream = server.connect()?;
    for request in 1..=REQUESTS {
        let is_last = request == REQUESTS;
        let close = if is_last { "Connection: close\r\n" } else { "" };
        stream.write_all(format!("GET / HTTP/1.1\r\n{close}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        if is_last {
            stream.read_to_end(&mut answer)?;
        } else {
            let mut byte = [0];
            while !answer.ends_with(b"Hello World") {
                stream.read_exact(&mut byte)?;
                answer.extend(byte);
            }
        }
        ensure!(answer.ends_with(b"Hello World"), "{answer:?}");
    }
    Ok(())
}
