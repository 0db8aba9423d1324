//! Proofs in virtual machines with other kernels.

mod initramfs;
mod kernel;
mod qemu;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::command::{Stages, cargo, command, is_installed, output, run, target};
use crate::setup;

/// What the guest's init prints before the standard output of the program that it ran.
const STDOUT_MARK: &str = "guest: stdout";

/// The estimate of each layer, in the analysis.
const LAYERS: [&str; 3] = [
    "/micro/hook_overhead",
    "/in_situ/hook_overhead",
    "/macro/difference",
];

/// `probe-user bench --kernel-probe kprobe` from end to end on a Debian 6.1 kernel.
pub fn kprobe_bench(stages: &mut Stages) -> anyhow::Result<()> {
    stages.run("qemu", install_qemu)?;
    let kernel = stages.run("kernel", || {
        kernel::fetch("bookworm", "linux-image-cloud-amd64")
    })?;
    let init = stages.run("init of the guest", build_init)?;
    // Emulated instruction by instruction, so little must do. A kernel probe that is asked for by
    // name is taken or there is none: with syscall spans in the result, it was this one.
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
    for layer in LAYERS {
        let estimate = estimate(&analysis, layer)?;
        println!(
            "{layer}: {} ns {} (emulated: no figure to quote)",
            estimate["estimate"], estimate["ci95"]
        );
    }
    Ok(())
}

/// An estimate in the analysis, which has null in the place of one that is missing.
fn estimate<'a>(analysis: &'a Value, place: &str) -> anyhow::Result<&'a Value> {
    let estimate = analysis.pointer(place).unwrap_or(&Value::Null);
    ensure!(
        estimate["estimate"].is_number(),
        "there is no estimate at {place}: {}",
        place
            .split('/')
            .nth(1)
            .map_or(&Value::Null, |layer| &analysis[layer])
    );
    Ok(estimate)
}

/// Checks what the guest's bench must have found.
fn check(analysis: &Value) -> anyhow::Result<()> {
    for place in LAYERS.into_iter().chain(["/in_situ/read_syscall"]) {
        estimate(analysis, place)?;
    }
    let probes = &analysis["probes"];
    ensure!(
        probes["kernel_probe"] == "kprobe",
        "not by kprobe: {probes}"
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
fn json_in(console: &str) -> anyhow::Result<Value> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_layer_and_the_ledger_must_be_there() {
        let good = json!({
            "micro": {"hook_overhead": {"estimate": 1.5}},
            "in_situ": {
                "hook_overhead": {"estimate": 2.5},
                "read_syscall": {"estimate": 3},
                "missing": null
            },
            "macro": {"difference": {"estimate": -4.5}},
            "probes": {"kernel_probe": "kprobe"},
            "ledger": {"balanced": true},
            "join": {"requests": 300, "matched": 300, "outside_sent_done": 0}
        });
        check(&good).unwrap();
        for place in [
            "/micro/hook_overhead",
            "/in_situ/hook_overhead",
            "/in_situ/read_syscall",
            "/macro/difference",
            "/macro/difference/estimate",
            "/macro",
            "/probes",
            "/probes/kernel_probe",
            "/ledger",
            "/join/matched",
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = Value::Null;
            assert!(check(&bad).is_err(), "{place}");
        }
    }
}
