//! `probe-user truth`: does the measuring chain find delays that it did not make?
//!
//! Each arm's hook is told to wait a known time after each read; one arm's time is zero. All are
//! blocks of one run on the same core, and what the layers find is held against what was injected.

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::estimate::{Estimate, Unit};
use runlog::json;
use runlog::table::TableWriter;
use runlog::truth::{DelayFound, SCHEMA, Truth};

use crate::analysis::blocks::Cell;
use crate::analysis::estimate;
use crate::analysis::logs::{Logged, read_logs};
use crate::analysis::order::Order;
use crate::command::End;
use crate::command::options::{ExperimentOptions, NewRun, Probing, progress_bar};
use crate::run::arms::ArmSpec;
use crate::run::experiment::{Experiment, Outcome};
use crate::run::stop::Stop;
use crate::show;

/// Relative tolerance of both layers.
const TOLERANCE: f64 = 0.03;
/// Least tolerance of the in-situ layer: a busy-wait ends up to one clock read late.
const IN_SITU_TOLERANCE_NS: f64 = 60.0;
/// Least tolerance of the macro layer.
const MACRO_TOLERANCE_NS: f64 = 300.0;

/// Options of `truth`.
#[derive(Args, Debug)]
pub struct TruthArguments {
    #[command(flatten)]
    options: ExperimentOptions,

    /// Delays to inject, in nanoseconds; 0 is always among the arms
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,10000,100000",
        value_name = "NS,…"
    )]
    delays: Vec<u64>,
}

/// Runs it.
pub async fn truth(mut arguments: TruthArguments) -> anyhow::Result<End> {
    arguments.delays.sort_unstable();
    arguments.delays.dedup();
    arguments.delays.retain(|delay| *delay > 0);
    if arguments.delays.is_empty() || arguments.delays.len() > 15 {
        bail!("--delays: expected 1 to 15 different delays above 0");
    }
    let hook = arguments.options.hook()?;
    let is_delay = |name: &str| name == "READHOOK_DELAY_NS";
    if hook.environment.iter().any(|(name, _)| is_delay(name)) {
        bail!("READHOOK_DELAY_NS is set by this command; --delays says which to inject");
    }
    let arms = [0].iter().chain(&arguments.delays).map(|delay_ns| {
        let mut hook = hook.clone();
        hook.environment
            .push(("READHOOK_DELAY_NS".to_owned(), delay_ns.to_string()));
        ArmSpec {
            name: format!("delay-{delay_ns}ns"),
            hook: Some(hook),
        }
    });
    let experiment = arguments
        .options
        .experiment(arms.collect(), Probing::Must)?;
    let run = arguments.options.open_folder("truth")?;
    let end = run_in(&arguments, experiment, &run).await;
    if end.is_err() {
        run.discard_if_empty();
    }
    end
}

async fn run_in(
    arguments: &TruthArguments,
    experiment: Experiment,
    run: &NewRun,
) -> anyhow::Result<End> {
    let directory = &run.directory;
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    let outcome = experiment.run(directory, &mut stop, &bar).await?;
    let table = TableWriter::create(directory.joined())?;
    let trim = arguments.options.trim()?;
    let logged = read_logs(directory, &outcome.manifest, trim, Some(table))
        .context("cannot read the run back")?;
    let truth = compare(&arguments.delays, &logged, outcome);
    json::write(&directory.truth(), &truth)?;
    bar.finish_and_clear();
    if arguments.options.json {
        println!("{}", serde_json::to_string_pretty(&truth)?);
    } else {
        show::truth::print(&truth, directory);
    }
    Ok(if truth.cut_short.is_some() {
        End::CutShort
    } else if truth.holds {
        End::Complete
    } else {
        End::NotUsable
    })
}

fn compare(delays: &[u64], logged: &Logged, outcome: Outcome) -> Truth {
    let order = Order::of(&outcome.manifest.schedule);
    let delays: Vec<DelayFound> = (1..)
        .zip(delays)
        .map(|(arm, injected_ns)| delay_found(arm, *injected_ns, logged, order))
        .collect();
    let balanced = outcome
        .ledger
        .as_ref()
        .is_some_and(|ledger| ledger.balanced);
    Truth {
        schema: SCHEMA.to_owned(),
        holds: balanced && outcome.cut_short.is_none() && delays.iter().all(|found| found.holds),
        cut_short: outcome.cut_short,
        delays,
        ledger: outcome.ledger,
        environment: outcome.manifest.environment,
        placement: outcome.manifest.placement,
    }
}

fn delay_found(arm: u16, injected_ns: u64, logged: &Logged, order: Order) -> DelayFound {
    let calls = |arm, other| logged.calls.against(arm, other).hook_overhead_ns;
    let in_situ = order
        .difference(&calls(0, arm), &calls(arm, 0))
        .map(|interval| {
            estimate(
                interval,
                Unit::Ns,
                "difference of mean in-situ hook overheads per call, with the delay minus without",
                order.method(),
            )
        });
    let cell = |arm, other| {
        let observed = false;
        logged.blocks.against(Cell { arm, observed }, other)
    };
    let macro_ = order
        .difference(cell(0, arm), cell(arm, 0))
        .map(|interval| {
            estimate(
                interval,
                Unit::Ns,
                "difference of mean response times, with the delay minus without, probes detached",
                order.method(),
            )
        });
    let injected = injected_ns as f64;
    let in_situ_tolerance_ns = (TOLERANCE * injected).max(IN_SITU_TOLERANCE_NS);
    let macro_tolerance_ns = (TOLERANCE * injected).max(MACRO_TOLERANCE_NS);
    let within = |estimate: &Option<Estimate>, tolerance: f64| {
        estimate
            .as_ref()
            .is_some_and(|found| (found.estimate - injected).abs() <= tolerance)
    };
    DelayFound {
        injected_ns,
        holds: within(&in_situ, in_situ_tolerance_ns) && within(&macro_, macro_tolerance_ns),
        in_situ,
        in_situ_tolerance_ns,
        macro_,
        macro_tolerance_ns,
    }
}
