//! Fuzzing of the hook's scanner (`hook/fuzz`), by cargo-fuzz and libFuzzer.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::command::{Stages, cargo, root, run, target};
use crate::setup;

/// What everyday tests spend on it.
pub const SHORT: Duration = Duration::from_secs(20);

/// Lists and haystacks to begin with, in addition to the hook's list and real requests.
const LISTS: [(&[u8], &[u8]); 6] = [
    (b"beta\nalpha\n", b"alpha beta"),
    (b"alphabet\nalpha\n\r\n\nal\r\n", b"alphabe"),
    (b"zz\nq\nr\n", b"..r.q"),
    (
        b"aab\naaab\nab\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    ),
    (
        b"\xff\xfe\n\x00\x00\n\x80",
        b"\x00\xff\x00\xfe\xff\xff\xfe\x80",
    ),
    (b"", b""),
];

/// Builds the fuzzer and runs it for so long, on inputs made from the corpus of the bench. A finding is an
/// error that says what it is, and where the input lies.
pub fn fuzz(time: Duration, stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("set-up of cargo-fuzz", setup::cargo_fuzz)?;
    let folder = target().join("fuzz");
    let [seeds, corpus, artifacts] = ["seeds", "corpus", "artifacts"].map(|name| folder.join(name));
    for folder in [&seeds, &corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_seeds(&seeds)?;
    let dictionary = folder.join("words.dict");
    write_dictionary(&dictionary)?;
    stages.run("build of the fuzzer", || {
        run(cargo_fuzz("build").arg("scan"))
    })?;
    let name = format!("fuzzing for {} s", time.as_secs());
    stages.run(&name, || {
        let output = cargo_fuzz("run")
            .arg("scan")
            .args([&corpus, &seeds])
            .arg("--")
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(format!("-dict={}", dictionary.display()))
            .args(["-print_final_stats=1", "-verbosity=0", "-timeout=10"])
            .output()
            .context("cannot start cargo fuzz")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "a finding:\n{}", said.trim_end());
        let inputs = said
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .context("libFuzzer does not say how many inputs it has tried")?;
        eprintln!("{} inputs, no finding", inputs.trim());
        Ok(())
    })
}

/// cargo-fuzz. The guard pages see what reads too far, so no sanitizer slows it down; its coverage takes flags
/// that the toolchain keeps for nightly builds.
fn cargo_fuzz(task: &str) -> std::process::Command {
    let mut command = cargo();
    command
        .arg("fuzz")
        .arg(task)
        .args(["--sanitizer", "none", "--fuzz-dir"])
        .arg(root().join("hook/fuzz"))
        .arg("--target-dir")
        .arg(target().join("fuzz/build"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_TARGET_DIR")
        .env("PATH", setup::path_with_tools());
    command
}

/// Inputs as `hook/fuzz/src/lib.rs` has them: 1 and a haystack for the hook's list, or 0 and a list.
fn write_seeds(folder: &Path) -> anyhow::Result<()> {
    let corpus = root().join("hook-bench/corpus");
    let files = fs::read_dir(&corpus).with_context(|| corpus.display().to_string())?;
    for file in files {
        let path = file?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "http")
        {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            write(
                &folder.join(path.file_name().unwrap_or_default()),
                &[&[1], &bytes],
            )?;
        }
    }
    for (number, (list, haystack)) in LISTS.iter().enumerate() {
        let length = u16::try_from(list.len())?.to_le_bytes();
        write(
            &folder.join(format!("list-{number}")),
            &[&[0], &length, list, haystack],
        )?;
    }
    Ok(())
}

/// The words of the hook's list, as libFuzzer reads them.
fn write_dictionary(path: &Path) -> anyhow::Result<()> {
    let list = root().join("data/keywords.txt");
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let words = text.lines().filter(|word| !word.is_empty());
    let lines = words.map(|word| {
        let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"\n")
    });
    write(path, &[lines.collect::<String>().as_bytes()])
}

fn write(path: &Path, parts: &[&[u8]]) -> anyhow::Result<()> {
    fs::write(path, parts.concat()).with_context(|| format!("cannot write {}", path.display()))
}
