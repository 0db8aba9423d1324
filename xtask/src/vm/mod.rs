//! Proofs in virtual machines with other kernels.

mod initramfs;
mod kernel;
mod qemu;

use anyhow::{Context as _, bail, ensure};

use crate::command::{Stages, cargo, command, is_installed, output, run, target};
use crate::setup;

/// What the guest's init prints before the standard output of the program that it ran.
const STDOUT_MARK: &str = "guest: stdout";

/// `probe-user bench --kernel-probe kprobe` from end to end on a Debian 6.1 kernel.
pub fn kprobe_bench(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("qemu", install_qemu)?;
    let kernel = stages.run("kernel", || {
        kernel::fetch("bookworm", "linux-image-cloud-amd64")
    })?;
    let init = stages.run("init of the guest", build_init)?;
    // Emulated instruction by instruction, so little must do.
    let bench = [
        "/bin/probe-user",
        "bench",
        "--kernel-probe=kprobe",
        "--requests=300",
        "--blocks=3",
        "--warmup=20",
        "--block-warmup=5",
        "--micro-calls=50",
        "--json",
        "--out=/tmp/run",
    ];
    let image = stages.run("initramfs", || initramfs::build(&init, &bench))?;
    let console = stages.run("guest", || qemu::boot(&kernel, &image))?;
    let analysis = json_in(&console)?;
    check(&analysis)?;
    println!(
        "kernel {}",
        analysis["environment"]["kernel"].as_str().unwrap_or("?")
    );
    println!("ledger {}", analysis["ledger"]);
    println!("join {}", analysis["join"]);
    for layer in [
        "/micro/hook_overhead",
        "/in_situ/hook_overhead",
        "/macro/difference",
    ] {
        let estimate = analysis.pointer(layer).context("a layer is missing")?;
        println!(
            "{layer}: {} ns {} (emulated: no figure to quote)",
            estimate["estimate"], estimate["ci95"]
        );
    }
    Ok(())
}

/// Checks what the guest's bench must have found.
fn check(analysis: &serde_json::Value) -> anyhow::Result<()> {
    let in_situ = &analysis["in_situ"];
    ensure!(in_situ["missing"].is_null(), "no in-situ layer: {in_situ}");
    ensure!(
        in_situ["read_syscall"].is_object(),
        "no syscall spans: {in_situ}"
    );
    let ledger = &analysis["ledger"];
    ensure!(
        ledger["balanced"] == true,
        "the ledger does not balance: {ledger}"
    );
    let join = &analysis["join"];
    ensure!(
        join["requests"] == 300 && join["matched"] == 300,
        "not every request joined: {join}"
    );
    ensure!(
        join["outside_sent_done"] == 0,
        "reads outside of their requests: {join}"
    );
    Ok(())
}

/// The JSON document that a guest printed on its console.
fn json_in(console: &str) -> anyhow::Result<serde_json::Value> {
    let (_, document) = console
        .split_once(STDOUT_MARK)
        .context("the guest's program did not end")?;
    let mut values = serde_json::Deserializer::from_str(document).into_iter();
    values
        .next()
        .context("the guest printed no JSON")?
        .context("the guest's JSON")
}

fn install_qemu() -> anyhow::Result<()> {
    if !is_installed("qemu-system-x86_64") {
        setup::install_packages(&["qemu-system-x86"]);
    }
    if !is_installed("qemu-system-x86_64") {
        bail!(
            "qemu-system-x86_64 is not installed, and could not be (Debian package qemu-system-x86)"
        );
    }
    Ok(())
}

/// Builds the guests' init, statically linked.
fn build_init() -> anyhow::Result<std::path::PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let libraries =
        output(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let libraries = String::from_utf8(libraries.stdout)?;
    if !std::path::Path::new(libraries.trim()).is_dir() {
        eprintln!("installing the Rust target {TARGET}");
        run(command("rustup").args(["target", "add", TARGET]))?;
    }
    run(cargo().args([
        "build",
        "--release",
        "--package",
        "guest-init",
        "--target",
        TARGET,
    ]))?;
    Ok(target().join(TARGET).join("release/guest-init"))
}
