//! The probing tests on every kernel, and what came of each attach type there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{bail, ensure};

use crate::command::{Stages, run, target};
use crate::vm::architecture::Architecture;
use crate::vm::attach_types::{Outcome, Table};
use crate::vm::guest::{self, Guest};
use crate::vm::kernels::{self, Kernel};
use crate::{build, check_hook, setup, test};

/// How many guests run at a time, at most: one for each core that is there anyway. They compute all the time, each in
/// one thread: five at once on two cores took more than twice as long each.
const AT_A_TIME: usize = 2;

/// A kernel's tests, when they have run.
struct Tested {
    kernel: Kernel,
    outcomes: Vec<Outcome>,
    result: anyhow::Result<()>,
}

/// Runs the tests, or those whose names contain a filter, on the kernels with these names, or on all. A kernel
/// that cannot be had is skipped, by name, unless all of them must run.
pub fn run_tests(
    names: &[String],
    filter: Option<&str>,
    must_run: bool,
    stages: &mut Stages,
) -> anyhow::Result<ExitCode> {
    let kernels = kernels::select(names)?;
    stages.run("setup", setup::all)?;
    let mut skipped = Vec::new();
    let mut kernels_here = Vec::new();
    for kernel in kernels {
        match stages.run(&format!("kernel {}", kernel.name), || obtain(kernel)) {
            Ok(()) => kernels_here.push(kernel),
            Err(error) => skipped.push((kernel, error)),
        }
    }
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let is_needed = |kernel: &Kernel| kernel.architecture == architecture;
        if kernels_here.iter().any(is_needed) {
            stages.run(&format!("build for {}", architecture.debian()), || {
                build_for(architecture)
            })?;
            if let Some(target) = architecture.programs_target() {
                stages.run(&format!("hook on {}", architecture.debian()), || {
                    test_hook(architecture, target)
                })?;
            }
        }
    }
    let tested = stages.run("guests", || Ok(test_all(&kernels_here, filter)))?;

    let mut table = Table::default();
    for tested in &tested {
        table.add(tested.kernel.name, &tested.outcomes);
    }
    if filter.is_none() {
        println!("{table}");
    }
    let mut failed = Vec::new();
    for Tested { kernel, result, .. } in tested {
        if let Err(error) = result {
            eprintln!("kernel {}: {error:#}", kernel.name);
            failed.push(kernel.name);
        }
    }
    for (kernel, error) in &skipped {
        println!("skipped: kernel {}: {error:#}", kernel.name);
    }
    if !failed.is_empty() {
        bail!("failed on kernel {}", failed.join(", "));
    }
    if must_run && !skipped.is_empty() {
        bail!(
            "{} of the kernels could not be had, and all must run",
            skipped.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Fetches and installs what a kernel takes.
fn obtain(kernel: Kernel) -> anyhow::Result<()> {
    guest::install_tools(kernel.architecture)?;
    kernel.image().map(|_| ())
}

/// Builds what guests of an architecture carry.
fn build_for(architecture: Architecture) -> anyhow::Result<()> {
    guest::build_init(architecture)?;
    let folder = architecture.programs_folder();
    let target = architecture.programs_target();
    let cargo_build = || architecture.cargo("build", target);
    build::programs_and_bench(cargo_build, &folder)?;
    let built = test::build_system_tests(&mut cargo_build())?;
    let stripped = system_tests(architecture);
    fs::create_dir_all(stripped.parent().unwrap_or(Path::new(".")))?;
    architecture.strip(&built, &stripped)
}

/// Checks the hook's file, and runs its unit tests one program at a time, which is faster than in a guest.
fn test_hook(architecture: Architecture, target: &str) -> anyhow::Result<()> {
    check_hook::check_all(&architecture.programs_folder())?;
    run(architecture
        .cargo("test", Some(target))
        .arg("--quiet")
        .args(build::HOOK))
}

/// Where the tests are, without what debuggers want to know: that is nine tenths of them.
fn system_tests(architecture: Architecture) -> PathBuf {
    target()
        .join("vm/tests")
        .join(architecture.debian())
        .join("system-tests")
}

fn test_all(kernels: &[Kernel], filter: Option<&str>) -> Vec<Tested> {
    // The last ones take longest: arm64, and 7, which verifies programs more closely.
    let queue = Mutex::new(kernels.to_vec());
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop()
    };
    let work = || {
        let mut tested = Vec::new();
        while let Some(kernel) = next() {
            tested.push(test_on(kernel, filter));
        }
        tested
    };
    let mut tested: Vec<Tested> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().flat_map(thread::ScopedJoinHandle::join);
        done.flatten().collect()
    });
    let position = |tested: &Tested| kernels.iter().position(|k| k.name == tested.kernel.name);
    tested.sort_by_key(position);
    tested
}

/// Runs the tests on one kernel, and says so at the end.
fn test_on(kernel: Kernel, filter: Option<&str>) -> Tested {
    let start = Instant::now();
    let mut command = vec![
        "/bin/system-tests",
        "--probing",
        "--emulated",
        "--deny-skips",
        "--test-threads=1",
        "--programs=/bin",
    ];
    command.extend(filter);
    let guest = Guest {
        name: kernel.name,
        kernel,
        programs: &[
            system_tests(kernel.architecture),
            kernel.architecture.programs_folder().join("bench"),
        ],
        command: &command,
        counts_instructions: false,
    };
    let mut outcomes = Vec::new();
    let mut counts = "no test ran to its end".to_owned();
    let result = guest.run().and_then(|ended| {
        let stdout = ended.stdout();
        outcomes = Outcome::all_in(&stdout)?;
        if let Some(line) = stdout.lines().rev().find(|line| line.contains(" passed, ")) {
            line.clone_into(&mut counts);
        }
        ended.succeeded()?;
        match filter {
            None => check_known(&outcomes),
            Some(filter) => {
                ensure!(
                    !counts.starts_with("0 passed"),
                    "no test has {filter} in its name"
                );
                Ok(())
            }
        }
    });
    let took = start.elapsed();
    println!(
        "kernel {}: {counts} ({:.0} s)",
        kernel.name,
        took.as_secs_f64()
    );
    Tested {
        kernel,
        outcomes,
        result,
    }
}

/// The tests hold attach types against what is known of the kernel, and say when that is nothing: it must not
/// be so here, where it would let a type that has stopped working pass.
fn check_known(outcomes: &[Outcome]) -> anyhow::Result<()> {
    ensure!(!outcomes.is_empty(), "no attach type was tried");
    match outcomes
        .iter()
        .find(|outcome| outcome.as_expected != Some(true))
    {
        None => Ok(()),
        Some(outcome) => bail!(
            "\"{}\" was held against nothing: tests/system/attach_types.rs knows no kernel {}",
            outcome.attach_type,
            outcome.kernel
        ),
    }
}
