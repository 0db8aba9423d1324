//! The three layers, their agreement, and the probe effect, for `probe-user bench`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use runlog::Role;
use runlog::analysis::{self, Agreement, Analysis, InSitu, Macro, Requests};
use runlog::calibration::{Calibration, HOOK_OVERHEAD, HOOKED_READ_SYSCALL};
use runlog::estimate::{Estimate, Unit};
use runlog::manifest::{Arm, Manifest};
use runlog::trial::{ArmEffect, TrialResult};
use stats::{Trim, mean_interval};

use crate::agreement::{Rounds, agreement};
use crate::blocks::{BlockMeans, Cell};
use crate::correct::corrected;
use crate::doubt::{
    Doubt, Severity, TrialDoubt, Unfollowed, find, of_clock, of_hooked_reads, of_trial, words,
};
use crate::effect::{Value, effect, part};
use crate::in_situ::CallMeans;
use crate::logs::Logged;
use crate::micro_blocks::Measured;
use crate::order::Order;
use crate::outcome::Outcome;
use crate::trial::Found;
use crate::{estimate, micro};

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
        threshold_ns: logged.threshold_ns.filter(|_| !order.is_trial()),
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

    let micro = micro::layer(micro_blocks);
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
    doubts.extend(manifest.resources.iter().flat_map(find::of_resources));
    if let Some(trial) = &trial {
        doubts.extend(of_a_trial(&trial.result, &requests, &manifest));
    }
    if in_situ.hook_overhead.is_none() && trial.is_none() {
        doubts.extend(find::of_alone(&micro, &macro_));
    }
    let result = trial.as_ref().map(|trial| &trial.result);
    doubts.extend(of_hooked_reads(&manifest.arms, result));
    doubts.extend(order.is_sequential().then_some(Doubt::OneAfterTheOther));
    doubts.extend(manifest.doctor.iter().flat_map(find::of_checkups));

    let (agreement, agreement_typical) = if let Some(trial) = &mut trial {
        trial.fill_undisturbed(&doubts);
        (trial.agreement(&doubts), None)
    } else {
        let of = |of| layers.agreement(&logged, of, &doubts);
        (of(&MEAN_COST), of(&TYPICAL))
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
        micro,
        in_situ,
        macro_,
        trial: trial.map(|trial| Box::new(trial.result)),
        probe_effect,
        agreement,
        agreement_typical,
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

/// What speaks against the result of a trial, whose servers may be such that nothing can be said of them.
fn of_a_trial(
    result: &TrialResult,
    requests: &BTreeMap<String, Requests>,
    manifest: &Manifest,
) -> Vec<Doubt> {
    let none_answered = requests.values().all(Requests::have_all_failed);
    let closes = |doubt: &Doubt| {
        let Doubt::Trial(TrialDoubt::Unfollowed(why)) = doubt else {
            return false;
        };
        matches!(why, Unfollowed::NothingDrawn(_))
    };
    let mut doubts = of_trial(result, &manifest.placement);
    // Servers that answer nothing close connections too.
    doubts.retain(|doubt| !none_answered || !closes(doubt));
    doubts.extend(of_clock(&manifest.environment));
    doubts
}

struct Layers<'l> {
    blocks: &'l BlockMeans,
    threshold_ns: Option<f64>,
    calls: &'l CallMeans,
    roles: Roles,
    /// The order of the blocks, by which arms are compared.
    order: Order,
}

/// Of which of two estimands layers are compared: the same end to end and at the call.
struct Compared {
    what: &'static str,
    response_time_ns: fn(&Value) -> f64,
    per_request_ns: fn(&CallMeans) -> &Vec<Option<f64>>,
    /// Whether it is known of `read(2)` in the kernel: means are.
    has_reads: bool,
}

/// What requests cost on average. Its tail is seen end to end alone, and so coarsely that layers are not compared by it.
const MEAN_COST: Compared = Compared {
    what: "mean",
    response_time_ns: Value::body,
    per_request_ns: |calls| &calls.overhead_per_request_ns,
    has_reads: true,
};

/// What half of the requests cost at most.
const TYPICAL: Compared = Compared {
    what: "median",
    response_time_ns: |value| value.median,
    per_request_ns: |calls| &calls.typical_per_request_ns,
    has_reads: false,
};

impl Layers<'_> {
    /// The block values of an arm, for a comparison with another.
    fn against(&self, arm: u16, other: u16, observed: bool) -> &[Option<Value>] {
        self.blocks.against(Cell { arm, observed }, other)
    }

    /// Two arms' block values, each for a comparison with the other.
    fn both(&self, [from, to]: [u16; 2]) -> [&[Option<Value>]; 2] {
        [(from, to), (to, from)].map(|(arm, other)| self.against(arm, other, false))
    }

    /// What an arm differs by from the baseline.
    fn effect(&self, arm: u16, who: &str, state: &str) -> ArmEffect {
        let arms = self.both([self.roles.baseline, arm]);
        let whose = format!(", {who} minus baseline{state}");
        let effect = effect(self.order, arms, Unit::Ns, 1.0, &whose);
        let cell = Cell {
            arm,
            observed: false,
        };
        ArmEffect {
            requests: self.blocks.counted(cell),
            typical: effect.typical,
            body: effect.body,
            tail: effect.tail,
            mean: effect.mean,
            share_above: effect.share_above,
        }
    }

    fn macro_(&self, manifest: &Manifest, probed: bool) -> Macro {
        let Roles {
            baseline,
            baseline_2,
            hooked,
        } = self.roles;
        let state = if probed { ", probes detached" } else { "" };
        let response_time = (0..)
            .zip(&manifest.arms)
            .filter_map(|(index, arm)| {
                let cell = Cell {
                    arm: index,
                    observed: false,
                };
                let estimand = format!("mean of min(response time, threshold){state}");
                let interval = self.order.level(&self.blocks.bodies_ns(cell))?;
                let method = self.order.method_of_level();
                Some((
                    arm.name.clone(),
                    estimate(interval, Unit::Ns, &estimand, &method),
                ))
            })
            .collect();
        let of_arm = |index: u16, name: &str| {
            let who = match index {
                index if index == hooked => "hooked",
                index if index == baseline_2 => "second baseline",
                _ => name,
            };
            self.effect(index, who, state)
        };
        let effects: BTreeMap<u16, ArmEffect> = (0..)
            .zip(&manifest.arms)
            .filter(|(index, _)| *index != baseline)
            .map(|(index, arm)| (index, of_arm(index, &arm.name)))
            .collect();
        let body = |index: u16| effects.get(&index)?.body.clone();
        let name = |index: u16| manifest.arms[usize::from(index)].name.clone();
        let others = effects
            .keys()
            .filter(|index| ![baseline_2, hooked].contains(index));
        let difference = body(hooked);
        Macro {
            threshold_ns: self.threshold_ns,
            missing: difference
                .is_none()
                .then(|| "fewer than two complete rounds".to_owned()),
            difference,
            a_a_difference: body(baseline_2),
            other_differences: others
                .filter_map(|index| Some((name(*index), body(*index)?)))
                .collect(),
            effects: effects
                .iter()
                .map(|(index, effect)| (name(*index), effect.clone()))
                .collect(),
            response_time,
        }
    }

    fn in_situ(&self, no_probes: Option<String>, calibration: Option<&Calibration>) -> InSitu {
        let is_trial = self.order.is_trial();
        let level = |rounds: &[Option<f64>], unit, estimand: &str| {
            let (interval, method) = if is_trial {
                let of_servers = self.order.observations(rounds);
                let known: Vec<f64> = of_servers.into_iter().flatten().collect();
                let method = "Student's t on means of servers".to_owned();
                (mean_interval(&known)?, method)
            } else {
                (self.order.level(rounds)?, self.order.method_of_level())
            };
            Some(estimate(interval, unit, estimand, &method))
        };
        let less = if is_trial { ", on minus null" } else { "" };
        let hook_overhead = level(
            &self.calls.hook_overhead_ns,
            Unit::Ns,
            &format!("mean of hook span minus inner span per call, clipped at the threshold{less}"),
        );
        let hook_overhead_typical = level(
            &self.calls.typical_overhead_ns,
            Unit::Ns,
            &format!("median over requests of hook span minus inner span per call{less}"),
        );
        let read_syscall = level(
            &self.calls.read_syscall_ns,
            Unit::Ns,
            "mean of read(2) in the kernel per hooked call, clipped at the threshold",
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
            hook_overhead_typical,
            read_syscall,
            calls_per_request: level(
                &self.calls.calls_per_request,
                Unit::Calls,
                "mean of hooked reads per request",
            ),
            bytes_per_call: level(
                &self.calls.bytes_per_call,
                Unit::Bytes,
                "mean of bytes of requests per hooked read",
            ),
        }
    }

    fn agreement(&self, logged: &Logged, of: &Compared, doubts: &[Doubt]) -> Option<Agreement> {
        let Roles {
            baseline,
            baseline_2,
            hooked,
        } = self.roles;
        let both = |arms| {
            self.both(arms)
                .map(|values| part(values, of.response_time_ns))
        };
        let [control, treatment] = both([baseline, hooked]);
        // In a duet the second baseline ran beside the first, in blocks of their own.
        let [first, second] = both([baseline, baseline_2]);
        let rounds = Rounds {
            baseline: &control,
            hooked: &treatment,
            a_a: [&first, &second],
            in_situ: (of.per_request_ns)(self.calls),
            reads: if of.has_reads {
                [
                    logged.reads_against(baseline, hooked),
                    logged.reads_against(hooked, baseline),
                ]
            } else {
                [&[], &[]]
            },
            order: self.order,
            what: of.what,
        };
        agreement(&rounds, doubts)
    }

    fn probe_effect(&self) -> Option<Estimate> {
        let Roles {
            baseline, hooked, ..
        } = self.roles;
        let [detached, attached] = [false, true]
            .map(|observed| part(self.against(hooked, baseline, observed), Value::body));
        let interval = self.order.difference(&detached, &attached)?;
        Some(estimate(
            interval,
            Unit::Ns,
            "difference of means of min(response time, threshold) of the hooked arm, probes attached minus detached",
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
            hooked_reads: None,
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
