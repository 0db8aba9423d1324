//! `probe-user micro`.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::Test;
use crate::kit::{Kit, check_schema, compile_c, fail, json, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "micro::every_rung_hot_and_cold",
        needs: &[Need::Alone],
        run: ladder,
    },
    Test {
        name: "micro::a_known_delay_is_on_every_rung",
        needs: &[Need::Alone],
        run: known_delay,
    },
    Test {
        name: "micro::a_hook_without_rungs_is_measured_as_it_is",
        needs: &[Need::Alone, Need::Program("cc")],
        run: foreign_hook,
    },
    Test {
        name: "micro::a_recorded_run_stands_beside_it",
        needs: &[Need::Root, Need::Clock, Need::Alone],
        run: against_run,
    },
    Test {
        name: "micro::what_makes_no_sense_is_refused",
        needs: &[],
        run: refusals,
    },
];

fn micro(kit: &Kit, options: &[&str]) -> Command {
    let mut command = kit.command("probe-user");
    command.args([
        "micro",
        "--json",
        "--seed=1",
        "--blocks=4",
        "--calls=100",
        "--cold-calls=5",
    ]);
    command.args(options);
    command
}

fn overhead(rung: &serde_json::Value, temperature: &str) -> anyhow::Result<f64> {
    let overhead = &rung[temperature]["overhead"]["estimate"];
    overhead
        .as_f64()
        .with_context(|| format!("{temperature}: {rung}"))
}

fn ladder(kit: &Kit) -> anyhow::Result<()> {
    let report = json(&succeed(&mut micro(kit, &[]))?)?;
    check_schema(&report, "micro")?;
    let rungs = report["rungs"].as_array().context("no rungs")?;
    let names: Vec<_> = rungs
        .iter()
        .filter_map(|rung| rung["name"].as_str())
        .collect();
    ensure!(names == ["off", "passthrough", "lookup", "scan", "log"]);
    for rung in rungs {
        let hot = &rung["hot"];
        ensure!(
            hot["increment"].is_null() == (rung["name"] == "off"),
            "{rung}"
        );
        ensure!(hot["overhead"]["blocks"] == 4);
        ensure!(rung["flushed"].is_null() != cfg!(target_arch = "x86_64"));
    }
    let eviction = &report["eviction"];
    ensure!(
        eviction["walked_bytes"].as_u64()
            >= eviction["l2_bytes"].as_u64().map(|l2| l2.min(32 << 20))
    );
    for pair in rungs.windows(2) {
        for at in ["hot", "cold"] {
            let increment = pair[1][at]["increment"]["estimate"].as_f64();
            let expected = overhead(&pair[1], at)? - overhead(&pair[0], at)?;
            ensure!(
                increment.is_some_and(|found| (found - expected).abs() < 1e-6),
                "{pair:?}"
            );
        }
    }
    ensure!(report["warnings"].as_array().is_some_and(|warnings| {
        // The load generator's request has words of the list.
        warnings
            .iter()
            .all(|warning| !warning.to_string().contains("rung log"))
    }));
    Ok(())
}

/// The hook waits 20 µs after each read of a connection, on each rung that has a function of its own.
fn known_delay(kit: &Kit) -> anyhow::Result<()> {
    let options = [
        "--hook-env=READHOOK_DELAY_NS=20000",
        "--rungs=passthrough,lookup",
        "--cold-calls=0",
    ];
    let report = json(&succeed(&mut micro(kit, &options))?)?;
    let rungs = report["rungs"].as_array().context("no rungs")?;
    ensure!(rungs.len() == 2);
    for rung in rungs {
        let found = overhead(rung, "hot")?;
        ensure!(found >= 20_000.0 * 0.98, "{found}");
        ensure!(rung["cold"].is_null() && rung["flushed"].is_null());
    }
    Ok(())
}

const FOREIGN: &str = "
#include <sys/syscall.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t count) { return syscall(SYS_read, fd, buffer, count); }
";

fn foreign_hook(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let library = compile_c(folder.path(), FOREIGN, &["-shared", "-fPIC"])?;
    let hook = format!("--hook={}", library.display());
    fail(
        &mut micro(kit, &[&hook]),
        1,
        &["does not know READHOOK_MODE", "--as-set"],
    )?;
    let report = json(&succeed(&mut micro(kit, &[&hook, "--as-set"]))?)?;
    check_schema(&report, "micro")?;
    let rungs = report["rungs"].as_array().context("no rungs")?;
    ensure!(rungs.len() == 1 && rungs[0]["name"] == "as-set");
    Ok(())
}

fn against_run(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    let mut bench = kit.bench();
    bench.args(["--json", "--requests=1200", "--blocks=6", "--warmup=100"]);
    bench.args([
        "--block-warmup=20",
        "--micro-calls=50",
        "--calibration-rounds=2",
        "--out",
    ]);
    let analysis = json(&succeed(bench.arg(&out))?)?;
    let micro_layer = &analysis["micro"];
    ensure!(
        !micro_layer["hook_overhead_cold"].is_null(),
        "{micro_layer}"
    );
    ensure!(
        micro_layer["cold"]
            .as_str()
            .is_some_and(|how| how.contains("L2"))
    );
    let run = format!("--run={}", out.display());
    let report = json(&succeed(&mut micro(kit, &[&run]))?)?;
    check_schema(&report, "micro")?;
    let against = &report["against_run"];
    ensure!(against["rung"] == "scan", "{against}");
    ensure!(
        against["in_situ"] == analysis["in_situ"]["hook_overhead_corrected"],
        "{against}\n{}",
        analysis["in_situ"]
    );
    for prediction in against["differences"].as_array().context("none")? {
        let temperature = prediction["temperature"].as_str().context("none")?;
        let rungs = report["rungs"].as_array().context("no rungs")?;
        let micro = overhead(&rungs[3], temperature)?;
        let in_situ = against["in_situ"]["estimate"].as_f64().context("none")?;
        let difference = prediction["in_situ_minus_micro"]["estimate"].as_f64();
        ensure!(difference.is_some_and(|found| (found - (in_situ - micro)).abs() < 1e-6));
    }
    fail(
        &mut micro(kit, &[&run, "--rungs=lookup"]),
        1,
        &["rung scan", "--rungs"],
    )
}

fn refusals(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let not_a_run = format!("--run={}", folder.path().display());
    fail(
        &mut micro(kit, &[&not_a_run]),
        1,
        &["--run", "not the folder of a bench"],
    )?;
    fail(
        &mut micro(kit, &["--rungs=fast"]),
        2,
        &["--rungs", "passthrough"],
    )?;
    fail(&mut micro(kit, &["--blocks=1"]), 2, &["--blocks"])?;
    fail(&mut micro(kit, &["--trim=0.5"]), 2, &["'0.5' for '--trim"])?;
    fail(
        &mut micro(kit, &["--hook=/etc/passwd"]),
        1,
        &["/etc/passwd", "ELF"],
    )?;
    ensure!(
        fs::read_dir(folder.path())?.next().is_none(),
        "something was written"
    );
    Ok(())
}
