//! Programs that tests write and then run.
//!
//! The kernel runs no file that anybody has open for writing (`ETXTBSY`, execve(2)). A child that one test starts inherits
//! the files that other tests are writing, until it runs its own program. So a process that starts no other writes them.

use std::env;
use std::fs::{File, Permissions};
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

/// Writes stdin to a file that can be run: the work of the other process.
pub fn write(path: &Path) -> anyhow::Result<()> {
    let mut file =
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    io::copy(&mut io::stdin(), &mut file)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    Ok(())
}

/// Each child of these threads may inherit the file that another of them is writing.
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
