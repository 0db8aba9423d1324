//! The table of `probe-user bench`.

use cli::outln;
use runlog::analysis::Analysis;
use runlog::estimate::Estimate;
use runlog::manifest::{Manifest, Scheduling};
use runlog::{Order, Role, RunDirectory};
use verdict::judgement::{Judgement, Part, Tone, judge};

use crate::show::calibration::print_missing;
use crate::show::{
    BAD, GOOD, UNSURE, cells, cells_or_dash, heading, join, ledger, list, machine, ns, table,
};
use crate::show::{budget, trial};

/// Prints a result.
pub fn print(analysis: &Analysis, manifest: &Manifest, run: &RunDirectory) {
    set_up(manifest);
    layers(analysis, manifest);
    if let Some(calibration) = &manifest.calibration {
        print_missing(calibration);
    }
    let judgement = judge(analysis, manifest.resources.as_ref());
    print_judgement(&judgement);
    if let Some(found) = &analysis.trial {
        trial::print(found);
    }
    if let Some(budget) = &analysis.budget {
        budget::print(budget);
    }
    if let Some(counts) = &analysis.ledger {
        ledger(counts);
    }
    if let Some(counts) = &analysis.join {
        join(counts);
    }
    outln!("\nwritten to {}", run.root().display());
    if run.report().exists() {
        outln!("report: {}", run.report().display());
    }
    if !analysis.is_usable() {
        outln!("{BAD}{}{BAD:#}", judgement.headline);
    }
}

fn set_up(manifest: &Manifest) {
    machine(&manifest.environment);
    if manifest.schedule.order != Order::Rmit {
        outln!("order: {}", manifest.schedule.order);
    }
    let placement = &manifest.placement;
    outln!(
        "CPUs: servers {}, load generator {}, agent {} ({}{})",
        list(&placement.sut_cpus),
        list(&placement.loadgen_cpus),
        list(&placement.agent_cpus),
        placement.policy,
        match placement.scheduling {
            Scheduling::Fair => "",
            Scheduling::Fifo => "; both real-time, SCHED_FIFO",
            Scheduling::Batch => "; both SCHED_BATCH",
        }
    );
    if let Some(probes) = &manifest.probes {
        outln!(
            "probes: kernel probe {}, hook site at +{} ({})",
            probes.kernel_probe,
            probes.site_offset,
            probes.site_offset_reason
        );
        for passed_over in &probes.passed_over {
            outln!(
                "  {} passed over: {}",
                passed_over.kernel_probe,
                passed_over.reason
            );
        }
    }
}

fn layers(analysis: &Analysis, manifest: &Manifest) {
    let [baseline, baseline_2, hooked] =
        [Role::Baseline, Role::Baseline2, Role::Hooked].map(|role| manifest.name_of(role));
    let header = ["layer", "what", "mean", "95 % interval", "blocks"];
    let mut table = table(&header, 2);
    let is_trial = analysis.trial.is_some();
    let mut row = |layer: &str, what: &str, estimate: Option<&Estimate>| {
        // A trial has its layers without eBPF, which the other lines take.
        if is_trial && layer.is_empty() && estimate.is_none() {
            return;
        }
        let cells = cells_or_dash(estimate);
        table.add_row([layer.to_owned(), what.to_owned()].into_iter().chain(cells));
    };
    let in_situ = &analysis.in_situ;
    let macro_ = &analysis.macro_;
    row(
        "micro",
        "hook overhead of one read, alone, hot",
        analysis.micro.hook_overhead.as_ref(),
    );
    if let Some(mean) = &analysis.micro.hook_overhead_mean {
        row("", "mean cost, rare costs in it", Some(mean));
    }
    if let Some(cold) = &analysis.micro.hook_overhead_cold {
        row("", "with caches and predictors evicted", Some(cold));
    }
    row(
        "in situ",
        "hook overhead of one read, in the server, mean",
        in_situ.hook_overhead.as_ref(),
    );
    if let Some(typical) = &in_situ.hook_overhead_typical {
        row("", "the same of a typical read (median)", Some(typical));
    }
    row(
        "",
        "less what timing adds",
        in_situ.hook_overhead_corrected.as_ref(),
    );
    row("", "read(2) in the kernel", in_situ.read_syscall.as_ref());
    row(
        "",
        "less what the kernel pair adds",
        in_situ.read_syscall_corrected.as_ref(),
    );
    row(
        "",
        "hooked reads per request",
        in_situ.calls_per_request.as_ref(),
    );
    row("", "bytes per hooked read", in_situ.bytes_per_call.as_ref());
    row(
        "macro",
        &format!("{hooked} minus {baseline}, end to end"),
        macro_.difference.as_ref(),
    );
    let typical = macro_
        .effects
        .get(hooked)
        .and_then(|of| of.typical.as_ref());
    if typical.is_some() {
        row("", "the same of a typical request (median)", typical);
    }
    let undisturbed = analysis
        .trial
        .as_ref()
        .and_then(|trial| Some(&trial.undisturbed.as_ref()?.of_hook()?.end_to_end));
    if undisturbed.is_some() {
        row(
            "",
            "the same of a request that nothing disturbs",
            undisturbed,
        );
    }
    row(
        "",
        &format!("A/A: {baseline_2} minus {baseline}"),
        macro_.a_a_difference.as_ref(),
    );
    for (arm, difference) in &macro_.other_differences {
        row("", &format!("{arm} minus {baseline}"), Some(difference));
    }
    row(
        "",
        "probe effect: attached minus detached",
        analysis.probe_effect.as_ref(),
    );
    heading("hook overhead at three layers");
    outln!("{table}");
    if let Some(difference) = &macro_.difference {
        outln!("differences of means: {}", difference.method);
    }
    trial::of_blocks(macro_, baseline);
}

/// Prints what is to be said first: here below the table that it is about.
fn print_judgement(judgement: &Judgement<'_>) {
    let style = match judgement.tone {
        Tone::Good => GOOD,
        Tone::Plain | Tone::Open => UNSURE,
        Tone::Bad => BAD,
    };
    outln!("\n{style}{}{style:#}", judgement.headline);
    for reason in &judgement.reasons {
        outln!("  {reason}");
    }
    for sentences in &judgement.text {
        let parts: Vec<String> = sentences.iter().map(part).collect();
        outln!("{}", parts.concat());
    }
}

fn part(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Estimate(_, estimate) => {
            let [value, interval, _] = cells(estimate);
            format!("{value} {interval}")
        }
        Part::Ns(_, value) => ns(*value),
        Part::Count(_, count) => count.to_string(),
    }
}
