//! The report of a run: its figures, its looks in a real browser, and what it says first of a run that went wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use runlog::RunDirectory;
use runlog::record::{JoinedRequest, Request};
use runlog::table::read_all;
use serde_json::{Value, json};

use crate::Test;
use crate::cdp::{Browser, CHROMIUM};
use crate::figures::{Figure, agrees};
use crate::kit::{Kit, exact_kernel_probe, fail, succeed, wait_for};
use crate::page::CONTRAST;
use crate::skips::Need;
use crate::trace_event;

pub const TESTS: &[Test] = &[
    Test {
        name: "report::every_figure_is_of_the_runs_files",
        needs: &[Need::Root, Need::Program(CHROMIUM)],
        run: figures,
    },
    Test {
        name: "report::a_browser_shows_it_and_asks_for_nothing",
        needs: &[Need::Root, Need::Program(CHROMIUM)],
        run: browser,
    },
    Test {
        name: "report::bad_news_comes_first",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: bad_news,
    },
    Test {
        name: "report::the_trace_is_of_the_slowest_requests",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: trace,
    },
    Test {
        name: "report::plots_and_tables",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: exports,
    },
    Test {
        name: "report::what_is_no_run_or_half_of_one",
        needs: &[Need::Root, Need::NoOtherKernel],
        run: bad_input,
    },
    Test {
        name: "report::a_full_disk_leaves_no_part_of_a_file",
        needs: &[Need::Root, Need::Program("sh")],
        run: full_disk,
    },
];

/// The run that the tests look at, made by the first that asks.
static RUN: Mutex<Option<PathBuf>> = Mutex::new(None);

fn run(kit: &Kit) -> anyhow::Result<PathBuf> {
    let mut made = RUN
        .lock()
        .ok()
        .context("another test failed to make a run")?;
    if let Some(folder) = &*made {
        return Ok(folder.clone());
    }
    let folder = kit.lasting()?.join("a-run");
    let mut bench = kit.bench();
    bench
        .args([
            "--requests=2000",
            "--blocks=8",
            "--servers=1",
            "--warmup=250",
            "--block-warmup=20",
        ])
        .args(["--micro-calls=200", "--ladder"])
        .args(["--calibration-rounds=2", "--out"])
        .arg(&folder)
        .args(exact_kernel_probe());
    succeed(&mut bench)?;
    ensure!(folder.join("report.html").is_file(), "bench made no report");
    report(kit, &folder, &[])?;
    Ok(made.insert(folder).clone())
}

/// A copy of the run, to change.
fn copy(kit: &Kit, folder: &Path) -> anyhow::Result<RunDirectory> {
    let original = run(kit)?;
    let copy = folder.join("copy");
    fs::create_dir(&copy)?;
    for entry in fs::read_dir(original)? {
        let entry = entry?;
        fs::copy(entry.path(), copy.join(entry.file_name()))?;
    }
    Ok(RunDirectory::existing(copy))
}

fn report(kit: &Kit, run: &Path, options: &[&str]) -> anyhow::Result<String> {
    let mut command = kit.command("probe-user");
    let output = succeed(command.arg("report").arg(run).args(options))?;
    Ok(String::from_utf8(output.stdout)?)
}

fn figures(kit: &Kit) -> anyhow::Result<()> {
    let run = run(kit)?;
    let folder = kit.scratch()?;
    let mut browser = Browser::start(folder.path())?;
    browser.open(&format!("file://{}/report.html", run.display()))?;
    let shown = Figure::all(&mut browser)?;
    ensure!(shown.len() > 150, "{}", shown.len());
    let mut analyze = kit.command("probe-user");
    let comparison: Value =
        serde_json::from_slice(&succeed(analyze.arg("analyze").arg("--json").arg(&run))?.stdout)?;
    let read = |name: &str| -> anyhow::Result<Value> { Ok(runlog::json::read(&run.join(name))?) };
    let analysis = read("analysis.json")?;
    let (manifest, load) = (read("manifest.json")?, read("load.json")?);
    let ladder = read("micro.json")?;
    for figure in &shown {
        let (file, pointer) = figure.at.split_once('#').context("no pointer")?;
        let value = match file {
            "analysis.json" => analysis.pointer(pointer),
            "manifest.json" => manifest.pointer(pointer),
            "load.json" => load.pointer(pointer),
            "micro.json" => ladder.pointer(pointer),
            "comparison" => comparison.pointer(pointer),
            other => bail!("{other} is no file of the run"),
        };
        let value = value
            .and_then(Value::as_f64)
            .with_context(|| format!("nothing at {figure:?}"))?;
        ensure!(
            figure.value.to_bits() == value.to_bits(),
            "{figure:?} is {value}"
        );
        ensure!(
            agrees(&figure.text, &figure.unit, value),
            "{figure:?} is shown, and {value} is so"
        );
    }
    // And nothing is kept from the reader.
    let places: BTreeSet<&str> = shown.iter().map(|figure| figure.at.as_str()).collect();
    let mut estimates = Vec::new();
    estimates_of(&analysis, "", &mut estimates);
    ensure!(estimates.len() >= 14, "{estimates:?}");
    // But a slope that reads as an effect, and is none.
    estimates.retain(|pointer| pointer != "/budget/association/slope");
    for pointer in estimates {
        for part in ["estimate", "ci95/0", "ci95/1"] {
            let at = format!("analysis.json#{pointer}/{part}");
            ensure!(places.contains(at.as_str()), "{at} is not on the page");
        }
    }
    Ok(())
}

/// The pointers of all estimates within a value.
fn estimates_of(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) if entries.contains_key("ci95") => found.push(at.to_owned()),
        Value::Object(entries) => {
            for (key, value) in entries {
                estimates_of(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                estimates_of(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The size of the smallest text of a visible plot, in pixels of the screen.
const SMALLEST_TEXT: &str = "Math.min(...[...document.querySelectorAll('svg text')]
    .filter(text => text.checkVisibility())
    .map(text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))";

fn browser(kit: &Kit) -> anyhow::Result<()> {
    let run = run(kit)?;
    let folder = kit.scratch()?;
    let settings = folder.path().join("settings.html");
    let mut command = kit.command("probe-user");
    command
        .arg("report")
        .arg(&run)
        .arg(&run)
        .arg("--out")
        .arg(&settings);
    succeed(&mut command)?;
    let mut browser = Browser::start(folder.path())?;
    let pages =
        [run.join("report.html"), settings].map(|page| format!("file://{}", page.display()));
    for url in &pages {
        browser.open(url)?;
        for width in [1280, 390] {
            browser.resize(width, 900)?;
            let within = browser.value("document.documentElement.scrollWidth <= innerWidth")?;
            ensure!(within == true, "{url} is wider than {width}");
            let smallest = browser.value(SMALLEST_TEXT)?;
            ensure!(
                smallest.as_f64().is_some_and(|size| size >= 9.0),
                "text of {smallest} px at {width}"
            );
        }
        for scheme in ["light", "dark"] {
            browser.prefer(scheme)?;
            let contrast = browser.value(CONTRAST)?;
            ensure!(
                contrast.as_f64().is_some_and(|contrast| contrast >= 4.5),
                "{scheme}: {contrast}"
            );
        }
    }
    ensure!(browser.value("document.scripts.length")? == 0);
    ensure!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    ensure!(browser.log.is_empty(), "{:?}", browser.log);
    ensure!(browser.refused.is_empty(), "{:?}", browser.refused);
    ensure!(browser.files == pages, "{:?}", browser.files);
    // Had it asked for something, that would have been seen.
    browser
        .value("document.body.append(Object.assign(new Image(), {src: 'http://192.0.2.1/'}))")?;
    wait_for("the policy to refuse", || {
        browser.value("0")?; // lets events come
        Ok(!browser.log.is_empty())
    })?;
    ensure!(browser.refused.is_empty(), "{:?}", browser.refused);
    Ok(())
}

/// What stands in the page's body, behind its header, without tags.
pub fn main_text(page: &str) -> anyhow::Result<String> {
    let main = page.split("<main>").nth(1).context("no main")?;
    let mut text = String::new();
    for piece in main.split('<') {
        text.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    Ok(text)
}

fn bad_news(kit: &Kit) -> anyhow::Result<()> {
    type Change = fn(&mut Value, &mut Value);
    let cases: [(&str, &str, Change); 4] = [
        (
            "Do not use this result: the ledger does not balance.",
            "the ledger does not balance",
            |analysis, _| {
                analysis["ledger"]["balanced"] = json!(false);
                analysis["not_usable"] = json!(["the ledger does not balance"]);
            },
        ),
        (
            "No verdict: A/A fails.",
            "two equal servers differ",
            |analysis, _| {
                analysis["macro"]["a_a_difference"]["ci95"] = json!([100.0, 300.0]);
                analysis["agreement"]["margin_ns"] = json!(90.0);
                analysis["agreement"]["verdict"] = json!("withheld");
                analysis["agreement"]["withheld"] =
                    json!(["A/A fails: two equal servers differ by 200 ns"]);
            },
        ),
        (
            "No verdict: the servers' CPU was throttled",
            "throttled by their CPU limit in 17 periods",
            |analysis, manifest| {
                // As of a run without probes, of which nobody has judged the layers.
                analysis["agreement"] = Value::Null;
                analysis["macro"]["a_a_difference"]["ci95"] = json!([-100.0, 300.0]);
                manifest["resources"]["throttled_periods"] = json!(17);
            },
        ),
        (
            "Do not use this result.",
            "the run was cut short: SIGINT",
            |analysis, _| {
                analysis["not_usable"] = json!(["the run was cut short: SIGINT"]);
            },
        ),
    ];
    for (first, reason, change) in cases {
        let folder = kit.scratch()?;
        let run = copy(kit, folder.path())?;
        let mut analysis: Value = runlog::json::read(&run.analysis())?;
        let mut manifest: Value = runlog::json::read(&run.manifest())?;
        change(&mut analysis, &mut manifest);
        runlog::json::write(&run.analysis(), &analysis)?;
        runlog::json::write(&run.manifest(), &manifest)?;
        report(kit, run.root(), &[])?;
        let text = main_text(&fs::read_to_string(run.report())?)?;
        ensure!(text.starts_with(first), "{first}: {text:.200}");
        ensure!(
            text.find(reason).is_some_and(|at| at < 600),
            "{reason}: {text:.600}"
        );
    }
    Ok(())
}

fn trace(kit: &Kit) -> anyhow::Result<()> {
    let run = run(kit)?;
    let folder = kit.scratch()?;
    let file = folder.path().join("trace.json");
    let path = file.to_str().context("not UTF-8")?;
    let mut command = kit.command("probe-user");
    command
        .arg("report")
        .arg(&run)
        .args(["--slowest=40", "--trace", path]);
    let said = String::from_utf8(succeed(&mut command)?.stderr)?;
    let trace: Value = runlog::json::read(&file)?;
    let slices = trace_event::slices(&trace)?;

    let mut joined: Vec<JoinedRequest> = read_all(run.join("joined.npy"))?;
    joined.retain(|request| request.flags & Request::WARMUP == 0);
    joined.sort_by_key(|request| std::cmp::Reverse(request.response_time_ns));
    let slowest_not_there = joined.get(40).context("too few requests")?.response_time_ns;
    ensure!(
        said.contains(&format!("40 slowest of {}", joined.len())),
        "{said}"
    );
    ensure!(trace["otherData"]["left_out"] == joined.len() - 40);
    ensure!(trace["otherData"]["incomplete"] == 0);

    let requests: Vec<_> = slices
        .iter()
        .filter(|slice| slice.name == "request")
        .collect();
    ensure!(requests.len() == 40, "{}", requests.len());
    for request in requests {
        let sequence = &request.args["sequence"];
        let row = joined
            .iter()
            .find(|row| *sequence == row.sequence)
            .context("no such request")?;
        ensure!(
            request.duration_ns() == row.response_time_ns
                && row.response_time_ns >= slowest_not_there
        );
        let inside = |name: &str| {
            let of = slices
                .iter()
                .filter(|slice| slice.name == name && slice.args["sequence"] == *sequence);
            of.map(trace_event::Slice::duration_ns).sum::<u64>()
        };
        ensure!(inside("write") == row.write_syscall_ns, "{row:?}");
        ensure!(
            inside("read") == row.read_syscall_ns + row.waited_ns,
            "{row:?}"
        );
        ensure!(inside("hook overhead") == row.hook_overhead_ns, "{row:?}");
    }
    Ok(())
}

fn exports(kit: &Kit) -> anyhow::Result<()> {
    let run = run(kit)?;
    let before = fs::metadata(run.join("report.html"))?.modified()?;
    let folder = kit.scratch()?;
    let plots = folder.path().join("plots");
    let csv = report(
        kit,
        &run,
        &["--csv", "--svg", plots.to_str().context("not UTF-8")?],
    )?;
    let names: BTreeSet<String> = fs::read_dir(&plots)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    let expected = [
        "blocks",
        "boxes",
        "budget",
        "ladder",
        "lag",
        "layers",
        "percentiles",
        "shifts",
    ];
    ensure!(
        names == expected.map(|name| format!("{name}.svg")).into(),
        "{names:?}"
    );
    for name in &names {
        let svg = fs::read_to_string(plots.join(name))?;
        let balanced = svg.matches("<g").count() == svg.matches("</g>").count();
        ensure!(
            svg.contains("<svg xmlns=") && svg.trim_end().ends_with("</svg>") && balanced,
            "{name}"
        );
    }

    // The numbers of the CSV are those of the file, to the last bit.
    let analysis: Value = runlog::json::read(&run.join("analysis.json"))?;
    let line = csv
        .lines()
        .find(|line| line.contains("Macro: hooked minus baseline"))
        .context("no macro layer")?;
    let cells: Vec<&str> = line.split(',').collect();
    for (cell, pointer) in cells[2..5].iter().zip(["estimate", "ci95/0", "ci95/1"]) {
        let value = analysis
            .pointer(&format!("/macro/difference/{pointer}"))
            .and_then(Value::as_f64);
        ensure!(cell.parse().ok() == value, "{line}");
    }
    let markdown = report(kit, &run, &["--markdown"])?;
    ensure!(
        markdown.lines().all(|line| line.matches('|').count() == 6),
        "{markdown}"
    );
    ensure!(markdown.lines().count() == csv.lines().count() + 1);
    ensure!(
        fs::metadata(run.join("report.html"))?.modified()? == before,
        "the page was made again"
    );
    Ok(())
}

fn bad_input(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let at = |path: &Path| {
        let mut command = kit.command("probe-user");
        command.arg("report").arg(path);
        command
    };
    fail(
        &mut at(&folder.path().join("none")),
        1,
        &["none", "no such folder"],
    )?;
    fail(
        &mut at(folder.path()),
        1,
        &["not the folder of a run", "manifest.json"],
    )?;
    let run = copy(kit, folder.path())?;
    fail(
        at(run.root()).arg(run.root()).args(["--trace", "t.json"]),
        2,
        &["--trace", "one run"],
    )?;

    // Killed before its analysis: the page says so, and shows the rest.
    fs::remove_file(run.analysis())?;
    fs::remove_file(run.joined())?;
    fs::remove_file(run.report())?;
    fail(&mut at(run.root()), 3, &["analysis.json"])?;
    let page = fs::read_to_string(run.report())?;
    ensure!(main_text(&page)?.starts_with("This run has no result."));
    ensure!(page.contains("id=\"plot-blocks\"") && page.contains("id=\"plot-percentiles\""));
    let trace = folder.path().join("trace.json");
    fail(
        at(run.root()).arg("--trace").arg(&trace),
        1,
        &["joined.npy"],
    )?;
    ensure!(!trace.exists());

    // Cut in the middle of a row, and garbage.
    let log = fs::OpenOptions::new().write(true).open(run.requests())?;
    log.set_len(fs::metadata(run.requests())?.len() / 2 + 7)?;
    fs::write(run.interval_log("hooked"), "garbage\n")?;
    fail(&mut at(run.root()), 3, &["analysis.json"])?;
    let page = fs::read_to_string(run.report())?;
    ensure!(page.contains("was cut short") && page.contains("hooked.hlog"));
    fs::write(run.manifest(), "{}")?;
    fail(&mut at(run.root()), 1, &["schema"])
}

fn full_disk(kit: &Kit) -> anyhow::Result<()> {
    let run = run(kit)?;
    let folder = kit.scratch()?;
    let file = folder.path().join("report.html");
    fs::write(&file, "as it was")?;
    let mut shell = Command::new("sh");
    // No file may have more than 8 KiB.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]);
    shell
        .arg(kit.path("probe-user"))
        .arg("report")
        .arg(run)
        .arg("--out")
        .arg(&file);
    fail(&mut shell, 1, &["report.html", "too large"])?;
    ensure!(fs::read_to_string(&file)? == "as it was");
    ensure!(fs::read_dir(folder.path())?.count() == 1);
    Ok(())
}
