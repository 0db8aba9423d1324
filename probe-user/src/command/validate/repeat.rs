//! Short runs without probes, one after the other: for `validate truth --runs` and `validate a-a`.

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::ProgressBar;
use runlog::RunDirectory;
use runlog::manifest::Manifest;

use crate::machine;
use crate::run::experiment::Experiment;
use crate::run::stop::Stop;

/// Which runs.
#[derive(Args, Clone, Copy, Debug)]
pub struct Repetition {
    /// Number of the first run, which its seed depends on: for a series in parts
    #[arg(long, hide_short_help = true, default_value_t = 0, value_name = "N")]
    pub first_run: u32,
}

/// What a run left, before it is removed.
#[derive(Debug)]
pub struct ShortRun<'r> {
    /// Its number.
    pub number: u32,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub directory: &'r RunDirectory,
    /// How it was set up.
    pub manifest: &'r Manifest,
}

/// The seed of a run in a series.
fn seed_of(series: u64, number: u32) -> u64 {
    // Far from the seeds of its neighbours; ChaCha would do as well with a difference of 1.
    series ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Makes `runs` runs, each the `experiment` of its number and seed with servers of its own, and hands each to `take`.
/// Returns how the machine and the placement were, and why the series was cut short.
pub async fn repeat(
    repetition: Repetition,
    runs: u32,
    series_seed: u64,
    bar: &ProgressBar,
    experiment: impl Fn(u32, u64) -> anyhow::Result<Experiment>,
    mut take: impl FnMut(ShortRun<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<(Manifest, Option<String>)> {
    if runs == 0 {
        bail!("--runs 0: must be at least 1");
    }
    let mut stop = Stop::listen()?;
    let scratch = tempfile::tempdir().context("no temporary folder")?;
    crate::run::identity::give_to_caller(scratch.path())?;
    let mut first = None;
    for index in 0..runs {
        let number = repetition.first_run + index;
        let seed = seed_of(series_seed, number);
        let directory = RunDirectory::create(scratch.path().join(format!("run-{number}")))?;
        crate::run::identity::give_to_caller(directory.root())?;
        bar.set_prefix(format!("run {} of {runs}", index + 1));
        let outcome = experiment(number, seed)?
            .run(&directory, &mut stop, bar)
            .await
            .with_context(|| format!("run {number}"));
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // Between two runs, what there is counts.
            Err(error) => match first {
                Some(first) => return Ok((first, Some(format!("{error:#}")))),
                None => return Err(error),
            },
        };
        let manifest = first.get_or_insert(outcome.manifest.clone());
        if outcome.manifest.placement != manifest.placement {
            bail!(
                "run {number} ran on other CPUs than the first run of the series: {:?}",
                outcome.manifest.placement
            );
        }
        if let Some(reason) = outcome.cut_short {
            return Ok((manifest.clone(), Some(format!("run {number}: {reason}"))));
        }
        take(ShortRun {
            number,
            seed,
            directory: &directory,
            manifest: &outcome.manifest,
        })?;
        std::fs::remove_dir_all(directory.root())
            .with_context(|| format!("cannot remove {}", directory.root().display()))?;
    }
    let mut manifest = first.context("no run")?;
    manifest.environment = machine::environment();
    Ok((manifest, None))
}
