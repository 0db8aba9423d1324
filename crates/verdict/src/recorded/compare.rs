//! Compares recorded arms with the first of them.

use anyhow::bail;
use runlog::comparison::{ArmFigures, Comparison, Comparisons, Method, SCHEMA};
use runlog::estimate::Unit;
use stats::change_point::{WarmUp, warm_up};
use stats::moments::quantile_of_sorted;
use stats::multiple::holm;
use stats::t_test::{pooled_sd, student};
use stats::{Moments, Trim};

use super::by_blocks::{self, Pair};
use super::{Origin, RecordedArm, by_requests};
use crate::doubt::{Doubt, SMALL_BLOCK, find};
use crate::estimate;

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
    /// What block means leave out at each end.
    pub trim: Trim,
}

impl Choices {
    /// By the blocks of a run, as they are.
    pub fn by_blocks(trim: Trim) -> Self {
        Self {
            method: Method::Blocks,
            warmup: None,
            blocks: None,
            trim,
        }
    }
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
    let context = Context {
        choices,
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
    let trimmed = choices.method == Method::Blocks;
    Ok(Comparisons {
        schema: SCHEMA.to_owned(),
        method: choices.method,
        unit,
        trim_each_end: trimmed.then(|| choices.trim.fraction_each_end()),
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
        None if choices.method == Method::Blocks => find_warm_up(arm, choices.trim, notes),
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
fn find_warm_up(arm: &mut RecordedArm, trim: Trim, notes: &mut Vec<String>) {
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
            .map(|b| b.values_ns.len())
            .sum::<usize>()
    };
    let mut doubt = |doubt: Doubt| notes.push(doubt.of_arm(&name).to_string());
    match warm_up(&by_blocks::means(&windows.blocks, trim)) {
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
    choices: Choices,
    unit: Unit,
    /// From nanoseconds to the unit.
    scale: f64,
}

impl Context {
    fn arm(&self, arm: &RecordedArm) -> anyhow::Result<ArmFigures> {
        let values = arm.values_ns();
        let moments = moments(arm, &values)?;
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |q| quantile_of_sorted(&sorted, q).unwrap_or(f64::NAN) * self.scale;
        let trim = self.choices.trim;
        let (blocks, halves) = match self.choices.method {
            Method::Blocks => (
                by_blocks::figures(arm, trim, self.scale),
                by_blocks::halves(arm, trim, self.scale),
            ),
            Method::Paper => (None, by_requests::halves(&values, self.scale)),
        };
        Ok(ArmFigures {
            name: arm.name.clone(),
            source: arm.source.clone(),
            n: moments.count,
            left_out: arm.left_out.clone(),
            mean: moments.mean * self.scale,
            median: quantile(0.5),
            sd: moments.sd() * self.scale,
            p90_p99_p999: [0.9, 0.99, 0.999].map(quantile),
            blocks,
            halves,
        })
    }

    fn comparison(
        &self,
        control: &RecordedArm,
        treatment: &RecordedArm,
    ) -> anyhow::Result<Comparison> {
        let values = [control.values_ns(), treatment.values_ns()];
        let before = moments(control, &values[0])?;
        let after = moments(treatment, &values[1])?;
        let median = |values: &[f64]| stats::moments::quantile(values, 0.5).unwrap_or(f64::NAN);
        let mut comparison = Comparison {
            baseline: control.name.clone(),
            treatment: treatment.name.clone(),
            n: [before.count, after.count],
            mean: [before.mean * self.scale, after.mean * self.scale],
            median: [
                median(&values[0]) * self.scale,
                median(&values[1]) * self.scale,
            ],
            pooled_sd: pooled_sd(&before, &after) * self.scale,
            t: None,
            p: None,
            degrees_of_freedom: None,
            test: by_requests::STUDENT.to_owned(),
            p_holm: None,
            paired: false,
            blocks: None,
            difference: None,
            beyond_means: None,
        };
        let outcome = match self.choices.method {
            Method::Paper => {
                comparison.difference =
                    by_requests::difference(&before, &after, self.unit, self.scale);
                student(&before, &after)
            }
            Method::Blocks => {
                let pair = Pair::new(control, treatment);
                let trim = self.choices.trim;
                let (name, outcome) = pair.t_test(trim);
                name.clone_into(&mut comparison.test);
                comparison.paired = pair.is_paired;
                comparison.blocks = Some(pair.counts());
                let [smaller, _] = {
                    let mut counts = pair.counts();
                    counts.sort_unstable();
                    counts
                };
                comparison.difference = outcome.and_then(|outcome| {
                    let interval = outcome.interval(smaller)?.scaled(self.scale);
                    let estimand = format!(
                        "difference of mean response times, each block trimmed by {} % at each end",
                        trim.fraction_each_end() * 100.0
                    );
                    Some(estimate(interval, self.unit, &estimand, name))
                });
                comparison.beyond_means =
                    pair.beyond_means(outcome.as_ref(), trim, self.unit, self.scale);
                outcome
            }
        };
        comparison.t = outcome.map(|outcome| outcome.t);
        comparison.p = outcome.map(|outcome| outcome.p);
        comparison.degrees_of_freedom = outcome.map(|outcome| outcome.degrees_of_freedom);
        Ok(comparison)
    }
}

fn moments(arm: &RecordedArm, values: &[f64]) -> anyhow::Result<Moments> {
    match Moments::of(values) {
        Some(moments) => Ok(moments),
        None => bail!(
            "{}: arm {} has fewer than two requests",
            arm.source,
            arm.name
        ),
    }
}
