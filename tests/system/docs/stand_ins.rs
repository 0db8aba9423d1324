//! What is checked of a call whose program did not run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::repository::Repository;
use crate::deploy;
use crate::kit::{Kit, succeed};

/// Tasks of xtask that hand words on, and the program and command that reads these.
const HANDS_ON: [(&str, &str, &[&str]); 6] = [
    ("bench", "probe-user", &["bench"]),
    ("results", "probe-user", &["bench"]),
    ("truth", "probe-user", &["validate", "truth"]),
    ("bench-hook", "bench", &["hook"]),
    ("bench-load", "bench", &["load"]),
    ("bench-agent", "bench", &["agent"]),
];

/// Where calls are checked.
#[derive(Debug)]
pub struct StandIns<'here> {
    pub kit: &'here Kit,
    pub repository: &'here Repository,
    /// The copy in which the commands were run, with what they made.
    pub copy: PathBuf,
}

impl StandIns<'_> {
    /// Checks a call: the program and its words.
    pub fn check(&self, call: &[String]) -> anyhow::Result<()> {
        let (program, words) = call.split_first().context("no program")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.names_what_is_there(words.iter().copied())?;
        match program.as_str() {
            "cargo" => self.cargo(&words),
            "docker" => self.docker(&words),
            "kubectl" => self.kubectl(&words),
            "bpftrace" => self.bpftrace(&words),
            _ => Ok(()),
        }
    }

    /// Whatever looks like a path of the repository must be there.
    pub fn names_what_is_there<'word>(
        &self,
        words: impl Iterator<Item = &'word str>,
    ) -> anyhow::Result<()> {
        for path in words.flat_map(|word| word.split(['=', ',', ':', '"', '\'', '(', ')'])) {
            ensure!(
                !self.repository.claims(path) || self.copy.join(path).exists(),
                "there is no {path}"
            );
        }
        Ok(())
    }

    fn cargo(&self, words: &[&str]) -> anyhow::Result<()> {
        match words {
            ["xtask"] => succeed(&mut Command::new(xtask()?)).map(|_| ()),
            ["xtask", task, words @ ..] => {
                let help = succeed(Command::new(xtask()?).args([*task, "--help"]))?.stdout;
                let help = String::from_utf8_lossy(&help);
                if let Some((_, program, command)) = HANDS_ON.iter().find(|(name, ..)| name == task)
                {
                    return reads(&self.kit.path(program), &[command, words].concat());
                }
                ensure!(
                    words.is_empty() || !help.contains("[WORD]"),
                    "{task} hands words on: to whom, HANDS_ON must say"
                );
                reads(&xtask()?, &[&[*task], words].concat())
            }
            ["test", "-p" | "--package", "system-tests", "--", filter] => {
                let mut list = Command::new(std::env::current_exe()?);
                let programs = self.kit.path("");
                let listed =
                    succeed(list.args(["--list", filter, "--programs"]).arg(programs))?.stdout;
                let listed = String::from_utf8_lossy(&listed);
                ensure!(listed.contains(": test"), "no test is {filter}");
                Ok(())
            }
            ["build" | "clippy" | "doc" | "fmt" | "run" | "test", ..] => {
                let is_package = |(option, _): &(&str, &str)| matches!(*option, "-p" | "--package");
                for (_, package) in options(words).filter(is_package) {
                    ensure!(
                        self.repository.has_package(package)?,
                        "no package is {package}"
                    );
                }
                Ok(())
            }
            _ => bail!("the stand-in of cargo does not know this"),
        }
    }

    fn docker(&self, words: &[&str]) -> anyhow::Result<()> {
        let dockerfile = std::fs::read_to_string(self.copy.join("deploy/images/Dockerfile"))?;
        for (option, value) in options(words) {
            if option == "--target" {
                let is_stage = |line: &str| {
                    line.starts_with("FROM ") && line.ends_with(&format!(" AS {value}"))
                };
                ensure!(
                    dockerfile.lines().any(is_stage),
                    "the Dockerfile has no target {value}"
                );
            }
        }
        match on_path("docker") {
            Some(docker) if has_plug_in(&docker, words) => reads(&docker, words),
            _ => Ok(()),
        }
    }

    fn kubectl(&self, words: &[&str]) -> anyhow::Result<()> {
        let folders = options(words)
            .filter(|(option, _)| matches!(*option, "-k" | "--kustomize" | "kustomize"));
        for (_, folder) in folders {
            let file = self.copy.join(folder).join("kustomization.yaml");
            ensure!(file.is_file(), "{folder} has no kustomization.yaml");
        }
        let (own, inner) = split_at_dashes(words);
        if let ["probe-user" | "loadgen", arguments @ ..] = inner {
            reads(&self.kit.path(inner[0]), arguments)?;
        }
        let fetched = deploy::tool("kubectl");
        let kubectl = fetched
            .is_file()
            .then_some(fetched)
            .or_else(|| on_path("kubectl"));
        kubectl.map_or(Ok(()), |kubectl| reads(&kubectl, own))
    }

    /// `usdt:FILE:PROVIDER:PROBE` in the program.
    fn bpftrace(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut sites = 0;
        for site in words.iter().filter_map(|word| word.strip_prefix("usdt:")) {
            let mut parts = site.split([':', ' ']);
            let mut part = || parts.next().context("usdt:FILE:PROVIDER:PROBE");
            let (file, provider, probe) = (part()?, part()?, part()?);
            let library = std::fs::read(self.copy.join(file))
                .with_context(|| format!("cannot read {file}"))?;
            let note = format!("{provider}\0{probe}\0").into_bytes();
            ensure!(
                library.windows(note.len()).any(|bytes| bytes == note),
                "{file} has no probe {provider}:{probe}"
            );
            sites += 1;
        }
        ensure!(sites > 0, "the stand-in of bpftrace knows usdt: alone");
        let (_, pid) = options(words)
            .find(|(option, _)| *option == "-p")
            .context("no -p")?;
        pid.parse::<u32>()
            .with_context(|| format!("{pid:?} is no process number"))?;
        Ok(())
    }
}

/// Has a program read options that it would otherwise act on. Nothing is done when `--help` is among them.
fn reads(program: &Path, words: &[&str]) -> anyhow::Result<()> {
    let (own, others) = split_at_dashes(words);
    let mut command = Command::new(program);
    command.args(own).arg("--help");
    if !others.is_empty() {
        command.arg("--").args(others);
    }
    succeed(&mut command).map(|_| ())
}

/// Words before and behind the first `--`.
fn split_at_dashes<'word, 'list>(
    words: &'list [&'word str],
) -> (&'list [&'word str], &'list [&'word str]) {
    match words.iter().position(|word| *word == "--") {
        Some(place) => (&words[..place], &words[place + 1..]),
        None => (words, &[]),
    }
}

/// Each word with the one behind it.
fn options<'word>(words: &[&'word str]) -> impl Iterator<Item = (&'word str, &'word str)> {
    words.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Whether Docker has the plug-in that reads these words, if one does.
fn has_plug_in(docker: &Path, words: &[&str]) -> bool {
    let plug_in = match words.first() {
        Some(&("build" | "buildx")) => "buildx",
        Some(&"compose") => "compose",
        _ => return true,
    };
    succeed(Command::new(docker).args([plug_in, "version"])).is_ok()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// `cargo xtask` has built it.
fn xtask() -> anyhow::Result<PathBuf> {
    let program = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/release/xtask"
    ));
    ensure!(
        program.is_file(),
        "{} is missing; run cargo xtask build",
        program.display()
    );
    Ok(program.to_owned())
}
