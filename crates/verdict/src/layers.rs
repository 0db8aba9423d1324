//! The three layers, their agreement, and the probe effect, for `probe-user bench`.

use std::collections::BTreeMap;

use abi::SpanKind;
use runlog::analysis::{self, Analysis, InSitu, Join, Ledger, Macro, Requests};
use runlog::calibration::Calibration;
use runlog::estimate::{Estimate, Unit};
use runlog::manifest::Manifest;
use stats::{Trim, mean_interval};

use crate::agreement::{Rounds, agreement, reasons_to_withhold};
use crate::blocks::{BlockMeans, Cell};
use crate::correct::corrected;
use crate::in_situ::CallMeans;
use crate::logs::Logged;
use crate::micro_blocks::Measured;
use crate::order::Order;
use crate::outcome::Outcome;
use crate::{UNPAIRED, estimate, micro};

/// Which arm plays which part, by index.
#[derive(Clone, Copy, Debug)]
pub struct Roles {
    /// Without the hook.
    pub baseline: u16,
    /// Without the hook, again.
    pub baseline_2: u16,
    /// With the hook.
    pub hooked: u16,
}

/// Draws the analysis up.
pub fn analyze(
    mut logged: Logged,
    roles: Roles,
    outcome: Outcome,
    micro_blocks: Result<Measured, String>,
    trim: Trim,
) -> Analysis {
    let Outcome {
        manifest,
        cut_short,
        ledger,
        no_probes,
    } = outcome;
    let calls = logged.calls.against(roles.hooked, roles.baseline);
    let layers = Layers {
        blocks: &logged.blocks,
        calls: &calls,
        roles,
        order: Order::of(&manifest.schedule),
    };
    let macro_ = layers.macro_(&manifest, no_probes.is_none());
    let in_situ = layers.in_situ(no_probes, manifest.calibration.as_ref());
    let probe_effect = layers.probe_effect();
    let withheld = reasons_to_withhold(ledger.as_ref(), &macro_, manifest.resources.as_ref());
    let Roles {
        baseline, hooked, ..
    } = roles;
    let rounds = Rounds {
        baseline: layers.against(baseline, hooked, false),
        hooked: layers.against(hooked, baseline, false),
        in_situ: &calls.overhead_per_request_ns,
        reads: [
            logged.reads_against(baseline, hooked),
            logged.reads_against(hooked, baseline),
        ],
        order: layers.order,
    };
    let agreement = agreement(&rounds, withheld);

    let requests: BTreeMap<String, Requests> = (0..)
        .zip(&manifest.arms)
        .filter_map(|(arm, described)| {
            let requests = logged.blocks.requests.remove(&arm)?;
            Some((described.name.clone(), requests))
        })
        .collect();
    let mut not_usable = reasons_not_to_use(
        cut_short.as_deref(),
        &requests,
        ledger.as_ref(),
        logged.join.as_ref(),
    );
    if logged.cut_short {
        not_usable.push("a log was cut short".to_owned());
    }
    let hooked_name = manifest
        .arms
        .get(usize::from(roles.hooked))
        .map_or("hooked", |arm| arm.name.as_str());
    Analysis {
        schema: analysis::SCHEMA.to_owned(),
        cut_short,
        not_usable,
        warnings: Order::of(&manifest.schedule)
            .warning()
            .map(str::to_owned)
            .into_iter()
            .collect(),
        trim_each_end: trim.fraction_each_end(),
        micro: micro::layer(micro_blocks),
        in_situ,
        macro_,
        probe_effect,
        agreement,
        budget: logged
            .budgets
            .remove(&roles.hooked)
            .and_then(|budget| budget.finish(hooked_name)),
        probes: manifest.probes,
        ledger,
        join: logged.join,
        requests,
        environment: manifest.environment,
        placement: manifest.placement,
        recommendations: Vec::new(),
    }
}

/// The most requests of an arm that may fail, and that may stay without records, as a share.
const TOLERATED_SHARE: f64 = 0.001;

/// Why a result should not be used.
fn reasons_not_to_use(
    cut_short: Option<&str>,
    requests: &BTreeMap<String, Requests>,
    ledger: Option<&Ledger>,
    join: Option<&Join>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(reason) = cut_short {
        reasons.push(format!("the run was cut short: {reason}"));
    }
    for (arm, Requests { sent, failed }) in requests {
        let failures: u64 = failed.values().sum();
        if failures as f64 > TOLERATED_SHARE * *sent as f64 {
            let kinds: Vec<String> = failed
                .iter()
                .map(|(kind, count)| format!("{count} × {kind}"))
                .collect();
            reasons.push(format!(
                "of {sent} requests to arm {arm} {failures} failed ({})",
                kinds.join(", ")
            ));
        }
    }
    if ledger.is_some_and(|ledger| !ledger.balanced) {
        reasons.push("the ledger does not balance".to_owned());
    }
    if let Some(join) = join {
        let unmatched = join.requests - join.matched;
        if cut_short.is_none() && join.requests == 0 {
            reasons.push("no request was made while the probes were attached".to_owned());
        } else if unmatched as f64 > TOLERATED_SHARE * join.requests as f64 {
            reasons.push(format!(
                "of {} requests to hooked arms {unmatched} could not be joined to records",
                join.requests
            ));
        }
        if join.outside_sent_done > 0 {
            reasons.push(format!(
                "reads of {} requests ended outside of [sent, done]",
                join.outside_sent_done
            ));
        }
    }
    reasons
}

struct Layers<'l> {
    blocks: &'l BlockMeans,
    calls: &'l CallMeans,
    roles: Roles,
    /// The order of the blocks, by which arms are compared.
    order: Order,
}

impl Layers<'_> {
    /// The block means of an arm, for a comparison with another.
    fn against(&self, arm: u16, other: u16, observed: bool) -> &[Option<f64>] {
        self.blocks.against(Cell { arm, observed }, other)
    }

    fn macro_(&self, manifest: &Manifest, probed: bool) -> Macro {
        let Roles {
            baseline,
            baseline_2,
            hooked,
        } = self.roles;
        let state = if probed { ", probes detached" } else { "" };
        let difference = |from, to, what: &str| {
            let [control, treatment] =
                [(from, to), (to, from)].map(|(arm, other)| self.against(arm, other, false));
            let interval = self.order.difference(control, treatment)?;
            let estimand = format!("{what}{state}");
            Some(estimate(
                interval,
                Unit::Ns,
                &estimand,
                &self.order.method(),
            ))
        };
        let response_time = (0..)
            .zip(&manifest.arms)
            .filter_map(|(index, arm)| {
                let cell = Cell {
                    arm: index,
                    observed: false,
                };
                let means: Vec<f64> = self.blocks.of(cell).into_iter().flatten().collect();
                let estimand = format!("mean response time{state}");
                let interval = mean_interval(&means)?;
                Some((
                    arm.name.clone(),
                    estimate(interval, Unit::Ns, &estimand, UNPAIRED),
                ))
            })
            .collect();
        let difference_of_hook = difference(
            baseline,
            hooked,
            "difference of mean response times, hooked minus baseline",
        );
        Macro {
            missing: difference_of_hook
                .is_none()
                .then(|| "fewer than two complete rounds".to_owned()),
            difference: difference_of_hook,
            a_a_difference: difference(
                baseline,
                baseline_2,
                "difference of mean response times, second baseline minus first",
            ),
            response_time,
        }
    }

    fn in_situ(&self, no_probes: Option<String>, calibration: Option<&Calibration>) -> InSitu {
        let mean = |rounds: &[Option<f64>], unit, estimand: &str| {
            let means: Vec<f64> = rounds.iter().flatten().copied().collect();
            mean_interval(&means).map(|interval| estimate(interval, unit, estimand, UNPAIRED))
        };
        let hook_overhead = mean(
            &self.calls.hook_overhead_ns,
            Unit::Ns,
            "mean of hook span minus inner span per call",
        );
        let read_syscall = mean(
            &self.calls.read_syscall_ns,
            Unit::Ns,
            "mean of read(2) in the kernel per hooked call",
        );
        let less_bias = |seen: &Option<Estimate>, kind: SpanKind| {
            let calibrated = calibration?.of(kind.name())?;
            Some(corrected(seen.as_ref()?, &calibrated.bias_mean))
        };
        InSitu {
            missing: match (no_probes, &hook_overhead) {
                (Some(reason), _) => Some(reason),
                (None, None) => Some("fewer than two blocks with joined requests".to_owned()),
                (None, Some(_)) => None,
            },
            hook_overhead_corrected: less_bias(&hook_overhead, SpanKind::HookOverhead),
            read_syscall_corrected: less_bias(&read_syscall, SpanKind::HookedReadSyscall),
            hook_overhead,
            read_syscall,
            calls_per_request: mean(
                &self.calls.calls_per_request,
                Unit::Calls,
                "mean of hooked reads per request",
            ),
            bytes_per_call: mean(
                &self.calls.bytes_per_call,
                Unit::Bytes,
                "mean of bytes of requests per hooked read",
            ),
        }
    }

    fn probe_effect(&self) -> Option<Estimate> {
        let Roles {
            baseline, hooked, ..
        } = self.roles;
        let [detached, attached] =
            [false, true].map(|observed| self.against(hooked, baseline, observed));
        let interval = self.order.difference(detached, attached)?;
        Some(estimate(
            interval,
            Unit::Ns,
            "difference of mean response times of the hooked arm, probes attached minus detached",
            &self.order.method(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(sent: u64, failed: u64) -> BTreeMap<String, Requests> {
        let failed = match failed {
            0 => BTreeMap::new(),
            count => [("timed_out".to_owned(), count)].into(),
        };
        [("hooked".to_owned(), Requests { sent, failed })].into()
    }

    fn join(requests: u64, matched: u64) -> Join {
        Join {
            requests,
            matched,
            ..Join::default()
        }
    }

    #[test]
    fn a_sound_result_has_no_reason_against_it() {
        let ledger = Ledger {
            balanced: true,
            ..Ledger::default()
        };
        let sound = reasons_not_to_use(
            None,
            &requests(10_000, 10),
            Some(&ledger),
            Some(&join(10_000, 9_990)),
        );
        assert_eq!(sound, Vec::<String>::new());
        let unbalanced = reasons_not_to_use(None, &requests(1, 0), Some(&Ledger::default()), None);
        assert_eq!(unbalanced, ["the ledger does not balance"]);
    }

    #[test]
    fn failures_and_missing_records_are_reasons() {
        let reasons = reasons_not_to_use(None, &requests(1_000, 2), None, None);
        assert_eq!(
            reasons,
            ["of 1000 requests to arm hooked 2 failed (2 × timed_out)"]
        );
        let reasons = reasons_not_to_use(None, &requests(1_000, 0), None, Some(&join(1_000, 0)));
        assert!(
            reasons[0].contains("1000 could not be joined"),
            "{reasons:?}"
        );
        let reasons = reasons_not_to_use(None, &requests(1_000, 0), None, Some(&join(0, 0)));
        assert!(reasons[0].contains("no request"), "{reasons:?}");
        let outside = Join {
            outside_sent_done: 1,
            ..join(10, 10)
        };
        let reasons = reasons_not_to_use(None, &requests(10, 0), None, Some(&outside));
        assert!(
            reasons[0].contains("outside of [sent, done]"),
            "{reasons:?}"
        );
    }
}
