//! What the agent has made of a run, as people read it.

use cli::{out, outln};
use runlog::agent_run::{AgentPart, ArmResult};
use runlog::analysis::ClockRelation;
use runlog::estimate::Estimate;

/// From so many bytes behind on, it is worth a word.
const WORTH_A_WORD: u64 = 8 << 20;

/// Prints it.
pub fn print(part: &AgentPart) {
    let result = part.run.as_ref().and_then(|run| run.result.as_ref());
    let id = part.run.as_ref().map_or("", |run| run.id.as_str());
    outln!("\nagent {}, run {id}", part.url);
    if let Some(result) = result {
        outln!(
            "{:<16} {:>10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10} {:>9}",
            "arm",
            "requests",
            "joined",
            "not",
            "other reads",
            "hook p50",
            "hook p99",
            "reads",
            "ledger"
        );
        for arm in &result.arms {
            print_arm(arm);
        }
        if let Some(trial) = &result.trial {
            match &trial.slices {
                Some(slices) => {
                    for (arm, effect) in &slices.effects {
                        print_effect(arm, "of the time per completed request", Some(effect));
                    }
                }
                None => {
                    for (arm, effect) in &trial.effects {
                        print_effect(arm, "end to end", effect.body.as_ref());
                    }
                }
            }
        }
        let word = if result.usable { "doubt" } else { "not usable" };
        for doubt in &result.doubts {
            outln!("{word}: {doubt}");
        }
    }
    if part.most_behind_bytes > WORTH_A_WORD {
        outln!(
            "the agent was up to {} MiB behind with the logs; the rest took {:.1} s after the load",
            part.most_behind_bytes >> 20,
            part.catch_up_s
        );
    }
    if let Some(trouble) = &part.trouble {
        outln!("{trouble}");
    }
}

fn print_effect(arm: &str, of: &str, effect: Option<&Estimate>) {
    if let Some(Estimate {
        estimate,
        ci95: [low, high],
        ..
    }) = effect
    {
        outln!("{arm} minus off, {of}: {estimate:.0} ns [{low:.0}, {high:.0}]");
    }
}

fn print_arm(arm: &ArmResult) {
    let reads = arm.spans.get("read_syscall").map_or(0, |spans| spans.count);
    let balances = if arm.ledger.balanced {
        "balances"
    } else {
        "does not"
    };
    out!("{:<16} {:>10}", arm.arm, arm.requests);
    match (&arm.join, arm.spans.get("hook_overhead")) {
        (Some(join), hook) => out!(
            " {:>10} {:>10} {:>12} {:>10} {:>10}",
            join.matched,
            join.requests - join.matched,
            join.reads_without_request,
            hook.map_or(String::new(), |hook| format!("{} ns", hook.p50_ns)),
            hook.map_or(String::new(), |hook| format!("{} ns", hook.p99_ns)),
        ),
        (None, Some(hook)) => out!(
            " {:>10} {:>10} {:>12} {:>7} ns {:>7} ns",
            hook.count,
            "",
            "",
            hook.p50_ns,
            hook.p99_ns
        ),
        (None, None) => out!("{:>57}", "no hook: nothing to join"),
    }
    outln!(" {reads:>10} {balances:>9}");
    let clocks = arm.join.as_ref().and_then(|join| join.clocks);
    if let Some(clocks) = clocks
        && matches!(
            clocks.relation,
            ClockRelation::Two | ClockRelation::AssumedTwo
        )
    {
        outln!(
            "  two clocks, {:.3} ms apart, within {:.1} µs",
            clocks.offset_ns / 1e6,
            clocks.bound_ns / 1e3
        );
    }
}
