//! What an arm adds to a request that nothing disturbs.
//!
//! On a machine with neighbours a request takes one of two lengths, a third apart, and which one changes from request to
//! request: the means of two arms then differ by chance more than by the hook. Two steps take that out. Only requests that
//! *began* undisturbed are compared: what happened to them before the hook could have any effect took as long as it
//! mostly takes. As the arm has no part in that, this selects alike from all arms. Then of the rest of their response time
//! the mode is taken: a request that goes on undisturbed.
//!
//! That is another estimand than the mean: of a cost that less than half of the requests have it sees nothing. Body and tail do.

use runlog::estimate::{Estimate, Unit};
use runlog::trial::{Dose, Doses, TrialResult, Undisturbed, UndisturbedEffect};
use stats::mode::mode;
use stats::{moments, spread};

use crate::doubt::{Doubt, of_undisturbed};
use crate::trial::Found;
use crate::trial::agreement::Layers;
use crate::trial::block::Sample;
use crate::trial::design::Design;
use crate::trial::effects::slope_of;
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

/// Undisturbed requests stand in for the mean if their interval is narrower than this share of the mean's.
const SHARPER: f64 = 0.5;

/// A request may come while the hook is still at work before the read. If more requests of any arm do than this share, the arm
/// shapes the starts of its process, and they choose no requests.
const LATE_SHARE: f64 = 0.01;

/// A request, and where the hook can begin to have an effect on it.
#[allow(clippy::struct_field_names, reason = "a unit is in each name")]
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// From sending to the answer, ns.
    took_ns: u32,
    /// From sending until the hook can have an effect.
    start_ns: u32,
    /// What the hook took of the response time, with the bracket's own and the delay of the arm.
    hook_ns: u32,
    /// The delay.
    waited_ns: u32,
    records: Records,
}

/// What the records of a request tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Records {
    /// All of it.
    Whole,
    /// All of it, and that the hook was still at work when the request was sent.
    Late,
    /// Nothing: there are none, or the hook went past back.
    None,
}

impl Span {
    /// Of a request.
    pub fn of(sample: &Sample) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a response time is neither negative nor of four seconds, or counts as such"
        )]
        let whole = |ns: f64| ns as u32;
        let calls = sample.calls.unwrap_or_default();
        Self {
            took_ns: whole(sample.took_ns),
            start_ns: whole((calls.untouched_ns as f64).min(sample.took_ns)),
            hook_ns: whole((calls.in_response_ns + calls.waited_ns) as f64),
            waited_ns: whole(calls.waited_ns as f64),
            records: match sample.calls {
                Some(calls) if calls.unreached > 0 => Records::None,
                Some(calls) if calls.is_late => Records::Late,
                Some(_) => Records::Whole,
                None => Records::None,
            },
        }
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
            of.modes.extend(of_process(design, spans, are_recorded));
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

    /// The delay of an arm less that of another: of the processes' medians the mean, ns.
    pub fn waited_ns(&self, arms: [usize; 2]) -> Option<f64> {
        stats::mean(&self.difference(arms, |of| of.waited_ns).values)
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
            slope_of(spiked.iter().map(|&(arm, of)| {
                let effect_ns = modes[arm].whole_ns - modes[design.on].whole_ns;
                [delay_ns(modes, (arm, of)), effect_ns]
            }))
        };
        let arms: Vec<Dose> = spiked.iter().map(dose).collect::<Option<_>>()?;
        (!arms.is_empty()).then(|| Doses {
            arms,
            slope: Figure::pooled(self.modes.iter().filter_map(slope).collect()).estimate(
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
                null: self.design.null.map(|null| {
                    let arms = [null, self.design.off];
                    self.undisturbed.difference(arms, |of| of.whole_ns)
                }),
                in_situ_estimand: "difference of modes with and without the hook's time, of requests that began \
                                   undisturbed, on minus off, by the bracket's records",
            };
            let is_inside_known = self.layer.is_some();
            undisturbed.agreement = is_inside_known.then(|| layers.agreement(&doubts)).flatten();
            self.result.undisturbed = Some(undisturbed);
        }
    }
}

/// Whether undisturbed requests are known much more sharply than the body of the mean. They mostly are, but not where nothing
/// disturbs and response times spread widely. The choice looks at the widths of `on` minus `off` alone. It costs coverage: the
/// narrower of two equally precise intervals holds the truth in 92 %, not 95; if one is half as wide, in 94.
pub fn are_sharper(result: &TrialResult) -> bool {
    let body = result.effects.get("on").and_then(|on| on.body.as_ref());
    let undisturbed = result.undisturbed.as_ref();
    let undisturbed = undisturbed.and_then(Undisturbed::of_hook);
    let width = |estimate: &Estimate| estimate.ci95[1] - estimate.ci95[0];
    undisturbed
        .is_some_and(|on| body.is_none_or(|body| width(&on.end_to_end) < SHARPER * width(body)))
}

/// The modes of a process; `None` if an arm has too few requests. Where others have records, requests without are left out.
fn of_process(design: &Design, spans: &Spans, are_recorded: bool) -> Option<Vec<Modes>> {
    let counts = |span: &&Span| !are_recorded || span.records != Records::None;
    let is_late = |spans: &Vec<Span>| {
        let late = spans.iter().filter(|span| span.records == Records::Late);
        late.count() as f64 > LATE_SHARE * spans.len() as f64
    };
    let have_starts = are_recorded && !spans.iter().any(is_late);
    let start_ns = |span: &Span| {
        if have_starts {
            f64::from(span.start_ns)
        } else {
            0.0
        }
    };
    let rest_ns = |span: &Span| f64::from(span.took_ns) - start_ns(span);

    let times_ns = spans[design.off].iter().filter(counts);
    let mut times_ns: Vec<f64> = times_ns.map(|span| f64::from(span.took_ns)).collect();
    times_ns.sort_unstable_by(f64::total_cmp);
    let median_ns = moments::quantile(&times_ns, 0.5)?;
    let bandwidth_ns = (BANDWIDTH_SHARE * median_ns).max(LEAST_STEPS * spread::step(&times_ns));
    let mode =
        |values: &mut dyn Iterator<Item = f64>| mode(values, END_MEDIANS * median_ns, bandwidth_ns);
    let usual_ns = mode(&mut spans.iter().flatten().filter(counts).map(start_ns))?;
    let is_calm =
        |span: &&Span| (start_ns(span) - usual_ns).abs() <= CALM_BANDWIDTHS * bandwidth_ns;
    let of_arm = |spans: &Vec<Span>| {
        let calm: Vec<&Span> = spans.iter().filter(counts).filter(is_calm).collect();
        (calm.len() >= LEAST_REQUESTS).then_some(())?;
        let calm = || calm.iter().copied();
        let mut waited_ns: Vec<f64> = calm().map(|span| f64::from(span.waited_ns)).collect();
        waited_ns.sort_unstable_by(f64::total_cmp);
        Some(Modes {
            requests: waited_ns.len(),
            whole_ns: mode(&mut calm().map(rest_ns))?,
            outside_ns: mode(&mut calm().map(|span| rest_ns(span) - f64::from(span.hook_ns)))?,
            waited_ns: spread::quantile(&waited_ns, spread::step(&waited_ns), 0.5)?,
        })
    };
    spans.iter().map(of_arm).collect()
}
