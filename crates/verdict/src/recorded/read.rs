//! Reads arms from runs, from CSV files of the paper's kind and from HDR logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runlog::manifest::Manifest;
use runlog::{Order, RunDirectory, interval_log, json, paper_csv};

use super::{Block, Origin, RecordedArm};
use crate::blocks::{Blocks, Reading};
use crate::doubt::Doubt;

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
        return read_run_arm(name, path, name, wanted);
    }
    if !path.exists()
        && let Some((folder, arm)) = place.rsplit_once(':')
        && Path::new(folder).is_dir()
    {
        return read_run_arm(name, Path::new(folder), arm, wanted);
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
    json::read(&RunDirectory::existing(folder).manifest())
        .with_context(|| format!("{} is not the folder of a run to be read", folder.display()))
}

/// Every arm of a run that has two or more, under its own name; with `warmup`, those requests too that the run counted as
/// warm-up.
pub fn read_run(folder: &Path, warmup: bool) -> anyhow::Result<Vec<RecordedArm>> {
    let manifest = manifest(folder)?;
    let log = Blocks::read(
        &RunDirectory::existing(folder),
        &manifest.schedule,
        reading(warmup),
    )?;
    arms_of(folder, &manifest, &log)
}

/// The same out of blocks that were read with their times.
pub fn arms_of(
    folder: &Path,
    manifest: &Manifest,
    log: &Blocks,
) -> anyhow::Result<Vec<RecordedArm>> {
    if manifest.arms.len() < 2 {
        bail!("the run has one arm; a comparison needs two");
    }
    let arms = manifest.arms.iter().zip(0..);
    Ok(arms
        .map(|(arm, index)| arm_of(&arm.name, folder, manifest, index, log))
        .collect())
}

fn reading(with_warmup: bool) -> Reading {
    Reading {
        threshold_ns: f64::INFINITY,
        with_warmup,
        with_times: true,
    }
}

fn read_run_arm(
    name: &str,
    folder: &Path,
    arm_name: &str,
    wanted: Wanted,
) -> anyhow::Result<RecordedArm> {
    let manifest = manifest(folder)?;
    let names: Vec<&str> = manifest.arms.iter().map(|arm| arm.name.as_str()).collect();
    let Some(index) = names.iter().position(|known| *known == arm_name) else {
        bail!(
            "{} has no arm \"{arm_name}\" but {}; name one as {name}={}:ARM",
            folder.display(),
            names.join(", "),
            folder.display()
        );
    };
    let run = RunDirectory::existing(folder);
    let log = Blocks::read(&run, &manifest.schedule, reading(wanted.warmup))?;
    let index = u16::try_from(index)?;
    Ok(arm_of(name, folder, &manifest, index, &log))
}

/// An arm by its number in the request log.
fn arm_of(name: &str, folder: &Path, manifest: &Manifest, index: u16, log: &Blocks) -> RecordedArm {
    let duet = manifest.schedule.order == Order::Duet;
    let mut left_out = BTreeMap::<String, u64>::new();
    let mut leave_out = |reason: &str, count: u64| {
        if count > 0 {
            *left_out.entry(reason.to_owned()).or_default() += count;
        }
    };
    let mut blocks = Vec::new();
    let mut rounds = 0..;
    for block in log.blocks.iter().filter(|block| block.cell.arm == index) {
        if block.cell.observed {
            leave_out("probes attached", block.requests.sent);
            continue;
        }
        // Two blocks of a duet run at once and have numbers next to each other.
        let next = rounds.next().unwrap_or(0);
        let round = if duet { block.number / 2 } else { next };
        leave_out("failed", block.requests.failed.values().sum());
        leave_out("warm-up", block.warmup as u64);
        leave_out("while the other arm did not run", block.apart as u64);
        if !block.is_complete() {
            leave_out("in blocks that were cut off", block.counted as u64);
        } else if block.counted > 0 {
            blocks.push(Block {
                round,
                values_ns: block.times_ns.iter().map(|ns| *ns as f64).collect(),
            });
        }
    }
    let mut notes = Vec::new();
    if log.cut_short {
        notes.push(format!("{}: {}", folder.display(), Doubt::LogCutShort));
    }
    if manifest.ended != "complete" {
        let reason = match manifest.ended.as_str() {
            "running" => "it did not come to its end".to_owned(),
            reason => reason.to_owned(),
        };
        notes.push(format!("{}: {}", folder.display(), Doubt::CutShort(reason)));
    }
    RecordedArm {
        name: name.to_owned(),
        source: format!(
            "{}:{}",
            folder.display(),
            manifest.arms[usize::from(index)].name
        ),
        blocks,
        origin: Origin::Run {
            folder: PathBuf::from(folder),
            rounds: manifest.schedule.order != Order::Sequential,
            servers: if duet {
                1
            } else {
                manifest.schedule.servers_per_arm
            },
        },
        left_out,
        notes,
    }
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
