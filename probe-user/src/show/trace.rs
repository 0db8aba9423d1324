//! The table of `probe-user trace`.

use std::collections::BTreeMap;

use runlog::trace::{Interval, SpanSummary, Trace};

use crate::show::{heading, ledger, ns, table};

/// Prints a trace.
pub fn print(trace: &Trace) {
    for target in &trace.targets {
        let hook = match &target.hook {
            Some(hook) => format!("hook {hook}"),
            None => "no hook with probe sites".to_owned(),
        };
        println!("process {} ({}), {hook}", target.pid, target.executable);
    }
    println!(
        "kernel probe {}; attached for {:.3} s, until {}",
        trace.probes.kernel_probe, trace.duration_s, trace.ended
    );
    for passed_over in &trace.probes.passed_over {
        println!(
            "  {} passed over: {}",
            passed_over.kernel_probe, passed_over.reason
        );
    }
    heading("spans");
    println!("{}", spans(&trace.spans));
    ledger(&trace.ledger);
    if let Some(events) = &trace.events {
        println!(
            "{} records in {}",
            trace.ledger.records_received, events.folder
        );
    }
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

fn spans(spans: &BTreeMap<String, SpanSummary>) -> String {
    if spans.is_empty() {
        return "none: the processes made no call that is probed".to_owned();
    }
    let header = ["kind", "count", "mean", "p50", "p90", "p99", "p99.9", "max"];
    let mut table = table(&header, 1);
    for (kind, span) in spans {
        let durations = [
            span.p50_ns,
            span.p90_ns,
            span.p99_ns,
            span.p999_ns,
            span.max_ns,
        ];
        table.add_row(
            [kind.clone(), span.count.to_string(), ns(span.mean_ns)]
                .into_iter()
                .chain(durations.map(|duration| ns(duration as f64))),
        );
    }
    table.to_string()
}
