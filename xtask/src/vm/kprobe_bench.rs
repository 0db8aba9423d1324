//! The bench with kprobe and kretprobe, from end to end in a guest.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::Stages;
use crate::vm::guest::{self, Guest};
use crate::vm::kernels;

/// The estimate of each layer, in the analysis.
const LAYERS: [&str; 3] = [
    "/micro/hook_overhead",
    "/in_situ/hook_overhead",
    "/macro/difference",
];

/// `probe-user bench --kernel-probe kprobe` from end to end on a Debian 6.1 kernel.
pub fn kprobe_bench(stages: &mut Stages) -> anyhow::Result<()> {
    let kernel = kernels::by_name("6.1")?;
    stages.run("kernel 6.1", || {
        guest::install_tools(kernel.architecture)?;
        kernel.image()
    })?;
    stages.run("init of the guest", || {
        guest::build_init(kernel.architecture)
    })?;
    // Emulated instruction by instruction, so little must do. A kernel probe that is asked for by
    // name is taken or there is none: with syscall spans in the result, it was this one.
    let bench = [
        "/bin/probe-user",
        "bench",
        "--order=rmit",
        "--kernel-probe=kprobe",
        "--requests=300",
        "--blocks=3",
        "--warmup=20",
        "--block-warmup=5",
        "--micro-calls=50",
        "--json",
        "--out=/tmp/run",
    ];
    let guest = Guest {
        name: "kprobe-guest",
        kernel,
        programs: &[],
        command: &bench,
        counts_instructions: false,
    };
    let ended = stages.run("guest", || guest.run())?;
    ended.succeeded()?;
    let analysis: Value =
        serde_json::from_str(&ended.stdout()).context("the guest printed no JSON")?;
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
