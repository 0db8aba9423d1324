//! What a request's response time is made of.

use maud::{Markup, html};
use runlog::analysis::{Budget, BudgetLine};
use runlog::quantity::Print;

use super::{figure, missing, table};
use crate::chart::budget::{BudgetChart, part_name};
use crate::format::{
    count_figure, figure as shown, percent, percentile, typeset, value_and_interval,
};
use crate::run::Run;

/// The budget.
pub fn body(run: &Run) -> Markup {
    let budget = match &run.analysis {
        Ok(analysis) => analysis.budget.as_ref().ok_or_else(|| {
            let why = analysis.in_situ.missing.as_deref();
            why.unwrap_or("no request was joined to records").to_owned()
        }),
        Err(why) => Err(why.clone()),
    };
    match budget {
        Ok(budget) => of(budget),
        Err(why) => missing("No budget:", &why),
    }
}

fn of(budget: &Budget) -> Markup {
    let at = "analysis.json#/budget";
    html! {
        p {
            "Arm " (budget.arm) ", probes attached, "
            (count_figure(&format!("{at}/requests"), budget.requests))
            " requests: what watching costs is in these times. The lines are means over the same requests, so they add up."
        }
        (figure(&BudgetChart(budget), &figures(budget)))
        p class="note" {
            "p50 and so on are means of the requests around that quantile, none left out; the mean is trimmed."
            @if budget.waited_for > 0 {
                " " (count_figure(&format!("{at}/waited_for"), budget.waited_for))
                " requests found the server waiting inside read(2): their read(2) is what it took the server to wake."
            }
        }
        @if let Some(association) = &budget.association {
            p {
                "Within blocks, response time goes with hook overhead: rank correlation "
                (value_and_interval(&format!("{at}/association/rank_correlation"), &association.rank_correlation))
                ", slope " (value_and_interval(&format!("{at}/association/slope"), &association.slope)) " ns/ns."
            }
        }
    }
}

fn figures(budget: &Budget) -> Markup {
    let names = budget.quantiles.iter().map(|at| percentile(at.quantile));
    let head: Vec<String> = ["Part", "Mean", "Share"]
        .into_iter()
        .map(str::to_owned)
        .chain(names)
        .collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let at = "analysis.json#/budget";
    let ns = |at: &str, ns: f64, print: Print| shown(at, ns, &typeset(&print.text(ns)));
    // A row has one unit, that of its largest.
    let at_quantiles = || budget.quantiles.iter().flat_map(|slow| &slow.lines);
    let print_of = |line: &BudgetLine| {
        let same = at_quantiles().filter(|other| other.name == line.name);
        Print::ns(same.map(|other| other.mean_ns).fold(line.mean_ns, f64::max))
    };
    let slowest = budget.quantiles.iter().map(|slow| slow.end_to_end_ns);
    let print = Print::ns(slowest.fold(budget.end_to_end_ns, f64::max));
    let of = |lines: &[BudgetLine], name: &str| lines.iter().position(|line| line.name == name);
    table(
        &head,
        &html! {
            @for (index, line) in budget.lines.iter().enumerate() {
                tr {
                    th scope="row" { (part_name(&line.name)) }
                    td { (ns(&format!("{at}/lines/{index}/mean_ns"), line.mean_ns, print_of(line))) }
                    td { (percent(line.mean_ns / budget.end_to_end_ns, 1)) }
                    @for (quantile, slow) in budget.quantiles.iter().enumerate() {
                        td {
                            @if let Some(place) = of(&slow.lines, &line.name) {
                                (ns(&format!("{at}/quantiles/{quantile}/lines/{place}/mean_ns"), slow.lines[place].mean_ns,
                                    print_of(line)))
                            }
                        }
                    }
                }
            }
            tr class="sum" {
                th scope="row" { "end to end" }
                td { (ns(&format!("{at}/end_to_end_ns"), budget.end_to_end_ns, print)) }
                td { (percent(1.0, 1)) }
                @for (quantile, slow) in budget.quantiles.iter().enumerate() {
                    td { (ns(&format!("{at}/quantiles/{quantile}/end_to_end_ns"), slow.end_to_end_ns, print)) }
                }
            }
            tr {
                th scope="row" { "requests" }
                td { (count_figure(&format!("{at}/requests"), budget.requests)) }
                td {}
                @for (quantile, slow) in budget.quantiles.iter().enumerate() {
                    td { (count_figure(&format!("{at}/quantiles/{quantile}/requests"), slow.requests)) }
                }
            }
        },
    )
}
