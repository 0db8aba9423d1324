//! The ladder: what a hook adds to one `read` in isolation, rung by rung, hot and cold, beside an in-situ layer.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use runlog::analysis::InSitu;
use runlog::manifest::Placement;
use runlog::micro::{AgainstRun, MicroReport, Rung as RungCost, SCHEMA};
use stats::Trim;

use crate::machine;
use crate::run::arms::HookSpec;
use crate::run::hook_file::{self, MeasuredBy};
use crate::run::identity::give_to_caller;
use crate::run::micro::{Plan, Rung, measure, request_bytes};
use crate::run::programs;
use verdict::micro::{cost, eviction, predict};
use verdict::micro_blocks::{Measured, Temperature};

/// The rungs of our hook, in the order in which each does more.
pub const RUNGS: [&str; 5] = ["off", "passthrough", "lookup", "scan", "log"];
/// The setting that names a rung.
const MODE: &str = "READHOOK_MODE";
/// The setting that names the file of the rung `log`.
const LOG: &str = "READHOOK_LOG";
/// The name of the only rung of a hook that is measured as it is.
const AS_SET: &str = "as-set";

/// Which rungs are measured.
#[derive(Clone, Debug)]
pub enum Rungs {
    /// Those with these names; an error if the hook does not know [`MODE`].
    Named(Vec<String>),
    /// The hook as it is set, as the only one.
    AsSet,
    /// All of them, or the hook as it is set if it does not know [`MODE`].
    AllOrAsSet,
}

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Ladder {
    pub hook: HookSpec,
    pub rungs: Rungs,
    /// Blocks of each rung, hot and cold.
    pub blocks: u32,
    /// Calls of each read in a hot block.
    pub hot_calls: u32,
    /// Calls of each read in a cold block; with 0 there are none.
    pub cold_calls: u32,
    /// What the request that is read asks for.
    pub path: String,
    /// The trial that the request is of, as text.
    pub trial: Option<String>,
    /// The share of a block's sorted calls that is left out at each end.
    pub trim: Trim,
    pub seed: u64,
    pub placement: Placement,
}

/// An in-situ layer to compare with.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The folder of the run.
    pub folder: PathBuf,
    pub in_situ: InSitu,
}

impl Ladder {
    /// Measures it, and sets it beside what a run saw.
    pub async fn measure(
        &self,
        recorded: Option<&Recorded>,
        bar: &ProgressBar,
    ) -> anyhow::Result<MicroReport> {
        hook_file::check(&self.hook.path, MeasuredBy::Reads)?;
        // The hook's log, and what the processes have to say.
        let scratch = tempfile::tempdir().context("no temporary folder")?;
        give_to_caller(scratch.path())?;
        let mut temperatures = vec![(Temperature::Hot, self.hot_calls)];
        if self.cold_calls > 0 {
            temperatures.push((Temperature::Cold, self.cold_calls));
            if cfg!(target_arch = "x86_64") {
                temperatures.push((Temperature::Flushed, self.cold_calls));
            }
        }
        let plan = Plan {
            rungs: self.rungs(scratch.path())?,
            temperatures,
            blocks: self.blocks,
            message: request_bytes(&programs::loadgen()?, &self.path, self.trial.as_deref())
                .await?,
            trim: self.trim,
            seed: self.seed,
            placement: self.placement.clone(),
            log: scratch.path().join("micro"),
        };
        let measured = measure(&plan, bar).await?;
        self.report(&plan, &measured, recorded)
    }

    /// The hook on each rung.
    fn rungs(&self, scratch: &Path) -> anyhow::Result<Vec<Rung>> {
        let hook = &self.hook;
        let named: Vec<&str> = match &self.rungs {
            Rungs::Named(names) if knows_rungs(&hook.path)? => {
                names.iter().map(String::as_str).collect()
            }
            Rungs::Named(_) => bail!(
                "{} does not know {MODE}, so all rungs would be one; --as-set measures it as it is",
                hook.path.display()
            ),
            Rungs::AllOrAsSet if knows_rungs(&hook.path)? => RUNGS.to_vec(),
            Rungs::AllOrAsSet | Rungs::AsSet => {
                return Ok(vec![Rung {
                    name: AS_SET.to_owned(),
                    hook: hook.clone(),
                }]);
            }
        };
        let in_order = RUNGS.iter().filter(|rung| named.contains(rung));
        Ok(in_order
            .map(|name| {
                let mut hook = hook.clone();
                hook.environment
                    .retain(|(variable, _)| variable != MODE && variable != LOG);
                hook.environment.push((MODE.to_owned(), (*name).to_owned()));
                if *name == "log" {
                    let log = scratch.join("matches.log");
                    hook.environment
                        .push((LOG.to_owned(), log.display().to_string()));
                }
                Rung {
                    name: (*name).to_owned(),
                    hook,
                }
            })
            .collect())
    }

    fn report(
        &self,
        plan: &Plan,
        measured: &Measured,
        recorded: Option<&Recorded>,
    ) -> anyhow::Result<MicroReport> {
        let mut rungs = Vec::new();
        for (index, (rung, blocks)) in plan.rungs.iter().zip(&measured.blocks).enumerate() {
            let before = index.checked_sub(1).map(|before| &measured.blocks[before]);
            let at = |temperature| cost(blocks, before, temperature);
            rungs.push(RungCost {
                name: rung.name.clone(),
                hook_environment: rung
                    .hook
                    .environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
                hot: at(Temperature::Hot).context("fewer than two blocks")?,
                cold: at(Temperature::Cold),
                flushed: at(Temperature::Flushed),
            });
        }
        let mut warnings = Vec::new();
        let logs = plan.rungs.iter().find_map(|rung| {
            let log = rung.hook.environment.iter().find(|(name, _)| name == LOG);
            log.map(|(_, path)| fs::metadata(path).map_or(0, |file| file.len()))
        });
        if logs == Some(0) {
            warnings.push(
                "no word of the list is in the request: the rung log has nothing to write, and costs what scan \
                 costs"
                    .to_owned(),
            );
        }
        let environment = machine::environment();
        if environment.load_average > 1.0 {
            warnings.push(format!(
                "load average {:.1}: other programs were running",
                environment.load_average
            ));
        }
        Ok(MicroReport {
            schema: SCHEMA.to_owned(),
            hook: self.hook.path.display().to_string(),
            message_bytes: plan.message.len(),
            blocks: plan.blocks,
            hot_calls: self.hot_calls,
            cold_calls: self.cold_calls,
            trim_each_end: plan.trim.fraction_each_end(),
            eviction: eviction(&measured.eviction),
            against_run: recorded
                .map(|recorded| self.against(recorded, &rungs))
                .transpose()?,
            rungs,
            warnings,
            environment,
            placement: plan.placement.clone(),
        })
    }

    /// Sets the figures of the run's rung beside what the run saw in situ.
    fn against(&self, recorded: &Recorded, rungs: &[RungCost]) -> anyhow::Result<AgainstRun> {
        let mode = self
            .hook
            .environment
            .iter()
            .find(|(name, _)| name == MODE)
            .map_or("scan", |(_, mode)| mode.as_str());
        let rung = rungs
            .iter()
            .find(|rung| rung.name == mode || rung.name == AS_SET)
            .with_context(|| format!("the run's hook was on the rung {mode}; add it to --rungs"))?;
        let layer = &recorded.in_situ;
        let in_situ = layer.hook_overhead_corrected.as_ref();
        let in_situ = in_situ
            .or(layer.hook_overhead.as_ref())
            .context("no in-situ layer")?;
        let figures = [
            (Temperature::Hot, Some(&rung.hot)),
            (Temperature::Cold, rung.cold.as_ref()),
            (Temperature::Flushed, rung.flushed.as_ref()),
        ];
        let differences: Vec<_> = figures
            .into_iter()
            .filter_map(|(temperature, cost)| Some(predict(temperature, &cost?.overhead, in_situ)))
            .collect();
        let nearest = differences
            .iter()
            .min_by(|left, right| left.share.abs().total_cmp(&right.share.abs()))
            .map_or(String::new(), |nearest| nearest.temperature.clone());
        Ok(AgainstRun {
            run: recorded.folder.display().to_string(),
            rung: rung.name.clone(),
            in_situ: in_situ.clone(),
            differences,
            nearest,
        })
    }
}

/// Whether a hook knows the setting that names a rung.
fn knows_rungs(hook: &Path) -> anyhow::Result<bool> {
    let library =
        fs::read(hook).with_context(|| format!("cannot read the hook {}", hook.display()))?;
    Ok(library
        .windows(MODE.len())
        .any(|window| window == MODE.as_bytes()))
}
