//! `docs/tutorial.md`, followed to the letter: its hook, its commands, and what they come to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::Context as _;
use serde_json::Value;

use crate::Test;
use crate::bench::nothing_left;
use crate::docs::markdown::Page;
use crate::install;
use crate::kit::{Kit, check_schema, output};
use crate::ports::free_port;
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "tutorial::its_hook_is_the_one_in_the_repository",
        needs: &[],
        run: same_hook,
    },
    Test {
        name: "tutorial::its_commands_measure_the_hook",
        needs: &[
            Need::Root,
            Need::Program("cc"),
            Need::Program("curl"),
            Need::Program("readelf"),
        ],
        run: commands_measure,
    },
];

const TUTORIAL: &str = include_str!("../../docs/tutorial.md");
const HOOK: &str = include_str!("../../hook/examples/audit.c");
const HEADER: &str = include_str!("../../hook/include/hookprobe.h");
/// What `docs::` has too.
const SUDO: &str = include_str!("docs/sandbox/sudo.sh");
/// The port that the tutorial's servers listen on.
const PORT: &str = "8099";
/// Its bench, and the same with a micro layer that takes no longer than it must.
const BENCH: &str = "probe-user bench";
const SHORT_BENCH: &str = "probe-user bench --micro-cold-calls=2";
/// What front waits behind its read.
const DELAY_NS: u32 = 20_000;

/// The tutorial's blocks of code whose fence says this and no more.
fn blocks(fence: &str) -> Vec<String> {
    let blocks = Page::parse(TUTORIAL).blocks.into_iter();
    let fenced = blocks.filter(|block| block.info == fence);
    fenced.map(|block| block.text).collect()
}

fn same_hook(_: &Kit) -> anyhow::Result<()> {
    ensure!(
        blocks("c") == [HOOK],
        "docs/tutorial.md shows another hook than hook/examples/audit.c"
    );
    Ok(())
}

/// A folder like a clone of the repository after a build, with a sudo for a machine where we are root already.
fn lay_out(kit: &Kit, clone: &Path) -> anyhow::Result<()> {
    for folder in ["hook/include", "hook/examples", "target", "bin"] {
        fs::create_dir_all(clone.join(folder))?;
    }
    fs::write(clone.join("hook/include/hookprobe.h"), HEADER)?;
    fs::write(clone.join("hook/examples/audit.c"), HOOK)?;
    let programs = kit.path("probe-user");
    let programs = programs.parent().context("no folder of programs")?;
    symlink(programs, clone.join("target/release"))?;
    install::script(SUDO, clone.join("bin/sudo"))
}

/// Runs a block as a reader would, but stops at the first error.
fn follow(block: &str, clone: &Path, port: u16) -> anyhow::Result<Output> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .arg("-ec")
        .arg(
            block
                .replace(PORT, &port.to_string())
                .replace(BENCH, SHORT_BENCH),
        )
        .current_dir(clone)
        .env("PATH", format!("{}:{path}", clone.join("bin").display()))
        .env_remove("SUDO_UID")
        .env_remove("SUDO_GID");
    let output = output(&mut shell)?;
    let code = output.status.code();
    // 4 is what truth says where delays could not be seen, as on a machine with other work.
    let is_truth = block.contains("probe-user validate truth");
    ensure!(
        code == Some(0) || (is_truth && code == Some(4)),
        "{block}\nended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

fn commands_measure(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let clone = folder.path();
    lay_out(kit, clone)?;
    let port = free_port()?;
    let mut said = Vec::new();
    for block in blocks("sh") {
        said.push(String::from_utf8(follow(&block, clone, port)?.stdout)?);
    }
    let [sites, loaded, micro, _, truth, blind] = said.as_slice() else {
        anyhow::bail!("{} blocks of commands", said.len());
    };
    for site in ["read_done", "accepted", "closed"] {
        ensure!(sites.contains(&format!("Name: {site}")), "{sites}");
    }
    hook_works(loaded)?;
    ensure!(numbers(micro, "as-set")?[0] > 0.0, "{micro}");
    layers(&result(clone, "runs/audit", "analysis")?)?;
    delay_is_found(&result(clone, "runs/truth", "truth")?)
        .with_context(|| format!("truth says: {truth}"))?;
    times_without_sites(blind)?;
    nothing_left(kit)
}

/// A result that a command has left, checked against its schema.
fn result(clone: &Path, run: &str, name: &str) -> anyhow::Result<Value> {
    let file = clone.join(run).join(format!("{name}.json"));
    let text = fs::read(&file).with_context(|| file.display().to_string())?;
    let value = serde_json::from_slice(&text)?;
    check_schema(&value, name)?;
    Ok(value)
}

/// The numbers of the table's row that begins like this.
fn numbers(table: &str, row: &str) -> anyhow::Result<Vec<f64>> {
    let row = table.lines().find(|line| line.starts_with(row));
    let row = row.with_context(|| format!("no such row: {table}"))?;
    let words = row.split_whitespace().map(|word| word.replace(',', ""));
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}

/// The hook is mapped, and has written its line: one request, of more bytes than its first line has.
fn hook_works(said: &str) -> anyhow::Result<()> {
    ensure!(said.contains("\nHello World\n"), "{said}");
    ensure!(said.contains("/audit.so\n"), "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("audit: "));
    let bytes = line.and_then(|line| line.split_once(" bytes, digest "));
    let (bytes, digest) = bytes.with_context(|| format!("the hook is silent: {said}"))?;
    ensure!(
        bytes.parse::<usize>()? > "GET / HTTP/1.1\r\n".len(),
        "{said}"
    );
    ensure!(digest.len() == 16, "{said}");
    Ok(())
}

/// All three layers are there, and everything is accounted for.
fn layers(analysis: &Value) -> anyhow::Result<()> {
    let at = |pointer: &str| analysis.pointer(pointer).context(pointer.to_owned());
    for pointer in [
        "/micro/hook_overhead",
        "/in_situ/hook_overhead",
        "/trial/in_situ/after_read/mean",
        "/in_situ/read_syscall",
    ] {
        let estimate = &at(pointer)?["estimate"];
        let is_positive = estimate.as_f64().is_some_and(|ns| ns > 0.0);
        ensure!(is_positive, "{pointer}: {estimate}");
    }
    for pointer in ["/macro/difference", "/macro/a_a_difference", "/agreement"] {
        ensure!(!at(pointer)?.is_null(), "{pointer}");
    }
    ensure!(at("/ledger/balanced")? == true, "{}", at("/ledger")?);
    // Of each of the arms off, null, on and on+1000.
    ensure!(at("/join/matched")? == 4 * 20_000, "{}", at("/join")?);
    ensure!(at("/trial/counts/differing")? == &serde_json::json!([]));
    ensure!(*at("/not_usable")? == serde_json::json!([]));
    Ok(())
}

/// In situ the delay is as long as it lasted, as far as the interval can tell.
fn delay_is_found(truth: &Value) -> anyhow::Result<()> {
    ensure!(truth["ledger"]["balanced"] == true, "{}", truth["ledger"]);
    ensure!(truth["not_usable"] == serde_json::json!([]), "{truth}");
    let found = truth["delays"].as_array().context("no delays")?;
    let [found] = found.as_slice() else {
        anyhow::bail!("{} delays", found.len());
    };
    ensure!(found["asked_ns"] == DELAY_NS, "{found}");
    for layer in ["in_situ", "in_situ_ebpf"] {
        let seen = &found[layer];
        let at = |pointer: &str| {
            let number = seen.pointer(pointer).and_then(Value::as_f64);
            number.with_context(|| format!("{pointer}: {seen}"))
        };
        let (lasted_ns, tolerance_ns) = (at("/truth")?, at("/tolerance")?);
        // The wait of the other arms, one read of the clock, is taken off.
        ensure!(lasted_ns > 0.9 * f64::from(DELAY_NS), "{seen}");
        let (low, high) = (at("/estimate/ci95/0")?, at("/estimate/ci95/1")?);
        let within_reach = low - tolerance_ns..=high + tolerance_ns;
        ensure!(within_reach.contains(&lasted_ns), "{layer}: {seen}");
    }
    Ok(())
}

/// The hook's function was timed though no site was known, and takes longer than the system call inside it.
fn times_without_sites(said: &str) -> anyhow::Result<()> {
    ensure!(said.contains("no hook with probe sites"), "{said}");
    ensure!(said.contains("ledger: balances"), "{said}");
    // Count, mean, mean less what probing adds.
    let function = numbers(said, "function")?;
    let read = numbers(said, "read_syscall")?;
    ensure!(function[0] > 0.0 && function[2] > read[2], "{said}");
    Ok(())
}
