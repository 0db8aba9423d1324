//! The table of `probe-user micro`.

use cli::outln;
use runlog::micro::{AgainstRun, Cost, MicroReport};

use crate::show::{BAD, GOOD, cells, heading, ns, table};

/// Prints the ladder.
pub fn print(report: &MicroReport) {
    outln!(
        "{}, a request of {} bytes; {} × {}",
        report.hook,
        report.message_bytes,
        report.environment.cpus,
        report.environment.cpu_model
    );
    heading("what the hook adds to one read, rung by rung");
    let header = [
        "rung",
        "temperature",
        "adds",
        "95 % interval",
        "more than the rung before",
        "95 % interval",
        "bare read",
        "blocks",
    ];
    let mut table = table(&header, 2);
    for rung in &report.rungs {
        let costs = [
            ("hot", Some(&rung.hot)),
            ("cold", rung.cold.as_ref()),
            ("flushed", rung.flushed.as_ref()),
        ];
        for (index, (temperature, cost)) in costs.into_iter().enumerate() {
            let Some(cost) = cost else { continue };
            let name = if index == 0 { rung.name.as_str() } else { "" };
            table.add_row(row(name, temperature, cost));
        }
    }
    outln!("{table}");
    outln!(
        "means of blocks trimmed by {:.0} % at each end, blocks of all rungs interleaved; Student's t on block \
         means\n{}",
        100.0 * report.trim_each_end,
        report.eviction.how
    );
    if let Some(against) = &report.against_run {
        print_against(against);
    }
    for warning in &report.warnings {
        outln!("{BAD}beware{BAD:#}: {warning}");
    }
}

fn row(name: &str, temperature: &str, cost: &Cost) -> [String; 8] {
    let [adds, interval, blocks] = cells(&cost.overhead);
    let [more, more_interval, _] = cost
        .increment
        .as_ref()
        .map_or_else(|| [const { String::new() }; 3], cells);
    [
        name.to_owned(),
        temperature.to_owned(),
        adds,
        interval,
        more,
        more_interval,
        ns(cost.bare_read.estimate),
        blocks,
    ]
}

fn print_against(against: &AgainstRun) {
    heading(format!(
        "beside the in-situ layer of {} (rung {})",
        against.run, against.rung
    ));
    let [in_situ, interval, _] = cells(&against.in_situ);
    outln!("in situ: {in_situ} {interval}");
    for prediction in &against.differences {
        let [difference, interval, _] = cells(&prediction.in_situ_minus_micro);
        let text = format!(
            "the {} figure: in situ is {difference} {interval} off it, {:+.0} %",
            prediction.temperature,
            100.0 * prediction.share
        );
        if prediction.predicts {
            outln!("{GOOD}predicts{GOOD:#}          {text}");
        } else {
            outln!("{BAD}does not predict{BAD:#}  {text}");
        }
    }
    outln!("nearest is the {} figure", against.nearest);
}
