//! Reads arms from runs, from CSV files of the paper's kind and from HDR logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runlog::groups::Groups;
use runlog::manifest::{Manifest, SCHEMA, schedule};
use runlog::record::Request;
use runlog::{RunDirectory, interval_log, json, paper_csv};

use super::{Block, Origin, RecordedArm};

/// Which requests are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Those too that the run counted as warm-up.
    pub warmup: bool,
    /// A CSV in the order of its lines, rather than in the order of its start times.
    pub file_order: bool,
    /// Nanoseconds that one unit of an HDR log of another program stands for, if anybody said.
    pub foreign_unit_ns: Option<f64>,
}

/// An arm on the command line: `NAME=FILE`, `NAME=RUN` or `NAME=RUN:ARM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmSource {
    /// What the arm is called in the report.
    pub name: String,
    /// The file or folder, with what follows it.
    pub place: String,
}

/// Reads the arm.
pub fn read(source: &ArmSource, wanted: Wanted) -> anyhow::Result<RecordedArm> {
    let ArmSource { name, place } = source;
    let path = Path::new(place);
    if path.is_dir() {
        return one_of_run(name, path, name, wanted.warmup);
    }
    if !path.exists()
        && let Some((folder, arm)) = place.rsplit_once(':')
        && Path::new(folder).is_dir()
    {
        return one_of_run(name, Path::new(folder), arm, wanted.warmup);
    }
    let arm = |blocks, origin, notes| RecordedArm {
        name: name.clone(),
        source: place.clone(),
        blocks,
        origin,
        left_out: BTreeMap::new(),
        notes,
    };
    if path
        .extension()
        .is_some_and(|extension| extension == "hlog")
    {
        let (blocks, notes) = read_hdr_log(name, path, wanted)?;
        return Ok(arm(blocks, Origin::HdrLog, notes));
    }
    let mut rows = paper_csv::read(path)?;
    let mut notes = Vec::new();
    let in_order = rows.is_sorted_by(|a, b| a.start_time_s <= b.start_time_s);
    if !in_order && wanted.file_order {
        notes.push(format!(
            "{name}: lines are not in the order of their start times, and kept so"
        ));
    } else if !in_order {
        rows.sort_by(|a, b| a.start_time_s.total_cmp(&b.start_time_s));
        notes.push(format!(
            "{name}: lines were put in the order of their start times"
        ));
    }
    let values_ns = rows.iter().map(|row| row.response_time_ms * 1e6).collect();
    Ok(arm(
        vec![Block {
            round: 0,
            values_ns,
        }],
        Origin::Csv,
        notes,
    ))
}

/// The manifest of a run.
pub fn manifest(folder: &Path) -> anyhow::Result<Manifest> {
    json::read_version(&RunDirectory::existing(folder).manifest(), SCHEMA)
        .with_context(|| format!("{} is not the folder of a run to be read", folder.display()))
}

/// The arms of a run, filled block by block as one goes through its request log.
#[derive(Debug)]
pub struct RunArms {
    folder: PathBuf,
    manifest: Manifest,
    warmup: bool,
    arms: Vec<RunArm>,
}

/// An arm of a run.
#[derive(Debug, Default)]
struct RunArm {
    /// Its number in the request log.
    index: usize,
    /// What it is called in the report.
    name: String,
    /// Rounds and response times, by number of the block.
    blocks: BTreeMap<u32, (u32, Vec<f64>)>,
    /// The round of its next block.
    next_round: u32,
    left_out: BTreeMap<String, u64>,
}

impl RunArms {
    /// Every arm of a run that has two or more, each under its own name; with `warmup`, those requests too that the run
    /// counted as warm-up.
    pub fn of(folder: &Path, warmup: bool) -> anyhow::Result<Self> {
        let all = Self::all(folder, warmup)?;
        if all.arms.len() < 2 {
            bail!("the run has one arm; a comparison needs two");
        }
        Ok(all)
    }

    fn all(folder: &Path, warmup: bool) -> anyhow::Result<Self> {
        let manifest = manifest(folder)?;
        let arms = manifest.arms.iter().enumerate().map(|(index, arm)| RunArm {
            index,
            name: arm.name.clone(),
            ..RunArm::default()
        });
        Ok(Self {
            folder: folder.to_owned(),
            warmup,
            arms: arms.collect(),
            manifest,
        })
    }

    /// The arm of this name alone, to be called `name`.
    fn one(folder: &Path, arm_name: &str, name: &str, warmup: bool) -> anyhow::Result<Self> {
        let mut all = Self::all(folder, warmup)?;
        let names: Vec<&str> = all.arms.iter().map(|arm| arm.name.as_str()).collect();
        let Some(index) = names.iter().position(|known| *known == arm_name) else {
            bail!(
                "{} has no arm \"{arm_name}\" but {}; name one as {name}={}:ARM",
                folder.display(),
                names.join(", "),
                folder.display()
            );
        };
        let mut arm = all.arms.swap_remove(index);
        name.clone_into(&mut arm.name);
        all.arms = vec![arm];
        Ok(all)
    }

    /// Takes the rows of a block, in the order of time.
    pub fn add_block(&mut self, rows: &[Request]) {
        let warmup = self.warmup;
        if let Some(first) = rows.first()
            && let Some(arm) = self
                .arms
                .iter_mut()
                .find(|arm| arm.index == usize::from(first.arm))
        {
            arm.add_block(first.block, rows, warmup);
        }
    }

    /// Goes through the request log of the run.
    pub fn read(mut self) -> anyhow::Result<Vec<RecordedArm>> {
        let requests = RunDirectory::existing(&self.folder).requests();
        let mut log = Groups::open(requests, |request: &Request| request.block)?;
        while let Some((_, mut rows)) = log.next_group()? {
            rows.sort_by_key(|request| request.sent_ns);
            self.add_block(&rows);
        }
        Ok(self.finish(log.was_cut_short()))
    }

    /// What came together. `cut_short` says whether the request log was.
    pub fn finish(self, cut_short: bool) -> Vec<RecordedArm> {
        let Self {
            folder,
            manifest,
            arms,
            ..
        } = self;
        let mut notes = Vec::new();
        if cut_short {
            notes.push(format!(
                "{}: the request log is cut short; its complete rows are used",
                folder.display()
            ));
        }
        if manifest.ended != "complete" {
            notes.push(format!(
                "{}: the run ended early ({})",
                folder.display(),
                manifest.ended
            ));
        }
        let duet = manifest.schedule.order == schedule::DUET;
        let origin = Origin::Run {
            rounds: manifest.schedule.order != schedule::SEQUENTIAL,
            servers: if duet {
                1
            } else {
                manifest.schedule.servers_per_arm
            },
            folder: folder.clone(),
        };
        let recorded = arms.into_iter().map(|mut arm| {
            let blocks = arm.blocks.into_iter();
            let blocks = blocks.map(|(number, (round, values_ns))| Block {
                // Two blocks of a duet run at once and have numbers next to each other.
                round: if duet { number / 2 } else { round },
                values_ns,
            });
            RecordedArm {
                source: format!("{}:{}", folder.display(), manifest.arms[arm.index].name),
                name: arm.name,
                blocks: complete(blocks.collect(), &mut arm.left_out),
                origin: origin.clone(),
                left_out: arm.left_out,
                notes: notes.clone(),
            }
        });
        recorded.collect()
    }
}

impl RunArm {
    fn add_block(&mut self, number: u32, rows: &[Request], warmup: bool) {
        let mut values_ns = Vec::new();
        let mut is_of_a_round = false;
        for request in rows {
            is_of_a_round |= !request.is_observed();
            let reason = if request.is_observed() {
                "probes attached"
            } else if !request.is_ok() {
                "failed"
            } else if request.is_warmup() && !warmup {
                "warm-up"
            } else {
                values_ns.push(request.response_time_ns() as f64);
                continue;
            };
            *self.left_out.entry(reason.to_owned()).or_default() += 1;
        }
        if !values_ns.is_empty() {
            self.blocks.insert(number, (self.next_round, values_ns));
        }
        self.next_round += u32::from(is_of_a_round);
    }
}

fn one_of_run(name: &str, folder: &Path, arm: &str, warmup: bool) -> anyhow::Result<RecordedArm> {
    let mut read = RunArms::one(folder, arm, name, warmup)?.read()?;
    read.pop().context("no arm")
}

/// Without blocks that were cut off: their mean is not of the same requests as the others'.
fn complete(mut blocks: Vec<Block>, left_out: &mut BTreeMap<String, u64>) -> Vec<Block> {
    let longest = blocks
        .iter()
        .map(|block| block.values_ns.len())
        .max()
        .unwrap_or(0);
    blocks.retain(|block| {
        let length = block.values_ns.len();
        let is_complete = 2 * length >= longest;
        if !is_complete {
            *left_out
                .entry("in blocks that were cut off".to_owned())
                .or_default() += length as u64;
        }
        is_complete
    });
    blocks
}

fn read_hdr_log(
    name: &str,
    path: &Path,
    wanted: Wanted,
) -> anyhow::Result<(Vec<Block>, Vec<String>)> {
    let intervals = interval_log::read(path)?;
    let unit_ns = match wanted.foreign_unit_ns {
        _ if interval_log::is_ours(path)? => 1.0,
        Some(unit_ns) => unit_ns,
        None => bail!(
            "{}: was not written by hookprobe, and an HDR log does not say the unit of its values; \
             say it with --hlog-unit ns, us or ms",
            path.display()
        ),
    };
    let expand = |interval: &interval_log::Interval| {
        let histogram = &interval.histogram;
        let buckets = histogram.iter_recorded();
        let values = buckets.flat_map(|bucket| {
            let middle = histogram.median_equivalent(bucket.value_iterated_to()) as f64 * unit_ns;
            std::iter::repeat_n(
                middle,
                usize::try_from(bucket.count_at_value()).unwrap_or(0),
            )
        });
        values.collect::<Vec<f64>>()
    };
    let blocks: Vec<Block> = intervals
        .iter()
        .filter(|interval| interval.has_response_times())
        .zip(0..)
        .map(|(interval, round)| Block {
            round,
            values_ns: expand(interval),
        })
        .filter(|block| !block.values_ns.is_empty())
        .collect();
    if blocks.is_empty() {
        bail!("{}: holds no value in any interval", path.display());
    }
    let digits = intervals
        .iter()
        .map(|interval| interval.histogram.sigfig())
        .min()
        .unwrap_or(0);
    let notes = vec![format!(
        "{name}: values of an HDR log are known to {digits} significant digits, without their order"
    )];
    Ok((blocks, notes))
}
