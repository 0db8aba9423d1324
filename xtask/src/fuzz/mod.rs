//! Fuzzing, by cargo-fuzz and libFuzzer.

mod responses;
mod scanner;
mod trial;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::command::{Stages, cargo, root, run, target};
use crate::setup;

pub use responses::RESPONSES;
pub use scanner::SCANNER;
pub use trial::TRIAL;

/// A fuzzer.
#[derive(Debug)]
pub struct Fuzzer {
    /// Its target, and the name of its folders.
    name: &'static str,
    /// Its crate.
    folder: &'static str,
    /// Writes inputs to begin with into a folder.
    write_seeds: fn(&Path) -> anyhow::Result<()>,
    /// Writes the words that inputs are made of, as libFuzzer reads them.
    write_dictionary: fn(&Path) -> anyhow::Result<()>,
    /// What looks for reads and writes out of bounds.
    sanitizer: &'static str,
}

impl Fuzzer {
    /// Builds the fuzzer and runs it for so long. A finding is an error that says what it is, and where
    /// the input lies.
    pub fn run(&self, time: Duration, stages: &mut Stages) -> anyhow::Result<()> {
        stages.run("set-up of cargo-fuzz", setup::cargo_fuzz)?;
        let folder = target().join("fuzz").join(self.name);
        let [seeds, corpus, artifacts] =
            ["seeds", "corpus", "artifacts"].map(|name| folder.join(name));
        for folder in [&seeds, &corpus, &artifacts] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        (self.write_seeds)(&seeds)?;
        let dictionary = folder.join("words.dict");
        (self.write_dictionary)(&dictionary)?;
        let name = format!("build of the fuzzer of the {}", self.name);
        stages.run(&name, || run(self.cargo_fuzz("build").arg(self.name)))?;
        let name = format!("fuzzing the {} for {} s", self.name, time.as_secs());
        stages.run(&name, || {
            let output = self
                .cargo_fuzz("run")
                .arg(self.name)
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

    /// cargo-fuzz. Its coverage takes flags that the toolchain keeps for nightly builds.
    fn cargo_fuzz(&self, task: &str) -> std::process::Command {
        let mut command = cargo();
        command
            .arg("fuzz")
            .arg(task)
            .args(["--sanitizer", self.sanitizer, "--fuzz-dir"])
            .arg(root().join(self.folder))
            .arg("--target-dir")
            .arg(target().join("fuzz/build"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("CARGO_TARGET_DIR")
            .env("PATH", setup::path_with_tools());
        command
    }
}

/// A dictionary of these words, as libFuzzer reads it.
fn dictionary<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let mut lines = String::new();
    for word in words {
        lines.push('"');
        for byte in word.bytes() {
            match byte {
                b'"' | b'\\' => lines.extend(['\\', char::from(byte)]),
                b' '..=b'~' => lines.push(char::from(byte)),
                _ => {
                    let _ = write!(lines, "\\x{byte:02x}");
                }
            }
        }
        lines.push_str("\"\n");
    }
    lines
}

fn write(path: &Path, parts: &[&[u8]]) -> anyhow::Result<()> {
    fs::write(path, parts.concat()).with_context(|| format!("cannot write {}", path.display()))
}
