//! What the agent answers.
#![allow(
    clippy::float_cmp,
    reason = "what is compared for equality are whole numbers"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::client::{Agent, arm, is_attached, request, spans, unique};
use super::sut;
use crate::deploy;
use crate::deploy::metrics::listed;
use crate::kit::Kit;

/// Samples of one scrape, by name and labels as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads the text format line by line: each sample must be of a family that was described, once.
fn parse(text: &str) -> anyhow::Result<Samples> {
    let mut samples = Samples::new();
    let mut types = BTreeMap::new();
    let mut helped = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("no help")?;
            ensure!(helped.insert(name, help).is_none(), "twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of_type) = rest.split_once(' ').context("no type")?;
            ensure!(
                ["counter", "gauge", "histogram"].contains(&of_type),
                "{line}"
            );
            ensure!(of_type != "counter" || name.ends_with("_total"), "{line}");
            ensure!(types.insert(name, of_type).is_none(), "twice: {line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let name = sample.split('{').next().unwrap_or_default();
            let parts = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
            let is_part =
                |part: Option<&str>| part.is_some_and(|part| types.get(part) == Some(&"histogram"));
            ensure!(
                types.contains_key(name) || parts.into_iter().any(is_part),
                "of no family: {line}"
            );
            let value = value.parse().with_context(|| line.to_owned())?;
            ensure!(
                samples.insert(sample.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    ensure!(types.keys().eq(helped.keys()));
    Ok(samples)
}

/// Names and types are those that dashboards and rules may ask for. Failures alone are missing while nothing has failed.
fn are_those_of_the_list(text: &str) -> anyhow::Result<()> {
    const FAILURES: &str = "hookprobe_attach_failures_total";
    let mut listed = listed()?;
    let typed = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut scraped: BTreeMap<&str, &str> = typed.collect();
    for metrics in [&mut listed, &mut scraped] {
        metrics.remove(FAILURES);
    }
    ensure!(scraped == listed, "{scraped:?} and not {listed:?}");
    Ok(())
}

pub fn metrics(kit: &Kit) -> anyhow::Result<()> {
    let server = sut(kit, "hooked", true)?;
    let agent = Agent::start(kit, &[])?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    request(&server, 200)?;
    let arms = agent.arms()?;
    let (status, head, text) = agent.get("/metrics", &[])?;
    ensure!(
        status == 200 && head.contains("text/plain; version=0.0.4"),
        "{head}"
    );
    are_those_of_the_list(&text)?;
    let samples = parse(&text)?;
    let labels = format!(r#"arm="{}",container="",pod="""#, unique("hooked"));
    let of = |name: &str| {
        let sample = samples.get(name).copied();
        sample.with_context(|| format!("no {name}: {text}"))
    };
    for (kind, more) in [
        ("hook_overhead", r#",trial_arm="",source="ebpf""#),
        ("read_syscall", ""),
        ("write_syscall", ""),
    ] {
        let labels = format!("{labels}{more}");
        let name = format!("hookprobe_{kind}_seconds");
        let spans = &arm(&arms, "hooked")["spans"][kind];
        let count = spans["count"].as_f64().context("no count")?;
        ensure!(
            of(&format!("{name}_count{{{labels}}}"))? == count && count == 200.0,
            "{spans}"
        );
        let sum = of(&format!("{name}_sum{{{labels}}}"))?;
        let mean_s = spans["mean_ns"].as_f64().context("no mean")? / 1e9;
        ensure!(
            (sum / count - mean_s).abs() < 1e-6 * mean_s,
            "{sum} {spans}"
        );
        // Buckets grow, up to all; half of the spans are below the median's, as far as bounds tell.
        let start = format!("{name}_bucket{{{labels},le=\"");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (sample, value) in &samples {
            if let Some(rest) = sample.strip_prefix(&start) {
                let bound = rest.strip_suffix("\"}").context("not the last label")?;
                buckets.push((bound.parse()?, *value));
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        ensure!(buckets.len() > 40, "{buckets:?}");
        ensure!(
            buckets.windows(2).all(|two| two[0].1 <= two[1].1),
            "{buckets:?}"
        );
        ensure!(
            buckets.last() == Some(&(f64::INFINITY, count)),
            "{buckets:?}"
        );
        let median_s = spans["p50_ns"].as_f64().context("no median")? / 1e9;
        let at_median = buckets.iter().find(|(bound, _)| *bound >= median_s);
        ensure!(
            at_median.is_some_and(|(_, below)| *below >= count / 2.0),
            "{buckets:?}"
        );
    }
    for part in ["hits", "recorded", "dropped", "unpaired"] {
        for probe in [
            "read_syscall",
            "site_read_done",
            "write_syscall",
            "site_accepted",
            "site_closed",
        ] {
            let name = format!("hookprobe_probe_{part}_total{{{labels},probe=\"{probe}\"}}");
            let expected = &arm(&arms, "hooked")["ledger"]["probes"][probe][part];
            ensure!(Some(of(&name)?) == expected.as_f64(), "{name}: {expected}");
        }
    }
    ensure!(of(&format!("hookprobe_ledger_balanced{{{labels}}}"))? == 1.0);
    ensure!(of(&format!("hookprobe_attached{{{labels}}}"))? == 1.0);
    ensure!(of(&format!("hookprobe_unobserved_seconds_total{{{labels}}}"))? > 0.0);
    ensure!(of("hookprobe_attaches_total")? >= 1.0);
    let type_label = arms["probes"]["kernel_probe"].as_str().context("no type")?;
    ensure!(
        of(&format!(
            "hookprobe_kernel_probe_info{{type=\"{type_label}\"}}"
        ))? == 1.0
    );
    ensure!(of("hookprobe_probe_missed_total{probe=\"read_done\"}")? == 0.0);
    // What it takes itself is what the kernel says.
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next());
    let resident_bytes = 1_024.0 * resident.context("no VmRSS")?.parse::<f64>()?;
    let said = of("hookprobe_agent_resident_memory_bytes")?;
    ensure!(
        (said / resident_bytes - 1.0).abs() < 0.2,
        "{said} {resident_bytes}"
    );
    let cpu_s = of("hookprobe_agent_cpu_seconds_total")?;
    ensure!(cpu_s > 0.0 && cpu_s < 60.0, "{cpu_s}");
    Ok(())
}

/// Prometheus' own tool reads the metrics, and finds nothing in them to better.
pub fn promtool(kit: &Kit) -> anyhow::Result<()> {
    let server = sut(kit, "hooked", true)?;
    let agent = Agent::start(kit, &[])?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    request(&server, 20)?;
    let (status, _, text) = agent.get("/metrics", &[])?;
    ensure!(status == 200, "{status}");
    let folder = kit.scratch()?;
    let check = |name: &str, text: &str| -> anyhow::Result<std::process::Output> {
        let file = folder.path().join(name);
        fs::write(&file, text)?;
        let mut promtool = Command::new(deploy::tool("promtool"));
        promtool.args(["check", "metrics"]);
        let checked = promtool.stdin(fs::File::open(file)?).output()?;
        Ok(checked)
    };
    let checked = check("metrics", &text)?;
    ensure!(checked.status.success(), "{checked:?}");
    // It would tell: of a counter by its name, and of what is no metric.
    let counter = "hookprobe_attaches_total";
    ensure!(text.contains(counter));
    let renamed = check("renamed", &text.replace(counter, "hookprobe_attaches"))?;
    ensure!(!renamed.status.success(), "{renamed:?}");
    ensure!(!check("garbage", "{nothing} 1 2 3\n")?.status.success());
    Ok(())
}

pub fn bad_requests(kit: &Kit) -> anyhow::Result<()> {
    let server = sut(kit, "hooked", true)?;
    let folder = kit.scratch()?;
    let file = folder.path().join("token");
    let token = "0123456789abcdef0123456789abcdef";
    fs::write(&file, format!("{token}\n"))?;
    let mut command = kit.command("probe-user");
    command
        .args(["agent", "--listen=127.0.0.1:0", "--token-file"])
        .arg(&file);
    command.args(crate::kit::exact_kernel_probe());
    let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let agent = Agent::of(command.stdout(out).stderr(err).spawn()?, Some(token))?;
    agent.wait_for(|arms| is_attached(arms, "hooked"))?;
    request(&server, 100)?;
    let before = agent.arms()?;
    let descriptors = descriptors(&agent)?;
    for round in 0..20 {
        refused(&agent).with_context(|| format!("round {round}"))?;
        // Nobody who is refused takes from the requests in a second of those who are not.
        ensure!(agent.arms()?["arms"].is_array());
    }
    slow(&agent)?;
    too_many(&agent)?;
    request(&server, 50)?;
    let after = agent.arms()?;
    ensure!(
        spans(&before, "hooked", "hook_overhead") == 100,
        "{before:#}"
    );
    ensure!(spans(&after, "hooked", "hook_overhead") == 150, "{after:#}");
    let resident = |arms: &Value| arms["agent"]["resident_bytes"].as_u64().unwrap_or(0);
    println!(
        "resident: {} bytes before, {} after",
        resident(&before),
        resident(&after)
    );
    ensure!(resident(&after) < resident(&before) + (8 << 20));
    crate::kit::wait_for("connections to be closed", || {
        Ok(self::descriptors(&agent)? <= descriptors)
    })
}

fn descriptors(agent: &Agent) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", agent.pid()))?.count())
}

/// Requests that are wrong each in another way.
fn refused(agent: &Agent) -> anyhow::Result<()> {
    let long = "x".repeat(20_000);
    let token = "Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n";
    let wrong = "Authorization: Bearer 0123456789abcdef0123456789abcdee\r\n";
    let close = "Host: x\r\nConnection: close\r\n";
    for (request, expected) in [
        (format!("GET /metrics HTTP/1.1\r\n{close}\r\n"), 401),
        (format!("GET /metrics HTTP/1.1\r\n{close}{wrong}\r\n"), 401),
        (
            format!("GET /v1/arms HTTP/1.1\r\n{close}Authorization: Bearer\r\n\r\n"),
            401,
        ),
        (
            format!("POST /metrics HTTP/1.1\r\n{close}Content-Length: 0\r\n\r\n"),
            401,
        ),
        (
            format!("POST /metrics HTTP/1.1\r\n{close}{token}Content-Length: 0\r\n\r\n"),
            405,
        ),
        (format!("DELETE /healthz HTTP/1.1\r\n{close}\r\n"), 405),
        (
            format!("GET /etc/passwd HTTP/1.1\r\n{close}{token}\r\n"),
            404,
        ),
        (
            format!("GET /v1/arms/../../x HTTP/1.1\r\n{close}{token}\r\n"),
            404,
        ),
        (
            format!(
                "GET /metrics HTTP/1.1\r\n{close}{token}Content-Length: 2000\r\n\r\n{}",
                &long[..2_000]
            ),
            413,
        ),
        (
            format!("GET /metrics HTTP/1.1\r\n{close}X: {long}\r\n\r\n"),
            431,
        ),
        ("GARBAGE\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        (format!("GET /healthz HTTP/1.1\r\n{close}\r\n"), 200),
    ] {
        let (status, head, body) = agent.raw(request.as_bytes())?;
        let shown = &request[..request.len().min(120)];
        ensure!(
            status == expected,
            "{status} instead of {expected}: {shown} {body}"
        );
        if status == 401 {
            let head = head.to_ascii_lowercase();
            ensure!(head.contains("www-authenticate: bearer"), "{head}");
        }
    }
    Ok(())
}

/// Clients that never finish what they say take up no place for long.
fn slow(agent: &Agent) -> anyhow::Result<()> {
    let mut idle = Vec::new();
    for _ in 0..70 {
        let mut stream = agent.connect()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost")?;
        idle.push(stream);
    }
    // All places are taken. They are free again after the time that a head may take.
    ensure!(agent.get("/healthz", &[])?.0 == 200);
    // Those that were let in only then would take as long again.
    idle.truncate(60);
    for mut stream in idle {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        ensure!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    Ok(())
}

/// Who asks too often is told so, and is answered again later; health is always told.
fn too_many(agent: &Agent) -> anyhow::Result<()> {
    let request = agent.question("/metrics", &[]);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || {
            (0..3)
                .map(|_| agent.raw(request.as_bytes()).map(|answer| answer.0))
                .collect::<anyhow::Result<Vec<u16>>>()
        };
        let clients: Vec<_> = (0..40).map(|_| scope.spawn(ask)).collect();
        let mut statuses = Vec::new();
        for client in clients {
            match client.join() {
                Ok(answers) => statuses.extend(answers?),
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(statuses)
    })?;
    ensure!(
        statuses.iter().all(|status| [200, 429].contains(status)),
        "{statuses:?}"
    );
    ensure!(
        statuses.contains(&429),
        "120 requests at once, and all were answered"
    );
    ensure!(agent.get("/healthz", &[])?.0 == 200);
    ensure!(agent.get("/metrics", &[])?.0 == 200);
    Ok(())
}
