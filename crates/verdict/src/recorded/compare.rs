//! Compares recorded arms with the first of them.

use anyhow::bail;
use runlog::comparison::{ArmFigures, Comparison, Comparisons, Method, SCHEMA, Threshold};
use runlog::estimate::Unit;
use stats::change_point::{WarmUp, warm_up};
use stats::multiple::holm;
use stats::t_test::{pooled_sd, student};
use stats::{Counted, Moments, Trim};

use super::by_blocks::{self, Pair};
use super::{Origin, RecordedArm, by_requests, threshold};
use crate::doubt::{Doubt, SMALL_BLOCK, find};

/// Blocks that a stretch of requests is cut into when nobody says.
const DEFAULT_BLOCKS: usize = 40;
/// Windows in which the end of the warm-up is sought.
const WINDOWS: usize = 100;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    /// By blocks or by requests.
    pub method: Method,
    /// First requests of each arm to leave out. Without, the method of blocks finds the warm-up of a CSV
    /// by itself, and the paper's leaves none out.
    pub warmup: Option<usize>,
    /// Blocks to cut a CSV into.
    pub blocks: Option<usize>,
}

impl Choices {
    /// By the blocks of a run, as they are.
    pub const BY_BLOCKS: Self = Self {
        method: Method::Blocks,
        warmup: None,
        blocks: None,
    };
}

/// Compares each arm with the first.
pub fn compare(mut arms: Vec<RecordedArm>, choices: Choices) -> anyhow::Result<Comparisons> {
    let mut notes: Vec<String> = arms.iter().flat_map(|arm| arm.notes.clone()).collect();
    notes.dedup();
    for arm in &mut arms {
        prepare(arm, choices, &mut notes)?;
    }
    let is_csv = |arm: &RecordedArm| arm.origin == Origin::Csv;
    let (unit, scale) = if arms.iter().any(is_csv) {
        (Unit::Ms, 1e-6)
    } else {
        (Unit::Ns, 1.0)
    };
    let threshold = match choices.method {
        Method::Blocks => threshold::of(&arms),
        Method::Paper => None,
    };
    let context = Context {
        threshold_ns: threshold.map(|(ns, _)| ns),
        unit,
        scale,
    };
    let figures: Vec<ArmFigures> = arms
        .iter()
        .map(|arm| context.arm(arm))
        .collect::<anyhow::Result<_>>()?;
    let doubts = figures.iter().flat_map(find::of_recorded_arm);
    notes.extend(doubts.map(|doubt| doubt.to_string()));
    let mut comparisons: Vec<Comparison> = arms[1..]
        .iter()
        .map(|arm| context.comparison(&arms[0], arm))
        .collect::<anyhow::Result<_>>()?;
    let p_values: Vec<f64> = comparisons
        .iter()
        .filter_map(|comparison| comparison.p)
        .collect();
    let tested = comparisons
        .iter_mut()
        .filter(|comparison| comparison.p.is_some());
    for (comparison, adjusted) in tested.zip(holm(&p_values)) {
        comparison.p_holm = Some(adjusted);
    }
    let doubts = comparisons.iter().flat_map(find::of_comparison);
    notes.extend(doubts.map(|doubt| doubt.to_string()));
    Ok(Comparisons {
        schema: SCHEMA.to_owned(),
        method: choices.method,
        unit,
        threshold: threshold.map(|(ns, from)| Threshold {
            value: ns * scale,
            from,
        }),
        arms: figures,
        comparisons,
        notes,
    })
}

/// Leaves the warm-up out, and cuts what is not in blocks.
fn prepare(arm: &mut RecordedArm, choices: Choices, notes: &mut Vec<String>) -> anyhow::Result<()> {
    let name = arm.name.clone();
    let before = arm.count();
    match choices.warmup {
        Some(count) if arm.origin == Origin::HdrLog && count > 0 => bail!(
            "--warmup {count}: {} is an HDR log, which does not have the order of its values; give the \
             run, or its CSV",
            arm.source
        ),
        Some(count) => arm.leave_out_first(count),
        None if choices.method == Method::Blocks => find_warm_up(arm, notes),
        None => {}
    }
    if choices.method == Method::Blocks && arm.origin == Origin::Csv {
        let count = arm.count();
        let blocks = choices
            .blocks
            .unwrap_or(DEFAULT_BLOCKS.min(count / SMALL_BLOCK).max(2));
        if count >= 2 * blocks {
            arm.cut(blocks);
        } else {
            bail!(
                "{}: {count} of {before} requests are left of arm {name}, too few for {blocks} blocks of two; \
                 record more{}",
                arm.source,
                if choices.blocks.is_some() {
                    ", or give fewer --blocks"
                } else {
                    ""
                }
            );
        }
        if count / blocks < SMALL_BLOCK {
            let requests = count / blocks;
            notes.push(Doubt::ShortBlocks(requests).of_arm(&name).to_string());
        }
    }
    if choices.method == Method::Blocks {
        arm.join_blocks_of_servers();
    }
    let needed = if choices.method == Method::Blocks {
        arm.blocks.len()
    } else {
        arm.count()
    };
    if needed < 2 {
        let left_out: Vec<String> = arm
            .left_out
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        bail!(
            "{}: arm {name} has {} requests in {} blocks to compare, and at least two are needed (left \
             out: {})",
            arm.source,
            arm.count(),
            arm.blocks.len(),
            if left_out.is_empty() {
                "none".to_owned()
            } else {
                left_out.join(", ")
            }
        );
    }
    Ok(())
}

/// Finds the warm-up by the change of the level of windows or blocks. That of a CSV is left out; a run
/// has its own, which should have been long enough.
fn find_warm_up(arm: &mut RecordedArm, notes: &mut Vec<String>) {
    let name = arm.name.clone();
    let whole = arm.clone();
    let windows = if arm.origin == Origin::Csv {
        let mut windows = arm.clone();
        windows.cut(WINDOWS.min(arm.count()).max(1));
        windows
    } else {
        whole
    };
    let requests_before = |window: usize| {
        windows.blocks[..window]
            .iter()
            .map(|b| b.times.count())
            .sum::<usize>()
    };
    let mut doubt = |doubt: Doubt| notes.push(doubt.of_arm(&name).to_string());
    // There is no threshold yet, and single outliers are no level.
    let levels = by_blocks::values(&windows.blocks, |times| times.mean(Trim::USUAL));
    match warm_up(&levels) {
        WarmUp::Ends(0) => {}
        WarmUp::Ends(window) if arm.origin == Origin::Csv => {
            let count = requests_before(window);
            arm.leave_out_first(count);
            notes.push(format!(
                "{name}: the first {count} requests are left out as warm-up: the level changes there"
            ));
        }
        WarmUp::Ends(block) => doubt(Doubt::LongWarmUp(block)),
        WarmUp::DoesNotEnd(window) => doubt(Doubt::EndlessWarmUp {
            requests: requests_before(window),
            of: arm.count(),
        }),
    }
}

struct Context {
    /// Where blocks are split; none by the paper's method.
    threshold_ns: Option<f64>,
    unit: Unit,
    /// From nanoseconds to the unit.
    scale: f64,
}

impl Context {
    fn arm(&self, arm: &RecordedArm) -> anyhow::Result<ArmFigures> {
        let times = arm.counted();
        let moments = moments(arm, &times)?;
        let (blocks, halves) = match self.threshold_ns {
            Some(threshold_ns) => (
                by_blocks::figures(arm, threshold_ns, self.scale),
                by_blocks::halves(arm, threshold_ns, self.scale),
            ),
            None => (None, by_requests::halves(arm, self.scale)),
        };
        Ok(ArmFigures {
            name: arm.name.clone(),
            source: arm.source.clone(),
            n: moments.count,
            left_out: arm.left_out.clone(),
            mean: moments.mean * self.scale,
            median: self.quantile(&times, 0.5),
            sd: moments.sd() * self.scale,
            p90_p99_p999: [0.9, 0.99, 0.999].map(|quantile| self.quantile(&times, quantile)),
            blocks,
            halves,
        })
    }

    fn quantile(&self, times: &Counted, quantile: f64) -> f64 {
        times.quantile(quantile).unwrap_or(f64::NAN) * self.scale
    }

    fn comparison(
        &self,
        control: &RecordedArm,
        treatment: &RecordedArm,
    ) -> anyhow::Result<Comparison> {
        let [before_times, after_times] = [control, treatment].map(RecordedArm::counted);
        let before = moments(control, &before_times)?;
        let after = moments(treatment, &after_times)?;
        let mut comparison = Comparison {
            baseline: control.name.clone(),
            treatment: treatment.name.clone(),
            n: [before.count, after.count],
            mean: [before.mean, after.mean].map(|mean| mean * self.scale),
            median: [&before_times, &after_times].map(|times| self.quantile(times, 0.5)),
            pooled_sd: pooled_sd(&before, &after) * self.scale,
            t: None,
            p: None,
            degrees_of_freedom: None,
            test: by_requests::STUDENT.to_owned(),
            p_holm: None,
            paired: false,
            blocks: None,
            difference: None,
            effect: None,
            beyond_means: None,
        };
        let outcome = if let Some(threshold_ns) = self.threshold_ns {
            let pair = Pair::new(control, treatment);
            let splits = pair.split(threshold_ns);
            let (name, outcome) = splits.test(|split| split.body);
            let bodies = splits.part(|split| split.body);
            let beyond = pair.beyond_means(&bodies, outcome.as_ref(), self.unit, self.scale);
            let typical = beyond.as_ref().and_then(by_blocks::typical);
            let effect = splits.effect(typical, self.unit, self.scale);
            name.clone_into(&mut comparison.test);
            comparison.paired = pair.is_paired;
            comparison.blocks = Some(pair.counts());
            comparison.difference.clone_from(&effect.body);
            comparison.effect = Some(effect);
            comparison.beyond_means = beyond;
            outcome
        } else {
            comparison.difference = by_requests::difference(&before, &after, self.unit, self.scale);
            student(&before, &after)
        };
        comparison.t = outcome.map(|outcome| outcome.t);
        comparison.p = outcome.map(|outcome| outcome.p);
        comparison.degrees_of_freedom = outcome.map(|outcome| outcome.degrees_of_freedom);
        Ok(comparison)
    }
}

fn moments(arm: &RecordedArm, times: &Counted) -> anyhow::Result<Moments> {
    match times.moments() {
        Some(moments) => Ok(moments),
        None => bail!(
            "{}: arm {} has fewer than two requests",
            arm.source,
            arm.name
        ),
    }
}
