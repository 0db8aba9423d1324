//! The folder of a run that an earlier version made: before roles and orders were enums. It is read, or refused with what is
//! not known in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json as value};

use crate::Test;
use crate::kit::{Kit, check_schema, fail, json, succeed};

pub const TESTS: &[Test] = &[
    Test {
        name: "old_runs::a_run_of_an_earlier_version_is_read",
        needs: &[],
        run: is_read,
    },
    Test {
        name: "old_runs::what_is_not_known_is_refused_by_name",
        needs: &[],
        run: is_refused,
    },
];

/// Files of the run, by name.
macro_rules! files {
    ($($name:literal,)*) => {
        [$(($name, include_bytes!(concat!("../runs/0.1.0/", $name)).as_slice()),)*]
    };
}

/// Puts the run into a folder.
fn old_run(folder: &Path) -> anyhow::Result<PathBuf> {
    let run = folder.join("run");
    fs::create_dir(&run)?;
    for (name, bytes) in files![
        "analysis.json",
        "baseline-2.hlog",
        "baseline.hlog",
        "block-reads.npy",
        "closes-server.npy",
        "connections-client.npy",
        "connections-server.npy",
        "hooked.hlog",
        "joined.npy",
        "load.json",
        "manifest.json",
        "requests.npy",
        "spans-read.npy",
        "spans-write.npy",
    ] {
        fs::write(run.join(name), bytes)?;
    }
    Ok(run)
}

fn is_read(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let run = old_run(folder.path())?;
    let then: Value = runlog::json::read(&run.join("analysis.json"))?;

    let mut command = kit.command("probe-user");
    let found = json(&succeed(command.args(["analyze", "--json"]).arg(&run))?)?;
    check_schema(&found, "comparison")?;
    let arms = found["arms"].as_array().context("no arms")?;
    let names: Vec<&Value> = arms.iter().map(|arm| &arm["name"]).collect();
    ensure!(names == ["baseline", "baseline-2", "hooked"], "{names:?}");
    for arm in arms {
        // 48 requests with the probes detached, and 48 with them attached.
        let n = arm["n"].as_u64().context("no n")?;
        let left_out = arm["left_out"].as_object().context("nothing left out")?;
        let left_out: u64 = left_out.values().filter_map(Value::as_u64).sum();
        ensure!(n > 0 && n + left_out == 96, "{arm:#}");
    }

    let mut command = kit.command("probe-user");
    let found = json(&succeed(command.args(["correlate", "--json"]).arg(&run))?)?;
    check_schema(&found, "correlation")?;
    ensure!(found["join"] == then["join"], "{found:#}");
    ensure!(found["join"]["matched"] == 48, "{found:#}");

    succeed(kit.command("probe-user").arg("report").arg(&run))?;
    let page = fs::read_to_string(run.join("report.html"))?;
    for text in ["plot-layers", "plot-blocks", "hooked"] {
        ensure!(page.contains(text), "the report has no {text}");
    }
    Ok(())
}

fn is_refused(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let run = old_run(folder.path())?;
    let manifest = run.join("manifest.json");
    let whole: Value = runlog::json::read(&manifest)?;
    let cases = [
        (
            "/schema",
            "hookprobe/manifest/9",
            ["hookprobe/manifest/9", "hookprobe/manifest/1"],
        ),
        (
            "/schedule/order",
            "latin-square",
            ["schedule.order: unknown variant `latin-square`", "`rmit`"],
        ),
    ];
    for (field, unknown, texts) in cases {
        let mut changed = whole.clone();
        *changed.pointer_mut(field).context("no such field")? = value!(unknown);
        fs::write(&manifest, changed.to_string())?;
        for name in ["analyze", "correlate", "report", "doctor"] {
            let mut command = kit.command("probe-user");
            command.arg(name).arg(&run);
            fail(&mut command, 1, &["manifest.json", texts[0], texts[1]])?;
        }
    }
    Ok(())
}
