//! The table of `probe-user trace`.

use std::collections::BTreeMap;

use cli::outln;
use runlog::trace::{Coverage, Interval, SpanSummary, Trace};

use crate::show::{heading, ledger, ns, table};

/// Prints a trace.
pub fn print(trace: &Trace) {
    for target in &trace.targets {
        let hook = match &target.hook {
            Some(hook) => format!("hook {hook}"),
            None => "no hook with probe sites".to_owned(),
        };
        outln!("process {} ({}), {hook}", target.pid, target.executable);
    }
    outln!(
        "kernel probe {}; attached for {:.3} s, until {}",
        trace.probes.kernel_probe,
        trace.duration_s,
        trace.ended
    );
    for passed_over in &trace.probes.passed_over {
        outln!(
            "  {} passed over: {}",
            passed_over.kernel_probe,
            passed_over.reason
        );
    }
    heading("spans");
    outln!("{}", spans(&trace.spans));
    if let Some(coverage) = &trace.coverage {
        outln!("{}", outside(*coverage));
    }
    ledger(&trace.ledger);
    if let Some(events) = &trace.events {
        outln!(
            "{} records in {}",
            trace.ledger.records_received,
            events.folder
        );
    }
}

/// How many reads the hook did not see, and why that may be.
fn outside(coverage: Coverage) -> String {
    let Coverage {
        reads,
        hooked,
        outside,
    } = coverage;
    if outside == 0 {
        return format!("reads outside of the hook: none; it covers all {hooked} of read(2)");
    }
    format!(
        "reads outside of the hook: {outside} of {reads} of read(2). They are of descriptors that it does not \
         track (files, pipes,\nconnections older than the hook or made by dup), or went past it: by a raw \
         system call, __read_chk, a Go runtime\n(docs/hook.md tells how to tell them apart)"
    )
}

/// The text of an interval.
pub fn interval(interval: &Interval) -> String {
    let Interval {
        from_s, until_s, ..
    } = interval;
    format!(
        "from {from_s:.3} to {until_s:.3} s\n{}\n",
        spans(&interval.spans)
    )
}

/// A table of spans by kind.
pub(super) fn spans(spans: &BTreeMap<String, SpanSummary>) -> String {
    if spans.is_empty() {
        return "none: the processes made no call that is probed".to_owned();
    }
    let is_corrected = spans.values().any(|span| span.corrected.is_some());
    let corrected: &[&str] = if is_corrected {
        &["less what probing adds", "±"]
    } else {
        &[]
    };
    let quantiles = ["p50", "p90", "p99", "p99.9", "max"];
    let header = [&["kind", "count", "mean"], corrected, &quantiles].concat();
    let mut table = table(&header, 1);
    for (kind, span) in spans {
        let mut row = vec![kind.clone(), span.count.to_string(), ns(span.mean_ns)];
        if is_corrected {
            row.extend(match &span.corrected {
                Some(corrected) => [corrected.mean_ns, corrected.mean_uncertainty_ns].map(ns),
                None => Default::default(),
            });
        }
        let durations = [
            span.p50_ns,
            span.p90_ns,
            span.p99_ns,
            span.p999_ns,
            span.max_ns,
        ];
        row.extend(durations.map(|duration| ns(duration as f64)));
        table.add_row(row);
    }
    table.to_string()
}
