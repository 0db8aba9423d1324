//! The bench in guests whose nanoseconds are instructions.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::bench::trace::figures::{BARE_PAIR, Figures, OfKernel};
use crate::command::{Stages, release, together};
use crate::vm::architecture::Architecture;
use crate::vm::guest::{self, Guest};
use crate::vm::kernels::{self, KERNELS, Kernel};

/// The most that two rounds may differ, as a share, for a figure to be kept and compared. Most differ by
/// less than one in a thousand.
const REPEATABLE: f64 = 0.1;

/// Half of the width of Student's 95 % interval of two values, for each unit that they are apart:
/// t(0.975, 1) / 2.
const HALF_WIDTH_OF_TWO: f64 = 12.706 / 2.0;

/// Counts on the kernels with these names, or on all of this machine's architecture.
pub fn count(names: &[String], stages: &mut Stages) -> anyhow::Result<Figures> {
    let kernels = if names.is_empty() {
        let native = |kernel: &Kernel| kernel.architecture == Architecture::X86_64;
        KERNELS.into_iter().filter(native).collect()
    } else {
        kernels::select(names)?
    };
    ensure!(
        kernels
            .iter()
            .all(|kernel| kernel.architecture == Architecture::X86_64),
        "instructions are counted on the kernels of x86-64 alone"
    );
    stages.run("init of the guests", || {
        guest::install_tools(Architecture::X86_64)?;
        guest::build_init(Architecture::X86_64)
    })?;
    let mut figures = Figures::default();
    // Instructions stay the same beside another guest. Each takes one core.
    for pair in kernels.chunks(2) {
        let names: Vec<_> = pair.iter().map(|kernel| kernel.name).collect();
        let counted = stages.run(&format!("kernels {}", names.join(", ")), || match *pair {
            [first, second] => {
                let (first, second) = together(|| count_on(first), || count_on(second))?;
                Ok(vec![first, second])
            }
            _ => pair.iter().map(|kernel| count_on(*kernel)).collect(),
        })?;
        for (name, of_kernel) in names.into_iter().zip(counted) {
            figures.insert(name, of_kernel);
        }
    }
    Ok(figures)
}

fn count_on(kernel: Kernel) -> anyhow::Result<OfKernel> {
    let guest = Guest {
        name: &format!("bench-trace-{}", kernel.name),
        kernel,
        programs: &[release().join("bench")],
        // Each round would find the same: two are what an interval takes.
        command: &[
            "/bin/bench",
            "trace",
            "--rounds=2",
            "--batches=100",
            "--seed=1",
            // What the boot leaves to do is done on the same CPU. Idle time passes at once.
            "--wait-s=10",
            "--no-peers",
            "--json",
        ],
        counts_instructions: true,
    };
    let ended = guest.run()?;
    let stdout = ended.stdout();
    let Ok(report) = serde_json::from_str::<Value>(&stdout) else {
        ended.succeeded()?;
        bail!("the guest printed no JSON");
    };
    // A state that is missing here and kept in the repository is a fault that the comparison finds.
    for missing in report["missing"].as_array().into_iter().flatten() {
        let [name, reason] = ["name", "reason"].map(|key| missing[key].as_str().unwrap_or("?"));
        println!("kernel {}: {name}: {reason}", kernel.name);
    }
    figures_of(&report)
}

/// The figures in a report: what each state adds to the call that it watches, and to an untraced read
/// where it adds anything.
fn figures_of(report: &Value) -> anyhow::Result<OfKernel> {
    let states = report["states"].as_array().context("no states")?;
    let mut figures = OfKernel::new();
    for state in states {
        let name = state["name"].as_str().context("a state without a name")?;
        if name.starts_with("nothing") {
            continue;
        }
        let added = |call: &str| state[call]["added_ns"]["estimate"].as_f64();
        let rounds_differ_by = |call: &str| {
            let [low, high] = [0, 1].map(|end| state[call]["added_ns"]["ci95"][end].as_f64());
            Some((high? - low?) / 2.0 / HALF_WIDTH_OF_TWO)
        };
        let on_function = name == BARE_PAIR || name == "trace --symbol";
        let call = if on_function {
            "function_call"
        } else {
            "traced_read"
        };
        let figure = added(call).with_context(|| format!("{name}: nothing measured"))?;
        if rounds_differ_by(call).is_none_or(|apart| apart > REPEATABLE * figure.abs()) {
            println!("{name}: left out, as the two rounds differ; their mean is {figure:.0}");
            continue;
        }
        figures.insert(name.to_owned(), figure);
        if !on_function {
            let figure = added("untraced_read").with_context(|| format!("{name}, untraced"))?;
            // What is next to nothing has no percentage.
            if figure >= 20.0 {
                figures.insert(format!("{name}: untraced read"), figure);
            }
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(name: &str, traced: f64, function: f64, untraced: f64) -> Value {
        let added = |value: f64| json!({"added_ns": {"estimate": value, "ci95": [value, value]}});
        json!({
            "name": name,
            "traced_read": added(traced),
            "function_call": added(function),
            "untraced_read": added(untraced),
        })
    }

    #[test]
    fn each_state_counts_on_the_call_that_it_watches() {
        let report = json!({"states": [
            {"name": "nothing"},
            state("hook sites + tp-btf", 2_000.0, 1.0, 200.0),
            state("hook sites alone", 900.0, 1.0, 0.4),
            state(BARE_PAIR, 2.0, 3_000.0, 0.0),
        ]});
        let figures = figures_of(&report).unwrap();
        let expected = [
            (BARE_PAIR, 3_000.0),
            ("hook sites + tp-btf", 2_000.0),
            ("hook sites + tp-btf: untraced read", 200.0),
            ("hook sites alone", 900.0),
        ];
        let expected: OfKernel = expected
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        assert_eq!(figures, expected);
        let without =
            json!({"states": [{"name": "hook sites alone", "traced_read": {"added_ns": null}}]});
        assert!(figures_of(&without).is_err());
    }
}
