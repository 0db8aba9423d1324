//! Whether the layers of a trial agree, process by process, and whether the two sources of its in-situ layer do.

use std::collections::BTreeMap;

use runlog::analysis::Agreement;
use runlog::estimate::{Estimate, Unit};
use stats::mean_interval;
use stats::ratio::ratio_of_means;

use crate::agreement::{Gap, Parts, SHARE_OF_TRIAL, margin_ns};
use crate::doubt::Doubt;
use crate::estimate;
use crate::order::Order;
use crate::trial::Found;
use crate::trial::block::{ArmOfBlock, Block};
use crate::trial::effects::{difference, recorded_difference};
use crate::trial::figure::{Figure, Weight};
use crate::trial::in_situ::Layer;
use crate::trial::slices;

/// The layers of a trial, as figures of the same processes.
pub struct Layers {
    /// End to end.
    pub macros: Figure,
    /// What of it the calls take.
    pub in_situ: Figure,
    /// The rest.
    pub unexplained: Figure,
    /// End to end, of the arm that goes past the hook as `off` does.
    pub null: Option<Figure>,
    /// What `in_situ` is.
    pub in_situ_estimand: &'static str,
}

impl Layers {
    /// Compares them. `None` below two observations.
    pub fn agreement(&self, doubts: &[Doubt]) -> Option<Agreement> {
        let Self {
            macros,
            in_situ,
            unexplained,
            null,
            in_situ_estimand,
        } = self;
        let in_situ_per_request = in_situ.ns(in_situ_estimand)?;
        let gap = Gap {
            unexplained: unexplained.location()?,
            a_a: null.as_ref().and_then(Figure::location),
            margin_ns: margin_ns(SHARE_OF_TRIAL, in_situ_per_request.estimate),
            observation: unexplained.observation(),
        };
        let share = ratio_of_means(&in_situ.values, &macros.values);
        let parts = Parts {
            explained_share: share.map(|share| {
                estimate(
                    share,
                    Unit::One,
                    "in-situ overhead per request as a share of the macro difference",
                    &format!("Fieller's theorem; {}", in_situ.method()),
                )
            }),
            lines: BTreeMap::new(),
            unexplained: unexplained.ns("macro difference minus in-situ overhead per request")?,
            in_situ_per_request,
        };
        gap.agreement(parts, doubts)
    }
}

impl Found {
    /// Compares the layers; `doubts` are those about the run. `None` without an in-situ layer by records.
    pub fn agreement(&self, doubts: &[Doubt]) -> Option<Agreement> {
        self.layer.as_ref()?;
        let design = &self.design;
        if design.slices.is_some() {
            if !self.is_paced_by_server() {
                return None;
            }
            return self.agreement_of_slices(doubts);
        }
        let both = |block: &Block| {
            let body_ns = block.less([design.on, design.off], ArmOfBlock::body_ns)?;
            Some([body_ns, Layer::in_response_ns(design, block)?])
        };
        let figure = |value: fn([f64; 2]) -> f64| {
            Figure::of(&self.blocks, Weight::Requests, |block| {
                both(block).map(value)
            })
        };
        let macros = figure(|[body_ns, _]| body_ns);
        let in_situ = figure(|[_, in_situ_ns]| in_situ_ns);
        let unexplained = figure(|[body_ns, in_situ_ns]| body_ns - in_situ_ns);
        Layers {
            macros,
            in_situ,
            unexplained,
            null: design
                .null
                .map(|null| difference(&self.blocks, [null, design.off], ArmOfBlock::body_ns)),
            in_situ_estimand: "difference of means of the hook overhead of all calls of a request that lengthens its \
                               response time, on minus null, by the bracket's records",
        }
        .agreement(doubts)
    }

    /// Whether it is the server that sets the pace. In an open loop the plan does, and where a ns of delay costs a completed request
    /// next to nothing those who ask do.
    fn is_paced_by_server(&self) -> bool {
        let slices = self.result.slices.as_ref();
        let doses = slices.and_then(|slices| slices.responses.get("per_completed"));
        let slope = doses.and_then(|doses| doses.slope.as_ref());
        let is_felt = slope.map_or(!self.design.is_server_log(), |slope| slope.ci95[1] >= 0.5);
        !self.is_open_loop && is_felt
    }

    /// The same by slices of time: a request holds up the server for all that the hook does, before its read, too.
    fn agreement_of_slices(&self, doubts: &[Doubt]) -> Option<Agreement> {
        let design = &self.design;
        let arms = [design.on, design.null?];
        let in_situ_ns =
            |block: &Block| block.less(arms, |arm| Some(arm.recorded.as_ref()?.whole.mean_ns));
        let both = |block: &Block| {
            let paced = block.less([design.on, design.off], |arm| Some(arm.pace?.ns))?;
            Some([paced, in_situ_ns(block)?])
        };
        let figure = |value: fn([f64; 2]) -> f64| {
            Figure::of(&self.blocks, Weight::Trimmed, |block| {
                both(block).map(value)
            })
        };
        Layers {
            macros: figure(|[paced_ns, _]| paced_ns),
            in_situ: figure(|[_, in_situ_ns]| in_situ_ns),
            unexplained: figure(|[paced_ns, in_situ_ns]| paced_ns - in_situ_ns),
            null: design
                .null
                .map(|null| slices::effect(&self.blocks, [null, design.off])),
            in_situ_estimand: "difference of means of the hook overhead of all calls of a request, on minus null, by the \
                               bracket's records",
        }
        .agreement(doubts)
    }

    /// What eBPF saw of a request's overhead, by round, minus what the bracket's records have after the read: in each
    /// process, as these differ. `None` unless both are there.
    pub fn sources_differ_by(&self, ebpf_ns: &[Option<f64>], order: Order) -> Option<Estimate> {
        let estimand = "hook overhead of all calls of a request after the read, on minus null, by eBPF minus by the \
                        bracket's records";
        let arms = [self.design.on, self.design.null?];
        let by_server = order.observations(ebpf_ns);
        if self.design.servers > 1 {
            let difference = Figure::of(&self.blocks, Weight::Requests, |block| {
                let bracket_ns =
                    block.less(arms, |arm| Some(arm.recorded.as_ref()?.after_read.mean_ns))?;
                Some((*by_server.get(block.server)?)? - bracket_ns)
            });
            return difference.ns(estimand);
        }
        let known: Vec<f64> = by_server.into_iter().flatten().collect();
        let bracket = recorded_difference(&self.blocks, arms, |of| of.after_read.mean_ns);
        Some(estimate(
            mean_interval(&known)?.minus(bracket.interval()?),
            Unit::Ns,
            estimand,
            "in this process: Student's t on blocks; half-widths of both are added in quadrature",
        ))
    }
}
