//! What an arm adds to a request that nothing disturbs.
//!
//! On a machine with neighbours a request takes one of two lengths, a third apart, and which one changes from request to
//! request: the means of two arms then differ by chance more than by the hook. Two steps take that out. Only requests that
//! *began* undisturbed are compared: what happened to them before the hook could have any effect took as long as it
//! mostly takes. As the arm has no part in that, this selects alike from all arms. Then of the rest of their response time
//! the mode is taken: a request that goes on undisturbed.
//!
//! That is another estimand than the mean: of a cost that few requests have it sees nothing. Body and tail do.

use runlog::estimate::{Estimate, Unit};
use runlog::trial::{Dose, Doses, TrialResult, Undisturbed, UndisturbedEffect};
use stats::mode::mode;
use stats::{moments, spread};

use crate::doubt::{Doubt, of_undisturbed};
use crate::trial::Found;
use crate::trial::agreement::Layers;
use crate::trial::block::Sample;
use crate::trial::design::Design;
use crate::trial::figure::Figure;

/// Bandwidth of the modes, as a share of the median response time of `off` in the same process.
const BANDWIDTH_SHARE: f64 = 0.01;
/// A bandwidth is so many steps of the clock at the least.
const LEAST_STEPS: f64 = 3.0;
/// So many bandwidths around the mode of its start, a request began undisturbed.
const CALM_BANDWIDTHS: f64 = 2.0;
/// Modes are of values up to so many medians.
const END_MEDIANS: f64 = 100.0;
/// Fewer undisturbed requests of an arm tell nothing of a process.
const LEAST_REQUESTS: usize = 50;

/// A request, cut where the hook can begin to have an effect.
#[allow(clippy::struct_field_names, reason = "a unit is in each name")]
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// From sending to the cut, ns; 0 where there are no records.
    start_ns: u32,
    /// From there to the answer.
    rest_ns: u32,
    /// What of that the hook took, with the bracket's own and the delay of the arm.
    hook_ns: u32,
    /// The delay.
    waited_ns: u32,
}

impl Span {
    /// Of a request; `None` where others have records of their calls, and this one has not all.
    pub fn of(sample: &Sample, are_recorded: bool) -> Option<Self> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a response time is neither negative nor of four seconds, or counts as such"
        )]
        let whole = |ns: f64| ns as u32;
        let Some(calls) = sample.calls else {
            return (!are_recorded).then(|| Self {
                start_ns: 0,
                rest_ns: whole(sample.took_ns),
                hook_ns: 0,
                waited_ns: 0,
            });
        };
        let start_ns = (calls.untouched_ns as f64).min(sample.took_ns);
        (calls.unreached == 0).then(|| Self {
            start_ns: whole(start_ns),
            rest_ns: whole(sample.took_ns - start_ns),
            hook_ns: whole(calls.in_response_ns as f64),
            waited_ns: whole(calls.waited_ns as f64),
        })
    }
}

/// The requests of a process, by arm.
pub type Spans = Vec<Vec<Span>>;

/// What is known of an arm in a process; ns.
#[derive(Clone, Copy, Debug)]
struct Modes {
    requests: usize,
    whole_ns: f64,
    outside_ns: f64,
    waited_ns: f64,
}

/// The modes of all processes that have enough requests of each arm.
#[derive(Debug)]
pub struct Processes {
    /// By process and arm.
    modes: Vec<Vec<Modes>>,
    /// Of all requests.
    requests: usize,
    are_recorded: bool,
}

impl Processes {
    /// Of the processes' requests.
    pub fn new<'s>(
        design: &Design,
        spans: impl Iterator<Item = &'s Spans>,
        are_recorded: bool,
    ) -> Self {
        let mut of = Self {
            modes: Vec::new(),
            requests: 0,
            are_recorded,
        };
        for spans in spans {
            of.requests += spans.iter().map(Vec::len).sum::<usize>();
            of.modes.extend(of_process(design, spans));
        }
        of
    }

    /// One arm minus another.
    fn difference(&self, [arm, other]: [usize; 2], part: fn(&Modes) -> f64) -> Figure {
        let of = |modes: &Vec<Modes>| part(&modes[arm]) - part(&modes[other]);
        Figure::pooled(self.modes.iter().map(of).collect())
    }

    /// What one arm takes longer than another, end to end; `None` below two processes.
    pub fn end_to_end(&self, arms: [usize; 2], what: &str) -> Option<Estimate> {
        self.difference(arms, |of| of.whole_ns).ns(&format!(
            "difference of modes of the response time of requests that began undisturbed, {what}"
        ))
    }

    /// As the run directory has it, but for the verdict; `None` below two processes.
    pub fn result(&self, design: &Design) -> Option<Undisturbed> {
        let of_arm = |(arm, of): (usize, abi::trial::Arm)| {
            let arms = [arm, design.off];
            let requests = self.modes.iter().map(|modes| modes[arm].requests as u64);
            let outside = || {
                self.difference(arms, |of| of.outside_ns).ns(&format!(
                "difference of modes of the response time without the hook of requests that began undisturbed, {of} minus off"
            ))
            };
            Some((
                of.to_string(),
                UndisturbedEffect {
                    requests: requests.sum(),
                    end_to_end: self.end_to_end(arms, &format!("{of} minus off"))?,
                    outside_call: self.are_recorded.then(outside).flatten(),
                },
            ))
        };
        let others = design.arms().filter(|(arm, _)| *arm != design.off);
        let effects = others.map(of_arm).collect::<Option<_>>()?;
        let calm: usize = self.modes.iter().flatten().map(|of| of.requests).sum();
        Some(Undisturbed {
            share: calm as f64 / self.requests as f64,
            effects,
            doses: self.doses(design),
            agreement: None,
        })
    }

    fn doses(&self, design: &Design) -> Option<Doses> {
        let spiked = design.spiked();
        let delay_ns = |modes: &[Modes], (arm, of): (usize, abi::trial::Arm)| {
            if self.are_recorded {
                modes[arm].waited_ns - modes[design.on].waited_ns
            } else {
                of.delay_ns() as f64
            }
        };
        let dose = |&(arm, of): &(usize, abi::trial::Arm)| {
            let delays = self.modes.iter().map(|modes| delay_ns(modes, (arm, of)));
            Some(Dose {
                arm: of.to_string(),
                delay_ns: stats::mean(&delays.collect::<Vec<_>>())?,
                is_measured: self.are_recorded,
                effect: self.end_to_end([arm, design.on], &format!("{of} minus on"))?,
            })
        };
        let slope = |modes: &Vec<Modes>| {
            let (mut products, mut squares) = (0.0, 0.0);
            for &(arm, of) in &spiked {
                let delay_ns = delay_ns(modes, (arm, of));
                products += delay_ns * (modes[arm].whole_ns - modes[design.on].whole_ns);
                squares += delay_ns * delay_ns;
            }
            products / squares
        };
        let arms: Vec<Dose> = spiked.iter().map(dose).collect::<Option<_>>()?;
        (!arms.is_empty()).then(|| Doses {
            arms,
            slope: Figure::pooled(self.modes.iter().map(slope).collect()).estimate(
                Unit::One,
                "ns of response time for one ns of delay, by least squares through the origin on modes",
            ),
        })
    }
}

impl Found {
    /// Compares the layers for a request that nothing disturbs; `doubts` are those about the run.
    pub fn fill_undisturbed(&mut self, doubts: &[Doubt]) {
        if let Some(mut undisturbed) = self.result.undisturbed.take() {
            let doubts = of_undisturbed(&undisturbed, doubts);
            let arms = [self.design.on, self.design.off];
            let of = |part| self.undisturbed.difference(arms, part);
            let layers = Layers {
                macros: of(|of| of.whole_ns),
                in_situ: of(|of| of.whole_ns - of.outside_ns),
                unexplained: of(|of| of.outside_ns),
                in_situ_estimand: "difference of modes with and without the hook's time, of requests that began \
                                   undisturbed, on minus off, by the bracket's records",
            };
            let is_inside_known = self.layer.is_some();
            undisturbed.agreement = is_inside_known.then(|| layers.agreement(&doubts)).flatten();
            self.result.undisturbed = Some(undisturbed);
        }
    }
}

/// Whether undisturbed requests are known more sharply than the body of the mean: mostly, but not where nothing disturbs and
/// response times spread widely. The choice goes by widths of `on` minus `off` alone.
pub fn are_sharper(result: &TrialResult) -> bool {
    let body = result.effects.get("on").and_then(|on| on.body.as_ref());
    let undisturbed = result.undisturbed.as_ref();
    let undisturbed = undisturbed.and_then(|of| of.effects.get("on"));
    let width = |estimate: &Estimate| estimate.ci95[1] - estimate.ci95[0];
    undisturbed.is_some_and(|on| body.is_none_or(|body| width(&on.end_to_end) < width(body)))
}

/// The modes of a process; `None` if an arm has too few requests.
fn of_process(design: &Design, spans: &Spans) -> Option<Vec<Modes>> {
    let mut times_ns: Vec<f64> = spans[design.off]
        .iter()
        .map(|span| f64::from(span.start_ns) + f64::from(span.rest_ns))
        .collect();
    times_ns.sort_unstable_by(f64::total_cmp);
    let median_ns = moments::quantile(&times_ns, 0.5)?;
    let bandwidth_ns = (BANDWIDTH_SHARE * median_ns).max(LEAST_STEPS * spread::step(&times_ns));
    let end_ns = END_MEDIANS * median_ns;
    let starts = spans.iter().flatten().map(|span| f64::from(span.start_ns));
    let start_ns = mode(starts, end_ns, bandwidth_ns)?;
    let is_calm = |span: &&Span| {
        (f64::from(span.start_ns) - start_ns).abs() <= CALM_BANDWIDTHS * bandwidth_ns
    };
    let of_arm = |spans: &Vec<Span>| {
        let calm: Vec<Span> = spans.iter().filter(is_calm).copied().collect();
        let mode = |ns: fn(&Span) -> f64| mode(calm.iter().map(ns), end_ns, bandwidth_ns);
        let mut waited_ns: Vec<f64> = calm.iter().map(|span| f64::from(span.waited_ns)).collect();
        waited_ns.sort_unstable_by(f64::total_cmp);
        (calm.len() >= LEAST_REQUESTS).then_some(())?;
        Some(Modes {
            requests: calm.len(),
            whole_ns: mode(|span| f64::from(span.rest_ns))?,
            outside_ns: mode(|span| f64::from(span.rest_ns) - f64::from(span.hook_ns))?,
            waited_ns: spread::quantile(&waited_ns, spread::step(&waited_ns), 0.5)?,
        })
    };
    spans.iter().map(of_arm).collect()
}
