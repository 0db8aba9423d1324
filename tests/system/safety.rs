//! The hook where interposers come to grief: odd places and arguments, beside other preloaded libraries, under
//! sanitizers, and under threads, forks and signals at once.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Test;
use crate::hook::{CONTRACT, compile_with_connections, words};
use crate::kit::{Kit, compile_c, fail, output, succeed};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "safety::odd_places_and_odd_arguments",
        needs: &[Need::Program("cc")],
        run: odd_places,
    },
    Test {
        name: "safety::beside_another_preloaded_library",
        needs: &[Need::Program("cc")],
        run: beside_another,
    },
    Test {
        name: "safety::under_address_sanitizer",
        needs: &[Need::Program("cc")],
        run: under_address_sanitizer,
    },
    Test {
        name: "safety::threads_forks_and_signals_change_no_result",
        needs: &[Need::Program("cc")],
        run: stress,
    },
    Test {
        name: "safety::helgrind_reports_nothing_in_the_hook",
        needs: &[Need::Program("cc"), Need::Program("valgrind")],
        run: helgrind,
    },
];

const MODES: [&str; 5] = ["off", "passthrough", "lookup", "scan", "log"];

const CONNECTIONS: &str = include_str!("c/connections.c");
const ODD_PLACES: &str = include_str!("c/odd_places.c");
const ODD_LIBRARY: &str = include_str!("c/odd_library.c");
const OTHER_HOOK: &str = include_str!("c/other_hook.c");
const OVERRUN: &str = include_str!("c/overrun.c");
const STRESS: &str = include_str!("c/stress.c");

/// Compiles a library of [`CONNECTIONS`] and `source`.
fn compile_library(folder: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    fs::create_dir(&folder)?;
    let source = [CONNECTIONS, source].concat();
    compile_c(
        &folder,
        &source,
        &["-shared", "-fPIC", "-Wno-unused-function"],
    )
}

/// A folder with a list of words, and the settings of a hook that logs them.
struct Logging<'k> {
    kit: &'k Kit,
    folder: tempfile::TempDir,
}

impl<'k> Logging<'k> {
    fn new(kit: &'k Kit, list: &[&str]) -> anyhow::Result<Self> {
        let folder = kit.scratch()?;
        fs::write(folder.path().join("list"), list.join("\n"))?;
        Ok(Self { kit, folder })
    }

    /// Puts the hook into a program, in a mode.
    fn hook<'c>(&self, program: &'c mut Command, mode: &str) -> &'c mut Command {
        let _ = fs::remove_file(self.log());
        program
            .envs(self.kit.hook())
            .env("READHOOK_MODE", mode)
            .env("READHOOK_KEYWORDS", self.folder.path().join("list"))
            .env("READHOOK_LOG", self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

fn odd_places(kit: &Kit) -> anyhow::Result<()> {
    let expected = [
        "in-constructor",
        "in-dlopen",
        "in-dlclose",
        "huge-count",
        "in-main",
        "in-atexit",
        "in-destructor",
    ];
    let logging = Logging::new(kit, &expected)?;
    let folder = logging.folder.path();
    let program = compile_with_connections(folder, ODD_PLACES, &["-pthread"])?;
    let library = compile_library(folder, "library", ODD_LIBRARY)?;
    // The program itself must be right.
    succeed(Command::new(&program).arg(&library))?;
    for mode in MODES {
        let mut command = Command::new(&program);
        succeed(logging.hook(command.arg(&library), mode))
            .with_context(|| format!("mode {mode}"))?;
    }
    let text = fs::read_to_string(logging.log())?;
    ensure!(words(&text) == kit.seen(&expected), "{text}");
    Ok(())
}

fn beside_another(kit: &Kit) -> anyhow::Result<()> {
    let logging = Logging::new(kit, &[])?;
    let folder = logging.folder.path();
    let program = compile_c(folder, CONTRACT, &["-pthread"])?;
    let other = compile_library(folder, "other", OTHER_HOOK)?;
    let hook = kit.preload();
    let other = other.as_os_str();
    let list = |first: &OsStr, second: &OsStr| [first, second].join(OsStr::new(":"));
    let alone = succeed(Command::new(&program).env("LD_PRELOAD", other))?;
    ensure!(alone.stdout == b"the contract holds\n");
    for mode in MODES {
        for (order, preload) in [
            ("hook first", list(&hook, other)),
            ("hook last", list(other, &hook)),
        ] {
            let mut command = Command::new(&program);
            // The list that is built in: the hook would read another one by way of the other library.
            logging
                .hook(&mut command, mode)
                .env("LD_PRELOAD", preload)
                .env_remove("READHOOK_KEYWORDS");
            let both = succeed(&mut command).with_context(|| format!("{order}, mode {mode}"))?;
            // The other one has seen as many calls as without the hook.
            ensure!(
                both.stdout == alone.stdout && both.stderr == alone.stderr,
                "{order}, mode {mode}: {}",
                String::from_utf8_lossy(&both.stderr)
            );
            if mode == "log" {
                let text = fs::read_to_string(logging.log())?;
                ensure!(words(&text) == kit.seen(&["admin"]), "{order}: {text}");
            }
        }
    }
    Ok(())
}

fn under_address_sanitizer(kit: &Kit) -> anyhow::Result<()> {
    let logging = Logging::new(kit, &["admin", "more than"])?;
    let folder = logging.folder.path();
    let sanitizer = succeed(Command::new("cc").arg("-print-file-name=libasan.so"))?;
    let sanitizer = String::from_utf8(sanitizer.stdout)?;
    let options = ["-pthread", "-fsanitize=address", "-Wno-stringop-overflow"];
    let program = compile_c(folder, CONTRACT, &options)?;
    let overrunning = folder.join("overrun");
    fs::create_dir(&overrunning)?;
    let overrunning = compile_with_connections(&overrunning, OVERRUN, &options)?;

    let hook = kit.preload();
    let both = [OsStr::new(sanitizer.trim()), &hook].join(OsStr::new(":"));
    // The test program leaks nothing that matters.
    let without_leaks = ("ASAN_OPTIONS", "detect_leaks=0");
    for mode in MODES {
        let mut command = Command::new(&program);
        logging.hook(&mut command, mode).env("LD_PRELOAD", &both);
        let ran = succeed(command.envs([without_leaks])).with_context(|| format!("mode {mode}"))?;
        ensure!(ran.stdout == b"the contract holds\n" && ran.stderr.is_empty());

        // The sanitizer goes on seeing what the program does wrong.
        let mut command = Command::new(&overrunning);
        logging.hook(&mut command, mode).env("LD_PRELOAD", &both);
        fail(
            command.envs([without_leaks]),
            1,
            &["heap-buffer-overflow", "in main"],
        )
        .with_context(|| format!("mode {mode}"))?;
    }
    // The sanitizer refuses any library in front of it; that is not the hook's to change, but must be said so
    // that one can act on it.
    let mut command = Command::new(&program);
    logging.hook(&mut command, "scan");
    let refusal = ["ASan runtime does not come first"];
    fail(command.envs([without_leaks]), 1, &refusal)?;
    // Told not to mind, it works behind the hook, too.
    let mut command = Command::new(&program);
    logging.hook(&mut command, "log");
    let told = "detect_leaks=0:verify_asan_link_order=0";
    let ran = succeed(command.env("ASAN_OPTIONS", told))?;
    ensure!(ran.stdout == b"the contract holds\n");
    ensure!(words(&fs::read_to_string(logging.log())?) == kit.seen(&["admin"]));
    Ok(())
}

/// The reads that returned the needle, as the program says.
fn needles(stdout: &[u8]) -> anyhow::Result<usize> {
    let text = str::from_utf8(stdout)?;
    let needles = text.split(' ').nth(2).context("no needles")?;
    needles.parse().with_context(|| text.to_owned())
}

fn stress(kit: &Kit) -> anyhow::Result<()> {
    let logging = Logging::new(kit, &["needle"])?;
    let options = ["-pthread", "-Wno-unused-function"];
    let program = compile_with_connections(logging.folder.path(), STRESS, &options)?;
    // A number of seconds asks for the long version, in which all threads go on for that time.
    if let Some(seconds) = std::env::var_os("HOOKPROBE_STRESS_SECONDS") {
        return long_stress(&logging, &program, &seconds);
    }
    let run = || {
        let mut command = Command::new(&program);
        command.args(["0", "2000"]);
        command
    };
    let bare = succeed(&mut run())?;
    for mode in MODES {
        let mut command = run();
        let hooked = succeed(logging.hook(&mut command, mode));
        let hooked = hooked.with_context(|| format!("mode {mode}"))?;
        ensure!(hooked.stdout == bare.stdout, "mode {mode}");
    }
    let text = fs::read_to_string(logging.log())?;
    // Each of them, in threads and in children; none by another number, none in a pipe.
    let expected = vec!["needle"; needles(&bare.stdout)?];
    ensure!(
        words(&text) == kit.seen(&expected),
        "{} lines",
        words(&text).len()
    );
    Ok(())
}

/// `cargo xtask prove hook-stress`.
fn long_stress(logging: &Logging<'_>, program: &Path, seconds: &OsStr) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.arg(seconds).arg("0");
    let ran = succeed(logging.hook(&mut command, "log"))?;
    print!("{}", String::from_utf8_lossy(&ran.stdout));
    print!("{}", String::from_utf8_lossy(&ran.stderr));
    let text = fs::read_to_string(logging.log())?;
    let (found, expected) = (words(&text).len(), needles(&ran.stdout)?);
    ensure!(found == expected, "{found} lines for {expected} needles");
    ensure!(words(&text).iter().all(|word| *word == "needle"));
    Ok(())
}

fn helgrind(kit: &Kit) -> anyhow::Result<()> {
    let logging = Logging::new(kit, &["needle"])?;
    let options = ["-pthread", "-g", "-Wno-unused-function"];
    let program = compile_with_connections(logging.folder.path(), STRESS, &options)?;
    let mut command = Command::new("valgrind");
    command
        .args([
            "--tool=helgrind",
            "--child-silent-after-fork=yes",
            "--fair-sched=yes",
        ])
        .arg(&program)
        // Helgrind does not know that the kernel orders who has a descriptor's number, nor that a relaxed load is
        // atomic: the program takes a lock there.
        .args(["0", "10", "ordered"]);
    let ran = output(logging.hook(&mut command, "log"))?;
    let report = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{report}");
    ensure!(report.contains("ERROR SUMMARY:"), "{report}");
    let text = fs::read_to_string(logging.log())?;
    let expected = vec!["needle"; needles(&ran.stdout)?];
    ensure!(words(&text) == kit.seen(&expected), "{text}");
    let ours = ["readhook.so", "front.so", "back.so"];
    let inside: Vec<&str> = report
        .lines()
        .filter(|line| ours.iter().any(|name| line.contains(name)))
        .collect();
    ensure!(inside.is_empty(), "{report}");
    Ok(())
}
