//! The tables of `probe-user analyze`, and of `probe-user report` for several runs.

use cli::outln;
use runlog::comparison::{ArmFigures, Comparison, Comparisons, Method, Settings};
use runlog::estimate::{Estimate, Unit};

use crate::show::{BAD, cells, cells_or_dash, heading, or_dash, table, value};

/// Below this a p is not told from 0.
const LEAST_P: f64 = 1e-300;

/// Prints the comparison of arms.
pub fn print(comparisons: &Comparisons) {
    match comparisons.method {
        Method::Blocks => outln!("compared by block means; each arm with the first"),
        Method::Paper => outln!(
            "compared by requests as in the paper, which takes them for independent; each arm with the first"
        ),
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
    let number = |value: Option<f64>, digits| or_dash(value, |value| format!("{value:.digits$}"));
    for arm in &comparisons.arms {
        let ArmFigures { blocks, halves, .. } = arm;
        let blocks = blocks.as_ref();
        rows.add_row([
            arm.name.clone(),
            arm.n.to_string(),
            arm.left_out.values().sum::<u64>().to_string(),
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
    let row = |name: String, estimate: &Estimate| {
        let [difference, interval, blocks] = cells(estimate);
        let blocks = (estimate.blocks > 0).then_some(blocks);
        [name, difference, interval, or_dash(blocks, |blocks| blocks)]
    };
    if let Some(difference) = &comparison.difference {
        rows.add_row(row("mean".to_owned(), difference));
    }
    if let Some(beyond) = &comparison.beyond_means {
        for shift in &beyond.quantile_shifts {
            if let Some(estimate) = &shift.shift {
                rows.add_row(row(format!("p{}", shift.quantile * 100.0), estimate));
            }
        }
        if let Some(delta) = &beyond.cliffs_delta {
            rows.add_row(row("Cliff's delta".to_owned(), delta));
        }
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
        "Mann-Whitney over block means: U {:.1}, p {}",
        beyond.mann_whitney_u,
        p(Some(beyond.mann_whitney_p))
    );
    if let Some(effect) = beyond.minimum_detectable_effect {
        let blocks = beyond.blocks_to_detect_difference.map_or_else(
            || "no number of blocks within reason".to_owned(),
            |blocks| format!("{blocks} blocks an arm"),
        );
        outln!(
            "these blocks detect a difference of {} (power 0.8, level 0.05); one of the size found takes \
             {blocks}",
            value(effect, unit)
        );
    }
}

/// A probability; one too small for its format is not printed as 0.
fn p(p: Option<f64>) -> String {
    match p {
        None => "-".to_owned(),
        Some(p) if p < LEAST_P => "< 1e-300".to_owned(),
        Some(p) if p < 1e-4 => format!("{p:.1e}"),
        Some(p) => format!("{p:.4}"),
    }
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
            setting.order.clone(),
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
        "difference",
        "95 % interval",
        "p by Holm",
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
            let detectable = beyond.and_then(|beyond| beyond.minimum_detectable_effect);
            let [difference, interval, _] = cells_or_dash(comparison.difference.as_ref());
            rows.add_row([
                setting.run.clone(),
                comparison.treatment.clone(),
                comparison.n[1].to_string(),
                value(comparison.mean[0], unit),
                value(comparison.mean[1], unit),
                difference,
                interval,
                p(comparison.p_holm),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p_that_underflows_is_no_zero() {
        assert_eq!(p(Some(0.0)), "< 1e-300");
        assert_eq!(p(Some(3.2e-301)), "< 1e-300");
        assert_eq!(p(Some(3.21e-17)), "3.2e-17");
        assert_eq!(p(Some(0.04)), "0.0400");
        assert_eq!(p(None), "-");
    }
}
