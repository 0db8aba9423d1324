//! The three layers, their agreement, and the probe effect, for `probe-user bench`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use runlog::Role;
use runlog::analysis::{self, Agreement, Analysis, InSitu, Macro, Requests};
use runlog::calibration::{Calibration, HOOK_OVERHEAD, HOOKED_READ_SYSCALL};
use runlog::estimate::{Estimate, Unit};
use runlog::manifest::{Arm, Manifest};
use stats::{Trim, mean_interval};

use crate::agreement::{Rounds, agreement};
use crate::blocks::{BlockMeans, Cell};
use crate::correct::corrected;
use crate::doubt::{Doubt, Severity, find, of_clock, of_trial, words};
use crate::in_situ::CallMeans;
use crate::logs::Logged;
use crate::micro_blocks::Measured;
use crate::order::Order;
use crate::outcome::Outcome;
use crate::trial::Found;
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

impl Roles {
    /// The arms of a bench.
    pub fn of(arms: &[Arm]) -> anyhow::Result<Self> {
        let index = |role: Role| {
            let mut roles = (0..).zip(arms.iter().map(Arm::role));
            let found = roles.find_map(|(index, other)| (other == role).then_some(index));
            found.with_context(|| format!("no arm has the role {role}"))
        };
        Ok(Self {
            baseline: index(Role::Baseline)?,
            baseline_2: index(Role::Baseline2)?,
            hooked: index(Role::Hooked)?,
        })
    }
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
    let order = Order::of(&manifest.schedule);
    let mut calls = logged.calls.against(roles.hooked, roles.baseline);
    if order.is_trial() {
        // What brackets the hook is seen in either arm.
        calls = calls.less_overheads(&logged.calls.against(roles.baseline_2, roles.baseline));
    }
    let layers = Layers {
        blocks: &logged.blocks,
        calls: &calls,
        roles,
        order,
    };
    let mut trial = logged.trial.take();
    let mut macro_ = layers.macro_(&manifest, no_probes.is_none());
    let in_situ = match &trial {
        // A hook that goes past back is not told from the read that it makes.
        Some(trial) if no_probes.is_some() || trial.never_reached() => trial.in_situ(),
        _ => layers.in_situ(no_probes, manifest.calibration.as_ref()),
    };
    if let Some(trial) = &mut trial {
        trial.fill_macro(&mut macro_);
        trial.result.in_situ_sources_differ_by =
            trial.sources_differ_by(&calls.overhead_per_request_ns, order);
    }
    let probe_effect = layers.probe_effect();
    let requests: BTreeMap<String, Requests> = (0..)
        .zip(&manifest.arms)
        .filter_map(|(arm, described)| {
            let requests = logged.blocks.requests.get(&arm)?;
            Some((described.name.clone(), requests.clone()))
        })
        .collect();

    let mut doubts: Vec<Doubt> = cut_short.iter().cloned().map(Doubt::CutShort).collect();
    doubts.extend(logged.cut_short.then_some(Doubt::LogCutShort));
    doubts.extend(
        requests.iter().filter_map(|(arm, requests)| {
            find::of_requests(requests).map(|doubt| doubt.of_arm(arm))
        }),
    );
    doubts.extend(ledger.iter().flat_map(find::of_ledger));
    // A run that was cut short may not have come to a request with the probes attached: that is no doubt of its own.
    let of_join = logged.join.iter().flat_map(find::of_join);
    let of_join = of_join.filter(|doubt| cut_short.is_none() || *doubt != Doubt::NothingToJoin);
    // Calls of a hook that goes past back find no read, and nothing is made of them.
    let is_past_back = trial.as_ref().is_some_and(Found::never_reached);
    doubts.extend(of_join.filter(|_| !is_past_back));
    // Before A/A: a limit that was hit may be why equal servers differ.
    doubts.extend(manifest.resources.iter().flat_map(find::of_resources));
    match &trial {
        Some(trial) => {
            doubts.extend(of_trial(&trial.result, &manifest.placement));
            doubts.extend(of_clock(&manifest.environment));
        }
        None => doubts.extend(macro_.a_a_difference.as_ref().and_then(find::of_a_a)),
    }
    doubts.extend(order.is_sequential().then_some(Doubt::OneAfterTheOther));
    doubts.extend(manifest.doctor.iter().flat_map(find::of_checkups));

    let agreement = match &mut trial {
        Some(trial) => {
            trial.fill_undisturbed(&doubts);
            trial.agreement(&doubts)
        }
        None => layers.agreement(&logged, &doubts),
    };
    let hooked_name = manifest
        .arms
        .get(usize::from(roles.hooked))
        .map_or(Role::Hooked.name(), |arm| arm.name.as_str());
    Analysis {
        schema: analysis::SCHEMA.to_owned(),
        cut_short,
        not_usable: words(&doubts, |severity| severity == Severity::NotUsable),
        warnings: words(&doubts, |severity| {
            // What withholds a verdict stands with the agreement, where there is one.
            severity == Severity::Warning
                || severity == Severity::Withholds && trial.is_some() && agreement.is_none()
        }),
        trim_each_end: trim.fraction_each_end(),
        micro: micro::layer(micro_blocks),
        in_situ,
        macro_,
        trial: trial.map(|trial| Box::new(trial.result)),
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
        let other_differences = (0..)
            .zip(&manifest.arms)
            .filter(|(index, _)| ![baseline, baseline_2, hooked].contains(index))
            .filter_map(|(index, arm)| {
                let name = &arm.name;
                let what = format!("difference of mean response times, {name} minus baseline");
                Some((name.clone(), difference(baseline, index, &what)?))
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
            other_differences,
            response_time,
        }
    }

    fn in_situ(&self, no_probes: Option<String>, calibration: Option<&Calibration>) -> InSitu {
        let is_trial = self.order.is_trial();
        let mean = |rounds: &[Option<f64>], unit, estimand: &str| {
            let (values, method) = if is_trial {
                (
                    self.order.observations(rounds),
                    "Student's t on means of servers",
                )
            } else {
                (rounds.to_vec(), UNPAIRED)
            };
            let means: Vec<f64> = values.into_iter().flatten().collect();
            mean_interval(&means).map(|interval| estimate(interval, unit, estimand, method))
        };
        let hook_overhead = mean(
            &self.calls.hook_overhead_ns,
            Unit::Ns,
            if is_trial {
                "mean of hook span minus inner span per call, on minus null"
            } else {
                "mean of hook span minus inner span per call"
            },
        );
        let read_syscall = mean(
            &self.calls.read_syscall_ns,
            Unit::Ns,
            "mean of read(2) in the kernel per hooked call",
        );
        let less_bias = |seen: &Option<Estimate>, span: &str| {
            let calibrated = calibration?.of(span)?;
            Some(corrected(seen.as_ref()?, &calibrated.bias_mean))
        };
        InSitu {
            missing: match (no_probes, &hook_overhead) {
                (Some(reason), _) => Some(reason),
                (None, None) => Some("fewer than two blocks with joined requests".to_owned()),
                (None, Some(_)) => None,
            },
            // In a trial the arms that are compared have the same bias.
            hook_overhead_corrected: less_bias(&hook_overhead, HOOK_OVERHEAD).filter(|_| !is_trial),
            read_syscall_corrected: less_bias(&read_syscall, HOOKED_READ_SYSCALL),
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

    fn agreement(&self, logged: &Logged, doubts: &[Doubt]) -> Option<Agreement> {
        let Roles {
            baseline, hooked, ..
        } = self.roles;
        let rounds = Rounds {
            baseline: self.against(baseline, hooked, false),
            hooked: self.against(hooked, baseline, false),
            in_situ: &self.calls.overhead_per_request_ns,
            reads: [
                logged.reads_against(baseline, hooked),
                logged.reads_against(hooked, baseline),
            ],
            order: self.order,
        };
        agreement(&rounds, doubts)
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

    fn arm(name: &str, role: Option<Role>) -> Arm {
        Arm {
            name: name.to_owned(),
            role,
            url: String::new(),
            pids: Vec::new(),
            hook: None,
            hook_environment: Vec::new(),
        }
    }

    #[test]
    fn arms_have_the_roles_that_the_manifest_says_and_else_those_of_their_names() {
        // As versions wrote it that did not write roles down.
        let mut arms = ["hooked", "baseline", "baseline-2"].map(|name| arm(name, None));
        let by_name = Roles::of(&arms).unwrap();
        let Roles {
            baseline,
            baseline_2,
            hooked,
        } = by_name;
        assert_eq!([baseline, baseline_2, hooked], [1, 2, 0]);
        arms[0] = arm("mine", Some(Role::Hooked));
        assert_eq!(Roles::of(&arms).unwrap().hooked, 0);
        arms[0] = arm("mine", None);
        let error = Roles::of(&arms).unwrap_err().to_string();
        assert!(error.contains("hooked"), "{error}");
    }
}
