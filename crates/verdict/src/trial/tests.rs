//! Trials made up, each with an outcome known beforehand.

use abi::trial::{Arm, Trial, mix};
use runlog::Role;
use runlog::analysis::{Analysis, Verdict};
use runlog::estimate::Estimate;
use runlog::manifest::{self, Environment, Manifest, Placement, Probes, Scheduling};
use runlog::record::{BracketedCall, Outcome, ReadSpan, ServerClose, ServerConnection, WriteSpan};
use runlog::table::{TableWriter, WritableRow};
use runlog::trial::{
    self, ArmCounts, CarryOver, CountsCheck, DifferingCount, RecordLedger, ServerCounts,
    TrialCounts, TrialResult,
};

use stats::Trim;

mod blind;
mod clocks;
mod undisturbed;

use super::*;
use crate::doubt::{Doubt, Severity, TrialDoubt, of_clock, of_hooked_reads, of_trial, words};
use crate::layers::{Roles, analyze};
use crate::logs::{Logged, read_logs};
use crate::outcome;

/// Bytes of a request.
const SIZE: u32 = 256;
/// What a request takes without anything.
const BASE_NS: f64 = 8_000.0;
/// What the bracket takes before and after the call behind the hook.
const BRACKET_NS: u32 = 25;
/// What the hook takes before the read.
const BEFORE_READ_NS: u32 = 30;
/// By how much injected delays last longer than asked for.
const LONGER_NS: u32 = 40;
/// Requests of each connection that are warm-up, the first included.
const WARM_UP: u64 = 20;

/// Random numbers: SplitMix64.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, with a standard deviation of 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time of some microseconds"
)]
pub fn whole_ns(ns: f64) -> u64 {
    ns.round() as u64
}

/// What to make.
#[derive(Clone, Copy)]
struct Script {
    seed: u64,
    servers: u32,
    /// Blocks of each server.
    blocks: u32,
    connections: u32,
    /// Requests of each connection.
    requests: u64,
    /// Standard deviation of response times.
    noise_ns: f64,
    /// By how much neighbouring blocks differ.
    drift_ns: f64,
    /// What the hook takes.
    hook_ns: u32,
    /// How often it takes 20 µs more.
    rare: f64,
    /// How often a neighbour on the core makes a start, and how often a rest, longer by 3 to 9 µs.
    neighbour: f64,
    /// What the hook costs outside of its calls.
    outside_ns: f64,
    /// What a hooked request adds to the one so much later.
    carry_ns: f64,
    carry_to: usize,
    /// The server waits for requests in its reads.
    blocking: bool,
    /// Each block is followed by one with probes.
    probed: bool,
}

const SCRIPT: Script = Script {
    seed: 1,
    servers: 8,
    blocks: 2,
    connections: 2,
    requests: 1_000,
    noise_ns: 300.0,
    drift_ns: 0.0,
    hook_ns: 100,
    rare: 0.0,
    neighbour: 0.0,
    outside_ns: 0.0,
    carry_ns: 0.0,
    carry_to: 1,
    blocking: false,
    probed: false,
};

/// How long a request takes, and what of it the hook does.
#[allow(clippy::struct_field_names, reason = "a unit is in each name")]
struct Times {
    /// By how much a neighbour makes its start longer.
    start_ns: u64,
    /// The hook, before the read and after it.
    before_ns: u32,
    after_ns: u32,
    /// The delay.
    waited_ns: u32,
    /// All of it.
    took_ns: u64,
}

/// The rows of a run.
struct Rows {
    trial: Trial,
    schedule: Schedule,
    requests: Vec<Request>,
    connections: Vec<ClientConnection>,
    calls: Vec<BracketedCall>,
    counts: TrialCounts,
    /// What probes saw.
    accepted: Vec<ServerConnection>,
    reads: Vec<ReadSpan>,
}

impl Script {
    fn make(self) -> Rows {
        let arms = [100, 1_000].map(|delay_ns| Arm::Spiked { delay_ns });
        let arms = [Arm::Off, Arm::Null, Arm::On, arms[0], arms[1]];
        let trial = Trial::new(self.seed, SIZE, 1, &arms).unwrap();
        let mut rows = Rows {
            schedule: Schedule {
                order: runlog::Order::Trial,
                seed: self.seed,
                connections: self.connections as usize,
                requests_per_cell: 0,
                blocks_per_cell: self.blocks * self.servers,
                servers_per_arm: self.servers,
                warmup_requests: 0,
                block_warmup_requests: WARM_UP,
                trial: Some(trial.to_string()),
            },
            trial,
            requests: Vec::new(),
            connections: Vec::new(),
            calls: Vec::new(),
            accepted: Vec::new(),
            reads: Vec::new(),
            counts: TrialCounts {
                schema: trial::SCHEMA.to_owned(),
                servers: vec![ServerCounts::default(); self.servers as usize],
            },
        };
        let mut random = Random(self.seed.wrapping_mul(0x1234_5678_9abc_def1));
        let mut now_ns = 1_000_000;
        let states = 1 + u32::from(self.probed);
        for block in 0..self.blocks * self.servers * states {
            for number in 0..self.connections {
                let connection = block * self.connections + number;
                now_ns = self.connection(&mut rows, &mut random, block, connection, now_ns);
            }
        }
        rows
    }

    /// What earlier requests of the connection add to one.
    fn carried_ns(&self, hooked: &[bool]) -> f64 {
        let is_hooked = hooked.iter().rev().nth(self.carry_to - 1);
        is_hooked.map_or(0.0, |is_hooked| f64::from(*is_hooked) * self.carry_ns)
    }

    /// How long a request of this arm takes; `hooked` are those before it on the connection.
    fn times(self, arm: Arm, block: u32, hooked: &[bool], random: &mut Random) -> Times {
        let is_rare = arm.is_hooked() && random.uniform() < self.rare;
        let hook_ns = if arm.is_hooked() { self.hook_ns } else { 0 };
        let before_ns = hook_ns.min(BEFORE_READ_NS);
        let after_ns = hook_ns - before_ns + if is_rare { 20_000 } else { 0 };
        let delay_ns = u32::try_from(arm.delay_ns()).unwrap();
        let longer_ns = if delay_ns > 0 { LONGER_NS } else { 0 };
        let waited_ns = delay_ns + longer_ns;
        let [start_ns, rest_ns] = [(); 2].map(|()| {
            let is_slow = self.neighbour > 0.0 && random.uniform() < self.neighbour;
            whole_ns(f64::from(u8::from(is_slow)) * (3_000.0 + 6_000.0 * random.uniform()))
        });
        let outside_ns = f64::from(u8::from(arm.is_hooked())) * self.outside_ns;
        let in_idle_time_ns = if self.blocking { before_ns } else { 0 };
        let took_ns = BASE_NS
            + self.noise_ns * random.normal()
            + self.drift_ns * f64::from(block % 5)
            + outside_ns
            + self.carried_ns(hooked);
        let hook_ns = before_ns + after_ns + waited_ns - in_idle_time_ns;
        Times {
            start_ns,
            before_ns,
            after_ns,
            waited_ns,
            took_ns: whole_ns(took_ns) + start_ns + rest_ns + u64::from(hook_ns),
        }
    }

    /// All requests of a connection, one after the other.
    fn connection(
        self,
        rows: &mut Rows,
        random: &mut Random,
        block: u32,
        connection: u32,
        mut now_ns: u64,
    ) -> u64 {
        let observed = self.probed && block % 2 == 1;
        let round = if self.probed { block / 2 } else { block };
        let server = round % self.servers;
        let local_port = u16::try_from(10_000 + connection).unwrap();
        rows.open(connection, block, local_port, now_ns, observed);
        let counts = &mut rows.counts.servers[server as usize];
        counts.connections += 1;
        let salt = rows.trial.salt(connection);
        let mut hooked = Vec::new();
        for ordinal in 0..self.requests {
            let number = rows.trial.arm_of(salt, ordinal);
            let arm = number.map_or(Arm::Off, |number| rows.trial.arms()[number]);
            let Times {
                start_ns,
                before_ns,
                after_ns,
                waited_ns,
                took_ns,
            } = self.times(arm, block, &hooked, random);
            hooked.push(arm.is_hooked());
            let sent_ns = now_ns + 1_000;
            rows.requests.push(Request {
                sequence: rows.requests.len() as u64,
                arm: u16::try_from(number.unwrap_or(0)).unwrap(),
                flags: if ordinal < WARM_UP {
                    Request::WARMUP
                } else {
                    0
                } | if observed { Request::OBSERVED } else { 0 },
                local_port,
                block,
                connection,
                status: 200,
                first_byte: ordinal * u64::from(SIZE),
                end_byte: (ordinal + 1) * u64::from(SIZE),
                planned_ns: sent_ns,
                sent_ns,
                done_ns: sent_ns + took_ns,
                ..Request::default()
            });
            now_ns = sent_ns + took_ns;
            let to_back_ns = BRACKET_NS + before_ns;
            // What comes before a read that waits is over when the request is sent.
            let since_sent_ns = if self.blocking { 0 } else { to_back_ns };
            let back_exit_ns = sent_ns + 2_000 + start_ns + u64::from(since_sent_ns) + 1_000;
            let from_back_ns = BRACKET_NS + after_ns;
            if observed {
                rows.reads.push(ReadSpan {
                    connection: connection.into(),
                    attach: block,
                    first_byte: ordinal * u64::from(SIZE),
                    returned: SIZE.into(),
                    enter_ns: sent_ns + 2_000 + start_ns,
                    inner_exit_ns: back_exit_ns,
                    exit_ns: back_exit_ns + u64::from(from_back_ns + waited_ns),
                    ..ReadSpan::default()
                });
            }
            counts.first_requests += u64::from(number.is_none());
            let Some(number) = number else { continue };
            let of_arm = counts.arms.entry(arm.to_string()).or_default();
            of_arm.requests += 1;
            of_arm.calls += 1;
            of_arm.bytes += u64::from(SIZE);
            if observed {
                continue;
            }
            counts.records.begun += 1;
            counts.records.read += 1;
            let enter_ns = if self.blocking {
                sent_ns - 500
            } else {
                sent_ns + 2_000 + start_ns
            };
            rows.calls.push(BracketedCall {
                server: u16::try_from(server).unwrap(),
                arm: u16::try_from(number).unwrap(),
                flags: BracketedCall::REACHED_BACK | BracketedCall::FRESH,
                salt,
                ordinal: u32::try_from(ordinal).unwrap(),
                returned: SIZE,
                enter_ns,
                to_back_ns,
                back_exit_ns,
                from_back_ns,
                waited_ns,
                ..BracketedCall::default()
            });
        }
        now_ns
    }

    fn found(self) -> Found {
        self.make().found()
    }
}

fn table<T: WritableRow>(path: std::path::PathBuf, rows: &[T]) {
    let mut table = TableWriter::create(path).unwrap();
    for row in rows {
        table.push(row).unwrap();
    }
    table.finish().unwrap();
}

impl Rows {
    fn open(&mut self, connection: u32, block: u32, local_port: u16, now_ns: u64, observed: bool) {
        self.connections.push(ClientConnection {
            connection,
            block,
            local_port,
            opening_ns: now_ns + 1,
            sent_bytes: u64::MAX,
            ..ClientConnection::default()
        });
        if observed {
            self.accepted.push(ServerConnection {
                connection: connection.into(),
                attach: block,
                peer_port: local_port,
                accepted_ns: now_ns + 2,
                ..ServerConnection::default()
            });
        }
    }

    fn write(&self) -> (tempfile::TempDir, RunDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::create(folder.path().join("run")).unwrap();
        table(run.requests(), &self.requests);
        table(run.client_connections(), &self.connections);
        table(run.bracketed_calls(), &self.calls);
        table(run.server_connections(), &self.accepted);
        table(run.server_closes(), &[] as &[ServerClose]);
        table(run.reads(), &self.reads);
        table(run.writes(), &[] as &[WriteSpan]);
        json::write(&run.trial_counts(), &self.counts).unwrap();
        (folder, run)
    }

    fn found(&self) -> Found {
        let (_folder, run) = self.write();
        read(&run, &self.schedule).unwrap()
    }

    /// As `probe-user bench` draws a run up.
    fn analysis(&self, probes: Option<Probes>) -> Analysis {
        let no_probes = probes.is_none().then(|| "no right to".to_owned());
        let (logged, manifest) = self.logged(probes);
        let roles = Roles::of(&manifest.arms).unwrap();
        let outcome = outcome::Outcome {
            manifest,
            cut_short: None,
            ledger: None,
            no_probes,
        };
        analyze(logged, roles, outcome, Err(String::new()), Trim::USUAL)
    }

    /// As it is read back.
    fn logged(&self, probes: Option<Probes>) -> (Logged, Manifest) {
        let (_folder, run) = self.write();
        let arms: Vec<manifest::Arm> = self
            .trial
            .arms()
            .iter()
            .map(|arm| manifest::Arm {
                name: arm.to_string(),
                role: Some(match arm {
                    Arm::Off => Role::Baseline,
                    Arm::Null => Role::Baseline2,
                    Arm::On => Role::Hooked,
                    Arm::Spiked { .. } => Role::Other,
                }),
                url: String::new(),
                pids: Vec::new(),
                hook: arm.is_hooked().then(|| "hook.so".to_owned()),
                hook_environment: Vec::new(),
                hooked_reads: None,
            })
            .collect();
        let manifest = Manifest {
            schema: manifest::SCHEMA.to_owned(),
            version: String::new(),
            command: Vec::new(),
            started_unix_ns: 0,
            started_monotonic_ns: 0,
            clock: None,
            ended: "complete".to_owned(),
            environment: Environment::default(),
            placement: Placement {
                scheduling: Scheduling::Batch,
                ..Placement::default()
            },
            arms,
            schedule: self.schedule.clone(),
            probes,
            resources: None,
            doctor: None,
            calibration: None,
        };
        let logged = read_logs(&run, &manifest, Trim::USUAL, None).unwrap();
        (logged, manifest)
    }
}

fn doubts(found: &Found) -> Vec<Doubt> {
    let placement = Placement {
        scheduling: Scheduling::Batch,
        ..Placement::default()
    };
    of_trial(&found.result, &placement)
}

fn known(estimate: Option<&Estimate>) -> &Estimate {
    estimate.expect("an estimate")
}

fn half_width(estimate: &Estimate) -> f64 {
    (estimate.ci95[1] - estimate.ci95[0]) / 2.0
}

fn assert_finds(estimate: Option<&Estimate>, truth: f64, half_width_at_most: f64) {
    let estimate = known(estimate);
    assert!(estimate.reaches(truth, 0.0), "{truth}: {estimate:?}");
    assert!(half_width(estimate) <= half_width_at_most, "{estimate:?}");
}

fn counts(found: &Found) -> &CountsCheck {
    found.result.counts.as_ref().expect("counts")
}

#[test]
fn a_known_effect_is_found_end_to_end_and_inside_and_both_agree() {
    let found = SCRIPT.found();
    let result = &found.result;
    assert_eq!(doubts(&found), []);
    assert_eq!((result.processes, result.effects.len()), (8, 4));
    // Four times the longest median of the arms, each of some requests of 8,000 to 9,140 ± 300 ns.
    let threshold_ns = result.threshold_ns.unwrap();
    assert!(
        (31_000.0..38_000.0).contains(&threshold_ns),
        "{threshold_ns}"
    );
    let on = &result.effects["on"];
    assert_finds(on.body.as_ref(), 100.0, 25.0);
    assert_finds(on.mean.as_ref(), 100.0, 25.0);
    assert_finds(on.typical.as_ref(), 100.0, 30.0);
    assert_finds(result.effects["null"].body.as_ref(), 0.0, 25.0);
    assert_finds(result.effects["on+1000"].body.as_ref(), 1_140.0, 25.0);
    let doses = result.doses.as_ref().unwrap();
    let delays: Vec<String> = doses
        .arms
        .iter()
        .map(|dose| format!("{:.3}", dose.delay_ns))
        .collect();
    assert_eq!(delays, ["140.000", "1040.000"]);
    assert!(doses.arms.iter().all(|dose| dose.is_measured));
    assert_finds(doses.slope.as_ref(), 1.0, 0.03);
    assert_eq!(result.quantiles.len(), 7);
    for shift in &result.quantiles {
        assert!(shift.effect.reaches(100.0, 0.0), "{shift:?}");
    }
    // Two blocks a process: Student's t has one degree of freedom, and is exact.
    let redrawn = result.rerandomisation.as_ref().unwrap();
    assert_eq!(redrawn.intervals, 8 * 200);
    assert!((redrawn.share_holding - 0.95).abs() < 0.03, "{redrawn:?}");
    let in_situ = result.in_situ.as_ref().unwrap();
    assert!(!in_situ.blocking_reads);
    assert_finds(in_situ.whole.mean.as_ref(), 100.0, 1e-6);
    assert_finds(in_situ.whole.typical.as_ref(), 100.0, 0.5);
    assert_finds(in_situ.after_read.mean.as_ref(), 70.0, 1e-6);
    let agreement = found.agreement(&[]).unwrap();
    assert_eq!(agreement.margin_ns, Some(25.0));
    assert_eq!(agreement.verdict, Verdict::Agree, "{agreement:?}");
    let doubt = [Doubt::Trial(TrialDoubt::FairScheduling)];
    let withheld = found.agreement(&doubt).unwrap();
    assert_eq!(withheld.verdict, Verdict::Withheld);
}

/// A hook may answer by itself that nothing is left.
#[test]
fn an_empty_call_that_never_got_behind_the_hook_hides_no_request() {
    let mut rows = SCRIPT.make();
    let empty: Vec<BracketedCall> = rows
        .calls
        .iter()
        .filter(|call| rows.trial.arms()[usize::from(call.arm)].is_hooked())
        .map(|call| BracketedCall {
            flags: 0,
            returned: 0,
            enter_ns: call.back_exit_ns + u64::from(call.from_back_ns + call.waited_ns),
            to_back_ns: 0,
            from_back_ns: 5,
            waited_ns: 0,
            ..*call
        })
        .collect();
    rows.calls.extend(empty);
    let found = rows.found();
    assert_eq!(counts(&found).misplaced, 0);
    let in_situ = found.result.in_situ.as_ref().unwrap();
    assert_finds(in_situ.whole.mean.as_ref(), 105.0, 1e-6);
}

#[test]
fn body_and_tail_add_up_and_so_do_the_segments_of_a_request() {
    let found = Script {
        rare: 0.1,
        noise_ns: 4_000.0,
        ..SCRIPT
    }
    .found();
    for effect in found.result.effects.values() {
        let [body, tail, mean] = [&effect.body, &effect.tail, &effect.mean]
            .map(|estimate| known(estimate.as_ref()).estimate);
        assert!((body + tail - mean).abs() < 1e-6);
    }
    assert_eq!(found.result.budgets.len(), 4);
    for (arm, budget) in &found.result.budgets {
        let lines: Vec<f64> = budget
            .lines
            .iter()
            .map(|line| line.difference.estimate)
            .collect();
        let [before, hook, after] = lines[..] else {
            panic!("{lines:?}");
        };
        assert!((before + hook + after - budget.total.estimate).abs() < 1e-6);
        assert!((before + after - budget.outside_call.estimate).abs() < 1e-6);
        // Every request has its record.
        let body = known(found.result.effects[arm].body.as_ref()).estimate;
        assert!((budget.total.estimate - body).abs() < 1e-6);
    }
    let hook = &found.result.budgets["on"].lines[1];
    assert_eq!(hook.name, "hook");
    assert_finds(Some(&hook.difference), 70.0 + 2_000.0, 200.0);
}

#[test]
fn equal_arms_are_told_apart_as_seldom_as_they_should_be() {
    let mut covered = 0;
    let mut sum = 0.0;
    for seed in 0..40 {
        let found = Script {
            seed,
            blocks: 1,
            connections: 1,
            requests: 500,
            ..SCRIPT
        }
        .found();
        let null = known(found.result.effects["null"].body.as_ref()).clone();
        covered += u32::from(null.reaches(0.0, 0.0));
        sum += null.estimate;
    }
    // 38 are expected; fewer than 34 have a probability of 0.003.
    assert!(covered >= 34, "{covered}");
    // 8 servers of 96 requests each: a mean over 40 runs has a standard error of 2.4 ns.
    assert!((sum / 40.0).abs() < 7.5, "{}", sum / 40.0);
}

#[test]
fn a_rare_cost_is_in_the_mean() {
    let mut covered = 0;
    for seed in 0..50 {
        let found = Script {
            seed,
            rare: 0.03,
            ..SCRIPT
        }
        .found();
        let mean = known(found.result.effects["on"].mean.as_ref()).clone();
        covered += u32::from(mean.reaches(100.0 + 600.0, 0.0));
        assert!(!mean.reaches(100.0, 0.0), "{mean:?}");
    }
    assert!(covered >= 43, "{covered}");
}

#[test]
fn carry_over_is_found_where_there_is_some() {
    let carried = |found: &Found| -> Vec<(String, i32)> {
        doubts(found)
            .into_iter()
            .filter_map(|doubt| match doubt {
                Doubt::Trial(TrialDoubt::CarriesOver { contrast, lag, .. }) => {
                    Some((contrast, lag))
                }
                _ => None,
            })
            .collect()
    };
    let to = |carry_to| {
        Script {
            carry_ns: 60.0,
            carry_to,
            ..SCRIPT
        }
        .found()
    };
    assert!(carried(&to(2)).contains(&("hooked".to_owned(), 2)));
    // On the very next request it may be the hook's own: it is told, and no doubt.
    let found = to(1);
    assert_eq!(carried(&found), []);
    let CarryOver { lags, steady, .. } = &found.result.carry_over[0];
    assert!(lags[2].p.unwrap() < 0.01, "{:?}", lags[2]);
    assert_eq!(
        lags.iter().map(|effect| effect.lag).collect::<Vec<_>>(),
        (-1..9).collect::<Vec<_>>()
    );
    assert_finds(Some(&lags[2].effect), 60.0, 40.0);
    // Of hooked arms a third waits for 140 ns and a third for 1,040.
    assert_finds(steady.as_ref(), 160.0 + 1_180.0 / 3.0, 150.0);
    let alarms = (0..200).filter(|seed| {
        let found = Script {
            seed: *seed,
            blocks: 1,
            connections: 1,
            requests: 400,
            ..SCRIPT
        }
        .found();
        !carried(&found).is_empty()
    });
    let alarms = alarms.count();
    assert!(alarms <= 10, "{alarms}");
}

#[test]
fn levels_of_blocks_do_not_disturb() {
    let width = |drift_ns| {
        let found = Script {
            drift_ns,
            requests: 300,
            ..SCRIPT
        }
        .found();
        let on = &found.result.effects["on"];
        [on.body.as_ref(), on.typical.as_ref()].map(|estimate| {
            assert_finds(estimate, 100.0, 80.0);
            half_width(known(estimate))
        })
    };
    let (level, drifting) = (width(0.0), width(500.0));
    for (level, drifting) in level.into_iter().zip(drifting) {
        assert!(drifting < 1.1 * level, "{level} {drifting}");
    }
}

#[test]
fn one_process_speaks_for_itself_alone() {
    let found = Script {
        servers: 1,
        blocks: 6,
        ..SCRIPT
    }
    .found();
    let body = known(found.result.effects["on"].body.as_ref());
    assert!(
        body.method.starts_with("in this process"),
        "{}",
        body.method
    );
    assert_eq!((found.result.processes, body.blocks), (1, 6));
    assert_finds(Some(body), 100.0, 60.0);
}

#[test]
fn what_a_server_does_before_it_waits_for_a_request_is_not_held_against_the_response() {
    let found = Script {
        blocking: true,
        ..SCRIPT
    }
    .found();
    let in_situ = found.result.in_situ.as_ref().unwrap();
    assert!(in_situ.blocking_reads);
    let agreement = found.agreement(&[]).unwrap();
    assert_finds(Some(&agreement.in_situ_per_request), 70.0, 1e-6);
    assert_eq!(agreement.verdict, Verdict::Agree, "{agreement:?}");
}

#[test]
fn a_cost_outside_of_the_calls_makes_the_layers_differ() {
    let mut rows = SCRIPT.make();
    for request in &mut rows.requests {
        if rows.trial.arms()[usize::from(request.arm)].is_hooked() {
            request.done_ns += 200;
        }
    }
    let found = rows.found();
    assert_eq!(found.agreement(&[]).unwrap().verdict, Verdict::Differ);
    let outside = &found.result.budgets["on"].outside_call;
    // The hook's part before the read is outside of the line as well.
    assert_finds(Some(outside), 230.0, 25.0);
}

#[test]
fn counts_of_a_server_that_front_cannot_follow_say_why() {
    let said = |counts: CountsCheck| {
        let result = TrialResult {
            threshold_ns: Some(1.0),
            counts: Some(counts),
            ..TrialResult::default()
        };
        let placement = Placement {
            scheduling: Scheduling::Batch,
            ..Placement::default()
        };
        words(&of_trial(&result, &placement), |severity| {
            severity == Severity::NotUsable
        })
    };
    let differing = |arms: &[&str], drawn| {
        let count = |arm: &&str| DifferingCount {
            arm: (*arm).to_owned(),
            answered: 100,
            drawn,
            ..DifferingCount::default()
        };
        arms.iter().map(count).collect::<Vec<_>>()
    };
    let all = ["first", "off", "null", "on", "on+1000"];
    let past_libc = CountsCheck {
        differing: differing(&all, 0),
        connections_opened: 8,
        ..CountsCheck::default()
    };
    let read_elsewhere = CountsCheck {
        connections_accepted: 9,
        ..past_libc.clone()
    };
    let closing = CountsCheck {
        differing: Vec::new(),
        connections_opened: 400,
        connections_accepted: 401,
        ..CountsCheck::default()
    };
    let some = CountsCheck {
        differing: differing(&all, 99),
        requests: 396,
        ..read_elsewhere.clone()
    };
    for (counts, reason) in [
        (past_libc, "no call of accept was seen for 8 connections"),
        (read_elsewhere, "accepted, and no request was seen"),
        (closing, "each of 400 connections had one request alone"),
        (some, "server 0, on: 100 sent, 99 drawn; and 1 more)"),
    ] {
        let said = said(counts);
        assert!(said.len() == 1 && said[0].contains(reason), "{said:?}");
    }
}

#[test]
fn a_server_with_another_seed_is_found_out() {
    let mut rows = SCRIPT.make();
    let other = Script { seed: 2, ..SCRIPT }.make();
    rows.counts = other.counts;
    for call in &mut rows.calls {
        let arm = other.trial.arm_of(call.salt, call.ordinal.into());
        call.arm = u16::try_from(arm.unwrap()).unwrap();
    }
    let found = rows.found();
    let said = words(&doubts(&found), |severity| severity == Severity::NotUsable);
    assert!(
        said[0].starts_with("client and servers counted other requests (server 0, "),
        "{said:?}"
    );
    // Arms are equal by chance in a fifth.
    let share = counts(&found).misplaced as f64 / rows.calls.len() as f64;
    assert!((share - 0.8).abs() < 0.02, "{share}");
    assert!(
        said[1].contains("are of another arm or request"),
        "{said:?}"
    );
}

#[test]
fn records_that_are_shifted_doubled_or_foreign_are_found_out() {
    let calls = |change: fn(&mut Vec<BracketedCall>)| {
        let mut rows = SCRIPT.make();
        change(&mut rows.calls);
        counts(&rows.found()).misplaced
    };
    assert_eq!(calls(|_| {}), 0);
    assert_eq!(calls(|calls| calls.push(calls[7])), 1);
    assert_eq!(calls(|calls| calls[9].salt ^= 1), 1);
    assert_eq!(calls(|calls| calls[9].server += 1), 1);
    let shifted = calls(|calls| calls.iter_mut().for_each(|call| call.ordinal += 1));
    assert!(shifted > 20_000, "{shifted}");
    // The first request has no arm.
    assert_eq!(calls(|calls| calls[9].ordinal = 0), 1);
}

#[test]
fn lost_records_are_said_where_they_are_many_or_of_one_arm() {
    let mut rows = SCRIPT.make();
    let on = 2;
    let mut kept = 0;
    rows.calls.retain(|call| {
        kept += u32::from(call.arm == on);
        call.arm != on || kept % 50 > 0
    });
    let lost = 32_000 - 32 - rows.calls.len() as u64;
    rows.counts.servers[3].records.overwritten = lost;
    rows.counts.servers[3].records.read -= lost;
    let found = rows.found();
    let share = counts(&found).without_record["on"];
    assert!((share - 0.02).abs() < 0.002, "{share}");
    let found = doubts(&found);
    assert!(
        matches!(
            found[..],
            [Doubt::Trial(TrialDoubt::RecordsLostUnevenly(_))]
        ),
        "{found:?}"
    );
    let mut rows = SCRIPT.make();
    rows.counts.servers[0].records = RecordLedger {
        begun: 4_000,
        read: 3_500,
        torn: 500,
        ..RecordLedger::default()
    };
    let lost = TrialDoubt::RecordsLost {
        lost: 500,
        of: 4_000 + 7 * 3_996,
    };
    assert_eq!(doubts(&rows.found()), [Doubt::Trial(lost)]);
    rows.counts.servers[0].records.torn = 0;
    assert!(doubts(&rows.found()).contains(&Doubt::Unbalanced));
}

/// A request that failed may have been read or not; one that was never sent was not.
#[test]
fn requests_that_failed_may_or_may_not_be_counted() {
    let check = |outcome: Outcome, drawn_less| {
        let mut rows = SCRIPT.make();
        let last = rows.requests.last_mut().unwrap();
        last.outcome = outcome as u8;
        let arm = rows.trial.arms()[usize::from(last.arm)].to_string();
        let server = rows.counts.servers.last_mut().unwrap();
        server.arms.get_mut(&arm).unwrap().requests -= drawn_less;
        counts(&rows.found()).differing.clone()
    };
    assert_eq!(check(Outcome::Unfinished, 0), []);
    assert_eq!(check(Outcome::Unfinished, 1), []);
    assert_eq!(check(Outcome::Unfinished, 2).len(), 1);
    assert_eq!(check(Outcome::Status5xx, 1).len(), 1);
    assert_eq!(check(Outcome::ConnectRefused, 0).len(), 1);
    assert_eq!(check(Outcome::ConnectRefused, 1), []);
}

#[test]
fn a_clock_behind_a_system_call_is_doubted() {
    let with = |clock_read_ns| {
        of_clock(&Environment {
            clock_source: "hpet".to_owned(),
            clock_read_ns,
            ..Environment::default()
        })
    };
    assert_eq!(with(25.0), None);
    let doubt = with(900.0).unwrap();
    assert_eq!(doubt.severity(), Severity::Withholds);
    assert!(doubt.to_string().contains("hpet"));
}

/// They have no arm, and are counted as exactly.
#[test]
fn first_requests_are_compared_too() {
    let mut rows = SCRIPT.make();
    rows.counts.servers[2].first_requests += 1;
    let found = rows.found();
    let [differing] = &counts(&found).differing[..] else {
        panic!("{:?}", counts(&found));
    };
    // Two blocks of two connections went to each server.
    assert_eq!((differing.server, differing.arm.as_str()), (2, "first"));
    assert_eq!((differing.answered, differing.drawn), (4, 5));
}

/// A server may write anything where its records come from: what is of no request is counted, and changes no figure.
#[test]
fn records_that_cannot_be_are_counted_and_change_nothing() {
    let mut rows = SCRIPT.make();
    let expected = rows.found().result;
    let nonsense = (0..1_000).map(|row| {
        let mut words = [0, 1, 2, 3, 4, 5, 6].map(|word| mix(7 * row + word));
        if row % 2 == 0 {
            words = words.map(|word| if word % 2 == 0 { u64::MAX } else { 0 });
        }
        let half = |place: usize| (words[place] & 0xffff_ffff) as u32;
        let quarter = |place: usize| (words[place] & 0xffff) as u16;
        BracketedCall {
            server: quarter(0),
            // Of no connection, or of one and of no request that it has sent.
            salt: if row % 3 == 0 {
                rows.trial.salt(0)
            } else {
                words[1]
            },
            ordinal: half(2) | 1 << 20,
            arm: quarter(3),
            flags: quarter(4),
            returned: half(5),
            enter_ns: words[6],
            back_exit_ns: words[5],
            to_back_ns: half(4),
            from_back_ns: half(3),
            waited_ns: half(0),
            ..BracketedCall::default()
        }
    });
    let mut nonsense: Vec<_> = nonsense.collect();
    // Of a request that another server has had, and before all that this one says of it.
    nonsense.push(BracketedCall {
        server: rows.calls[0].server + 1,
        enter_ns: 0,
        ..rows.calls[0]
    });
    rows.calls.extend(nonsense);
    let mut found = rows.found().result;
    let counts = found.counts.as_mut().unwrap();
    assert_eq!(std::mem::take(&mut counts.misplaced), 1_001);
    assert_eq!(found, expected);
}

/// A server may write anything where its counts come from.
#[test]
fn counts_that_cannot_be_make_no_sum_overflow() {
    let mut rows = SCRIPT.make();
    for server in &mut rows.counts.servers[..2] {
        *server = ServerCounts {
            processes: u64::MAX,
            connections: u64::MAX,
            first_requests: u64::MAX,
            without_salt: u64::MAX,
            off_boundary: u64::MAX,
            beyond_request: u64::MAX,
            ..server.clone()
        };
        server.records.unrecordable = u64::MAX;
        for arm in server.arms.values_mut() {
            *arm = ArmCounts {
                requests: u64::MAX,
                calls: u64::MAX,
                unreached: u64::MAX,
                bytes: u64::MAX,
            };
        }
    }
    let found = rows.found();
    let counts = counts(&found);
    // Each arm of these servers, and their first requests; nothing of others.
    assert_eq!(counts.differing.len(), 12);
    assert!(
        counts
            .differing
            .iter()
            .all(|differing| differing.server < 2)
    );
    assert_eq!((counts.requests, counts.off_boundary), (u64::MAX, u64::MAX));
    assert!(counts.records.is_balanced());
    assert_ne!(doubts(&found), []);
}

#[test]
fn a_hook_that_is_never_behind_itself_has_no_layer_inside_and_a_trial_still() {
    let mut rows = SCRIPT.make();
    for call in &mut rows.calls {
        if rows.trial.arms()[usize::from(call.arm)].is_hooked() {
            call.flags = BracketedCall::FRESH;
        }
    }
    for (name, arm) in rows
        .counts
        .servers
        .iter_mut()
        .flat_map(|server| &mut server.arms)
    {
        let ArmCounts {
            calls, unreached, ..
        } = arm;
        *unreached = if name.starts_with("on") { *calls } else { 0 };
    }
    let found = rows.found();
    assert_eq!(doubts(&found), []);
    assert!(found.result.in_situ.is_none() && found.agreement(&[]).is_none());
    let undisturbed = found.result.undisturbed.as_ref().unwrap();
    let on = &undisturbed.effects["on"];
    assert!(
        on.end_to_end.reaches(100.0, 30.0) && on.outside_call.is_none(),
        "{on:?}"
    );
    assert!(found.in_situ().missing.unwrap().contains("does not call"));
    assert_finds(found.result.effects["on"].body.as_ref(), 100.0, 25.0);
    // Where some do, that is not known of which.
    rows.counts.servers[0].arms.get_mut("on").unwrap().unreached -= 1;
    assert!(matches!(
        doubts(&rows.found())[0],
        Doubt::Trial(TrialDoubt::Unreached(_))
    ));
}

#[test]
fn a_hook_that_the_servers_do_not_call_is_told() {
    let rows = SCRIPT.make();
    let is_hooked = |call: &&BracketedCall| rows.trial.arms()[usize::from(call.arm)].is_hooked();
    let hooked = rows.calls.iter().filter(is_hooked).count() as u64;
    let found = rows.found();
    assert_eq!(
        counts(&found).functions,
        [("read".to_owned(), hooked)].into()
    );

    let doubt = |defined: Option<&[&str]>, trial| {
        let defined = defined.map(|names| names.iter().map(ToString::to_string).collect());
        let arm = |hooked_reads| manifest::Arm {
            name: "on".to_owned(),
            role: None,
            url: String::new(),
            pids: Vec::new(),
            hook: None,
            hook_environment: Vec::new(),
            hooked_reads,
        };
        of_hooked_reads(&[arm(None), arm(defined)], trial)
    };
    let trial = Some(&found.result);
    assert_eq!(doubt(Some(&["readv", "read"]), trial), None);
    assert_eq!(doubt(None, trial), None);
    let told = doubt(Some(&["recv", "recvmsg"]), trial).unwrap();
    assert_eq!(told.severity(), Severity::NotUsable);
    let words = told.to_string();
    assert!(
        words.contains("read by read") && words.contains("recv, recvmsg"),
        "{words}"
    );

    // Whole servers show what a hook does anywhere, end to end.
    assert_eq!(doubt(Some(&["recv"]), None), None);
    let told = doubt(Some(&[]), None).unwrap();
    assert_eq!(
        (told.severity(), &told),
        (Severity::Warning, &Doubt::HooksNoRead)
    );
}

#[test]
fn without_a_warm_up_only_typical_differences_are_known() {
    let mut rows = SCRIPT.make();
    rows.requests.retain(|request| request.first_byte > 0);
    for request in &mut rows.requests {
        request.flags = 0;
    }
    let found = rows.found();
    let on = &found.result.effects["on"];
    assert!(on.body.is_none() && on.typical.is_some() && found.agreement(&[]).is_none());
    assert!(doubts(&found).contains(&Doubt::Trial(TrialDoubt::NoWarmUp)));
}

/// As where something else had the CPU all the while.
#[test]
fn a_block_of_stalled_requests_has_no_slope() {
    let mut rows = SCRIPT.make();
    let stalled = rows.requests.last().unwrap().block;
    for request in rows.requests.iter_mut().filter(|of| of.block == stalled) {
        request.done_ns += 1_000_000_000;
    }
    let doses = rows.found().result.doses.unwrap();
    let slope = doses.slope.unwrap();
    assert!(slope.ci95.iter().all(|end| end.is_finite()), "{slope:?}");
}

#[test]
fn a_bench_without_probes_has_all_layers_but_micro() {
    let analysis = SCRIPT.make().analysis(None);
    assert_eq!(analysis.not_usable, [] as [&str; 0]);
    assert_eq!(analysis.warnings, [] as [&str; 0]);
    assert_finds(analysis.macro_.difference.as_ref(), 100.0, 25.0);
    assert_finds(analysis.macro_.a_a_difference.as_ref(), 0.0, 25.0);
    let others: Vec<&String> = analysis.macro_.other_differences.keys().collect();
    assert_eq!(others, ["on+100", "on+1000"]);
    assert_finds(analysis.in_situ.hook_overhead.as_ref(), 100.0, 1e-6);
    assert_eq!(
        (&analysis.in_situ.missing, &analysis.macro_.missing),
        (&None, &None)
    );
    assert_eq!(analysis.agreement.as_ref().unwrap().verdict, Verdict::Agree);
    let judgement = crate::judgement::judge(&analysis, None);
    assert_eq!(
        judgement.headline,
        "The layers agree to within 10.5 ns, 10 % of what the hook takes."
    );
    let sent: u64 = analysis
        .requests
        .values()
        .map(|requests| requests.sent)
        .sum();
    assert_eq!((sent, analysis.requests.len()), (32_000, 5));
    let written = serde_json::to_string(&analysis).unwrap();
    assert_eq!(
        serde_json::from_str::<Analysis>(&written).unwrap(),
        analysis
    );
    let trial = analysis.trial.unwrap();
    assert_eq!(trial.in_situ_sources_differ_by, None);
}

/// The probes see the part after the read, and 7 ns more in each call of a hook.
#[test]
fn a_bench_with_probes_holds_their_figure_against_the_records() {
    let script = Script {
        probed: true,
        requests: 300,
        ..SCRIPT
    };
    let mut rows = script.make();
    for read in &mut rows.reads {
        let salt = rows.trial.salt(u32::try_from(read.connection).unwrap());
        let ordinal = read.first_byte / u64::from(SIZE);
        let arm = rows
            .trial
            .arm_of(salt, ordinal)
            .map(|arm| rows.trial.arms()[arm]);
        read.exit_ns += if arm.is_some_and(Arm::is_hooked) {
            7
        } else {
            0
        };
    }
    let analysis = rows.analysis(Some(Probes::default()));
    assert_eq!(analysis.not_usable, [] as [&str; 0]);
    let join = analysis.join.as_ref().unwrap();
    assert_eq!((join.requests, join.matched), (9_600, 9_600));
    assert_finds(analysis.in_situ.hook_overhead.as_ref(), 77.0, 1e-6);
    let trial = analysis.trial.unwrap();
    assert_finds(trial.in_situ_sources_differ_by.as_ref(), 7.0, 1e-6);
    assert_finds(analysis.macro_.difference.as_ref(), 100.0, 40.0);
    assert!(analysis.probe_effect.is_some());
    let counts = trial.counts.unwrap();
    assert_eq!((counts.differing.len(), counts.misplaced), (0, 0));
}
