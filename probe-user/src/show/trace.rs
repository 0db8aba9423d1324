//! The table of `probe-user trace`.

use runlog::trace::Trace;

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
    if trace.spans.is_empty() {
        println!("none: the processes made no call that is probed");
    } else {
        let header = ["kind", "count", "mean", "p50", "p90", "p99", "p99.9", "max"];
        let mut table = table(&header, 1);
        for (kind, span) in &trace.spans {
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
        println!("{table}");
    }
    ledger(&trace.ledger);
}
