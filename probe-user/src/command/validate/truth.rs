//! `probe-user validate truth`: does the measuring chain find delays that it did not make?
//!
//! Each arm's hook is told to wait a time after each read; the reference arm's is zero. The others have names
//! that say nothing, and which waits how long is in no file of the run. The estimates are written down
//! first, then the key is looked at.

use anyhow::{Context as _, bail};
use clap::Args;
use rand::SeedableRng as _;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use runlog::estimate::{Estimate, Unit};
use runlog::table::TableWriter;
use runlog::truth::{
    BLIND_SCHEMA, Blind, BlindArm, COVERAGE_SCHEMA, Coverage, CoverageRun, DelayFound, Detectable,
    SCHEMA, Truth,
};
use runlog::{Role, json};
use stats::distribution::t_quantile;
use stats::{binomial, power};

use super::repeat::{Repetition, ShortRun, repeat, seed_of};
use crate::command::End;
use crate::command::options::{ExperimentOptions, NewRun, Probing, progress_bar};
use crate::machine;
use crate::run::arms::{ArmSpec, HookSpec};
use crate::run::experiment::Experiment;
use crate::run::stop::Stop;
use crate::show;
use verdict::blocks::{BlockMeans, Cell};
use verdict::estimate;
use verdict::logs::{Logged, read_logs};
use verdict::order::Order;
use verdict::outcome::Outcome;

/// Relative tolerance of both layers.
const TOLERANCE: f64 = 0.03;
/// Least tolerance of the in-situ layer: a busy-wait ends up to one clock read late.
const IN_SITU_TOLERANCE_NS: f64 = 60.0;
/// Least tolerance of the macro layer.
const MACRO_TOLERANCE_NS: f64 = 300.0;
/// The setting that injects.
const DELAY: &str = "READHOOK_DELAY_NS";
/// What every arm waits, the reference too; the delay is what they wait beyond. The first clock reads of a wait find
/// the clock's code and data out of the nearest caches, and its end is mispredicted. And the longer a wait, the less
/// of what the request needs afterwards is still in the caches: 100 µs made requests 1 to 3 µs longer than they
/// were told to be beside a reference that did not wait, and 0.25 µs beside one that waits as long.
const BASE_NS: u64 = 100_000;

/// Options of `validate truth`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sudo probe-user validate truth             both layers, all delays in one run
  probe-user validate truth --runs 60 --requests 60000
                                             60 short runs of one delay each:
                                             is it in the macro interval?
  probe-user validate truth --runs 20 --first-run 20 --seed 1
                                             the second third of such a series")]
pub struct TruthArguments {
    /// Delays to inject, in nanoseconds; 0 is always among the arms
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "500,1000,2000,5000,10000,100000",
        value_name = "NS,…"
    )]
    delays: Vec<u64>,

    /// Make this many short runs without probes, each of one delay drawn at random
    #[arg(long, value_name = "N")]
    runs: Option<u32>,

    #[command(flatten)]
    repetition: Repetition,

    #[command(flatten)]
    options: ExperimentOptions,
}

/// Which arm waits how long: for nobody to see before the estimates are written down.
struct Key(Vec<(String, u64)>);

/// Makes the run or the runs, writes what came out into a folder, and prints it.
pub async fn truth(mut arguments: TruthArguments) -> anyhow::Result<End> {
    arguments.delays.sort_unstable();
    arguments.delays.dedup();
    arguments.delays.retain(|delay| *delay > 0);
    if arguments.delays.is_empty() || arguments.delays.len() > 15 {
        bail!("--delays: expected 1 to 15 different delays above 0");
    }
    arguments.options.prefer_the_undisturbed()?;
    let hook = arguments.options.hook()?;
    if hook.environment.iter().any(|(name, _)| name == DELAY) {
        bail!("{DELAY} is set by this command; --delays says which to inject");
    }
    let series_seed = arguments.options.seed.unwrap_or_else(machine::unix_ns);
    if let Some(runs) = arguments.runs {
        return coverage(&arguments, &hook, runs, series_seed).await;
    }
    if arguments.repetition.first_run > 0 {
        bail!("--first-run: only a series (--runs) has a first run");
    }
    // Another seed than the order's, which the manifest has.
    let (key, arms) = seal(&hook, &arguments.delays, !machine::unix_ns());
    let experiment = arguments.options.experiment(arms, Probing::Must)?;
    let run = arguments.options.open_folder("truth")?;
    let end = run_in(&arguments, experiment, key, &run).await;
    if end.is_err() {
        run.discard_if_empty();
    }
    end
}

/// The reference and an arm for each delay, in an order drawn at random.
fn seal(hook: &HookSpec, delays: &[u64], seed: u64) -> (Key, Vec<ArmSpec>) {
    let mut shuffled = delays.to_vec();
    shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut arms = vec![delayed("reference".to_owned(), hook, 0)];
    let mut key = Vec::new();
    for (number, delay_ns) in (1..).zip(shuffled) {
        let name = format!("arm-{number}");
        arms.push(delayed(name.clone(), hook, delay_ns));
        key.push((name, delay_ns));
    }
    (Key(key), arms)
}

fn delayed(name: String, hook: &HookSpec, delay_ns: u64) -> ArmSpec {
    ArmSpec {
        name,
        role: Role::Other,
        hook: Some(hook.clone()),
        sealed: vec![(DELAY.to_owned(), (BASE_NS + delay_ns).to_string())],
    }
}

async fn run_in(
    arguments: &TruthArguments,
    experiment: Experiment,
    key: Key,
    run: &NewRun,
) -> anyhow::Result<End> {
    let directory = &run.directory;
    let mut stop = Stop::listen()?;
    let bar = progress_bar();
    let outcome = experiment.run(directory, &mut stop, &bar).await?;
    let joined = Some(TableWriter::create(directory.joined())?);
    let logged = read_logs(
        directory,
        &outcome.manifest,
        arguments.options.trim(),
        joined,
    )
    .context("cannot read the run back")?;
    let blind = blind(&logged, &outcome);
    json::write(&directory.truth_blind(), &blind)?;
    let truth = reveal(&json::read(&directory.truth_blind())?, &key, outcome);
    json::write(&directory.truth(), &truth)?;
    bar.finish_and_clear();
    arguments
        .options
        .output
        .print(&truth, |it| show::truth::print(it, directory))?;
    Ok(End::of(truth.cut_short.is_some(), truth.holds))
}

/// What is found between the reference and each arm, by who does not know the delays.
fn blind(logged: &Logged, outcome: &Outcome) -> Blind {
    let order = Order::of(&outcome.manifest.schedule);
    let arms = (0..).zip(&outcome.manifest.arms).skip(1);
    let arms = arms.map(|(arm, described)| {
        let calls = |arm, other| logged.calls.against(arm, other).hook_overhead_ns;
        let in_situ = order
            .difference(&calls(0, arm), &calls(arm, 0))
            .map(|interval| {
                estimate(
                    interval,
                    Unit::Ns,
                    "difference of mean in-situ hook overheads per call, the arm's minus the reference's",
                    &order.method(),
                )
            });
        BlindArm {
            arm: described.name.clone(),
            in_situ,
            macro_: macro_difference(&logged.blocks, order, arm),
            macro_load_ns: load_ns(&logged.blocks, order, arm),
        }
    });
    Blind {
        schema: BLIND_SCHEMA.to_owned(),
        arms: arms.collect(),
    }
}

fn detached(arm: u16) -> Cell {
    let observed = false;
    Cell { arm, observed }
}

fn macro_difference(blocks: &BlockMeans, order: Order, arm: u16) -> Option<Estimate> {
    let interval = order.difference(
        blocks.against(detached(0), arm),
        blocks.against(detached(arm), 0),
    )?;
    Some(estimate(
        interval,
        Unit::Ns,
        "difference of mean response times, the arm's minus the reference's, probes detached",
        &order.method(),
    ))
}

/// How long the load on an arm and the reference took.
fn load_ns(blocks: &BlockMeans, order: Order, arm: u16) -> u64 {
    let of = |arm| blocks.load_ns.get(&detached(arm)).copied().unwrap_or(0);
    // In a duet the reference runs beside each arm, at the same time.
    if order.is_duet() {
        of(arm)
    } else {
        of(0) + of(arm)
    }
}

/// Looks at the key, and holds the estimates against it.
fn reveal(blind: &Blind, Key(key): &Key, outcome: Outcome) -> Truth {
    let mut delays: Vec<DelayFound> = blind
        .arms
        .iter()
        .filter_map(|arm| {
            let (_, delay_ns) = key.iter().find(|(name, _)| *name == arm.arm)?;
            Some(delay_found(arm, *delay_ns))
        })
        .collect();
    delays.sort_by_key(|found| found.injected_ns);
    let balanced = outcome
        .ledger
        .as_ref()
        .is_some_and(|ledger| ledger.balanced);
    // Of the arm that is most like the reference: a long delay varies more.
    let smallest = delays.first().and_then(|found| {
        let arm = blind.arms.iter().find(|arm| arm.arm == found.arm)?;
        detectable(found.macro_.as_ref()?, arm.macro_load_ns)
    });
    Truth {
        schema: SCHEMA.to_owned(),
        holds: balanced
            && outcome.cut_short.is_none()
            && delays.len() == key.len()
            && delays.iter().all(|found| found.holds),
        cut_short: outcome.cut_short,
        delays,
        detectable: smallest,
        ledger: outcome.ledger,
        environment: outcome.manifest.environment,
        placement: outcome.manifest.placement,
    }
}

fn delay_found(arm: &BlindArm, injected_ns: u64) -> DelayFound {
    let injected = injected_ns as f64;
    let in_situ_tolerance_ns = (TOLERANCE * injected).max(IN_SITU_TOLERANCE_NS);
    let macro_tolerance_ns = (TOLERANCE * injected).max(MACRO_TOLERANCE_NS);
    let within = |estimate: &Option<Estimate>, tolerance: f64| {
        estimate
            .as_ref()
            .is_some_and(|found| (found.estimate - injected).abs() <= tolerance)
    };
    DelayFound {
        arm: arm.arm.clone(),
        injected_ns,
        holds: within(&arm.in_situ, in_situ_tolerance_ns)
            && arm
                .macro_
                .as_ref()
                .is_some_and(|found| found.reaches(injected, macro_tolerance_ns)),
        in_situ: arm.in_situ.clone(),
        in_situ_tolerance_ns,
        macro_detects: arm.macro_.as_ref().is_some_and(|found| found.ci95[0] > 0.0),
        macro_: arm.macro_.clone(),
        macro_tolerance_ns,
    }
}

/// The smallest delay that a run like this one would detect. It is not scaled to more load: blocks would be
/// more, servers not.
fn detectable(found: &Estimate, load_ns: u64) -> Option<Detectable> {
    let half_width_ns = (found.ci95[1] - found.ci95[0]) / 2.0;
    let degrees_of_freedom = found.blocks.checked_sub(1)? as f64;
    let standard_error_ns = half_width_ns / t_quantile(0.975, degrees_of_freedom)?;
    let in_errors = power::detectable_in_errors(degrees_of_freedom)?;
    Some(Detectable {
        ns: in_errors * standard_error_ns,
        load_seconds: load_ns as f64 / 1e9,
        power: power::POWER,
        method: format!(
            "{in_errors:.2} standard errors of the shortest delay's macro difference, Student's t with \
             {degrees_of_freedom} degrees of freedom"
        ),
    })
}

/// Short runs of one delay each.
async fn coverage(
    arguments: &TruthArguments,
    hook: &HookSpec,
    runs: u32,
    seed: u64,
) -> anyhow::Result<End> {
    let TruthArguments {
        delays,
        repetition,
        options,
        ..
    } = arguments;
    let folder = options.open_folder("coverage")?;
    let delay_of = |number| {
        let mut random = ChaCha8Rng::seed_from_u64(!seed_of(seed, number));
        delays.choose(&mut random).copied().unwrap_or(0)
    };
    let arms = |number| {
        vec![
            delayed("reference".to_owned(), hook, 0),
            delayed("arm-1".to_owned(), hook, delay_of(number)),
        ]
    };
    let trim = options.trim();
    let bar = progress_bar();
    let mut done = Vec::new();
    let take = |run: ShortRun<'_>| {
        let blocks = BlockMeans::read(run.directory, trim, &run.manifest.schedule)?;
        let order = Order::of(&run.manifest.schedule);
        let found = macro_difference(&blocks, order, 1)
            .with_context(|| format!("run {}: fewer than two complete rounds", run.number))?;
        let injected_ns = delay_of(run.number);
        done.push(CoverageRun {
            run: run.number,
            seed: run.seed,
            injected_ns,
            covers: (found.ci95[0]..=found.ci95[1]).contains(&(injected_ns as f64)),
            macro_: found,
        });
        Ok(())
    };
    let (manifest, cut_short) = repeat(options, *repetition, runs, seed, &bar, arms, take)
        .await
        .inspect_err(|_| folder.discard())?;
    bar.finish_and_clear();
    let made = u32::try_from(done.len()).unwrap_or(u32::MAX);
    let missed = done.iter().filter(|run| !run.covers).count();
    let missed = u32::try_from(missed).unwrap_or(u32::MAX);
    let allowed = binomial::quantile(made, 0.05, 0.975);
    let report = Coverage {
        schema: COVERAGE_SCHEMA.to_owned(),
        holds: cut_short.is_none() && missed <= allowed,
        cut_short,
        order: manifest.schedule.order,
        runs: done,
        missed,
        allowed,
        environment: manifest.environment,
        placement: manifest.placement,
    };
    json::write(&folder.directory.coverage(), &report)?;
    options.output.print(&report, |it| {
        show::truth::print_coverage(it, &folder.directory);
    })?;
    Ok(End::of(report.cut_short.is_some(), report.holds))
}

#[cfg(test)]
mod tests;
