//! Reads arms from runs, from CSV files of the paper's kind and from HDR logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runlog::manifest::Manifest;
use runlog::{Order, RunDirectory, interval_log, json, paper_csv};
use stats::Counted;
use stats::counted::MOST;

use super::{Block, Origin, RecordedArm, Times};
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

/// An arm on the command line: `NAME=FILE`, `NAME=FILE.hlog:TAG`, `NAME=RUN` or `NAME=RUN:ARM`.
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
    if is_hdr_log(path) && path.exists() {
        return read_hdr_log(source, path, None, wanted);
    }
    if !path.exists()
        && let Some((place, part)) = place.rsplit_once(':')
    {
        let path = Path::new(place);
        if path.is_dir() {
            return read_run_arm(name, path, part, wanted);
        }
        if is_hdr_log(path) {
            return read_hdr_log(source, path, Some(part), wanted);
        }
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
    let times = rows.iter().map(|row| row.response_time_ms * 1e6).collect();
    Ok(RecordedArm {
        name: name.clone(),
        source: place.clone(),
        blocks: vec![Block {
            round: 0,
            times: Times::InOrder(times),
        }],
        origin: Origin::Csv,
        warm_up_median_ns: None,
        left_out: BTreeMap::new(),
        notes,
    })
}

fn is_hdr_log(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "hlog")
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
    let mut warm_up = Vec::new();
    let mut counts = false;
    let mut rounds = 0..;
    for block in log.blocks.iter().filter(|block| block.cell.arm == index) {
        if block.cell.observed {
            leave_out("probes attached", block.requests.sent);
            continue;
        }
        // As the threshold of the run itself: what came before the first request that counts.
        if !counts {
            warm_up.extend(block.warmup_times_ns.iter().map(|ns| *ns as f64));
        }
        counts |= block.counted > 0;
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
                times: Times::InOrder(block.times_ns.iter().map(|ns| *ns as f64).collect()),
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
            order: manifest.schedule.order,
            servers: if duet {
                1
            } else {
                manifest.schedule.servers_per_arm
            },
        },
        warm_up_median_ns: stats::moments::quantile(&warm_up, 0.5),
        left_out,
        notes,
    }
}

/// What an HDR log has under one tag, or without any.
#[derive(Default)]
struct Stream {
    /// By interval.
    blocks: Vec<Counted>,
    /// The fewest significant digits of them.
    digits: Option<u8>,
}

/// What a stream is called where values are left out.
fn tagged(tag: Option<&str>) -> String {
    tag.map_or_else(|| "without a tag".to_owned(), |tag| format!("tagged {tag}"))
}

/// Reads the intervals with one tag; as the `HdrHistogram` tools do, those without any unless one is named.
fn read_hdr_log(
    source: &ArmSource,
    path: &Path,
    tag: Option<&str>,
    wanted: Wanted,
) -> anyhow::Result<RecordedArm> {
    let ArmSource { name, place } = source;
    let is_ours = interval_log::is_ours(path)?;
    let unit_ns = if is_ours {
        Some(1.0)
    } else {
        wanted.foreign_unit_ns
    };
    // That a file is no log at all is said first.
    let mut streams = streams(path, is_ours, unit_ns.unwrap_or(1.0))?;
    if unit_ns.is_none() {
        bail!(
            "{}: was not written by hookprobe, and an HDR log does not say the unit of its values; \
             say it with --hlog-unit ns, us or ms",
            path.display()
        );
    }
    let tags: Vec<&str> = streams.keys().flatten().map(String::as_str).collect();
    let mut notes = Vec::new();
    let chosen = match (tag, tags.as_slice()) {
        (Some(tag), _) => Some(tag),
        (None, []) => None,
        (None, _) if streams.contains_key(&None) => None,
        (None, [tag]) => {
            notes.push(format!("{name}: all intervals of the log are tagged {tag}"));
            Some(*tag)
        }
        (None, tags) => bail!(
            "{}: all intervals have tags, of several streams: {}; name one as {name}={place}:TAG",
            path.display(),
            tags.join(", ")
        ),
    }
    .map(str::to_owned);
    let Some(stream) = streams.remove(&chosen) else {
        match (chosen, streams.is_empty()) {
            (Some(tag), false) => bail!(
                "{}: no interval with values is tagged {tag}; they are {}",
                path.display(),
                streams
                    .keys()
                    .map(|tag| tagged(tag.as_deref()))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            _ => bail!("{}: holds no value in any interval", path.display()),
        }
    };
    notes.push(format!(
        "{name}: values of an HDR log are known to {} significant digits, without their order",
        stream.digits.unwrap_or(0)
    ));
    let left_out = streams.iter().map(|(tag, stream)| {
        let count: usize = stream.blocks.iter().map(Counted::count).sum();
        (tagged(tag.as_deref()), count as u64)
    });
    let blocks = stream.blocks.into_iter().zip(0..);
    Ok(RecordedArm {
        name: name.clone(),
        source: place.clone(),
        left_out: left_out.collect(),
        blocks: blocks
            .map(|(times, round)| Block {
                round,
                times: Times::Counted(times),
            })
            .collect(),
        origin: Origin::HdrLog,
        warm_up_median_ns: None,
        notes,
    })
}

/// The intervals that hold response times, by tag.
fn streams(
    path: &Path,
    is_ours: bool,
    unit_ns: f64,
) -> anyhow::Result<BTreeMap<Option<String>, Stream>> {
    let mut streams = BTreeMap::<Option<String>, Stream>::new();
    let mut left = MOST;
    interval_log::read_each(path, |interval| {
        if is_ours && !interval.has_response_times() {
            return Ok(());
        }
        let histogram = &interval.histogram;
        let counts = histogram.iter_recorded().map(|bucket| {
            let middle = histogram.median_equivalent(bucket.value_iterated_to());
            (middle as f64 * unit_ns, bucket.count_at_value())
        });
        let times = Counted::new(counts);
        let rest = times
            .as_ref()
            .and_then(|times| left.checked_sub(times.count() as u64));
        let (Some(times), Some(rest)) = (times, rest) else {
            return Err(format!(
                "holds more values than can be counted, which are {MOST}"
            ));
        };
        left = rest;
        if !times.is_empty() {
            let stream = streams.entry(interval.tag).or_default();
            let digits = interval.histogram.sigfig();
            stream.digits = Some(stream.digits.map_or(digits, |least| least.min(digits)));
            stream.blocks.push(times);
        }
        Ok(())
    })?;
    Ok(streams)
}
