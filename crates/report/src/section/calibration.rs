//! What observing adds.

use maud::{Markup, html};

use super::{Line, estimates, missing};
use crate::format::{count, value_and_interval};
use crate::run::Run;

/// Probe effect and calibration.
pub fn body(run: &Run) -> Markup {
    let effect = run
        .analysed()
        .and_then(|analysis| analysis.probe_effect.as_ref());
    html! {
        @if let Some(effect) = effect {
            p {
                "Attached probes make a request of the hooked arm longer by "
                (value_and_interval("analysis.json#/probe_effect", effect))
                ". So the macro layer is of blocks with the probes detached, and the in-situ layer of the others."
            }
        } @else {
            (missing("No probe effect:", "no blocks were measured both with the probes attached and detached"))
        }
        @if let Some(calibration) = &run.manifest.calibration {
            p {
                "Beforehand, " (count(u64::from(calibration.rounds))) " rounds of " (count(u64::from(calibration.calls)))
                " calls that do next to nothing showed what probes add to the durations that they see (bias), and what a call \
                 then takes its caller longer (cost). The corrected figures are less the bias."
            }
            (estimates(&lines(run)))
            @for not in &calibration.missing { p class="note" { (not.attach_type) " is not calibrated: " (not.reason) } }
        } @else {
            (missing("No calibration:", "there were no probes, or none was asked for (--calibration-rounds 0)"))
        }
    }
}

/// Its estimates.
pub fn lines(run: &Run) -> Vec<Line<'_>> {
    let probes = run
        .manifest
        .calibration
        .iter()
        .flat_map(|calibration| &calibration.probes);
    let lines = probes.enumerate().flat_map(|(index, probe)| {
        let at = format!("manifest.json#/calibration/probes/{index}");
        let name = format!("{} ({})", probe.span.replace('_', " "), probe.attach_type);
        [
            Line::of(
                &format!("{name}: bias"),
                &format!("{at}/bias_mean"),
                Some(&probe.bias_mean),
            ),
            Line::of(
                &format!("{name}: cost"),
                &format!("{at}/caller_cost"),
                probe.caller_cost.as_ref(),
            ),
            Line::of(
                &format!("{name}: bias after a pause"),
                &format!("{at}/bias_after_pause"),
                probe.bias_after_pause.as_ref(),
            ),
        ]
    });
    lines.flatten().collect()
}
