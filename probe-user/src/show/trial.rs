//! The tables of a trial.

use cli::outln;
use runlog::analysis::Macro;
use runlog::estimate::Estimate;
use runlog::trial::{ArmEffect, BracketInSitu, CountsCheck, Doses, SlicesResult, TrialResult};

use crate::show::{BAD, cells, cells_or_dash, heading, ns, or_dash, table};

/// Prints it.
pub fn print(trial: &TrialResult) {
    if let Some(slices) = &trial.slices {
        of_slices(slices, trial.processes);
        heading("response times in these slices".to_owned());
    } else {
        heading(format!(
            "request by request, within {} processes of the server",
            trial.processes
        ));
    }
    effects(trial);
    if let Some(in_situ) = &trial.in_situ {
        of_in_situ(in_situ);
    }
    if let Some(estimate) = &trial.in_situ_sources_differ_by {
        let [value, interval, _] = cells(estimate);
        outln!(
            "in situ by eBPF minus by the bracket's records, after the read: {value} {interval}"
        );
    }
    budgets(trial);
    controls(trial);
    match &trial.counts {
        Some(counts) => of_counts(counts, trial.is_server_log()),
        None => outln!("{BAD}the servers' counts are missing{BAD:#}"),
    }
}

/// By slices of time: what the hook costs everyone.
fn of_slices(slices: &SlicesResult, processes: usize) {
    heading(format!(
        "time per completed request, by {} rounds of slices of {} and twice that, within {}",
        slices.rounds,
        ns(slices.slice_ns as f64),
        match processes {
            1 => "one process of the server".to_owned(),
            processes => format!("{processes} processes of the server"),
        }
    ));
    let mut table = table(&["minus off", "difference", "95 % interval", ""], 1);
    for (arm, effect) in &slices.effects {
        table.add_row([arm.clone()].into_iter().chain(cells(effect)));
    }
    outln!("{table}");
    outln!(
        "time per completed request of off: {}; washout {}",
        short(slices.per_completed.as_ref()),
        ns(slices.washout_ns as f64)
    );
    of_responses(slices);
    for (what, change) in [
        ("the washout", &slices.washout_doubled),
        ("slices", &slices.slices_doubled),
    ] {
        outln!(
            "with {what} twice as long the longest delay costs more by {}",
            short(change.as_ref())
        );
    }
    if let Some(carried) = &slices.carry_over {
        outln!(
            "behind a slice of that delay a request takes longer by {}",
            short(Some(carried))
        );
    }
}

/// What one ns in the hook costs at this load.
fn of_responses(slices: &SlicesResult) {
    if slices.responses.is_empty() {
        return;
    }
    let delays = slices.responses.values().next().map(|doses| &doses.arms);
    let arms = delays.into_iter().flatten();
    let arms: Vec<String> = arms
        .map(|dose| format!("{} ({})", dose.arm, ns(dose.delay_ns)))
        .collect();
    let header = ["dose and response", "for 1 ns in the hook"];
    let header: Vec<&str> = header
        .into_iter()
        .chain(arms.iter().map(String::as_str))
        .collect();
    let mut table = table(&header, 1);
    for (name, doses) in &slices.responses {
        let effects = doses.arms.iter().map(|dose| short(Some(&dose.effect)));
        let slope = short(doses.slope.as_ref());
        table.add_row([name.replace('_', " "), slope].into_iter().chain(effects));
    }
    outln!("{table}");
}

fn short(estimate: Option<&Estimate>) -> String {
    or_dash(estimate, |estimate| {
        let [value, interval, _] = cells(estimate);
        format!("{value} {interval}")
    })
}

fn effects(trial: &TrialResult) {
    let header = [
        "minus off",
        "requests",
        "undisturbed",
        "median",
        "body of the mean",
        "tail of the mean",
        "mean",
    ];
    let mut table = table(&header, 1);
    for (arm, effect) in &trial.effects {
        let undisturbed = trial.undisturbed.as_ref();
        let undisturbed = undisturbed.and_then(|of| of.effects.get(arm));
        let undisturbed = short(undisturbed.map(|of| &of.end_to_end));
        let [requests, parts @ ..] = of_effect(effect);
        table.add_row(
            [arm.clone(), requests, undisturbed]
                .into_iter()
                .chain(parts),
        );
    }
    outln!("{table}");
    if let Some(undisturbed) = &trial.undisturbed {
        outln!(
            "undisturbed: modes of the {:.0} % of requests that began as most do, before the hook could have an effect",
            100.0 * undisturbed.share
        );
    }
    of_threshold(trial.threshold_ns);
}

/// Requests, median, body, tail and mean.
fn of_effect(effect: &ArmEffect) -> [String; 5] {
    [
        effect.requests.to_string(),
        short(effect.typical.as_ref()),
        short(effect.body.as_ref()),
        short(effect.tail.as_ref()),
        short(effect.mean.as_ref()),
    ]
}

fn of_threshold(threshold_ns: Option<f64>) {
    if let Some(threshold_ns) = threshold_ns {
        outln!(
            "body: up to {} of each response time; tail: what is above; they add up to the difference of means",
            ns(threshold_ns)
        );
    }
}

/// Prints what arms differ by from the baseline, where whole servers are compared.
pub fn of_blocks(macro_: &Macro, baseline: &str) {
    if macro_.effects.is_empty() {
        return;
    }
    heading("end to end, by what is asked of requests");
    let minus = format!("minus {baseline}");
    let header = [
        minus.as_str(),
        "requests",
        "median",
        "body of the mean",
        "tail of the mean",
        "mean",
    ];
    let mut table = table(&header, 1);
    for (arm, effect) in &macro_.effects {
        table.add_row([arm.clone()].into_iter().chain(of_effect(effect)));
    }
    outln!("{table}");
    of_threshold(macro_.threshold_ns);
}

fn of_in_situ(in_situ: &BracketInSitu) {
    let header = [
        "in situ by the bracket's records, on minus null",
        "mean",
        "95 % interval",
        "",
    ];
    let mut table = table(&header, 1);
    for (name, overhead) in [
        (
            "hook overhead of a request after the read",
            &in_situ.after_read,
        ),
        ("before and after it", &in_situ.whole),
    ] {
        let cells = cells_or_dash(overhead.mean.as_ref());
        table.add_row([name.to_owned()].into_iter().chain(cells));
    }
    outln!("{table}");
    if in_situ.blocking_reads {
        outln!("reads block: what the hook does before the read falls into idle time");
    }
}

fn budgets(trial: &TrialResult) {
    let Some((_, first)) = trial.budgets.first_key_value() else {
        return;
    };
    heading("where a request takes longer than one of off");
    let names = first.lines.iter().map(|line| line.name.as_str());
    let header: Vec<&str> = ["arm"].into_iter().chain(names).chain(["total"]).collect();
    let mut table = table(&header, 1);
    for (arm, budget) in &trial.budgets {
        let lines = budget
            .lines
            .iter()
            .map(|line| short(Some(&line.difference)));
        let cells = lines.chain([short(Some(&budget.total))]);
        table.add_row([arm.clone()].into_iter().chain(cells));
    }
    outln!("{table}");
}

fn controls(trial: &TrialResult) {
    let undisturbed = trial.undisturbed.as_ref();
    for (of, doses) in [
        ("in the body of the mean", trial.doses.as_ref()),
        (
            "by an undisturbed request",
            undisturbed.and_then(|of| of.doses.as_ref()),
        ),
    ] {
        if let Some(doses) = doses {
            of_doses(doses, of);
        }
    }
    if let Some(redrawn) = &trial.rerandomisation {
        outln!(
            "intervals of one process hold 0 in {:.1} % of {} redraws of arms that do the same (95 % is right)",
            100.0 * redrawn.share_holding,
            redrawn.intervals
        );
    }
    for contrast in &trial.carry_over {
        let others = contrast.lags.iter().filter(|lag| lag.lag != 0);
        let least = others
            .filter_map(|lag| Some((lag.p?, lag)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((p, lag)) = least {
            let on = match lag.lag {
                -1 => "the request before".to_owned(),
                later => format!("the request {later} later"),
            };
            outln!(
                "carry-over of {}: the strongest is that on {on}, {} (p {p:.3} by Holm)",
                contrast.contrast,
                short(Some(&lag.effect))
            );
        }
    }
}

fn of_doses(doses: &Doses, of: &str) {
    for dose in &doses.arms {
        let how = if dose.is_measured {
            ""
        } else {
            ", as asked for"
        };
        outln!(
            "{}: delayed by {}{how}, seen {of} as {}",
            dose.arm,
            ns(dose.delay_ns),
            short(Some(&dose.effect))
        );
    }
    outln!("slope of doses {of}: {}", short(doses.slope.as_ref()));
}

fn of_counts(counts: &CountsCheck, is_server_log: bool) {
    if is_server_log {
        outln!("the servers drew arms for {} requests", counts.requests);
    } else if counts.differing.is_empty() {
        outln!(
            "client and servers counted the same arms for {} requests",
            counts.requests
        );
    }
    for differing in &counts.differing {
        outln!(
            "{BAD}server {}, arm {}: the server drew {} requests, the client has {} answers{}{BAD:#}",
            differing.server + 1,
            differing.arm,
            differing.drawn,
            differing.answered,
            if differing.uncertain > 0 {
                format!(" and {} requests without one", differing.uncertain)
            } else {
                String::new()
            }
        );
    }
    let records = counts.records;
    outln!(
        "records: {} begun, {} read, {} overwritten, {} torn, {} calls too long for one",
        records.begun,
        records.read,
        records.overwritten,
        records.torn,
        records.unrecordable
    );
    for (count, what) in [
        (counts.off_boundary, "requests began off a boundary"),
        (counts.beyond_request, "calls read beyond their request"),
        (counts.without_salt, "first requests had no salt"),
        (counts.unreached, "hooked calls never got behind the hook"),
        (
            counts.misplaced,
            "records belong to no request, or to another arm",
        ),
    ] {
        if count > 0 {
            outln!("{BAD}{count} {what}{BAD:#}");
        }
    }
}
