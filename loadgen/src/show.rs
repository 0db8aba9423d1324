//! The summary as people read it.

use cli::{out, outln};
use runlog::RunDirectory;
use runlog::summary::{ArmLoad, Latency, LoadSummary, Pacer};

/// Prints the summary.
pub fn print_summary(summary: &LoadSummary, run: &RunDirectory) {
    outln!(
        "{:<16} {:>10} {:>8} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "arm",
        "requests",
        "errors",
        "requests/s",
        "mean µs",
        "p50 µs",
        "p90 µs",
        "p99 µs",
        "p99.9 µs",
        "max µs"
    );
    for arm in &summary.arms {
        out!(
            "{:<16} {:>10} {:>8} {:>12.0}",
            arm.name,
            arm.requests,
            arm.errors,
            arm.requests_per_second
        );
        match &arm.latency_ns {
            Some(latency) => print_times(latency),
            None => outln!("  no request succeeded"),
        }
        print_pacer(arm);
        for (kind, count) in &arm.errors_by_kind {
            outln!("{:<16} {count:>10} {kind}", "");
        }
        for (kind, count) in &arm.failed_connects {
            outln!("{:<16} {count:>10} attempts to connect: {kind}", "");
        }
    }
    outln!("\nwritten to {}", run.root().display());
    if let Some(reason) = &summary.cut_short {
        outln!("cut short: {reason}");
    }
}

/// What an open loop adds to an arm.
fn print_pacer(arm: &ArmLoad) {
    let Some(pacer) = &arm.pacer else { return };
    if let Some(latency) = &arm.latency_from_sent_ns {
        out!("{:<47} ", "  from sending on");
        print_times(latency);
    }
    if let Some(lateness) = &pacer.lateness_ns {
        out!("{:<47} ", "  lateness of the pacer");
        print_times(lateness);
    }
    let Pacer {
        planned_requests,
        late_requests,
        queued_requests,
        unsent_requests,
        limit_ns,
        ..
    } = pacer;
    outln!(
        "  {planned_requests} planned: {late_requests} more than {} ms late, {queued_requests} waited for a \
         connection, {unsent_requests} unsent",
        *limit_ns as f64 / 1e6
    );
    if let Some(mark) = pacer.mark() {
        outln!("  {mark}");
    }
}

fn print_times(times: &Latency) {
    out!(" {:>10.2}", times.mean / 1e3);
    for quantile in [times.p50, times.p90, times.p99, times.p999, times.max] {
        out!(" {:>10.2}", quantile as f64 / 1e3);
    }
    outln!();
}
