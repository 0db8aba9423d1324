//! `probe-user analyze`, and `report` of several runs, on recorded arms.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, succeed};

pub const TESTS: &[Test] = &[
    Test {
        name: "analyze::figures_are_those_of_scipy",
        needs: &[],
        run: figures,
    },
    Test {
        name: "analyze::the_papers_files_give_its_table",
        needs: &[],
        run: papers_files,
    },
    Test {
        name: "analyze::bad_csv_names_the_line_and_what_to_do",
        needs: &[],
        run: bad_csv,
    },
    Test {
        name: "analyze::arms_of_different_length_are_compared_and_noted",
        needs: &[],
        run: different_lengths,
    },
    Test {
        name: "analyze::runs_with_their_logs_and_what_is_left_of_them",
        needs: &[],
        run: runs,
    },
    Test {
        name: "analyze::results_that_nobody_reads_or_that_do_not_fit",
        needs: &[],
        run: unread,
    },
];

const HEADER: &str = "start_time,response_time\n";

/// Writes a CSV of the paper's kind.
fn write_csv(path: &Path, times_ms: impl Iterator<Item = f64>) -> anyhow::Result<()> {
    let mut text = HEADER.to_owned();
    for (time, index) in times_ms.zip(0_u32..) {
        let start = 1_691_767_806.0 + f64::from(index) * 0.004;
        writeln!(text, "{start},{time}")?;
    }
    Ok(fs::write(path, text)?)
}

/// Two arms without chance. `crates/stats/check/recorded_arms.py` makes the same.
fn own_arms(folder: &Path) -> anyhow::Result<[String; 2]> {
    let ratio = |i: u32, step: u64, modulus: u64| {
        let rest = u64::from(i) * step % modulus;
        rest as f64 / modulus as f64
    };
    let level = |i: u32, step: u32| f64::from(i / 500 * step % 10);
    let baseline = (0..5000).map(|i| 2.0 + ratio(i, 7919, 1009) + level(i, 37) / 50.0);
    let treatment = (0..5000).map(|i| 2.05 + ratio(i, 104_729, 997) + level(i, 13) / 40.0);
    let paths = ["a.csv", "b.csv"].map(|name| folder.join(name));
    write_csv(&paths[0], baseline)?;
    write_csv(&paths[1], treatment)?;
    Ok([
        format!("--arm=without={}", paths[0].display()),
        format!("--arm=with={}", paths[1].display()),
    ])
}

fn analyze(kit: &Kit, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = kit.command("probe-user");
    let found = json(&succeed(
        command.args(["analyze", "--json"]).args(arguments),
    )?)?;
    check_schema(&found, "comparison")?;
    Ok(found)
}

fn close(found: &Value, pointer: &str, expected: f64, tolerance: f64) -> anyhow::Result<()> {
    let value = found.pointer(pointer).and_then(Value::as_f64);
    let value = value.with_context(|| format!("no number at {pointer}: {found:#}"))?;
    ensure!(
        (value - expected).abs() <= tolerance * expected.abs(),
        "{pointer}: {value}, expected {expected}"
    );
    Ok(())
}

fn notes(found: &Value) -> String {
    found["notes"].to_string()
}

/// A reader that has gone, as `head` does, is no fault; a full disk is.
fn unread(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let arms = own_arms(folder.path())?;
    for form in [&["--json"][..], &[]] {
        let mut command = kit.command("probe-user");
        command.arg("analyze").args(form).args(&arms);
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let output = command.stdout(writer).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && said.is_empty(),
            "{form:?}: {}: {said}",
            output.status
        );
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        let output = command.stdout(full).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let told = said
            .matches("cannot write to stdout: No space left")
            .count();
        ensure!(
            output.status.code() == Some(1) && told == 1 && said.lines().count() == 1,
            "{form:?}: {}: {said}",
            output.status
        );
    }
    Ok(())
}

/// The expected values are printed by `crates/stats/check/recorded_arms.py`.
fn figures(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let [without, with] = own_arms(folder.path())?;
    let arms = [without.as_str(), with.as_str()];
    let paper = analyze(
        kit,
        &[&arms[..], &["--method=paper", "--warmup=1000"]].concat(),
    )?;
    ensure!(paper["unit"] == "ms", "{paper:#}");
    let comparison = &paper["comparisons"][0];
    ensure!(comparison["baseline"] == "without" && comparison["treatment"] == "with");
    ensure!(
        comparison["n"] == serde_json::json!([4000, 4000]),
        "{comparison:#}"
    );
    for (pointer, expected) in [
        ("/mean/0", 2.594_470_267_591_675),
        ("/mean/1", 2.680_375_376_128_385),
        ("/median/0", 2.593_696_729_435_084_3),
        ("/median/1", 2.679_977_432_296_890_3),
        ("/pooled_sd", 0.294_748_544_310_061_37),
        ("/t", 13.034_138_150_009_815),
        ("/p", 1.924_685_865_060_466_2e-38),
        ("/p_holm", 1.924_685_865_060_466_2e-38),
        ("/difference/ci95/0", 0.072_985_466_223_579_74),
        ("/difference/ci95/1", 0.098_824_750_849_840_63),
    ] {
        close(comparison, pointer, expected, 1e-9)?;
    }
    let options = ["--warmup=1000", "--blocks=10"];
    let blocks = analyze(kit, &[&arms[..], &options].concat())?;
    let comparison = &blocks["comparisons"][0];
    // Nothing is above four medians: the body is the mean, and there is no tail to differ by.
    close(
        &blocks,
        "/threshold/value",
        4.0 * 2.679_977_432_296_890_3,
        1e-9,
    )?;
    ensure!(blocks["threshold"]["from"] == "arms", "{blocks:#}");
    let effect = &comparison["effect"];
    // Nothing is above the threshold.
    ensure!(effect["tail"]["ci95"] == serde_json::json!([0.0, 0.0]));
    ensure!(effect["share_above"]["estimate"] == 0.0);
    ensure!(effect["body"] == comparison["difference"], "{effect:#}");
    ensure!(effect["typical"]["estimate"].is_f64(), "{effect:#}");
    ensure!(
        comparison["blocks"] == serde_json::json!([10, 10]),
        "{comparison:#}"
    );
    for (pointer, expected) in [
        ("/t", 2.665_497_762_060_786),
        ("/p", 0.029_377_788_817_958_418),
        ("/degrees_of_freedom", 7.748_867_357_047_509),
        ("/difference/ci95/0", 0.010_727_167_018_648_842),
        ("/difference/ci95/1", 0.154_351_306_757_485_32),
        ("/effect/mean/ci95/1", 0.154_351_306_757_485_32),
        ("/beyond_means/mann_whitney_u", 91.0),
        ("/beyond_means/mann_whitney_p", 0.002_202_219_942_497_078_3),
        ("/beyond_means/cliffs_delta/estimate", 0.158_269_625),
    ] {
        close(comparison, pointer, expected, 1e-9)?;
    }
    // The table says what the JSON says.
    let mut command = kit.command("probe-user");
    let table = succeed(command.arg("analyze").args(arms).args(options))?;
    let table = String::from_utf8(table.stdout)?;
    for text in [
        "with minus without",
        "t 2.665",
        "[11 µs, 154 µs]",
        "Cliff's delta",
    ] {
        ensure!(table.contains(text), "no \"{text}\" in {table}");
    }
    Ok(())
}

/// Where the data published with the paper may lie: it is no part of this project.
fn papers_folder() -> PathBuf {
    std::env::var_os("HOOKPROBE_PAPER_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/paper"),
        PathBuf::from,
    )
}

/// 46,000 requests an arm, pooled sd 0.4964 ms, t 87.538: the Docker column of the paper's table.
fn papers_files(kit: &Kit) -> anyhow::Result<()> {
    let folder = papers_folder();
    let file = |beginning: &str| -> anyhow::Result<Option<PathBuf>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut entries = fs::read_dir(&folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        Ok(entries.find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(beginning) && name.ends_with(".csv")
        }))
    };
    let (Some(without), Some(with)) = (file("docker-without")?, file("docker-with-")?) else {
        eprintln!(
            "the paper's files are not in {} (HOOKPROBE_PAPER_DATA): arms of our own stand in",
            folder.display()
        );
        return figures(kit);
    };
    let arms = [
        format!("--arm=without={}", without.display()),
        format!("--arm=with={}", with.display()),
    ];
    let arms = [arms[0].as_str(), arms[1].as_str()];
    let paper = analyze(
        kit,
        &[&arms[..], &["--method=paper", "--warmup=4000"]].concat(),
    )?;
    let comparison = &paper["comparisons"][0];
    ensure!(
        comparison["n"] == serde_json::json!([46000, 46000]),
        "{comparison:#}"
    );
    close(comparison, "/pooled_sd", 0.4964, 1e-4)?;
    close(comparison, "/t", 87.538, 1e-5)?;
    close(comparison, "/mean/0", 2.7955, 1e-4)?;
    close(comparison, "/mean/1", 3.0820, 1e-4)?;
    // Its p is below the smallest number there is, and the table does not print that as 0.
    ensure!(comparison["p"] == 0.0, "{comparison:#}");
    let mut command = kit.command("probe-user");
    command
        .arg("analyze")
        .args(arms)
        .args(["--method=paper", "--warmup=4000"]);
    let table = String::from_utf8(succeed(&mut command)?.stdout)?;
    ensure!(table.contains("p < 1e-300"), "{table}");
    // The same test finds a difference between halves of one arm, and the report says so.
    ensure!(
        notes(&paper).contains("without: its own halves differ"),
        "{paper:#}"
    );
    Ok(())
}

fn bad_csv(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let [without, _] = own_arms(folder.path())?;
    let bad = folder.path().join("bad.csv");
    let arm = format!("--arm=bad={}", bad.display());
    let refuse = |text: &str, texts: &[&str]| -> anyhow::Result<()> {
        fs::write(&bad, text)?;
        let texts = [&["bad.csv"], texts].concat();
        for method in ["blocks", "paper"] {
            let mut command = kit.command("probe-user");
            command.args(["analyze", &without, &arm, "--method", method]);
            fail(&mut command, 1, &texts)?;
        }
        Ok(())
    };
    let rows = |rows: &str| format!("{HEADER}{rows}");
    refuse("", &["holds no request", "start_time,response_time"])?;
    refuse(HEADER, &["holds no request"])?;
    refuse(
        "latency\n3\n",
        &["line 1", "expected the header", "milliseconds"],
    )?;
    refuse(&rows("1.0,2.0\n2.0\n"), &["line 3", "two columns"])?;
    refuse(
        &rows("1.0,NaN\n"),
        &["line 2", "response_time", "NaN", "correct the line"],
    )?;
    refuse(&rows("1.0,inf\n"), &["line 2", "response_time"])?;
    refuse(
        &rows("1.0,2.0\n1.1,-3\n"),
        &["line 3", "response_time", "-3", "from 0 to 1e12"],
    )?;
    refuse(&rows("1.0,slow\n"), &["line 2", "\"slow\""])?;
    refuse(&rows("1.0,2.0\n"), &["bad"])?;
    let analyze = |arguments: &[&str], code, texts: &[&str]| {
        fail(
            kit.command("probe-user").arg("analyze").args(arguments),
            code,
            texts,
        )
    };
    let missing = format!("--arm=b={}/none.csv", folder.path().display());
    analyze(&[&without, &missing], 1, &["none.csv", "No such file"])?;
    analyze(&[&without], 1, &["another with --arm NAME=FILE"])?;
    analyze(
        &[&without, &without],
        1,
        &["without", "two arms have this name"],
    )?;
    analyze(&["--arm=nofile"], 2, &["--arm", "NAME=FILE"])?;
    analyze(&[], 2, &["--arm"])?;
    fs::write(&bad, "start_time,response_time\n1,2\n2,3\n3,4\n")?;
    analyze(
        &[&without, &arm, "--method=paper", "--warmup=2"],
        1,
        &["bad", "at least two", "2 warm-up"],
    )?;
    analyze(
        &[&without, &arm, "--blocks=20"],
        1,
        &["too few for 20 blocks", "--blocks"],
    )?;
    analyze(&[&without, &arm, "--trim=0"], 2, &["--trim", "threshold"])
}

fn different_lengths(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let [without, with] = own_arms(folder.path())?;
    let long = fs::read_to_string(folder.path().join("b.csv"))?;
    let lines: Vec<&str> = long.lines().take(1201).collect();
    fs::write(folder.path().join("b.csv"), lines.join("\n"))?;
    for options in [&["--method=paper"][..], &["--warmup=0"]] {
        let found = analyze(kit, &[&[without.as_str(), with.as_str()], options].concat())?;
        ensure!(
            found["comparisons"][0]["n"] == serde_json::json!([5000, 1200]),
            "{found:#}"
        );
        ensure!(
            notes(&found).contains("5000 and 1200 requests; all are used"),
            "{found:#}"
        );
    }
    Ok(())
}

fn runs(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let run = folder.path().join("run");
    let mut bench = kit.bench();
    bench.args([
        "--no-probes",
        "--requests=3000",
        "--blocks=12",
        "--warmup=100",
    ]);
    succeed(
        bench
            .args(["--block-warmup=10", "--micro-calls=50", "--out"])
            .arg(&run),
    )?;
    let place = run.display().to_string();

    let found = analyze(kit, &[&place])?;
    ensure!(found["unit"] == "ns");
    let arms = found["arms"].as_array().context("no arms")?;
    ensure!(
        arms.len() == 3 && found["comparisons"][1]["treatment"] == "hooked",
        "{found:#}"
    );
    ensure!(found["comparisons"][0]["paired"] == true, "{found:#}");
    let n = arms[0]["n"].as_u64().context("no n")?;
    ensure!((2000..3000).contains(&n), "{n} requests");
    let left_out = arms[0]["left_out"]["warm-up"]
        .as_u64()
        .context("no warm-up")?;
    ensure!(left_out + n == 3000, "{left_out} and {n}");
    let mean = arms[0]["mean"].as_f64().context("no mean")?;

    // One arm against another of the same run, and its own logs against the run itself.
    let arms = [
        "--arm=a=".to_owned() + &place + ":hooked",
        "--arm=baseline=".to_owned() + &place,
    ];
    let reversed = analyze(kit, &[&arms[0], &arms[1]])?;
    ensure!(reversed["comparisons"][0]["paired"] == true);
    let hlog = format!("--arm=log={place}/baseline.hlog");
    let csv = format!("--arm=csv={place}/baseline.csv");
    // With a CSV among them all are in its unit.
    let mixed = analyze(kit, &[&arms[1], &hlog, &csv, "--warmup=0"])?;
    ensure!(mixed["unit"] == "ms", "{mixed:#}");
    let with_warmup = &mixed["arms"][2]["n"];
    ensure!(*with_warmup == 3000, "a CSV has the warm-up too: {mixed:#}");
    close(&mixed, "/arms/0/mean", mean / 1e6, 1e-9)?;
    let logs = analyze(kit, &[&arms[1], &hlog])?;
    ensure!(logs["comparisons"][0]["paired"] == false);
    ensure!(logs["arms"][1]["n"] == n, "{logs:#}");
    close(&logs, "/arms/1/mean", mean, 0.008)?;
    let mut command = kit.command("probe-user");
    command.args(["analyze", &arms[1], &hlog]);
    fail(
        command.arg("--warmup=5"),
        1,
        &["baseline.hlog", "order of its values"],
    )?;

    side_by_side(kit, &place, &found)?;

    foreign_logs(kit, &run, mean)?;
    damaged(kit, &run, n)
}

/// `report` of several runs compares the arms of each as `analyze` does.
fn side_by_side(kit: &Kit, place: &str, found: &Value) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let report = |runs: &[&str], options: &[&str]| {
        let mut command = kit.command("probe-user");
        // Where a page of several runs is written.
        command.arg("report").args(runs).args(options);
        command.current_dir(folder.path());
        command
    };
    for runs in [&[place][..], &[place, place]] {
        let settings = json(&succeed(&mut report(runs, &["--json"]))?)?;
        check_schema(&settings, "settings")?;
        let settings = settings["settings"].as_array().context("no settings")?;
        ensure!(settings.len() == runs.len());
        for setting in settings {
            ensure!(setting["run"] == place && setting["comparisons"] == *found);
        }
    }
    ensure!(
        fs::read_dir(folder.path())?.count() == 0,
        "a file with --json"
    );

    let table = String::from_utf8(succeed(&mut report(&[place, place], &[]))?.stdout)?;
    let rows = table.lines().filter(|line| line.contains(" hooked "));
    ensure!(rows.count() == 2, "{table}");
    ensure!(table.starts_with("report.html\n") && folder.path().join("report.html").is_file());
    let csv = succeed(&mut report(&[place, place], &["--csv"]))?.stdout;
    ensure!(
        !String::from_utf8(csv)?.contains("settings"),
        "a table in the CSV"
    );

    for (runs, options, texts) in [
        (
            &[place, place][..],
            &["--trace=t.json"][..],
            ["--trace", "one run"],
        ),
        (&[place, place], &["--trim=0.1"], ["--trim", "threshold"]),
        (&[place], &["--json", "--csv"], ["--json", "--csv"]),
        (
            &[place, place],
            &["--json", "--out=p.html"],
            ["--json", "--out"],
        ),
    ] {
        fail(&mut report(runs, options), 2, &texts)?;
    }
    Ok(())
}

fn foreign_logs(kit: &Kit, run: &Path, mean: f64) -> anyhow::Result<()> {
    let own = format!("--arm=own={}:baseline", run.display());
    let path = run.join("foreign.hlog");
    let foreign = format!("--arm=foreign={}", path.display());
    let arms = [own.as_str(), foreign.as_str()];
    let refuse = |texts: &[&str]| {
        fail(
            kit.command("probe-user").arg("analyze").args(arms),
            1,
            texts,
        )
    };
    fs::write(&path, "latency percentiles\n50% 3 ms\n")?;
    refuse(&["foreign.hlog", "line 1", "HDR interval log"])?;
    let ours = fs::read_to_string(run.join("baseline.hlog"))?;
    let (_, rest) = ours.split_once('\n').context("no first line")?;
    fs::write(
        &path,
        format!("#[Logged with jHiccup version 2.0.10]\n{rest}"),
    )?;
    refuse(&["foreign.hlog", "does not say the unit", "--hlog-unit"])?;
    let found = analyze(kit, &[&arms[..], &["--hlog-unit=us"]].concat())?;
    close(&found, "/arms/1/mean", 1000.0 * mean, 0.008)?;
    // Two streams under tags: neither is read by itself, nor both together.
    let mut tags = ["Tag=get,", "Tag=post,"].into_iter().cycle();
    let tagged = rest.lines().map(|line| {
        let tag = if line.contains("HIST") {
            tags.next()
        } else {
            None
        };
        format!("{}{line}\n", tag.unwrap_or_default())
    });
    fs::write(&path, tagged.collect::<String>())?;
    fail(
        kit.command("probe-user")
            .arg("analyze")
            .args(arms)
            .arg("--hlog-unit=ns"),
        1,
        &["foreign.hlog", "get, post", "foreign.hlog:TAG"],
    )?;
    let get = format!("{foreign}:get");
    let found = analyze(kit, &[&own, &get, "--hlog-unit=ns"])?;
    let [n, others] = [
        &found["arms"][1]["n"],
        &found["arms"][1]["left_out"]["tagged post"],
    ];
    let all = n
        .as_u64()
        .zip(others.as_u64())
        .map(|(n, others)| n + others);
    ensure!(all == found["arms"][0]["n"].as_u64(), "{found:#}");
    fs::write(&path, rest.replace("HIST", "HOST"))?;
    refuse(&["foreign.hlog", "interval 1"])?;
    Ok(fs::remove_file(path)?)
}

/// What is left of a run is compared; what cannot be read is named.
fn damaged(kit: &Kit, run: &Path, n: u64) -> anyhow::Result<()> {
    let place = run.display().to_string();
    let refuse = |command: &str, arguments: &[&str], texts: &[&str]| {
        fail(
            kit.command("probe-user").arg(command).args(arguments),
            1,
            texts,
        )
    };
    let odd = format!("--arm=odd={place}");
    let own = format!("--arm=own={place}:baseline");
    refuse(
        "analyze",
        &[&own, &odd],
        &["has no arm \"odd\"", "baseline-2", "odd="],
    )?;

    let requests = run.join("requests.npy");
    let whole = fs::read(&requests)?;
    let half = whole.len() as u64 * 2 / 3 + 5;
    OpenOptions::new()
        .write(true)
        .open(&requests)?
        .set_len(half)?;
    let found = analyze(kit, &[&place])?;
    ensure!(
        notes(&found).contains("cut short; its complete rows are used"),
        "{found:#}"
    );
    let left = found["arms"][0]["n"].as_u64().context("no n")?;
    ensure!((1..n).contains(&left), "{left} of {n}");
    fs::write(&requests, "start_time,response_time\n")?;
    refuse("analyze", &[&place], &["requests.npy", "not a .npy file"])?;
    fs::remove_file(&requests)?;
    refuse(
        "report",
        &["--json", &place],
        &["requests.npy", "No such file"],
    )?;
    fs::write(&requests, whole)?;

    let manifest = run.join("manifest.json");
    let text = fs::read_to_string(&manifest)?;
    fs::write(
        &manifest,
        text.replace("hookprobe/manifest/", "hookprobe/manifest/9"),
    )?;
    for command in ["analyze", "report"] {
        let texts = [
            "manifest.json",
            "hookprobe/manifest/9",
            "the version of hookprobe that wrote it",
        ];
        refuse(command, &["--json", &place], &texts)?;
    }
    fs::write(&manifest, &text[..text.len() / 2])?;
    refuse("analyze", &[&place], &["manifest.json", "line"])?;
    fs::remove_file(&manifest)?;
    refuse(
        "report",
        &["--json", &place],
        &["is not the folder of a run", "manifest.json"],
    )
}
