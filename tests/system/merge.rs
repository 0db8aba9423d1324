//! `probe-user merge`: histograms of traces and agents, held against all records and all requests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use runlog::RunDirectory;
use runlog::interval_log::new_histogram;
use runlog::merged::Merged;
use runlog::record::ReadSpan;
use runlog::table::read_all;
use rustix::process::Signal;
use serde_json::Value;

use crate::Test;
use crate::agent::client::{Agent, arm, is_attached, request, spans, unique};
use crate::agent::sut;
use crate::events::trace_reader;
use crate::kit::{Kit, Running, check_schema, fail, json, output, succeed};
use crate::reader::{Reader, Until};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "merge::is_the_histogram_of_the_records_of_all_traces",
        needs: &[Need::Root, Need::Program("cc")],
        run: traces,
    },
    Test {
        name: "merge::adds_up_what_agents_have_seen_and_nothing_twice",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: agents,
    },
    Test {
        name: "merge::refuses_what_cannot_be_merged",
        needs: &[],
        run: refuses,
    },
];

fn merge(kit: &Kit) -> Command {
    let mut command = kit.command("probe-user");
    command.args(["merge", "--json"]);
    command
}

fn merged(command: &mut Command) -> anyhow::Result<(Merged, Value)> {
    let value = json(&succeed(command)?)?;
    check_schema(&value, "merged")?;
    Ok((serde_json::from_value(value.clone())?, value))
}

fn traces(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let mut all = new_histogram();
    let (mut hits, mut sum_ns) = (0, 0);
    let mut sources = Vec::new();
    for (name, calls) in [("one", 2_000), ("other", 3_000)] {
        let out = folder.path().join(name);
        let programs = folder.path().join(format!("{name}-program"));
        fs::create_dir(&programs)?;
        let reader = Reader::start(kit, &programs, 2, Until::Calls(calls))?;
        let (trace, _) = trace_reader(kit, reader, &out, &[], |_: &Running| Ok(()))?;
        ensure!(trace.ledger.dropped == 0, "{:?}", trace.ledger);
        hits += trace.ledger.hits;
        let reads: Vec<ReadSpan> = read_all(RunDirectory::existing(&out).reads())?;
        ensure!(reads.len() == 2 * calls as usize);
        for read in reads {
            let overhead_ns = read.exit_ns - read.inner_exit_ns;
            all.record(overhead_ns)?;
            sum_ns += overhead_ns;
        }
        sources.push(format!("hooked={}", out.display()));
    }
    let (merged, _) = merged(merge(kit).args(&sources))?;
    ensure!(
        merged.usable && merged.findings.is_empty(),
        "{:?}",
        merged.findings
    );
    ensure!(merged.arms.len() == 1 && merged.arms[0].arm == "hooked");
    let overhead = merged.arms[0].spans.get("hook_overhead");
    let overhead = overhead.context("no hook overhead")?;
    let exact = overhead.exact.as_ref().context("no histogram")?;
    ensure!(exact.read()? == all, "not the histogram of all records");
    ensure!(exact.sum_ns == sum_ns, "{} and not {sum_ns}", exact.sum_ns);
    ensure!(overhead.p99_ns == all.value_at_quantile(0.99));
    ensure!(merged.arms[0].ledger.hits == hits && merged.arms[0].ledger.balanced);
    // One machine, and another boot of it would be another node.
    ensure!((merged.arms[0].nodes, merged.arms[0].parts) == (1, 2));

    let table = succeed(kit.command("probe-user").arg("merge").args(&sources))?;
    let table = String::from_utf8(table.stdout)?;
    for text in ["arm hooked: 2 parts on 1 node", "hook_overhead", "balances"] {
        ensure!(table.contains(text), "no {text}: {table}");
    }
    // The same trace a second time, from its JSON.
    let again = folder.path().join("one/trace.json");
    fail(
        merge(kit)
            .args(&sources)
            .arg(format!("hooked={}", again.display())),
        1,
        &["twice", "trace.json"],
    )?;
    not_usable(kit, &again)
}

/// A trace that lacks a hit is merged, and said not to be usable.
fn not_usable(kit: &Kit, trace: &Path) -> anyhow::Result<()> {
    let mut spoilt: Value = serde_json::from_slice(&fs::read(trace)?)?;
    spoilt["ledger"]["balanced"] = false.into();
    let spoilt = write(trace.with_file_name("spoilt.json"), &spoilt)?;
    let output = output(merge(kit).arg(&spoilt))?;
    ensure!(output.status.code() == Some(4), "{output:?}");
    let merged: Merged = serde_json::from_value(json(&output)?)?;
    ensure!(!merged.usable && merged.findings[0].contains("does not balance"));
    Ok(())
}

fn write(path: PathBuf, value: &Value) -> anyhow::Result<PathBuf> {
    fs::write(&path, value.to_string())?;
    Ok(path)
}

fn agents(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let server = sut(kit, "hooked", true)?;
    let seen_by = |agent: &Agent, requests| -> anyhow::Result<Value> {
        agent.wait_for(|arms| is_attached(arms, "hooked"))?;
        request(&server, requests)?;
        agent.arms()
    };
    // Another agent after the first: the same node, at another time.
    let first = Agent::start(kit, &["--node=one"])?;
    let early = seen_by(&first, 100)?;
    let answer = seen_by(&first, 20)?;
    ensure!(answer["node"] == "one");
    let (status, _) = first.end(Signal::TERM)?;
    ensure!(status.success());
    let second = Agent::start(kit, &[])?;
    let later = seen_by(&second, 30)?;
    let name = unique("hooked");
    let first = write(folder.path().join("first.json"), &answer)?;
    let (merged, value) = merged(
        merge(kit)
            .arg(format!("{name}={}", first.display()))
            .arg(format!("{name}={}", second.url())),
    )?;
    let sum = &merged.arms[0];
    ensure!(sum.arm == name && merged.arms.len() == 1, "{value:#}");
    ensure!(sum.spans["hook_overhead"].count == 150, "{value:#}");
    ensure!(
        sum.ledger.probes["site_read_done"].hits == 150 && sum.ledger.balanced,
        "{value:#}"
    );
    // Bucket by bucket.
    let of = |answer: &Value| -> anyhow::Result<Histogram<u64>> {
        let exact = &arm(answer, "hooked")["spans"]["hook_overhead"]["exact"];
        let exact: runlog::exact::Exact = serde_json::from_value(exact.clone())?;
        Ok(exact.read()?)
    };
    let mut all = of(&answer)?;
    all.add(of(&later)?)?;
    let exact = sum.spans["hook_overhead"].exact.as_ref();
    ensure!(exact.context("no histogram")?.read()? == all);
    ensure!(spans(&early, "hooked", "hook_overhead") == 100);
    let early = write(folder.path().join("early.json"), &early)?;
    fail(
        merge(kit).args([&early, &first]),
        1,
        &["early.json", "first.json", "twice", "node one"],
    )?;
    let metrics = format!("{}metrics", second.url());
    fail(merge(kit).arg(&metrics), 1, &[&metrics, "/v1/arms"])
}

fn refuses(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let write = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let other_version = write("version.json", r#"{"schema": "hookprobe/agent-arms/9"}"#)?;
    let other = write("analysis.json", r#"{"schema": "hookprobe/analysis/1"}"#)?;
    let metrics = write("metrics.txt", "# HELP x y\n# TYPE x counter\nx 1\n")?;
    let empty = write("empty.json", "")?;
    let missing = folder.path().join("missing").display().to_string();
    let no_trace = folder.path().display().to_string();
    // Nobody listens where somebody did.
    let port = crate::ports::free_port()?;
    let nobody = format!("http://127.0.0.1:{port}");
    for (source, text) in [
        (other_version.as_str(), "agent-arms/9"),
        (&other, "analysis/1"),
        (&metrics, "not JSON"),
        (&empty, "not JSON"),
        (&missing, "cannot read"),
        (&no_trace, "trace.json"),
        (&nobody, "cannot connect"),
        ("https://127.0.0.1:9", "only http://"),
    ] {
        fail(merge(kit).arg(source), 1, &[source, text])?;
    }
    fail(&mut merge(kit), 2, &["SOURCE"])?;
    fail(
        merge(kit).args(["--token-file=/nonexistent", &nobody]),
        1,
        &["/nonexistent"],
    )?;
    let help = succeed(kit.command("probe-user").args(["merge", "--help"]))?;
    let help = String::from_utf8(help.stdout)?;
    for text in ["Examples:", "http://node-1:9464", "--token-file", "curl"] {
        ensure!(help.contains(text), "{text}: {help}");
    }
    Ok(())
}
