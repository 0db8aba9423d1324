//! Delays of a trial, for `probe-user validate truth`: what is seen of each by who does not look how long it is, and the key.

use runlog::estimate::{Estimate, Unit};
use runlog::truth::{BLIND_SCHEMA, Blind, BlindArm};

use crate::estimate;
use crate::in_situ::InSituCollector;
use crate::order::Order;
use crate::trial::Found;
use crate::trial::block::ArmOfBlock;
use crate::trial::figure::{Figure, Weight};
use crate::trial::undisturbed::are_sharper;

/// How long one arm's delay is.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    /// The arm's name in [`Blind`].
    pub arm: String,
    /// What was asked for, ns.
    pub asked_ns: u64,
    /// Median of what was measured in front of the hook, ns; `None` without records.
    pub median_ns: Option<f64>,
    /// The same, or the mean, whichever is in the macro estimate.
    pub in_macro_ns: Option<f64>,
}

impl Found {
    /// What each arm with a delay differs by from `on`; `ebpf` is what probes saw of calls.
    pub fn blind(&self, ebpf: &InSituCollector, order: Order) -> Blind {
        let arms = self.delayed().map(|(name, arm)| BlindArm {
            in_situ: self.in_situ_of(arm, &name),
            in_situ_ebpf: self.in_situ_ebpf_of(arm, &name, ebpf, order),
            macro_: self.macro_of(arm, &name),
            arm: name,
        });
        Blind {
            schema: BLIND_SCHEMA.to_owned(),
            arms: arms.collect(),
        }
    }

    /// How long their delays were, from the shortest to the longest.
    pub fn delays(&self) -> Vec<Delay> {
        let waited_ns = |arm: usize, part: fn(&ArmOfBlock) -> Option<f64>| {
            let arms = [arm, self.design.on];
            // Arms without a delay wait for a read of the clock.
            let figure = Figure::of(&self.blocks, Weight::Alike, |block| block.less(arms, part));
            stats::mean(&figure.values)
        };
        let delay = |(name, arm): (String, usize)| {
            let median_ns = waited_ns(arm, |of| of.waited_median_ns);
            let in_macro_ns = if are_sharper(&self.result) {
                let is_measured = median_ns.is_some();
                let of_undisturbed = self.undisturbed.waited_ns([arm, self.design.on]);
                of_undisturbed.filter(|_| is_measured)
            } else {
                waited_ns(arm, |of| of.waited_ns)
            };
            Delay {
                arm: name,
                asked_ns: self.design.trial.arms()[arm].delay_ns(),
                median_ns,
                in_macro_ns,
            }
        };
        let mut delays: Vec<Delay> = self.delayed().map(delay).collect();
        delays.sort_by_key(|delay| delay.asked_ns);
        delays
    }

    /// The arms with delays, in the order of their numbers and under names that tell no more.
    fn delayed(&self) -> impl Iterator<Item = (String, usize)> + '_ {
        let delayed = self.design.arms().filter(|(_, arm)| arm.delay_ns() > 0);
        (1..)
            .zip(delayed)
            .map(|(number, (arm, _))| (format!("arm-{number}"), arm))
    }

    /// The whole of what front and hook take of a request, the delay with it.
    fn in_situ_of(&self, arm: usize, name: &str) -> Option<Estimate> {
        let whole = Figure::of(&self.blocks, Weight::Alike, |block| {
            block.less([arm, self.design.on], |of| {
                Some(of.recorded.as_ref()?.delayed_median_ns)
            })
        });
        whole.ns(&format!(
            "difference of medians of what a request takes before and after the call behind the hook, delay included, \
             by the bracket's records, {name} minus on"
        ))
    }

    fn in_situ_ebpf_of(
        &self,
        arm: usize,
        name: &str,
        ebpf: &InSituCollector,
        order: Order,
    ) -> Option<Estimate> {
        let number = |arm: usize| u16::try_from(arm).ok();
        let (arm, on) = number(arm).zip(number(self.design.on))?;
        let per_request = |arm, other| ebpf.against(arm, other).typical_per_request_ns;
        let interval = order.difference(&per_request(on, arm), &per_request(arm, on))?;
        Some(estimate(
            interval,
            Unit::Ns,
            &format!(
                "difference of medians of the hook overhead of all calls of a request, delay included, by eBPF, \
                 {name} minus on"
            ),
            &order.method(),
        ))
    }

    /// Of requests that nothing disturbs, or of means where these are the sharper.
    fn macro_of(&self, arm: usize, name: &str) -> Option<Estimate> {
        let on = self.design.on;
        if are_sharper(&self.result) {
            let what = format!("{name} minus on");
            return self.undisturbed.end_to_end([arm, on], &what);
        }
        // A delay shows in those requests alone that are below the threshold without it.
        let of_requests_below = Figure::of(&self.blocks, Weight::Requests, |block| {
            let share_below = block.arms.get(on)?.share_below()?;
            Some(block.less([arm, on], ArmOfBlock::body_ns)? / share_below)
        });
        of_requests_below.ns(&format!(
            "difference of means of min(response time, threshold) over the share of requests of on below it, {name} \
             minus on"
        ))
    }
}
