//! The page of a bench, and that of several side by side.

use maud::{Markup, html};
use runlog::clock::utc;

use super::{Page, frame};
use crate::run::Run;
use crate::section::{
    blocks, budget, calibration, distribution, environment, judgement, ladder, layers, ledger,
    methods, missing, recommendations, section, settings, shifts, slices, trial,
};

/// The page of one run.
pub fn one(run: &Run) -> String {
    let of_trial = run.analysed().and_then(|analysis| analysis.trial.as_ref());
    let slices = of_trial.and_then(|found| {
        let body = slices::body(run, found, found.slices.as_ref()?);
        Some((
            "slices",
            "Time per completed request, by slices of time",
            body,
        ))
    });
    let of_requests = of_trial.map(|found| {
        let title = if slices.is_some() {
            "Response times in these slices"
        } else {
            "Request by request"
        };
        ("trial", title, trial::body(run, found))
    });
    let others: [(&str, &str, Markup); 11] = [
        ("budget", "What requests are made of", budget::body(run)),
        ("ladder", "The hook alone, rung by rung", ladder::body(run)),
        (
            "percentiles",
            "Response times by percentile",
            distribution::percentiles(run),
        ),
        (
            "shifts",
            "What is shifted, A/B beside A/A",
            shifts::body(run),
        ),
        (
            "paper",
            "Box plots and lag plots, as in the paper",
            distribution::paper(run),
        ),
        ("blocks", "Blocks over time", blocks::body(run)),
        ("calibration", "What observing adds", calibration::body(run)),
        ("ledger", "Ledger", ledger::body(run)),
        (
            "recommendations",
            "The ten recommendations",
            recommendations::body(run),
        ),
        ("environment", "Environment", environment::body(run)),
        (
            "methods",
            "Methods and sources",
            methods::body(run.analysed().map(|analysis| analysis.trim_each_end)),
        ),
    ];
    let sections: Vec<(&str, &str, Markup)> = slices
        .into_iter()
        .chain(of_requests)
        .chain(others)
        .collect();
    let title = run.name();
    frame(&Page {
        heading: "What the hook costs".to_owned(),
        about: html! {
            (title) " " (judgement::usable(run))
            @if let Some(analysis) = run.analysed().filter(|analysis| analysis.not_usable.is_empty()) {
                (judgement::why_usable(analysis))
            }
            br;
            (utc(run.manifest.started_unix_ns)) " · " (environment::in_a_line(&run.manifest))
        },
        main: html! {
            (judgement::block(run))
            @match &run.analysis {
                Ok(analysis) => { section id="layers" { (layers::body(analysis)) } },
                Err(why) => { (missing("No layers:", why)) },
            }
            nav aria-label="Sections" {
                @for (id, name, _) in &sections { a href=(format!("#{id}")) { (name) } }
                a href="#repeat" { "Repeat it" }
            }
            @for (id, name, body) in &sections { (section(id, name, body)) }
            (section("repeat", "Repeat it", &methods::repeat(&run.manifest)))
        },
        title,
    })
}

/// The page of several runs.
pub fn several(runs: &[Run]) -> String {
    frame(&Page {
        title: "Settings".to_owned(),
        heading: format!("What the hook costs in {} settings", runs.len()),
        about: html! { "Runs are not tested against each other: they differ in more than the setting." },
        main: html! {
            section id="verdicts" { (settings::verdicts(runs)) }
            (section("layers", "The layers, setting by setting", &settings::layers(runs)))
            (section("response-times", "Response times", &settings::response_times(runs)))
            (section("set-up", "How they were set up", &settings::set_up(runs)))
            (section("methods", "Methods and sources", &methods::body(None)))
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::half_a_run;

    #[test]
    fn half_a_run_has_a_page_that_says_so_first() {
        let (_folder, run) = half_a_run(7);
        let page = one(&run);
        let main = page.split("<main>").nth(1).unwrap();
        let headline = main.split("<h2 class=\"headline\">").nth(1).unwrap();
        assert!(
            headline.starts_with("This run has no result."),
            "{headline:.80}"
        );
        assert!(page.contains("id=\"plot-blocks\"") && page.contains("No ledger:"));
    }

    #[test]
    fn a_run_without_a_request_has_a_page_too() {
        let (_folder, run) = half_a_run(0);
        let page = one(&run);
        assert!(page.contains("No blocks:") && !page.contains("NaN") && !page.contains("inf"));
        assert!(several(&[run]).contains("No estimates:"));
    }

    #[test]
    fn what_others_wrote_stays_text() {
        let (_folder, mut run) = half_a_run(3);
        run.analysis = Err("<script>alert(1)</script>".to_owned());
        assert!(!one(&run).contains("<script"));
    }
}
