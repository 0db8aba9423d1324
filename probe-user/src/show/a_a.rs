//! The table of `probe-user validate a-a`.

use cli::outln;
use runlog::RunDirectory;
use runlog::a_a::AaReport;

use crate::show::{BAD, GOOD, cells, heading, ns, table};

/// Prints the runs.
pub fn print(report: &AaReport, run: &RunDirectory) {
    heading(format!(
        "two equal servers, order {}: what is found between them",
        report.order
    ));
    let header = [
        "run",
        "ours",
        "95 % interval",
        "false alarm",
        "paper",
        "t",
        "p",
        "false alarm",
    ];
    let mut table = table(&header, 1);
    let yes = |alarm: bool| if alarm { "YES" } else { "no" }.to_owned();
    for run in &report.runs {
        let [difference, interval, _] = cells(&run.difference);
        let [first, second] = run.paper.mean_ns;
        table.add_row([
            run.run.to_string(),
            difference,
            interval,
            yes(run.false_alarm),
            ns(second - first),
            format!("{:.1}", run.paper.t),
            format!("{:.2e}", run.paper.p),
            yes(run.paper.false_alarm),
        ]);
    }
    outln!("{table}");
    let runs = report.runs.len();
    outln!(
        "false alarms in {runs} runs: {} by our procedure, {} by the paper's (Student's t over requests, \
         p < 0.05); a sound one may raise {}",
        report.false_alarms,
        report.paper_false_alarms,
        report.allowed
    );
    outln!("written to {}", run.root().display());
    if let Some(reason) = &report.cut_short {
        outln!("{BAD}cut short{BAD:#}: {reason}");
    }
    match report.holds {
        Some(true) => outln!("{GOOD}our procedure holds what its 95 % promise{GOOD:#}"),
        Some(false) => outln!("{BAD}too many false alarms{BAD:#}"),
        None => outln!(
            "nothing is promised for this order: what drifts between the servers is in the difference"
        ),
    }
}
