//! The table of `probe-user validate probes`.

use cli::outln;
use runlog::calibration::{Calibration, CalibrationReport};

use crate::show::{cells, heading, table};

/// Prints a report.
pub fn print(report: &CalibrationReport) {
    let environment = &report.environment;
    outln!(
        "kernel {} {}, {} × {}",
        environment.kernel,
        environment.architecture,
        environment.cpus,
        environment.cpu_model,
    );
    heading("what probes add");
    print_table(&report.calibration);
}

fn print_table(calibration: &Calibration) {
    let header = [
        "attached",
        "to calls that begin with",
        "kind of span",
        "added to the mean seen",
        "to the median",
        "after a pause",
        "to the caller",
        "95 % interval",
    ];
    let mut table = table(&header, 3);
    for probe in &calibration.probes {
        let [mean, interval, _] = cells(&probe.bias_mean);
        let [median, ..] = cells(&probe.bias_median);
        let [after_pause, ..] = probe
            .bias_after_pause
            .as_ref()
            .map(cells)
            .unwrap_or_default();
        let [cost, cost_interval, _] = probe.caller_cost.as_ref().map(cells).unwrap_or_default();
        table.add_row([
            probe.attach_type.clone(),
            probe.first_instruction.clone().unwrap_or_default(),
            probe.span.clone(),
            format!("{mean} {interval}"),
            median,
            after_pause,
            cost,
            cost_interval,
        ]);
    }
    outln!("{table}");
    outln!(
        "{} rounds of {} calls; Student's t on rounds",
        calibration.rounds,
        calibration.calls
    );
    print_missing(calibration);
}

/// Says what could not be calibrated.
pub fn print_missing(calibration: &Calibration) {
    for missing in &calibration.missing {
        outln!(
            "  {} is not calibrated: {}",
            missing.attach_type,
            missing.reason
        );
    }
}
