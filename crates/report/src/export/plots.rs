//! Every plot as an SVG file that stands alone.

use crate::chart::blocks::Blocks;
use crate::chart::budget::BudgetChart;
use crate::chart::quantiles::QuantileChart;
use crate::chart::{Chart, standalone};
use crate::run::Run;
use crate::section::{distribution, ladder, layers, settings, shifts, slices, trial};

/// A plot: the name of its file, and the file.
pub type Plot = (String, String);

/// The plots of one run or, side by side, of several.
pub fn plots(runs: &[Run]) -> Vec<Plot> {
    let charts = match runs {
        [run] => of_one(run),
        several => of_several(several),
    };
    let file = |chart: &dyn Chart| (format!("{}.svg", chart.id()), standalone(chart));
    charts.iter().map(|chart| file(&**chart)).collect()
}

fn of_several(runs: &[Run]) -> Vec<Box<dyn Chart + '_>> {
    let forest = settings::forest(runs);
    let boxes = settings::boxes(runs);
    let mut charts: Vec<Box<dyn Chart>> = Vec::new();
    if !forest.rows.is_empty() {
        charts.push(Box::new(forest));
    }
    if !boxes.boxes.is_empty() {
        charts.push(Box::new(boxes));
    }
    charts
}

fn of_one(run: &Run) -> Vec<Box<dyn Chart + '_>> {
    let mut charts: Vec<Box<dyn Chart + '_>> = Vec::new();
    if let Some(analysis) = run.analysed() {
        charts.push(Box::new(layers::forest(analysis)));
        if let Some(budget) = &analysis.budget {
            charts.push(Box::new(BudgetChart(budget)));
        }
        if let Some(found) = &analysis.trial {
            if let Some(of_slices) = &found.slices {
                charts.push(Box::new(slices::effects(run, of_slices)));
                if !of_slices.responses.is_empty() {
                    charts.push(Box::new(slices::responses(of_slices)));
                }
            }
            let effects = trial::effects(run, found);
            if !effects.rows.is_empty() {
                charts.push(Box::new(effects));
            }
            if !found.by_process.is_empty() {
                charts.push(Box::new(trial::processes(found)));
            }
            if !found.quantiles.is_empty() {
                charts.push(Box::new(QuantileChart(&found.quantiles)));
            }
            if !found.budgets.is_empty() {
                charts.push(Box::new(trial::differences(found)));
            }
        }
    }
    if let Ok(ladder) = &run.ladder {
        charts.push(Box::new(ladder::forest(ladder)));
    }
    if let Ok(percentiles) = distribution::percentile_chart(run) {
        charts.push(Box::new(percentiles));
    }
    if let Ok(comparisons) = &run.comparisons {
        charts.push(Box::new(shifts::forest(run, comparisons)));
    }
    if let Ok(requests) = &run.requests
        && !requests.blocks.is_empty()
    {
        charts.push(Box::new(distribution::box_chart(requests)));
        charts.push(Box::new(distribution::lag_chart(requests)));
        charts.push(Box::new(Blocks(requests)));
    }
    charts
}
