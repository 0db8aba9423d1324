//! The loaded eBPF object, and what can be done with it.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};

use abi::lane::{GATHERED, NOT_WANTED, WRITTEN_AT_ONCE, WRITTEN_WHILE_ASKED_FOR};
use abi::{MAX_ARMS, ReadSyscall, SpanKind};
use anyhow::Context as _;
use aya::maps::MapError;
use aya::programs::RawTracePoint;
use aya::sys::{Stats, enable_stats};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use aya_log::EbpfLogger;
use runlog::analysis::{Ledger, ProgramRuns};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::attach::{Attached, FUNCTION_ENDS, FUNCTION_PROGRAMS, SITE_PROGRAMS, Target, attach};
use crate::capabilities;
use crate::kernel_info::{self, ProgramCounts};
use crate::lanes;
use crate::ledger::{InFlight, Received, counted, enter_missed, ledger};
use crate::load::{brief, load};
use crate::memory::{HistogramMemory, mebibytes};
use crate::numbers;
use crate::pair::{self, Choice, KernelProbe, program};
use crate::perf::wait_for_running_programs;
use crate::records::{Record, parse};
use crate::ring::{Ring, WakeUps};
use crate::site_offset::{SiteChoice, SiteOffset};
use crate::spans::{self, Durations};
use crate::tables;
use crate::unclaimed;
use crate::uprobes::UprobePrograms;

/// The programs, as built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/probe-ebpf"));

/// The smallest ring buffer: one page.
const NO_RING_BYTES: u32 = 4_096;
/// What [`Probes::drain_some`] takes at most: milliseconds of work.
const SOME_BYTES: usize = 1 << 20;

/// When records are written to the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Threads gather some before they write them: that is cheaper, but some come late, the last when the probes are
    /// detached.
    Gathered,
    /// As they are made.
    AtOnce,
    /// As they are made, of those arms alone that [`Probes::ask_for_records`] names at the moment.
    WhileAskedFor,
}

/// How the probes are to work.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which kernel probe to use.
    pub kernel_probe: KernelProbe,
    /// Size of the ring buffer for records, a power of two; `None` for histograms alone.
    pub ring_bytes: Option<u32>,
    /// Whether there are to be records of every `read(2)` too, and not only of hooked ones.
    pub read_records: bool,
    /// When records are written.
    pub writing: Writing,
    /// Where in a site to attach.
    pub site: SiteChoice,
    /// Whether the kernel is to count and time the programs' runs, which costs time itself.
    pub program_stats: bool,
    /// Number of arms.
    pub arms: u32,
    /// How many threads can be followed through a function that is timed. The kernel sets aside a
    /// kilobyte for each.
    pub function_threads: u32,
}

/// Why there are no probes.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel does not let us.
    #[error(
        "the kernel does not let this process load eBPF programs ({0}); run as root (sudo), or with {needed}",
        needed = capabilities::in_words()
    )]
    NotPermitted(String),
    /// There is not enough memory for the maps, or they are not allowed so much.
    #[error(
        "the kernel has no room for the eBPF maps ({reason}): the histograms take {histograms} (arms: \
         {arms}, possible CPUs: {cpus}), the ring buffer {ring}; raise the memory limit of this cgroup, or \
         ask for a smaller --ring-bytes"
    )]
    NoRoom {
        /// What the kernel said.
        reason: String,
        /// What the histograms take.
        histograms: String,
        /// Arms.
        arms: u32,
        /// CPUs that the machine can have.
        cpus: usize,
        /// What the ring buffer takes.
        ring: String,
    },
    /// It cannot.
    #[error("this kernel cannot run the eBPF programs: {0}")]
    NotSupported(String),
    /// Something else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The loaded probes.
#[allow(
    missing_debug_implementations,
    reason = "programs and maps of the kernel have nothing to show"
)]
pub struct Probes {
    pub(crate) ebpf: Ebpf,
    pub(crate) uprobe_programs: UprobePrograms,
    /// Carries the eBPF side's rare messages to the log.
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    ring: Option<Ring>,
    pub(crate) choice: Choice,
    pub(crate) site_offset: SiteOffset,
    pub(crate) options: Options,
    targets: Vec<Target>,
    attached: Option<Attached>,
    attaches: u32,
    in_flight: InFlight,
    /// Records that threads had gathered when the probes were detached.
    batches: Vec<Vec<u8>>,
    /// Records of reads that still waited for a site then.
    unclaimed: Vec<ReadSyscall>,
    received: Received,
    /// Hits that the kernel passed over while the probes were attached, up to the last detach, by program.
    missed: BTreeMap<String, u64>,
    /// What it had passed over at the last attach.
    missed_before: BTreeMap<String, u64>,
    /// While it is open, the kernel counts and times programs' runs.
    _stats: Option<OwnedFd>,
}

impl Probes {
    /// Loads the programs and chooses the kernel probe.
    ///
    /// # Panics
    /// With more arms than [`MAX_ARMS`].
    pub fn load(options: Options) -> Result<Self, LoadError> {
        assert!(options.arms <= MAX_ARMS, "callers check the number of arms");
        // Kernels before 5.11 count maps against this limit. Where it cannot be raised it is either
        // not needed, or the load fails and says so.
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        let _ = setrlimit(Resource::Memlock, unlimited);

        let records_are = match (options.ring_bytes, options.writing) {
            (None, _) => NOT_WANTED,
            (Some(_), Writing::Gathered) => GATHERED,
            (Some(_), Writing::AtOnce) => WRITTEN_AT_ONCE,
            (Some(_), Writing::WhileAskedFor) => WRITTEN_WHILE_ASKED_FOR,
        };
        let have_pair = u8::from(options.kernel_probe != KernelProbe::None);
        let want_read_records = u8::from(options.read_records);
        let ring_bytes = options.ring_bytes.unwrap_or(NO_RING_BYTES);
        let memory = HistogramMemory::here(options.arms);
        let lanes = memory.lanes();
        let writers = memory.cpus + usize::try_from(lanes).unwrap_or(0);
        let wake_ups = WakeUps::of(ring_bytes, writers);
        let spans = options.arms * SpanKind::COUNT;
        let offsets = numbers::offsets()?;
        let mut ebpf = EbpfLoader::new()
            .verifier_log_level(VerifierLogLevel::default())
            .override_global("RECORDS_ARE", &records_are, true)
            .override_global("WANT_READ_RECORDS", &want_read_records, true)
            .override_global("WAKE_AT_BYTES", &wake_ups.at_bytes, true)
            .override_global("LOOK_MASK", &wake_ups.look_mask, true)
            .override_global("HAVE_KERNEL_PAIR", &have_pair, true)
            .override_global("OFFSETS", &offsets, true)
            .override_global("LANES_PER_ARM", &memory.lanes_per_arm(), true)
            .map_max_entries("LANES", lanes)
            .map_max_entries("LANE_OWNERS", lanes)
            .map_max_entries("HISTOGRAMS", spans)
            .map_max_entries("COUNTERS", options.arms)
            .map_max_entries("OPEN_CALLS", options.function_threads.max(1))
            .map_max_entries("RECORDS", ring_bytes)
            .load(OBJECT)
            .map_err(|error| {
                no_room(&error, memory, ring_bytes).unwrap_or_else(|| classify(&error))
            })?;
        let times_functions = options.function_threads > 0;
        let of_functions = FUNCTION_PROGRAMS.into_iter().filter(|_| times_functions);
        let names = SITE_PROGRAMS.into_iter().chain(of_functions);
        // Before maps are taken out of the object.
        let uprobe_programs = UprobePrograms::load(&mut ebpf, OBJECT, names)
            .map_err(|error| classify(error.as_ref()))?;
        let logger = EbpfLogger::init(&mut ebpf).ok();
        let ring = match options.ring_bytes {
            Some(_) => {
                let map = ebpf.take_map("RECORDS").context("no map RECORDS")?;
                Some(Ring::open(map)?)
            }
            None => None,
        };
        for (name, _) in FUNCTION_ENDS.into_iter().filter(|_| times_functions) {
            let program: &mut RawTracePoint = program(&mut ebpf, name)?;
            load(|| Ok(program.load()?)).map_err(|error| classify(error.as_ref()))?;
        }
        numbers::load(&mut ebpf).map_err(|error| classify(error.as_ref()))?;
        let choice = pair::choose(&mut ebpf, options.kernel_probe)?;
        if choice.probe == KernelProbe::None && options.kernel_probe == KernelProbe::Auto {
            // Nothing brackets the syscall here. Load again without the demand that each site
            // finds its syscall span.
            let mut probes = Self::load(Options {
                kernel_probe: KernelProbe::None,
                ..options
            })?;
            probes.choice = choice;
            return Ok(probes);
        }
        let stats = if options.program_stats {
            Some(enable_stats(Stats::RunTime).context("cannot have programs timed")?)
        } else {
            None
        };
        Ok(Self {
            ebpf,
            uprobe_programs,
            logger,
            ring,
            choice,
            site_offset: options.site.offset(),
            options,
            targets: Vec::new(),
            attached: None,
            attaches: 0,
            in_flight: InFlight::default(),
            batches: Vec::new(),
            unclaimed: Vec::new(),
            received: Received::default(),
            missed: BTreeMap::new(),
            missed_before: BTreeMap::new(),
            _stats: stats,
        })
    }

    /// The kernel probe in use; never `Auto`.
    pub fn kernel_probe(&self) -> KernelProbe {
        self.choice.probe
    }

    /// Names the processes to trace, by our numbers, in place of those that were named before.
    pub fn set_targets(&mut self, mut targets: Vec<Target>) -> anyhow::Result<()> {
        if let Some(numbers) = numbers::kernel_numbers(&mut self.ebpf)? {
            // One that has none has ended.
            targets.retain_mut(|target| {
                let number = numbers.get(&target.pid);
                target.pid = number.copied().unwrap_or_default();
                number.is_some()
            });
        }
        tables::set_targets(&mut self.ebpf, &targets)?;
        self.targets = targets;
        Ok(())
    }

    /// Attaches to the targets. Does nothing when attached.
    pub fn attach(&mut self) -> anyhow::Result<()> {
        if self.attached.is_none() {
            let attached = attach(
                &mut self.ebpf,
                &self.uprobe_programs,
                self.choice.probe,
                &self.site_offset,
                &self.targets,
            )?;
            self.attached = Some(attached);
            self.attaches += 1;
            self.missed_before = self.missed()?;
            self.observe(true)?;
        }
        Ok(())
    }

    /// Lets the programs begin new spans, or not.
    pub(crate) fn observe(&mut self, observe: bool) -> anyhow::Result<()> {
        tables::set_table(&mut self.ebpf, "observing", &u32::from(observe))
    }

    /// Detaches, waits until no program runs any more, and notes which spans were open.
    pub fn detach(&mut self) -> anyhow::Result<()> {
        if self.attached.is_some() {
            // Spans that have begun are still completed while the probes go, one after the other.
            let stopped = self.observe(false);
            // The kernel counts some by link, so they are read before the links go.
            let missed = self.missed_while_attached();
            self.attached = None;
            stopped?;
            self.missed = missed?;
            wait_for_running_programs();
            let settled = tables::settle(&mut self.ebpf)?;
            self.in_flight.add(settled.in_flight);
            let with_records = self.options.read_records && self.ring.is_some();
            unclaimed::add_to_totals(&mut self.ebpf, &settled.unclaimed, with_records)?;
            self.batches.extend(lanes::take_batches(&mut self.ebpf)?);
            if with_records {
                self.unclaimed.extend(settled.unclaimed);
            }
        }
        Ok(())
    }

    /// Hits that the kernel has passed over up to now, by the program that did not run.
    pub fn missed(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut missed = BTreeMap::new();
        for program in self.program_counts() {
            let (name, counts) = program?;
            missed.insert(name.to_owned(), counts.recursion_misses);
        }
        if self.choice.probe == KernelProbe::Kprobe {
            let programs = pair::programs(&self.ebpf, self.choice.probe)?;
            let ids: Vec<u32> = programs.keys().copied().collect();
            let by_kprobes =
                kernel_info::kprobe_misses(&ids).context("cannot read what kprobes have missed")?;
            for (id, hits) in by_kprobes {
                *missed.entry(programs[&id].clone()).or_default() += hits;
            }
        }
        Ok(missed)
    }

    /// Those that have come since.
    pub fn missed_since(
        &self,
        before: &BTreeMap<String, u64>,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut missed = self.missed()?;
        for (program, hits) in &mut missed {
            *hits = hits.saturating_sub(before.get(program).copied().unwrap_or(0));
        }
        Ok(missed)
    }

    /// Those while the probes were attached.
    fn missed_while_attached(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut sum = self.missed.clone();
        if self.attached.is_some() {
            for (program, hits) in self.missed_since(&self.missed_before)? {
                *sum.entry(program).or_default() += hits;
            }
        }
        Ok(sum)
    }

    /// Waits until enough records are unread for the kernel to say so; without records, for ever.
    /// Cancel-safe.
    pub async fn readable(&mut self) -> anyhow::Result<()> {
        match &mut self.ring {
            Some(ring) => ring.readable().await,
            None => std::future::pending().await,
        }
    }

    /// How often the kernel has woken the reader of records.
    pub fn reader_woken(&self) -> u64 {
        self.ring.as_ref().map_or(0, Ring::woken)
    }

    /// Takes all records out of the ring buffer that there are now, and passes the eBPF side's messages
    /// on.
    pub fn drain(&mut self, take: impl FnMut(Record) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // Behind as many bytes as the ring has, there are only records that came meanwhile.
        let all = self.options.ring_bytes.unwrap_or(0);
        self.take_records(usize::try_from(all).unwrap_or(usize::MAX), take)?;
        Ok(())
    }

    /// As [`Probes::drain`], but soon ends even when records come as fast as they are taken. Says
    /// whether none is left.
    pub fn drain_some(
        &mut self,
        take: impl FnMut(Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        self.take_records(SOME_BYTES, take)
    }

    fn take_records(
        &mut self,
        at_most: usize,
        mut take: impl FnMut(Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<bool> {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
        let Some(ring) = &mut self.ring else {
            return Ok(true);
        };
        let received = &mut self.received;
        let mut take_all = |mut bytes: &[u8]| {
            while !bytes.is_empty() {
                let Some((record, behind)) = parse(bytes) else {
                    received.records += 1;
                    received.unknown += 1;
                    break;
                };
                received.records += record.spans();
                bytes = behind;
                take(record)?;
            }
            Ok(())
        };
        let is_empty = ring.take(at_most, &mut take_all)?;
        for batch in mem::take(&mut self.batches) {
            take_all(&batch)?;
        }
        for read in mem::take(&mut self.unclaimed) {
            self.received.records += 1;
            take(Record::ReadSyscall(read))?;
        }
        Ok(is_empty)
    }

    /// The ledger up to now. It balances when the probes are detached and the ring is drained.
    pub fn ledger(&self) -> anyhow::Result<Ledger> {
        let counted = counted(&self.ebpf, self.options.arms)?;
        let mut ledger = ledger(&counted, self.in_flight, self.received);
        ledger.programs = self.program_runs()?;
        enter_missed(&mut ledger, &self.missed_while_attached()?);
        Ok(ledger)
    }

    /// What the kernel says of our programs: of all that it counts, and of those that it has passed
    /// hits of over.
    fn program_runs(&self) -> anyhow::Result<BTreeMap<String, ProgramRuns>> {
        let mut runs = BTreeMap::new();
        for program in self.program_counts() {
            let (name, counts) = program?;
            let is_counted = self.options.program_stats && counts.runs > 0;
            if is_counted || counts.recursion_misses > 0 {
                let of_interest = ProgramRuns {
                    runs: is_counted.then_some(counts.runs),
                    run_time_ns: is_counted.then_some(counts.run_time_ns),
                    recursion_misses: counts.recursion_misses,
                };
                runs.insert(name.to_owned(), of_interest);
            }
        }
        Ok(runs)
    }

    /// What the kernel counts of each loaded program. Some kernels have the same ones by both ways, and then the same
    /// counts.
    pub(crate) fn program_counts(
        &self,
    ) -> impl Iterator<Item = anyhow::Result<(&str, ProgramCounts)>> {
        let others = self.ebpf.programs().filter_map(|(name, program)| {
            let is_loaded = program.fd().ok()?;
            Some((name, is_loaded.as_fd()))
        });
        let all = others.chain(self.uprobe_programs.iter());
        all.map(|(name, fd)| {
            let counts = kernel_info::program_counts(fd)
                .with_context(|| format!("cannot read what the kernel counts of {name}"))?;
            Ok((name, counts))
        })
    }

    /// The durations of an arm's spans of one kind, up to now.
    pub fn durations(&self, arm: u32, kind: SpanKind) -> anyhow::Result<Durations> {
        spans::durations(&self.ebpf, arm, kind)
    }

    /// What the manifest says about the probes.
    pub fn describe(&self) -> runlog::manifest::Probes {
        let memory = HistogramMemory::here(self.options.arms);
        runlog::manifest::Probes {
            kernel_probe: self.choice.probe.name().to_owned(),
            passed_over: self.choice.passed_over.clone(),
            site_offset: self.site_offset.bytes,
            site_offset_reason: format!(
                "{}; attached {}",
                self.site_offset.reason,
                self.uprobe_programs.way()
            ),
            ring_bytes: self.options.ring_bytes.unwrap_or(0),
            histogram_bytes: memory.bytes(),
            possible_cpus: memory.cpus,
            attaches: self.attaches,
        }
    }
}

/// Whether maps were not created for want of memory. Kernels charge them to the memory cgroup of who
/// creates them; per-CPU values may also be too large for the kernel's per-CPU allocator.
fn no_room(
    error: &(dyn std::error::Error + 'static),
    memory: HistogramMemory,
    ring_bytes: u32,
) -> Option<LoadError> {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let (name, cause) = chain
        .filter_map(|error| error.downcast_ref::<MapError>())
        .find_map(|error| match error {
            MapError::CreateError { name, io_error } => Some((name, io_error)),
            _ => None,
        })?;
    matches!(cause.raw_os_error(), Some(libc::ENOMEM | libc::E2BIG)).then(|| LoadError::NoRoom {
        reason: format!("map {name}: {cause}"),
        histograms: mebibytes(memory.bytes()),
        arms: memory.arms,
        cpus: memory.cpus,
        ring: mebibytes(u64::from(ring_bytes)),
    })
}

/// Tells "may not" from "cannot".
fn classify(error: &(dyn std::error::Error + 'static)) -> LoadError {
    let mut chain = Vec::new();
    let mut errno = None;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            errno = io.raw_os_error().or(errno);
        }
        chain.push(error.to_string());
        next = error.source();
    }
    let text = brief(&chain.join(": "));
    match errno {
        Some(libc::EPERM | libc::EACCES) => LoadError::NotPermitted(text),
        _ => LoadError::NotSupported(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_that_may_be_attached_is_in_the_object() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        let ends = FUNCTION_ENDS.iter().map(|(name, _)| *name);
        let named = SITE_PROGRAMS
            .into_iter()
            .chain(FUNCTION_PROGRAMS)
            .chain(ends);
        let missing: Vec<String> = named
            .map(str::to_owned)
            .chain(pair::all_programs())
            .filter(|name| !object.programs.contains_key(name))
            .collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn a_map_without_room_is_told_with_its_size() {
        let of = |errno| MapError::CreateError {
            name: "HISTOGRAMS".to_owned(),
            io_error: io::Error::from_raw_os_error(errno),
        };
        let memory = HistogramMemory {
            arms: 16,
            cpus: 128,
        };
        // 16 arms × 6 kinds × 128 CPUs × 3,841 words are 360.1 MiB; 16 × 32 lanes of five kinds and about
        // 215 words more are 75.9 MiB.
        for errno in [libc::ENOMEM, libc::E2BIG] {
            let error = aya::EbpfError::from(of(errno));
            let text = no_room(&error, memory, 1 << 24).unwrap().to_string();
            for part in [
                "HISTOGRAMS",
                "436.0 MiB",
                "possible CPUs: 128",
                "16.0 MiB",
                "cgroup",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        let not_permitted = aya::EbpfError::from(of(libc::EPERM));
        assert!(no_room(&not_permitted, memory, 1 << 24).is_none());
    }
}
