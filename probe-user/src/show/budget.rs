//! The budget of a request.

use cli::outln;
use runlog::analysis::{Budget, BudgetLine};

use crate::show::{cells, heading, ns, table};

/// Prints it.
pub fn print(budget: &Budget) {
    heading(format!(
        "what a response time of arm {} is made of (probes attached, {} requests)",
        budget.arm, budget.requests
    ));
    let quantiles = budget.quantiles.iter();
    let names: Vec<String> = quantiles
        .map(|at| format!("at p{}", 100.0 * at.quantile))
        .collect();
    let header = ["part", "mean", "share"].into_iter();
    let header: Vec<&str> = header.chain(names.iter().map(String::as_str)).collect();
    let mut table = table(&header, 1);
    let mut row = |name: &str, mean_ns: f64, at: &dyn Fn(&[BudgetLine], f64) -> Option<f64>| {
        let share = format!("{:.1} %", 100.0 * mean_ns / budget.end_to_end_ns);
        let slow = budget.quantiles.iter().map(|quantile| {
            at(&quantile.lines, quantile.end_to_end_ns).map_or_else(String::new, ns)
        });
        let cells = [name.to_owned(), ns(mean_ns), share];
        table.add_row(cells.into_iter().chain(slow));
    };
    for line in &budget.lines {
        row(&line.name, line.mean_ns, &|lines, _| {
            let same = lines.iter().find(|other| other.name == line.name)?;
            Some(same.mean_ns)
        });
    }
    row("end to end", budget.end_to_end_ns, &|_, whole_ns| {
        Some(whole_ns)
    });
    outln!("{table}");
    if !budget.quantiles.is_empty() {
        outln!("at p50 and so on: means of the requests around that quantile, none left out");
    }
    if budget.waited_for > 0 {
        outln!(
            "{} of them found the server waiting inside read(2): their read_syscall is what it took the \
             server to wake",
            budget.waited_for
        );
    }
    if let Some(association) = &budget.association {
        let [correlation, correlation_interval, blocks] = cells(&association.rank_correlation);
        outln!(
            "slow requests and slow hooks go together, within blocks, by a rank correlation of {correlation} \
             {correlation_interval} ({blocks} blocks): no effect of the hook, as caches and interrupts slow both"
        );
    }
}
