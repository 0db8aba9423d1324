//! Programs that nobody wrote for the hook behave with it as they do without.
//!
//! Each is a shell script in `programs/` that says what it did on stdout: a new program is a script and a
//! line here. It is run without the hook and then in each mode; output and exit code must be the same.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;

use crate::Test;
use crate::kit::{Kit, describe, output};
use crate::ports::free_port;
use crate::skips::Need;

/// Which of a program's reads the hook must have seen, so that a hook that did nothing would not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// It accepts no connections.
    Nothing,
    /// It reads connections by `read`.
    Reads,
    /// It reads them by other functions.
    Family,
}

macro_rules! program {
    ($name:literal, $sees:expr, [$($needs:literal),*]) => {
        Test {
            name: concat!("programs::", $name, "_behaves_as_without_the_hook"),
            needs: &[$(Need::Program($needs)),*],
            run: |kit| behaves(kit, include_str!(concat!("programs/", $name, ".sh")), $sees),
        }
    };
}

pub const TESTS: &[Test] = &[
    program!("archives", Sees::Nothing, ["tar", "gzip", "xz"]),
    program!("bash", Sees::Nothing, ["bash"]),
    program!("coreutils", Sees::Nothing, ["sort"]),
    program!("gcc", Sees::Nothing, ["gcc", "ar"]),
    program!("git", Sees::Nothing, ["git", "tar"]),
    program!("java", Sees::Reads, ["java", "curl"]),
    program!("nginx", Sees::Family, ["nginx", "curl"]),
    program!("node", Sees::Reads, ["node"]),
    program!("python3", Sees::Reads, ["python3"]),
    program!(
        "redis",
        Sees::Reads,
        ["redis-server", "redis-benchmark", "redis-cli"]
    ),
    program!("sqlite3", Sees::Nothing, ["sqlite3"]),
];

/// All functions that the hook can stand in front of.
const FAMILY: &str = "read,recv,recvfrom,recvmsg,readv";

/// The hook's settings under which a program runs. The first sees nothing; the last two see all functions.
const MODES: [&[(&str, &str)]; 7] = [
    &[("READHOOK_MODE", "off")],
    &[("READHOOK_MODE", "passthrough")],
    &[("READHOOK_MODE", "lookup")],
    &[("READHOOK_MODE", "scan")],
    &[("READHOOK_MODE", "log")],
    &[("READHOOK_MODE", "scan"), ("READHOOK_FUNCTIONS", FAMILY)],
    &[("READHOOK_MODE", "log"), ("READHOOK_FUNCTIONS", FAMILY)],
];

fn behaves(kit: &Kit, script: &str, sees: Sees) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let without = run(kit, folder.path(), script, None)?;
    // A script that cannot even start would be the same with the hook.
    ensure!(
        without.status.success() && without.stdout.len() > 40,
        "the script itself fails: {}",
        describe(&without)
    );
    for settings in MODES {
        let log = folder.path().join("hook.log");
        let _ = fs::remove_file(&log);
        let with = run(kit, folder.path(), script, Some(settings))?;
        ensure!(
            with.status == without.status
                && with.stdout == without.stdout
                && with.stderr == without.stderr,
            "{settings:?}: {}\nwithout the hook: {}",
            describe(&with),
            describe(&without)
        );
        let is_family = settings.len() > 1;
        let must_see = match sees {
            Sees::Nothing => false,
            Sees::Reads => true,
            Sees::Family => is_family,
        };
        if settings[0].1 == "log" && must_see {
            let log = fs::read_to_string(&log).context("the hook has logged nothing")?;
            ensure!(log.contains(" word="), "{settings:?}: {log}");
        }
    }
    Ok(())
}

/// Runs a script in a new folder, with a port of its own.
fn run(
    kit: &Kit,
    folder: &Path,
    script: &str,
    settings: Option<&[(&str, &str)]>,
) -> anyhow::Result<Output> {
    let place = folder.join("run");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir(&place)?;
    // What a script has started ends with it, whatever happens: timeout signals the whole group.
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "100", "sh", "-u", "-c", script])
        .current_dir(&place)
        .env("PORT", free_port()?.to_string())
        .env("HOME", &place)
        .env("LC_ALL", "C");
    if let Some(settings) = settings {
        command
            .env("LD_PRELOAD", kit.path("readhook.so"))
            .env("READHOOK_LOG", folder.join("hook.log"))
            .envs(settings.iter().copied());
    }
    output(&mut command)
}
