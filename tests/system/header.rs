//! `hookprobe.h`: hooks that others write, in C and C++, measured as ours is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Test;
use crate::bench::nothing_left;
use crate::kit::{
    Kit, Running, check_schema, compile_c, exact_kernel_probe, fail, json, output, succeed,
    wait_for,
};
use crate::skips::Need;

pub const TESTS: &[Test] = &[
    Test {
        name: "header::a_c_hook_is_measured_at_three_layers",
        needs: &[Need::Root, Need::Program("cc")],
        run: three_layers,
    },
    Test {
        name: "header::a_c_hook_waits_as_long_as_it_is_told_to",
        needs: &[Need::Root, Need::Program("cc")],
        run: waits,
    },
    Test {
        name: "header::a_hook_that_makes_reads_up_puts_the_ledger_out_of_balance",
        needs: &[Need::Root, Need::Program("cc")],
        run: makes_reads_up,
    },
    Test {
        name: "header::the_example_keeps_the_c_contract",
        needs: &[Need::Program("cc")],
        run: keeps_the_c_contract,
    },
    Test {
        name: "header::nonsense_stops_the_measurement",
        needs: &[Need::Program("cc")],
        run: nonsense,
    },
    Test {
        name: "header::its_sites_are_those_of_our_hook",
        needs: &[
            Need::Program("cc"),
            Need::Program("c++"),
            Need::Program("readelf"),
        ],
        run: same_sites,
    },
];

const HEADER: &str = include_str!("../../hook/include/hookprobe.h");
const EXAMPLE: &str = include_str!("../../hook/examples/interposer.c");
/// A source file that uses all of the header.
const EVERYTHING: &str = r#"
#define HOOKPROBE_IMPLEMENTATION
#include "hookprobe.h"
#include "hookprobe.h"
ssize_t use(int fd) {
    struct hookprobe_call call;
    uint64_t connection = hookprobe_connection();
    hookprobe_accepted(fd, connection);
    hookprobe_enter(&call);
    hookprobe_inner_exit(&call, 1);
    hookprobe_read_done(&call, fd, connection, 1, HOOKPROBE_NO_MATCH, HOOKPROBE_READ);
    hookprobe_closed(fd, connection);
    return 1;
}
"#;

/// A hook that answers each second read itself, if it is to, and says of each that it read.
const ANSWERS: &str = r#"
#define HOOKPROBE_IMPLEMENTATION
#include "hookprobe.h"
#include <sys/syscall.h>
static unsigned long calls;
ssize_t read(int fd, void *buffer, size_t count) {
    struct hookprobe_call call;
    hookprobe_enter(&call);
    ssize_t returned = MAKES_UP && ++calls % 2 ? 1 : syscall(SYS_read, fd, buffer, count);
    hookprobe_inner_exit(&call, returned);
    hookprobe_read_done(&call, fd, 1, returned, HOOKPROBE_NO_MATCH, HOOKPROBE_READ);
    return returned;
}
void others(int fd) {
    hookprobe_accepted(fd, 1);
    hookprobe_closed(fd, 1);
}
"#;
/// Reads for ever.
const READER: &str = r#"
#include <fcntl.h>
#include <unistd.h>
int main(void) {
    int fd = open("/dev/zero", O_RDONLY);
    char byte;
    while (read(fd, &byte, 1) == 1)
        usleep(500);
    return 1;
}
"#;

/// Compiles a library that includes the header.
fn library(folder: &Path, compiler: &[&str], file: &str, source: &str) -> anyhow::Result<PathBuf> {
    fs::write(folder.join("hookprobe.h"), HEADER)?;
    fs::write(folder.join(file), source)?;
    let library = folder.join(file).with_extension("so");
    let mut command = Command::new(compiler[0]);
    command
        .args(&compiler[1..])
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
        .arg("-o")
        .arg(&library)
        .arg(folder.join(file))
        .arg("-ldl");
    succeed(&mut command)?;
    Ok(library)
}

fn example(folder: &Path) -> anyhow::Result<PathBuf> {
    library(folder, &["cc"], "interposer.c", EXAMPLE)
}

fn three_layers(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = example(folder.path())?;
    let out = folder.path().join("run");
    let mut bench = kit.bench();
    bench
        .args(["--json", "--requests=2000", "--blocks=4"])
        .args(["--warmup=200", "--block-warmup=20", "--micro-calls=300"])
        .arg("--calibration-rounds=2")
        .args(exact_kernel_probe())
        .arg("--hook")
        .arg(&hook)
        .arg("--out")
        .arg(&out);
    let analysis = json(&succeed(&mut bench)?)?;
    check_schema(&analysis, "analysis")?;
    let at = |pointer: &str| analysis.pointer(pointer).context(pointer.to_owned());
    for pointer in [
        "/micro/hook_overhead",
        "/in_situ/hook_overhead",
        "/in_situ/hook_overhead_corrected",
        "/in_situ/read_syscall",
    ] {
        let estimate = &at(pointer)?["estimate"];
        ensure!(
            estimate.as_f64().is_some_and(|ns| ns > 0.0),
            "{pointer}: {estimate}"
        );
    }
    for pointer in ["/macro/difference", "/macro/a_a_difference", "/agreement"] {
        ensure!(!at(pointer)?.is_null(), "{pointer}");
    }
    ensure!(*at("/not_usable")? == serde_json::json!([]));
    // One read a request, and one at the end of each of the four connections, as with our own hook: unless the server
    // has seen that end only after the probes were gone, and then neither this read nor the closing is recorded.
    let ledger = at("/ledger")?;
    ensure!(ledger["balanced"] == true, "{ledger}");
    let hits = |probe: &str| ledger["probes"][probe]["hits"].as_u64();
    let closed = hits("site_closed").context("site_closed")?;
    ensure!(closed <= 4, "{ledger}");
    ensure!(hits("site_accepted") == Some(4), "{ledger}");
    let reads = hits("site_read_done").context("site_read_done")?;
    ensure!((2_000 + closed..=2_000 + 4).contains(&reads), "{ledger}");
    let join = at("/join")?;
    ensure!(
        join["matched"] == 2_000 && join["outside_sent_done"] == 0,
        "{join}"
    );
    nothing_left(kit)
}

/// The sites and the kernel pair are held against each other, read by read.
fn makes_reads_up(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let reader = compile_c(folder.path(), READER, &[])?;
    for makes_up in [0, 1] {
        let source = format!("#define _GNU_SOURCE\n#define MAKES_UP {makes_up}\n{ANSWERS}");
        let name = format!("answers-{makes_up}.c");
        let hook = library(folder.path(), &["cc"], &name, &source)?;
        let mut command = Command::new(&reader);
        command.env("LD_PRELOAD", &hook);
        let process = Running::start(command)?;
        let maps = format!("/proc/{}/maps", process.pid());
        wait_for("the hook to be loaded", || {
            let maps = fs::read_to_string(&maps)?;
            Ok(maps.contains(&format!("answers-{makes_up}.so")))
        })?;
        let mut trace = kit.command("probe-user");
        trace
            .args(["trace", "--json", "--calibration-rounds=0", "--duration=1"])
            .args(exact_kernel_probe())
            .args(["--pid", &process.pid().to_string()]);
        let output = output(&mut trace)?;
        let trace = json(&output)?;
        let ledger = &trace["ledger"];
        let site = &ledger["probes"]["site_read_done"];
        let count = |name: &str| site[name].as_u64().context(name.to_owned());
        let [hits, recorded, unexplained] =
            [count("hits")?, count("recorded")?, count("unexplained")?];
        ensure!(recorded > 10, "{ledger}");
        if makes_up == 0 {
            ensure!(
                output.status.success() && ledger["balanced"] == true,
                "{ledger}"
            );
            continue;
        }
        // Reads alternate. The first that is seen of a thread explains itself.
        ensure!(unexplained.abs_diff(hits / 2) <= 1, "{ledger}");
        ensure!(
            ledger["causes"]["site_without_syscall"] == unexplained,
            "{ledger}"
        );
        ensure!(ledger["balanced"] == false, "{ledger}");
        ensure!(output.status.code() == Some(4));
    }
    Ok(())
}

fn waits(kit: &Kit) -> anyhow::Result<()> {
    const DELAY_NS: f64 = 200_000.0;
    let folder = kit.scratch()?;
    let hook = example(folder.path())?;
    let mut bench = kit.bench();
    bench
        .args(["--json", "--requests=600", "--blocks=6", "--warmup=50"])
        .args(["--block-warmup=20", "--calibration-rounds=0"])
        .args(exact_kernel_probe())
        .arg("--hook")
        .arg(&hook)
        .arg(format!("--hook-env=READHOOK_DELAY_NS={DELAY_NS}"))
        .arg("--out")
        .arg(folder.path().join("run"));
    let analysis = json(&succeed(&mut bench)?)?;
    for layer in ["/in_situ/hook_overhead", "/macro/difference"] {
        let found = analysis.pointer(layer).context(layer)?;
        let measured_ns = found["estimate"].as_f64().context("no estimate")?;
        let most_ns = found["ci95"][1].as_f64().context("no interval")?;
        // A busy-wait can only be longer, as far as six blocks can tell; a factor guards the unit.
        ensure!(
            (DELAY_NS / 10.0..10.0 * DELAY_NS).contains(&measured_ns) && most_ns > 0.9 * DELAY_NS,
            "{layer}: {found}"
        );
    }
    nothing_left(kit)
}

/// What is asked of our hook is asked of the one that people copy from.
fn keeps_the_c_contract(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = example(folder.path())?;
    let program = compile_c(folder.path(), include_str!("c/contract.c"), &["-pthread"])?;
    let output = succeed(Command::new(&program).env("LD_PRELOAD", &hook))?;
    ensure!(output.stdout == b"the contract holds\n");
    ensure!(output.stderr.starts_with(b"interposer: "), "not loaded");
    Ok(())
}

fn nonsense(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let hook = example(folder.path())?;
    for nonsense in ["1e3", "-1", "60000000001", "99999999999999999999", "5 "] {
        let mut cat = Command::new("cat");
        cat.arg("/dev/null")
            .env("LD_PRELOAD", &hook)
            .env("READHOOK_DELAY_NS", nonsense);
        let said = succeed(&mut cat)?.stderr;
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(
            said.starts_with("readhook: READHOOK_DELAY_NS must be a whole number"),
            "{nonsense}: {said}"
        );
    }
    let mut bench = kit.bench();
    bench
        .args([
            "--requests=100",
            "--blocks=2",
            "--warmup=10",
            "--block-warmup=5",
            "--hook",
        ])
        .arg(&hook)
        .args(["--hook-env", "READHOOK_DELAY_NS=soon", "--out"])
        .arg(folder.path().join("run"));
    fail(&mut bench, 1, &["READHOOK_DELAY_NS must be a whole number"])
}

/// A site as readelf prints it: provider, name, arguments.
fn sites(library: &Path) -> anyhow::Result<Vec<[String; 3]>> {
    let notes = succeed(Command::new("readelf").arg("--notes").arg(library))?;
    let notes = String::from_utf8(notes.stdout)?;
    let field = |name: &str| -> Vec<String> {
        let lines = notes
            .lines()
            .filter_map(|line| line.trim().strip_prefix(name));
        lines.map(|value| value.trim().to_owned()).collect()
    };
    let (providers, names, arguments) = (field("Provider:"), field("Name:"), field("Arguments:"));
    let mut sites: Vec<[String; 3]> = providers
        .into_iter()
        .zip(names)
        .zip(arguments)
        .map(|((provider, name), arguments)| [provider, name, arguments])
        .collect();
    sites.sort();
    Ok(sites)
}

fn same_sites(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let ours = sites(&kit.path("readhook.so"))?;
    ensure!(ours.len() == 3, "{ours:?}");
    for (compiler, file) in [
        (
            &["cc", "-std=c99", "-D_GNU_SOURCE", "-pedantic"][..],
            "everything.c",
        ),
        (&["c++", "-std=c++11", "-pedantic"], "everything.cpp"),
    ] {
        let theirs = sites(&library(folder.path(), compiler, file, EVERYTHING)?)?;
        ensure!(theirs == ours, "{compiler:?}: {theirs:?}, not {ours:?}");
    }
    let compiler = ["cc", "-D_GNU_SOURCE", "-DHOOKPROBE_PROVIDER=\"other\""];
    let renamed = sites(&library(folder.path(), &compiler, "other.c", EVERYTHING)?)?;
    let expected: Vec<_> = ours
        .into_iter()
        .map(|[_, name, arguments]| ["other".to_owned(), name, arguments])
        .collect();
    ensure!(renamed == expected, "{renamed:?}");
    Ok(())
}
