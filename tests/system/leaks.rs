//! Attaching and detaching over and over, in one agent.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use runlog::RunDirectory;
use runlog::manifest::Manifest;

use crate::Test;
use crate::kit::{Kit, Running, is_alive, wait_for};
use crate::skips::Need;

pub const TESTS: &[Test] = &[Test {
    name: "leaks::a_hundred_attaches_and_detaches_leak_nothing",
    needs: &[Need::Root, Need::Alone],
    run: cycles,
}];

/// eBPF objects, by the kernel's numbers, which it does not soon give to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Objects {
    programs: BTreeSet<u32>,
    maps: BTreeSet<u32>,
    links: BTreeSet<u32>,
}

impl Objects {
    fn add(&mut self, other: &Self) {
        self.programs.extend(&other.programs);
        self.maps.extend(&other.maps);
        self.links.extend(&other.links);
    }

    /// Those that the kernel still has.
    fn remaining(&self) -> anyhow::Result<Self> {
        Ok(Self {
            programs: aya::programs::loaded_programs()
                .map(|program| Ok(program?.id()))
                .filter(|id| is_in(&self.programs, id))
                .collect::<anyhow::Result<_>>()?,
            maps: aya::maps::loaded_maps()
                .map(|map| Ok(map?.id()))
                .filter(|id| is_in(&self.maps, id))
                .collect::<anyhow::Result<_>>()?,
            links: aya::programs::loaded_links()
                .map(|link| Ok(link?.id()))
                .filter(|id| is_in(&self.links, id))
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

/// Whether a number is among ours. One that cannot be told may be.
fn is_in(ours: &BTreeSet<u32>, id: &anyhow::Result<u32>) -> bool {
    id.as_ref().map_or(true, |id| ours.contains(id))
}

/// What an agent holds at one moment.
#[derive(Clone, Debug, Default)]
struct Held {
    descriptors: usize,
    uprobes: usize,
    objects: Objects,
    /// Kernel memory of its maps and programs.
    locked_bytes: u64,
    /// Its own memory, but for what is backed by files and devices.
    anonymous_kib: u64,
}

/// Looks at an agent. What is closed meanwhile may be missing.
fn look(pid: u32) -> anyhow::Result<Held> {
    let mut held = Held::default();
    for descriptor in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        held.descriptors += 1;
        let Ok(target) = fs::read_link(descriptor.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        if target == "anon_inode:[perf_event]" {
            held.uprobes += 1;
        }
        // Looking at the others too takes twice as long, and on an emulated machine that leaves few looks.
        if !target.starts_with("anon_inode:bpf") {
            continue;
        }
        let name = descriptor.file_name();
        let info = format!("/proc/{pid}/fdinfo/{}", name.to_string_lossy());
        let info = fs::read_to_string(info).unwrap_or_default();
        let number = |key: &str| -> Option<u64> {
            let line = info.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').trim().parse().ok()
        };
        let id = |key| number(key).and_then(|id| u32::try_from(id).ok());
        // A link tells its program's number too.
        if let Some(link) = id("link_id") {
            // Linux 6.6 and later link a uprobe to its program, without a perf event.
            held.uprobes += usize::from(info.contains("uprobe_multi"));
            held.objects.links.insert(link);
        } else {
            held.objects.programs.extend(id("prog_id"));
            held.objects.maps.extend(id("map_id"));
            held.locked_bytes += number("memlock").unwrap_or(0);
        }
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let anonymous = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let anonymous = anonymous.and_then(|text| text.split_whitespace().next());
    held.anonymous_kib = anonymous.context("no RssAnon")?.parse()?;
    Ok(held)
}

/// By how much anonymous memory grows from each fifth of the samples to the next, at least, and the most that
/// was seen in each. What leaks at each attach grows all the time. The allocator's own steps, which can be of
/// megabytes, fall into one or two of them.
fn steady_growth_kib(samples: &[Held]) -> (u64, Vec<u64>) {
    let most = |of: &[Held]| of.iter().map(|held| held.anonymous_kib).max().unwrap_or(0);
    let fifths: Vec<u64> = samples
        .chunks(samples.len().div_ceil(5))
        .map(most)
        .collect();
    let growth = fifths
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    (growth.min().unwrap_or(0), fifths)
}

/// A bench in which the probes are attached for one half of each round. Two such halves in a row are one attach: the
/// seed makes 104 of 140 rounds.
fn bench(kit: &Kit, rounds: u32, out: &Path) -> Command {
    let mut command = kit.bench();
    command
        .args(["--json", "--seed=1", "--micro-calls=2"])
        .args(["--warmup=1", "--block-warmup=1", "--calibration-rounds=0"])
        .arg(format!("--requests={}", 2 * rounds))
        .arg(format!("--blocks={rounds}"))
        .arg("--out")
        .arg(out);
    command
}

fn cycles(kit: &Kit) -> anyhow::Result<()> {
    let folder = kit.scratch()?;
    let out = folder.path().join("run");
    // By how much less is asked for.
    let less = if kit.is_emulated() { 2 } else { 1 };
    let mut command = bench(kit, 140 / less, &out);
    let agent = Running::start_piped(&mut command)?;
    let pid = agent.pid();
    let mut all = Objects::default();
    let mut samples = Vec::new();
    while is_alive(pid) {
        let looking = Instant::now();
        if let Ok(held) = look(pid) {
            all.add(&held.objects);
            // From the first attach until everything is closed.
            let has_begun = !samples.is_empty() || held.uprobes > 0;
            if has_begun && !held.objects.programs.is_empty() {
                samples.push(held);
            }
        }
        // On an emulated machine, looking would take more than half of the time of what is looked at.
        thread::sleep(Duration::from_millis(10).max(3 * looking.elapsed()));
    }
    // How the result is to be judged does not matter with two requests a block.
    let output = agent.output()?;
    let manifest: Manifest = runlog::json::read(&RunDirectory::existing(&out).manifest())
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(manifest.ended == "complete", "{}", manifest.ended);
    let probes = manifest.probes.context("no probes")?;
    ensure!(
        probes.attaches >= 100 / less,
        "{} attaches",
        probes.attaches
    );

    // Early and late: without the load of the programs, and without the end.
    ensure!(samples.len() >= 50, "{} looks", samples.len());
    let tenth = samples.len() / 10;
    let early = &samples[tenth..3 * tenth];
    let late = &samples[7 * tenth..samples.len() - tenth];
    let least = |of: &[Held], what: fn(&Held) -> u64| of.iter().map(what).min().unwrap_or(0);
    let most = |of: &[Held], what: fn(&Held) -> u64| of.iter().map(what).max().unwrap_or(0);
    let descriptors = |held: &Held| held.descriptors as u64;
    let links = |held: &Held| held.objects.links.len() as u64;
    let locked = |held: &Held| held.locked_bytes;
    let anonymous = |held: &Held| held.anonymous_kib;
    let attached = samples.iter().filter(|held| held.uprobes > 0).count();
    let (steady_growth_kib, fifths) = steady_growth_kib(&samples[tenth..samples.len() - tenth]);
    println!(
        "{} attaches, seen in {attached} of {} looks, {} links; early and late: {} and {} descriptors, {} and {} \
         links, {} and {} bytes locked, {} and {} KiB",
        probes.attaches,
        samples.len(),
        all.links.len(),
        least(early, descriptors),
        least(late, descriptors),
        most(early, links),
        most(late, links),
        most(early, locked),
        most(late, locked),
        most(early, anonymous),
        most(late, anonymous)
    );
    // On an emulated machine one look in six falls into the time of an attach.
    ensure!(
        attached >= 3 && all.links.len() >= 30,
        "attached in {attached} looks, {} links",
        all.links.len()
    );
    ensure!(least(late, descriptors) == least(early, descriptors));
    ensure!(most(late, links) <= most(early, links));
    ensure!(most(late, locked) == most(early, locked));
    ensure!(
        steady_growth_kib < 16,
        "anonymous memory grows steadily, in KiB: {fifths:?}"
    );
    // The programs and maps are those of the start: nothing was loaded again.
    let objects = |of: &[Held]| {
        let mut all = Objects::default();
        for held in of {
            all.add(&held.objects);
        }
        (all.programs, all.maps)
    };
    ensure!(
        objects(early) == objects(late),
        "{:?}, {:?}",
        objects(early),
        objects(late)
    );

    wait_for("the kernel to free what the agent held", || {
        // An object of someone else's that goes while it is looked at is an error: look again.
        Ok(all
            .remaining()
            .is_ok_and(|remaining| remaining == Objects::default()))
    })
}
