//! What is printed of a test that fails: the error, and the lines of the tests that it came through.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::Test;
use crate::kit::{Kit, output};

/// With this set, every error knows what called what where it came about.
pub const BACKTRACES: &str = "RUST_LIB_BACKTRACE";

/// What stands around every test.
const OWN: [&str; 3] = ["main.rs", "durations.rs", "ensure.rs"];

pub const TESTS: &[Test] = &[Test {
    name: "failures::name_file_line_and_values",
    needs: &[],
    run: name_file_line_and_values,
}];

/// Tests that fail, for the test of what is printed then. `--failing` runs them.
pub const FAILING: &[Test] = &[
    Test {
        name: "failing::comparison",
        needs: &[],
        run: comparison,
    },
    Test {
        name: "failing::part_of_a_conjunction",
        needs: &[],
        run: part,
    },
    Test {
        name: "failing::alternatives",
        needs: &[],
        run: alternatives,
    },
    Test {
        name: "failing::error_of_another",
        needs: &[],
        run: error_of_another,
    },
    Test {
        name: "failing::error_of_ours",
        needs: &[],
        run: error_of_ours,
    },
];

/// Starts this program again with [`BACKTRACES`] set, unless it is.
pub fn note_places() {
    if env::var_os(BACKTRACES).is_none()
        && let Ok(program) = env::current_exe()
    {
        let error = Command::new(program)
            .args(env::args_os().skip(1))
            .env(BACKTRACES, "1")
            .exec();
        eprintln!("system tests: failures will not name their lines: {error}");
    }
}

/// The error, and below it the lines of the tests that it came through.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    let backtrace = error.backtrace().to_string();
    // Relative to the folder that we were started in, which may be that of the crate.
    let places = backtrace
        .lines()
        .filter_map(|line| {
            Some(
                line.trim_start()
                    .strip_prefix("at ")?
                    .split_once("system/")?
                    .1,
            )
        })
        .filter(|place| !OWN.iter().any(|own| place.starts_with(own)));
    for place in places {
        text += "\n    at tests/system/";
        text += place;
    }
    text
}

fn comparison(_: &Kit) -> anyhow::Result<()> {
    let found = [1, 2].map(|one| one * 21);
    ensure!(found == [21, 43], "wrong on line {}", line!());
    Ok(())
}

fn part(_: &Kit) -> anyhow::Result<()> {
    let count = "text".chars().collect::<Vec<_>>().len();
    ensure!(count > 0 && count >= 5, "wrong on line {}", line!());
    Ok(())
}

fn alternatives(_: &Kit) -> anyhow::Result<()> {
    let count = 4;
    ensure!(count == 5 || count == 6, "wrong on line {}", line!());
    Ok(())
}

fn error_of_another(_: &Kit) -> anyhow::Result<()> {
    fs::read("/nonexistent").with_context(|| format!("wrong on line {}", line!()))?;
    Ok(())
}

fn error_of_ours(_: &Kit) -> anyhow::Result<()> {
    bail!("wrong on line {}", line!());
}

/// Lets the tests fail, and compares the line that each is said to have failed on with the one it says itself.
fn name_file_line_and_values(kit: &Kit) -> anyhow::Result<()> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--failing").arg("--programs").arg(kit.path(""));
    let failed = output(command.env_remove(BACKTRACES))?;
    let said = String::from_utf8(failed.stdout)?;
    ensure!(failed.status.code() == Some(1), "{said}");
    let told = |name: &str| -> anyhow::Result<&str> {
        let (_, told) = said
            .split_once(&format!("---- {name} ----"))
            .with_context(|| format!("{name} did not fail: {said}"))?;
        Ok(told.split("----").next().unwrap_or_default())
    };
    for (name, texts) in [
        (
            "comparison",
            &[
                "failed: found == [21, 43]",
                "left: [21, 42]",
                "right: [21, 43]",
            ][..],
        ),
        (
            "part_of_a_conjunction",
            &["failed: count >= 5", "left: 4", "right: 5"],
        ),
        ("alternatives", &["failed: count == 5 || count == 6"]),
        ("error_of_another", &["No such file"]),
        ("error_of_ours", &[]),
    ] {
        let told = told(&format!("failing::{name}"))?;
        let line = told
            .split_once("wrong on line ")
            .and_then(|(_, rest)| rest.split(|next: char| !next.is_ascii_digit()).next())
            .with_context(|| format!("no line: {told}"))?;
        ensure!(
            told.contains(&format!("tests/system/failures.rs:{line}:")),
            "{told}"
        );
        for text in texts {
            ensure!(told.contains(text), "no \"{text}\": {told}");
        }
    }
    Ok(())
}
