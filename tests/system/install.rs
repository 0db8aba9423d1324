//! Programs that tests write and then run.
//!
//! A process that starts no other writes them. The kernel runs no file that is open for writing (`ETXTBSY`, execve(2)),
//! and what a test opens is for a while open in each child, too, which other tests start meanwhile.

use std::env;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::Context as _;

use crate::Test;
use crate::kit::{self, Kit, succeed};

pub const TESTS: &[Test] = &[Test {
    name: "install::programs_run_at_once",
    needs: &[],
    run: run_at_once,
}];

/// Copies a program.
pub fn program(from: impl AsRef<Path>, to: impl AsRef<Path>) -> anyhow::Result<()> {
    let from = from.as_ref();
    let content = File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
    have_written(content, to.as_ref())
}

/// Makes a script.
pub fn script(text: &str, to: impl AsRef<Path>) -> anyhow::Result<()> {
    let mut content = tempfile::tempfile()?;
    content.write_all(text.as_bytes())?;
    content.rewind()?;
    have_written(content, to.as_ref())
}

fn have_written(content: File, to: &Path) -> anyhow::Result<()> {
    let mut writer = Command::new(env::current_exe()?);
    let output = writer.arg("--install").arg(to).stdin(content).output()?;
    ensure!(output.status.success(), "{}", kit::describe(&output));
    Ok(())
}

/// What the process that writes does: makes a program of its stdin.
pub fn write(path: &Path) -> anyhow::Result<()> {
    let mut file =
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    io::copy(&mut io::stdin(), &mut file)?;
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// Each of the processes that these threads start is a chance that the file of another thread is open in it.
fn run_at_once(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let start_some = &|thread| -> anyhow::Result<()> {
        for round in 0..50 {
            let own = folder.path().join(format!("{thread}-{round}"));
            program(kit.path("sut"), &own)?;
            succeed(Command::new(&own).arg("--help"))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || start_some(thread)));
        for thread in threads {
            thread.join().ok().context("a thread panicked")??;
        }
        Ok(())
    })
}
