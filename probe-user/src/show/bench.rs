//! The table of `probe-user bench`.

use cli::outln;
use runlog::RunDirectory;
use runlog::analysis::{Agreement, Analysis, Verdict};
use runlog::estimate::Estimate;
use runlog::manifest::{Manifest, Scheduling, schedule};

use crate::show::budget;
use crate::show::calibration::print_missing;
use crate::show::{
    BAD, GOOD, cells, cells_or_dash, heading, join, ledger, list, machine, ns, table,
};

/// Prints a result.
pub fn print(analysis: &Analysis, manifest: &Manifest, run: &RunDirectory) {
    set_up(manifest);
    layers(analysis);
    if let Some(calibration) = &manifest.calibration {
        print_missing(calibration);
    }
    if let Some(agreement) = &analysis.agreement {
        verdict(agreement);
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
    failures(analysis);
    outln!("\nwritten to {}", run.root().display());
    if run.report().exists() {
        outln!("report: {}", run.report().display());
    }
    for reason in &analysis.not_usable {
        outln!("{BAD}not usable{BAD:#}: {reason}");
    }
}

fn set_up(manifest: &Manifest) {
    machine(&manifest.environment);
    if manifest.schedule.order != schedule::RMIT {
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

fn layers(analysis: &Analysis) {
    let header = ["layer", "what", "mean", "95 % interval", "blocks"];
    let mut table = table(&header, 2);
    let mut row = |layer: &str, what: &str, estimate: Option<&Estimate>| {
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
    if let Some(cold) = &analysis.micro.hook_overhead_cold {
        row("", "with caches and predictors evicted", Some(cold));
    }
    row(
        "in situ",
        "hook overhead of one read, in the server",
        in_situ.hook_overhead.as_ref(),
    );
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
        "hooked minus baseline, end to end",
        macro_.difference.as_ref(),
    );
    row(
        "",
        "A/A: baseline-2 minus baseline",
        macro_.a_a_difference.as_ref(),
    );
    row(
        "",
        "probe effect: attached minus detached",
        analysis.probe_effect.as_ref(),
    );
    heading("hook overhead at three layers");
    outln!("{table}");
    outln!(
        "means of blocks trimmed by {:.0} % at each end; differences: {}",
        100.0 * analysis.trim_each_end,
        macro_
            .difference
            .as_ref()
            .map_or("none", |difference| &difference.method),
    );
    for warning in &analysis.warnings {
        outln!("{BAD}beware{BAD:#}: {warning}");
    }
    for (layer, missing) in [
        ("micro", &analysis.micro.missing),
        ("in situ", &in_situ.missing),
        ("macro", &macro_.missing),
    ] {
        if let Some(reason) = missing {
            outln!("{BAD}no {layer} layer{BAD:#}: {reason}");
        }
    }
}

fn verdict(agreement: &Agreement) {
    let [per_request, ..] = cells(&agreement.in_situ_per_request);
    let [unexplained, interval, _] = cells(&agreement.unexplained);
    let resolution = ns(agreement.resolution_ns);
    match agreement.verdict {
        Verdict::Agree => outln!(
            "{GOOD}the layers agree{GOOD:#} to within {resolution}: in situ explains {per_request} a \
             request; the rest of the macro difference, {unexplained} {interval}, is not told from 0"
        ),
        Verdict::Unresolved => {
            let more = agreement.blocks_more.map_or_else(
                || "more blocks would help".to_owned(),
                |more| format!("about {more} blocks more would do"),
            );
            outln!(
                "{BAD}the macro layer does not resolve this hook{BAD:#}: in situ it costs {per_request} \
                 a request, and less than {resolution} cannot be seen end to end; {more}"
            );
        }
        Verdict::Differ => differ(agreement),
        Verdict::Withheld => {
            outln!(
                "{BAD}no verdict{BAD:#}: in situ explains {per_request} a request, which leaves \
                 {unexplained} {interval} of the macro difference, but"
            );
            for reason in &agreement.withheld {
                outln!("  {reason}");
            }
        }
    }
    if let Some(share) = &agreement.explained_share {
        let [low, high] = share.ci95.map(|end| 100.0 * end);
        outln!(
            "share of the macro difference that in situ explains: {:.0} % [{low:.0} %, {high:.0} %]",
            100.0 * share.estimate
        );
    }
}

/// Says by how much the layers differ, and in which line of the budget.
fn differ(agreement: &Agreement) {
    let [per_request, ..] = cells(&agreement.in_situ_per_request);
    if agreement.unexplained.estimate > 0.0 {
        let [unexplained, interval, _] = cells(&agreement.unexplained);
        outln!(
            "{BAD}the layers differ{BAD:#}: in situ explains {per_request} a request; the macro \
             difference is {unexplained} {interval} more: part of the cost lies outside of the call, \
             as in caches and branch predictors"
        );
    } else {
        let less = Estimate {
            estimate: -agreement.unexplained.estimate,
            ci95: agreement.unexplained.ci95.map(|end| -end),
            ..agreement.unexplained.clone()
        };
        let [high, low] = less.ci95;
        let [less, interval, _] = cells(&Estimate {
            ci95: [low, high],
            ..less
        });
        outln!(
            "{BAD}the layers differ{BAD:#}: in situ explains {per_request} a request; the macro \
             difference is {less} {interval} less: the call costs more while it is watched, or part \
             of it is hidden elsewhere in the request"
        );
    }
    if let Some(reads) = agreement.lines.get("read_syscall") {
        let [difference, interval, _] = cells(reads);
        let [low, high] = reads.ci95;
        let where_ = if low > 0.0 || high < 0.0 {
            "part of the difference is there"
        } else {
            "it is not there: look at application, write_syscall and rest"
        };
        outln!(
            "budget line read_syscall, the one that both arms show: hooked minus baseline {difference} \
             {interval} a read; {where_}"
        );
    }
}

fn failures(analysis: &Analysis) {
    for (arm, requests) in &analysis.requests {
        for (kind, count) in &requests.failed {
            outln!("{count} of {} requests to arm {arm}: {kind}", requests.sent);
        }
    }
}
