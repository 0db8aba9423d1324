//! `probe-user validate a-a`: how often does a procedure see a difference between two equal servers?

use anyhow::{Context as _, bail};
use clap::Args;
use runlog::a_a::{AaReport, AaRun, PaperTest, SCHEMA};
use runlog::estimate::Unit;
use runlog::record::Request;
use runlog::table::Rows;
use runlog::{Role, json};
use stats::{Moments, binomial, t_test};

use super::repeat::{Repetition, ShortRun, repeat};
use crate::command::End;
use crate::command::options::{ExperimentOptions, Probing, progress_bar};
use crate::run::arms::ArmSpec;
use crate::show;
use verdict::blocks::{BlockMeans, Cell};
use verdict::effect::{Value, part};
use verdict::order::Order;
use verdict::{estimate, threshold};

/// Options of `validate a-a`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  probe-user validate a-a --runs 40               blocks interleaved at random
  probe-user validate a-a --runs 40 --order sequential
                                                  one server after the other
  probe-user validate a-a --requests 20000 -- java Server.java {port}")]
pub struct AaArguments {
    /// Runs, each with two servers of its own
    #[arg(long, default_value_t = 40, value_name = "N")]
    runs: u32,

    #[command(flatten)]
    repetition: Repetition,

    /// First requests of each arm that the paper's procedure drops
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 4_000,
        value_name = "N"
    )]
    paper_warmup: u64,

    #[command(flatten)]
    options: ExperimentOptions,
}

/// Makes the runs, writes what came out into a folder, and prints it.
pub async fn a_a(arguments: AaArguments) -> anyhow::Result<End> {
    let AaArguments {
        runs,
        repetition,
        paper_warmup,
        options,
    } = &arguments;
    if *paper_warmup + 2 > options.requests {
        bail!(
            "--paper-warmup {paper_warmup}: must leave at least two of the --requests ({})",
            options.requests
        );
    }
    let folder = options.open_folder("a-a")?;
    let experiment = |_, seed| {
        let arms = [Role::Baseline, Role::Baseline2].map(|role| ArmSpec::of(role, None));
        let mut experiment = options.experiment(arms.to_vec(), Probing::No)?;
        experiment.load.schedule.seed = seed;
        Ok(experiment)
    };
    let bar = progress_bar();
    let seed = options.seed();
    let mut done = Vec::new();
    let take = |run: ShortRun<'_>| {
        let threshold_ns = threshold::of_blocks(run.directory, run.manifest.arms.len())?;
        let threshold_ns = threshold_ns.unwrap_or(f64::INFINITY);
        let blocks = BlockMeans::read(run.directory, threshold_ns, &run.manifest.schedule)?;
        let order = Order::of(&run.manifest.schedule);
        let means = |arm, other| {
            let observed = false;
            let values = blocks.against(Cell { arm, observed }, other);
            part(values, Value::body)
        };
        let interval = order
            .difference(&means(0, 1), &means(1, 0))
            .with_context(|| format!("run {}: fewer than two complete rounds", run.number))?;
        done.push(AaRun {
            run: run.number,
            seed: run.seed,
            false_alarm: !interval.contains(0.0),
            difference: estimate(
                interval,
                Unit::Ns,
                "difference of means of min(response time, threshold), second baseline minus first",
                &order.method(),
            ),
            paper: paper_test(&run, *paper_warmup)?,
        });
        Ok(())
    };
    let (manifest, cut_short) = repeat(*repetition, *runs, seed, &bar, experiment, take)
        .await
        .inspect_err(|_| folder.discard())?;
    bar.finish_and_clear();
    let count = |is_alarm: fn(&AaRun) -> bool| {
        u32::try_from(done.iter().filter(|run| is_alarm(run)).count()).unwrap_or(u32::MAX)
    };
    let false_alarms = count(|run| run.false_alarm);
    let allowed = binomial::quantile(u32::try_from(done.len()).unwrap_or(0), 0.05, 0.975);
    let promises = !Order::of(&manifest.schedule).is_sequential();
    let report = AaReport {
        schema: SCHEMA.to_owned(),
        order: manifest.schedule.order,
        false_alarms,
        paper_false_alarms: count(|run| run.paper.false_alarm),
        allowed,
        holds: promises.then_some(cut_short.is_none() && false_alarms <= allowed),
        cut_short,
        runs: done,
        environment: manifest.environment,
        placement: manifest.placement,
    };
    json::write(&folder.directory.a_a(), &report)?;
    options
        .output
        .print(&report, |it| show::a_a::print(it, &folder.directory))?;
    Ok(End::of(
        report.cut_short.is_some(),
        report.holds != Some(false),
    ))
}

/// The paper's procedure: the first requests of each arm dropped, Student's t over the others.
fn paper_test(run: &ShortRun<'_>, warmup: u64) -> anyhow::Result<PaperTest> {
    let mut times_ns = [Vec::new(), Vec::new()];
    let mut seen = [0, 0];
    for request in Rows::<Request>::open(run.directory.requests())? {
        let request = request?;
        let arm = usize::from(request.arm);
        if !request.is_ok() || arm > 1 {
            continue;
        }
        seen[arm] += 1;
        if seen[arm] > warmup {
            times_ns[arm].push(request.response_time_ns() as f64);
        }
    }
    let [first, second] = times_ns.map(|times_ns| Moments::of(&times_ns));
    let too_few = || format!("run {}: too few requests for a t-test", run.number);
    let (first, second) = (first.with_context(too_few)?, second.with_context(too_few)?);
    let test = t_test::student(&first, &second).context("all response times are the same")?;
    Ok(PaperTest {
        warmup,
        n: [first.count, second.count],
        mean_ns: [first.mean, second.mean],
        pooled_sd_ns: t_test::pooled_sd(&first, &second),
        t: test.t,
        p: test.p,
        false_alarm: test.p < 0.05,
    })
}
