//! Tables of response times, and of the times of calls.

use maud::{Markup, html};
use runlog::summary::{Latency, LoadSummary};
use runlog::trace::SpanSummary;

use super::table;
use crate::format::{count_figure, decimal, figure, ns};

/// What quantiles of such tables are worth.
pub const ERROR_OF_QUANTILES: &str = "Quantiles carry the histogram's error of at most 0.8 %.";

/// Columns of these names, then those of [`times`].
pub fn head<'a>(first: &[&'a str]) -> Vec<&'a str> {
    [first, &["Mean", "p50", "p90", "p99", "p99.9", "Max"]].concat()
}

/// Cells of times in nanoseconds, by the keys that they have in their file.
fn cells(at: &str, times: [(&str, f64); 6]) -> Markup {
    html! {
        @for (key, time_ns) in times { td { (figure(&format!("{at}/{key}"), time_ns, &ns(time_ns))) } }
    }
}

/// Mean, quantiles and maximum of an arm's response times.
pub fn times(at: &str, latency: Option<&Latency>) -> Markup {
    let Some(latency) = latency else {
        return html! { td class="text" colspan="6" { "no request succeeded" } };
    };
    let of = |key, ns: u64| (key, ns as f64);
    cells(
        at,
        [
            ("mean", latency.mean),
            of("p50", latency.p50),
            of("p90", latency.p90),
            of("p99", latency.p99),
            of("p999", latency.p999),
            of("max", latency.max),
        ],
    )
}

/// How many calls there were, then mean, quantiles and maximum of their times.
pub fn spans(at: &str, spans: &SpanSummary) -> Markup {
    let of = |key, ns: u64| (key, ns as f64);
    let times = [
        ("mean_ns", spans.mean_ns),
        of("p50_ns", spans.p50_ns),
        of("p90_ns", spans.p90_ns),
        of("p99_ns", spans.p99_ns),
        of("p999_ns", spans.p999_ns),
        of("max_ns", spans.max_ns),
    ];
    html! {
        td { (count_figure(&format!("{at}/count"), spans.count)) }
        (cells(at, times))
    }
}

/// The load generator's summary, a row an arm.
pub fn of_load(load: &LoadSummary) -> Markup {
    table(
        &head(&["Arm", "Requests", "Errors", "Requests/s"]),
        &html! {
            @for (index, arm) in load.arms.iter().enumerate() {
                @let at = format!("load.json#/arms/{index}");
                tr {
                    th scope="row" { (arm.name) }
                    td { (count_figure(&format!("{at}/requests"), arm.requests)) }
                    td { (count_figure(&format!("{at}/errors"), arm.errors)) }
                    td { (figure(&format!("{at}/requests_per_second"), arm.requests_per_second, &decimal(arm.requests_per_second, 0))) }
                    (times(&format!("{at}/latency_ns"), arm.latency_ns.as_ref()))
                }
            }
        },
    )
}
