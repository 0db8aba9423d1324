//! What `probe-user doctor` found.

use anstyle::Style;
use cli::outln;
use runlog::doctor::{AttachType, Diagnosis, Finding, State};

use crate::show::{BAD, GOOD, UNSURE, heading, machine};

/// Prints a diagnosis.
pub fn print(diagnosis: &Diagnosis) {
    machine(&diagnosis.environment);
    heading("this machine");
    list(&diagnosis.findings);
    let missing = |kind: &&AttachType| kind.reason.is_some();
    if diagnosis
        .attach_types
        .iter()
        .any(|kind| kind.reason.is_some())
    {
        heading("kinds of probes that do not work here");
        for AttachType { name, reason } in diagnosis.attach_types.iter().filter(missing) {
            outln!("  {name}: {}", reason.as_deref().unwrap_or_default());
        }
    }
    heading("the ten recommendations of the paper");
    list(&diagnosis.recommendations);
    let count = |state| {
        let all = diagnosis.findings.iter().chain(&diagnosis.recommendations);
        all.filter(|finding| finding.state == state).count()
    };
    outln!(
        "\n{} pass, {} warn, {} fail, {} unknown",
        count(State::Pass),
        count(State::Warn),
        count(State::Fail),
        count(State::Unknown)
    );
}

/// One line each, and one for what to do.
pub fn list(findings: &[Finding]) {
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    for finding in findings {
        let style = style(finding.state);
        outln!(
            "  {style}{:<7}{style:#}  {:<width$}  {}",
            finding.state.name(),
            finding.name,
            finding.found
        );
        if let Some(advice) = &finding.advice {
            outln!("           {:<width$}  -> {advice}", "");
        }
    }
}

fn style(state: State) -> Style {
    match state {
        State::Pass => GOOD,
        State::Unknown => Style::new(),
        State::Warn => UNSURE,
        State::Fail => BAD,
    }
}
