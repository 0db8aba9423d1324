//! Mutations: each breaks one thing in a copy of the sources, and a test that is named beforehand must
//! fail. So those tests do look at what they say they look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};

use crate::build::bins;
use crate::command::{Stages, cargo, command, output, release, root, run, target};
use crate::privilege::as_root;
use crate::test::build_system_tests;

/// One broken thing.
struct Mutation {
    /// What is broken.
    name: &'static str,
    /// The file, from the workspace's root.
    file: &'static str,
    /// What stands there once.
    sound: &'static str,
    /// What takes its place.
    broken: &'static str,
    /// The test that must notice.
    test: Test,
}

/// A test, by the name that it has among its like.
#[derive(Clone, Copy)]
enum Test {
    /// Of the programs.
    System(&'static str),
    /// Of a package's own.
    Unit {
        package: &'static str,
        name: &'static str,
    },
}

impl Test {
    fn name(self) -> &'static str {
        match self {
            Self::System(name) | Self::Unit { name, .. } => name,
        }
    }
}

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "pairing: a read is paired with the syscall of another descriptor",
        file: "probe-ebpf/src/sites.rs",
        sound: "span.fd == call.word() as i32",
        broken: "span.fd != call.word() as i32",
        test: Test::System("bench::three_layers"),
    },
    Mutation {
        name: "drop counter: a record that found the ring full counts as recorded",
        file: "probe-ebpf/src/sites.rs",
        sound: "Recorded::RingFull => (Counter::SiteRingFull,",
        broken: "Recorded::RingFull => (Counter::SiteRecorded,",
        test: Test::System("bench::a_small_ring_drops_and_counts"),
    },
    Mutation {
        name: "pairing: calls of a function that were left by longjmp stay open",
        file: "crates/abi/src/open_calls.rs",
        sound: "Some(call) if call.stack_pointer < stack_pointer => self.depth -= 1,",
        broken: "Some(call) if call.stack_pointer > stack_pointer => self.depth -= 1,",
        test: Test::System("function::calls_left_by_longjmp_are_counted"),
    },
    Mutation {
        name: "bucket function: the first doubling begins at 512 ns instead of 256",
        file: "crates/abi/src/layout.rs",
        sound: "upper.leading_zeros()",
        broken: "(upper >> 1).leading_zeros()",
        test: Test::System("histograms::the_kernels_buckets_are_those_of_hdrhistogram"),
    },
    Mutation {
        name: "bucket function: values next to a bucket's end fall into the next bucket",
        file: "probe-ebpf/src/cells.rs",
        sound: "bucket_of(span_ns)",
        broken: "bucket_of(span_ns + (span_ns >> 11))",
        test: Test::System("histograms::the_kernels_buckets_are_those_of_hdrhistogram"),
    },
    Mutation {
        name: "join offset: a request takes the read behind its last byte, too",
        file: "crates/verdict/src/join/request.rs",
        sound: "if read.first_byte >= end_byte {",
        broken: "if read.first_byte > end_byte {",
        test: Test::System("bench::join_against_the_servers_own_log"),
    },
    Mutation {
        name: "clock offset: it is taken off rather than added",
        file: "crates/verdict/src/join/lookahead.rs",
        sound: "sent_ns: on_server(request.sent_ns, offset_ns),",
        broken: "sent_ns: on_server(request.sent_ns, -offset_ns),",
        test: Test::System("join::a_load_generator_with_another_clock"),
    },
    Mutation {
        name: "calibration sign: what probing adds is added once more",
        file: "crates/verdict/src/correct.rs",
        sound: "quantile_ns as f64 - shift_ns",
        broken: "quantile_ns as f64 + shift_ns",
        test: Test::System("calibration::a_hook_that_does_nothing_costs_nothing"),
    },
    Mutation {
        name: "interval width: t's 95th percentile stands in for its 97.5th",
        file: "crates/stats/src/interval.rs",
        sound: "t_quantile(0.975, degrees_of_freedom)",
        broken: "t_quantile(0.95, degrees_of_freedom)",
        test: Test::System("analyze::figures_are_those_of_scipy"),
    },
    Mutation {
        name: "report: the upper end of intervals is shown as the lower",
        file: "crates/report/src/format.rs",
        sound: "low, &text(low)",
        broken: "low, &text(high)",
        test: Test::System("report::every_figure_is_of_the_runs_files"),
    },
    Mutation {
        name: "judgement: two equal servers that differ are not said first",
        file: "crates/verdict/src/judgement.rs",
        sound: ".chain(a_a_fails(analysis))",
        broken: ".chain(a_a_fails(analysis).filter(|_| false))",
        test: Test::System("report::bad_news_comes_first"),
    },
    Mutation {
        name: "estimator: the mean of a server's rounds stands in for their median",
        file: "crates/verdict/src/order.rs",
        sound: "Self::Median => quantile(values, 0.5),",
        broken: "Self::Median => stats::mean(values),",
        test: Test::Unit {
            package: "verdict",
            name: "order::tests::bad_blocks_in_a_row_and_a_bad_server_move_nothing",
        },
    },
    Mutation {
        name: "estimator: bad servers are averaged with the others",
        file: "crates/verdict/src/order.rs",
        sound: "Self::Median => Location::of(observations),",
        broken: "Self::Median => Location::of_all(observations),",
        test: Test::Unit {
            package: "verdict",
            name: "order::tests::bad_blocks_in_a_row_and_a_bad_server_move_nothing",
        },
    },
    Mutation {
        name: "margin: an interval that is narrow enough counts as agreement, wherever it lies",
        file: "crates/verdict/src/agreement.rs",
        sound: "unexplained.farther_end().max(a_a_within_ns) <= margin_ns",
        broken: "unexplained.half_width().max(a_a_within_ns) <= margin_ns",
        test: Test::Unit {
            package: "verdict",
            name: "agreement::tests::with_a_margin_the_whole_interval_decides",
        },
    },
    Mutation {
        name: "threshold: the arm whose median is shortest decides for all",
        file: "crates/verdict/src/threshold.rs",
        sound: "medians_ns.max_by(f64::total_cmp)",
        broken: "medians_ns.min_by(f64::total_cmp)",
        test: Test::Unit {
            package: "verdict",
            name: "threshold::tests::the_slowest_arms_warm_up_decides_for_all",
        },
    },
];

/// What each mutation has built anew. Optimising takes ten times as long as the rest, and tells these tests nothing.
const UNOPTIMISED: [&str; 9] = [
    "cli",
    "abi",
    "probe-user",
    "probes",
    "report",
    "runlog",
    "web",
    "stats",
    "verdict",
];

/// Applies each mutation in turn, builds, and runs its test.
pub fn prove(stages: &mut Stages) -> anyhow::Result<()> {
    let tests = stages.run("build of the system tests", || {
        build_system_tests(cargo().arg("build"))
    })?;
    let tree = copy_of_the_sources()?;
    copy_of_the_libraries()?;
    let sound = stages.run("build of sound sources", || build(&tree))?;
    stages.run("the tests pass on sound sources", || {
        MUTATIONS.iter().try_for_each(|mutation| {
            let passed = passes(&tests, mutation.test, &tree, &sound)?;
            ensure!(passed, "{} fails on sound sources", mutation.test.name());
            Ok(())
        })
    })?;
    let mut unnoticed = Vec::new();
    for mutation in MUTATIONS {
        let noticed = stages.run(mutation.name, || is_noticed(mutation, &tree, &tests))?;
        if noticed {
            println!("noticed by {}: {}", mutation.test.name(), mutation.name);
        } else {
            println!("NOT noticed by {}: {}", mutation.test.name(), mutation.name);
            unnoticed.push(mutation.name);
        }
    }
    ensure!(
        unnoticed.is_empty(),
        "not noticed: {}",
        unnoticed.join("; ")
    );
    Ok(())
}

fn is_noticed(mutation: &Mutation, tree: &Path, tests: &Path) -> anyhow::Result<bool> {
    let path = tree.join(mutation.file);
    let sound = fs::read_to_string(&path)?;
    fs::write(&path, broken(mutation, &sound)?)?;
    let noticed =
        build(tree).and_then(|programs| Ok(!passes(tests, mutation.test, tree, &programs)?));
    fs::write(&path, sound)?;
    noticed
}

/// The text of the file with the mutation in it.
fn broken(mutation: &Mutation, text: &str) -> anyhow::Result<String> {
    let places = text.matches(mutation.sound).count();
    ensure!(
        places == 1,
        "{}: \"{}\" stands there {places} times, not once; the mutation has to follow the sources",
        mutation.file,
        mutation.sound
    );
    Ok(text.replace(mutation.sound, mutation.broken))
}

fn folder() -> PathBuf {
    target().join("mutations")
}

/// Copies everything that git knows, or would take. The sources themselves are never touched.
fn copy_of_the_sources() -> anyhow::Result<PathBuf> {
    let tree = folder().join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    let listed =
        output(command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    for file in String::from_utf8(listed.stdout)?.lines() {
        let (from, to) = (root().join(file), tree.join(file));
        if !from.is_file() {
            continue; // deleted, and not yet committed
        }
        fs::create_dir_all(to.parent().unwrap_or(&tree))?;
        // Copies keep no times, and cargo goes by them: what an earlier run built would be out of date.
        fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        fs::File::options()
            .write(true)
            .open(&to)?
            .set_modified(fs::metadata(&from)?.modified()?)?;
    }
    Ok(tree)
}

/// Copies what was built: the libraries of others are the same for every tree, and need not be built once more.
fn copy_of_the_libraries() -> anyhow::Result<()> {
    let built = folder().join("target");
    if built.exists() {
        return Ok(());
    }
    fs::create_dir_all(&built)?;
    run(command("cp")
        .args(["--archive", "--reflink=auto"])
        .arg(release())
        .arg(&built))
}

/// Cargo, for a build that does not optimise what is mutated.
fn unoptimised() -> std::process::Command {
    let mut command = cargo();
    for package in UNOPTIMISED {
        let unoptimised = format!("profile.release.package.{package}.opt-level=0");
        command.args(["--config", &unoptimised]);
    }
    command.env("CARGO_TARGET_DIR", folder().join("target"));
    command
}

/// Builds the agent in `tree`; returns a folder with it and the other programs.
fn build(tree: &Path) -> anyhow::Result<PathBuf> {
    let built = folder().join("target");
    let tools = target().join("tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)))?;
    let mut command = unoptimised();
    bins(
        command
            .current_dir(tree)
            .args(["build", "--quiet"])
            .env("PATH", path),
        &["probe-user"],
    )?;
    let programs = folder().join("programs");
    fs::create_dir_all(&programs)?;
    fs::copy(
        built.join("release/probe-user"),
        programs.join("probe-user"),
    )?;
    for name in ["loadgen", "sut", "readhook.so", "front.so", "back.so"] {
        fs::copy(release().join(name), programs.join(name))?;
    }
    Ok(programs)
}

/// Whether a test passes with these programs, or in this tree. That it ran is an error otherwise.
fn passes(tests: &Path, test: Test, tree: &Path, programs: &Path) -> anyhow::Result<bool> {
    let name = test.name();
    let mut command = match test {
        Test::System(_) => {
            let mut command = as_root(tests);
            command
                .args(["--test-threads=1", "--deny-skips", "--exact", name])
                .arg("--programs")
                .arg(programs);
            command
        }
        Test::Unit { package, .. } => {
            let mut command = unoptimised();
            command
                .current_dir(tree)
                .args(["test", "--release", "--lib", "--package", package])
                .args(["--", "--exact", name]);
            command
        }
    };
    command.stderr(Stdio::null());
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    // System tests put commas between their counts, unit tests semicolons.
    let said = said.replace(';', ",");
    if said.contains("1 passed, 0 failed") {
        Ok(true)
    } else if said.contains("0 passed, 1 failed") {
        Ok(false)
    } else {
        bail!("{name} did not run: {said}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a mutation would be found out of date only in the long proof.
    #[test]
    fn every_mutation_fits_the_sources() {
        for mutation in MUTATIONS {
            let text = fs::read_to_string(root().join(mutation.file)).unwrap();
            let broken = broken(mutation, &text).unwrap();
            assert_ne!(broken, text);
        }
    }
}
