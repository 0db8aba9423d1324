//! The tables of `probe-user analyze`, and of `probe-user report` for several runs.

use cli::outln;
use runlog::comparison::{ArmFigures, Comparison, Comparisons, Method, Settings, ThresholdFrom};
use runlog::estimate::{Estimate, Unit};
use runlog::quantity::{decimal, percentile, probability};

use crate::show::{BAD, cells_or_dash, heading, or_dash, table, value};

/// Prints the comparison of arms.
pub fn print(comparisons: &Comparisons) {
    match comparisons.method {
        Method::Blocks => outln!("compared by blocks; each arm with the first"),
        Method::Paper => outln!(
            "compared by requests as in the paper, which takes them for independent; each arm with the first"
        ),
    }
    if let Some(threshold) = comparisons.threshold {
        outln!(
            "body: up to {} of each response time, 4 times the longest median of {}; tail: what is above",
            value(threshold.value, comparisons.unit),
            match threshold.from {
                ThresholdFrom::WarmUps => "the arms' warm-ups",
                ThresholdFrom::Arms => "the arms",
            }
        );
    }
    arms(comparisons);
    for comparison in &comparisons.comparisons {
        heading(format!(
            "{} minus {}",
            comparison.treatment, comparison.baseline
        ));
        differences(comparison, comparisons.unit);
    }
    for note in &comparisons.notes {
        outln!("{BAD}note{BAD:#}: {note}");
    }
}

fn arms(comparisons: &Comparisons) {
    let unit = comparisons.unit;
    heading("arms");
    let header = [
        "arm",
        "requests",
        "left out",
        "mean",
        "median",
        "sd",
        "p99",
        "blocks",
        "lag-1",
        "effective n",
        "halves differ by",
        "p",
    ];
    let mut rows = table(&header, 1);
    let number = |value: Option<f64>, digits| or_dash(value, |value| decimal(value, digits));
    for arm in &comparisons.arms {
        let ArmFigures { blocks, halves, .. } = arm;
        let blocks = blocks.as_ref();
        rows.add_row([
            arm.name.clone(),
            decimal(arm.n as f64, 0),
            decimal(arm.left_out.values().sum::<u64>() as f64, 0),
            value(arm.mean, unit),
            value(arm.median, unit),
            value(arm.sd, unit),
            value(arm.p90_p99_p999[1], unit),
            or_dash(blocks, |blocks| blocks.count.to_string()),
            number(blocks.and_then(|blocks| blocks.requests_lag1), 2),
            number(blocks.and_then(|blocks| blocks.effective_n), 0),
            or_dash(halves.as_ref(), |test| value(test.difference, unit)),
            p(halves.as_ref().map(|test| test.p)),
        ]);
    }
    outln!("{rows}");
}

fn differences(comparison: &Comparison, unit: Unit) {
    let header = ["", "difference", "95 % interval", "blocks"];
    let mut rows = table(&header, 1);
    let mut row = |name: &str, estimate: Option<&Estimate>| {
        let [difference, interval, blocks] = cells_or_dash(estimate);
        let blocks = estimate.filter(|of| of.blocks > 0).map(|_| blocks);
        rows.add_row([
            name.to_owned(),
            difference,
            interval,
            or_dash(blocks, |blocks| blocks),
        ]);
    };
    if let Some(effect) = &comparison.effect {
        for (name, part) in [
            ("typical (median)", &effect.typical),
            ("body of the mean", &effect.body),
            ("tail of the mean", &effect.tail),
            ("mean", &effect.mean),
            ("share above", &effect.share_above),
        ] {
            row(name, part.as_ref());
        }
    } else {
        row("mean", comparison.difference.as_ref());
    }
    if let Some(beyond) = &comparison.beyond_means {
        // The median stands above.
        for shift in beyond.quantile_shifts.iter().skip(1) {
            row(&percentile(shift.quantile), shift.shift.as_ref());
        }
        row("Cliff's delta", beyond.cliffs_delta.as_ref());
    }
    outln!("{rows}");
    let degrees = comparison
        .degrees_of_freedom
        .map_or_else(String::new, |degrees| {
            format!(" with {degrees:.1} degrees of freedom")
        });
    outln!(
        "{}: t {}{degrees}, p {}, p by Holm {}; pooled sd {}",
        comparison.test,
        or_dash(comparison.t, |t| format!("{t:.3}")),
        p(comparison.p),
        p(comparison.p_holm),
        value(comparison.pooled_sd, unit),
    );
    let Some(beyond) = &comparison.beyond_means else {
        return;
    };
    outln!(
        "Mann-Whitney over the blocks' bodies: U {:.1}, p {}",
        beyond.mann_whitney_u,
        p(Some(beyond.mann_whitney_p))
    );
    if let Some(effect) = beyond.minimum_detectable_effect {
        let blocks = beyond.blocks_to_detect_difference.map_or_else(
            || "no number of blocks within reason".to_owned(),
            |blocks| format!("{blocks} blocks an arm"),
        );
        outln!(
            "these blocks detect a difference of bodies of {} (power 0.8, level 0.05); one of the size found takes \
             {blocks}",
            value(effect, unit)
        );
    }
}

/// A probability, if there is one.
fn p(p: Option<f64>) -> String {
    or_dash(p, probability)
}

/// Prints runs side by side.
pub fn settings(settings: &Settings) {
    heading("settings");
    let mut rows = table(
        &["run", "kernel", "CPU", "order", "connections", "placement"],
        6,
    );
    for setting in &settings.settings {
        rows.add_row([
            setting.run.clone(),
            setting.kernel.clone(),
            setting.cpu_model.clone(),
            setting.order.to_string(),
            setting.connections.to_string(),
            setting.placement.clone(),
        ]);
    }
    outln!("{rows}");
    heading("treatment minus the run's first arm");
    let header = [
        "run",
        "treatment",
        "requests",
        "mean before",
        "mean after",
        "body",
        "95 % interval",
        "p by Holm",
        "tail",
        "mean",
        "Cliff's delta",
        "p99 shift",
        "could detect",
    ];
    let mut rows = table(&header, 2);
    for setting in &settings.settings {
        let unit = setting.comparisons.unit;
        for comparison in &setting.comparisons.comparisons {
            let beyond = comparison.beyond_means.as_ref();
            let shift = beyond.and_then(|beyond| {
                let mut shifts = beyond.quantile_shifts.iter();
                shifts.find(|it| it.quantile > 0.98)?.shift.as_ref()
            });
            let delta = beyond.and_then(|beyond| beyond.cliffs_delta.as_ref());
            let effect = comparison.effect.as_ref();
            let part = |part: Option<&Option<Estimate>>| {
                let [value, ..] = cells_or_dash(part.and_then(Option::as_ref));
                value
            };
            let detectable = beyond.and_then(|beyond| beyond.minimum_detectable_effect);
            let [difference, interval, _] = cells_or_dash(comparison.difference.as_ref());
            rows.add_row([
                setting.run.clone(),
                comparison.treatment.clone(),
                decimal(comparison.n[1] as f64, 0),
                value(comparison.mean[0], unit),
                value(comparison.mean[1], unit),
                difference,
                interval,
                p(comparison.p_holm),
                part(effect.map(|effect| &effect.tail)),
                part(effect.map(|effect| &effect.mean)),
                or_dash(delta, |delta| format!("{:.3}", delta.estimate)),
                or_dash(shift, |shift| value(shift.estimate, unit)),
                or_dash(detectable, |effect| value(effect, unit)),
            ]);
        }
    }
    outln!("{rows}");
    for setting in &settings.settings {
        for note in &setting.comparisons.notes {
            outln!("{BAD}note{BAD:#}: {}: {note}", setting.run);
        }
    }
}
