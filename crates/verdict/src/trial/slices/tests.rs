//! Servers made up, whose requests wait in line, each with an outcome known beforehand.

use abi::trial::Trial;
use runlog::manifest::{Placement, Schedule};
use runlog::trial::{CountsCheck, TrialResult};

use super::*;
use crate::doubt::{Doubt, Severity, SlicesDoubt, TrialDoubt, of_trial};
use crate::trial::tests::{Random, whole_ns};

const SIZE: u32 = 256;
const SLICE_NS: u64 = 10_000_000;
const CONNECTIONS: usize = 8;
/// What a request takes the server without a hook.
const BASE_NS: f64 = 20_000.0;

/// What to make. All requests wait for one server, in a closed loop whose client takes no time.
#[derive(Clone, Copy)]
struct Script {
    seed: u64,
    servers: usize,
    /// Requests to each server.
    requests: usize,
    /// What the hook takes.
    hook_ns: f64,
    /// How often the core is taken away for 4 ms.
    stolen: f64,
    /// Answers are seen when those of so many requests are there.
    batch: usize,
    /// What an on arm leaves behind for all requests of so many ns of the next slice.
    lingers: Option<(f64, u64)>,
    slice_ns: u64,
}

const SCRIPT: Script = Script {
    seed: 1,
    servers: 8,
    requests: 25_000,
    hook_ns: 300.0,
    stolen: 0.0,
    batch: 1,
    lingers: None,
    slice_ns: SLICE_NS,
};

impl Script {
    fn design(&self) -> Design {
        let Self { seed, slice_ns, .. } = self;
        let text = format!("seed={seed} size={SIZE} slice={slice_ns} arms=off,null,on,on+1000");
        Design::of(&Schedule {
            order: runlog::Order::Trial,
            seed: *seed,
            connections: CONNECTIONS,
            requests_per_cell: 0,
            blocks_per_cell: 1,
            servers_per_arm: u32::try_from(self.servers).unwrap(),
            warmup_requests: 0,
            block_warmup_requests: 0,
            trial: Some(text),
        })
        .unwrap()
    }

    /// How long the request takes that the server begins at this instant.
    fn service_ns(&self, trial: &Trial, slices: Slices, now_ns: u64, random: &mut Random) -> f64 {
        let slice = slices.at(now_ns);
        let cost_ns = |arm: usize| {
            let arm = trial.arms()[arm];
            let hook_ns = if arm.is_hooked() { self.hook_ns } else { 0.0 };
            hook_ns + arm.delay_ns() as f64
        };
        let mut service_ns = BASE_NS + cost_ns(slice.arm) + 1_500.0 * random.normal();
        if let Some((share, for_ns)) = self.lingers {
            let before = slices.at(slice.begin_ns - 1);
            let is_soon = now_ns - slice.begin_ns < for_ns;
            service_ns += share * cost_ns(before.arm) * f64::from(u8::from(is_soon));
        }
        if random.uniform() < self.stolen {
            service_ns += 4_000_000.0;
        }
        service_ns.max(1_000.0)
    }

    /// The requests to one server, in the order in which they are answered.
    fn requests(&self, design: &Design, server: usize) -> Vec<(Request, Option<Calls>)> {
        let slices = design.slices.unwrap();
        let mut random = Random(self.seed ^ (server as u64 + 1) << 32);
        let mut now_ns = 1_000_000_000_000 + server as u64 * 1_000_000_000;
        let mut requests: Vec<(Request, Option<Calls>)> = Vec::new();
        let begin_ns = now_ns;
        for number in 0..self.requests {
            let service_ns = self.service_ns(&design.trial, slices, now_ns, &mut random);
            now_ns += whole_ns(service_ns);
            let sent_ns = match number.checked_sub(CONNECTIONS) {
                Some(before) => requests[before].0.done_ns,
                None => begin_ns,
            };
            let request = Request {
                connection: u32::try_from(number % CONNECTIONS).unwrap(),
                first_byte: (number / CONNECTIONS + 1) as u64 * u64::from(SIZE),
                planned_ns: sent_ns,
                sent_ns,
                done_ns: now_ns,
                ..Request::default()
            };
            requests.push((request, None));
        }
        for batch in requests.chunks_mut(self.batch) {
            let seen_ns = batch[batch.len() - 1].0.done_ns;
            for (request, _) in batch {
                request.done_ns = seen_ns;
            }
        }
        requests
    }

    fn result(&self) -> SlicesResult {
        let design = self.design();
        // All wait in line: a request takes as long as eight, and seldom much longer.
        let p99_ns = 1.1 * BASE_NS * CONNECTIONS as f64;
        let beforehand = Some(Beforehand {
            threshold_ns: 4.0 * p99_ns,
            p99_ns,
        });
        let cut = Cut::new(&design, beforehand, 0).unwrap();
        let blocks: Vec<Block> = (0..self.servers)
            .flat_map(|server| {
                let requests = self.requests(&design, server);
                cut.rounds(&design, server, &requests, Some(4.0 * p99_ns))
            })
            .collect();
        cut.result(&design, &blocks, beforehand)
    }
}

fn doubts(slices: SlicesResult) -> Vec<TrialDoubt> {
    let result = TrialResult {
        slices: Some(Box::new(slices)),
        threshold_ns: Some(1.0),
        counts: Some(CountsCheck::default()),
        ..TrialResult::default()
    };
    of_trial(&result, &Placement::default())
        .into_iter()
        .filter_map(|doubt| match doubt {
            Doubt::Trial(doubt) => Some(doubt),
            _ => None,
        })
        .collect()
}

/// In how many of 30 seeds the intervals hold what is true: with 95 % each, in 25 at the least but for 1 in 300.
fn holding(script: Script) -> [u32; 3] {
    let mut holding = [0; 3];
    for seed in 0..30 {
        let found = Script { seed, ..script }.result();
        let truth = [
            ("null", 0.0),
            ("on", script.hook_ns),
            ("on+1000", script.hook_ns + 1_000.0),
        ];
        for (count, (arm, true_ns)) in holding.iter_mut().zip(truth) {
            *count += u32::from(found.effects[arm].reaches(true_ns, 0.0));
        }
    }
    holding
}

#[test]
fn what_a_request_costs_everyone_is_within_its_interval() {
    let one_process = Script {
        servers: 1,
        requests: 80_000,
        ..SCRIPT
    };
    let stolen = Script {
        stolen: 0.000_2,
        ..SCRIPT
    };
    let in_batches = Script {
        batch: CONNECTIONS,
        ..one_process
    };
    for script in [one_process, stolen, in_batches] {
        let holding = holding(script);
        assert!(
            holding.iter().all(|count| *count >= 25),
            "{holding:?} of 30"
        );
    }
}

#[test]
fn one_ns_in_the_hook_costs_each_that_waits() {
    let found = Script { seed: 3, ..SCRIPT }.result();
    let slope = |name: &str| found.responses[name].slope.clone().unwrap();
    assert!(
        slope("per_completed").reaches(1.0, 0.02),
        "{:?}",
        slope("per_completed")
    );
    // Seven wait before each request.
    let eight = CONNECTIONS as f64;
    for name in ["mean", "p50"] {
        assert!(
            slope(name).reaches(eight, 0.05 * eight),
            "{name}: {:?}",
            slope(name)
        );
    }
    assert!(found.per_completed.unwrap().reaches(BASE_NS, 20.0));
    assert_eq!(found.responses["mean"].arms.len(), 1);
}

#[test]
fn a_few_milliseconds_that_are_stolen_do_not_widen_the_interval_much() {
    let half_width_ns = |script: Script| {
        let [low, high] = script.result().effects["on"].ci95;
        (high - low) / 2.0
    };
    let calm_ns = half_width_ns(SCRIPT);
    let stolen_ns = half_width_ns(Script {
        stolen: 0.000_2,
        ..SCRIPT
    });
    assert!(stolen_ns < 60.0 && calm_ns < 40.0, "{calm_ns} {stolen_ns}");
}

#[test]
fn what_lasts_into_the_next_slice_is_noticed() {
    let sound = doubts(SCRIPT.result());
    assert_eq!(sound, []);
    let lingering = Script {
        lingers: Some((0.3, 8_000_000)),
        ..SCRIPT
    };
    let found = doubts(lingering.result());
    let lingers =
        |doubt: &TrialDoubt| matches!(doubt, TrialDoubt::Slices(SlicesDoubt::CarriesOver(_)));
    assert!(found.iter().any(lingers), "{found:?}");
}

#[test]
fn slices_that_are_too_short_are_refused() {
    let short = Script {
        slice_ns: 2_000_000,
        ..SCRIPT
    };
    let found = doubts(short.result());
    let is_short =
        |doubt: &TrialDoubt| matches!(doubt, TrialDoubt::Slices(SlicesDoubt::Short { .. }));
    assert!(found.iter().any(is_short), "{found:?}");
}

#[test]
fn calls_of_another_slice_count_for_nothing_and_are_told() {
    let script = Script {
        servers: 1,
        ..SCRIPT
    };
    let design = script.design();
    let slices = design.slices.unwrap();
    let on = u16::try_from(design.on).unwrap();
    let mut requests = script.requests(&design, 0);
    for (number, (request, calls)) in requests.iter_mut().enumerate() {
        let arm = u16::try_from(slices.at(request.sent_ns).arm).unwrap();
        // One in ten was waited for since a slice of the arm on.
        let arm = if number % 10 == 0 { on } else { arm };
        let mut of_arm = Calls::default();
        (of_arm.arm, of_arm.count) = (arm, 1);
        of_arm.whole_ns = if arm == on { 500 } else { 100 };
        *calls = Some(of_arm);
    }
    let cut = Cut::new(&design, None, 0).unwrap();
    let blocks = cut.rounds(&design, 0, &requests, Some(1e9));
    let found = cut.result(&design, &blocks, None);
    // All but those of slices of the arm on themselves.
    let share = found.other_arm.unwrap();
    assert!((share - 0.075).abs() < 0.003, "{share}");
    let overhead = Figure::of(&blocks, Weight::Alike, |block| {
        block.less([design.on, design.off], |arm| {
            Some(arm.recorded?.whole.mean_ns)
        })
    });
    assert!((overhead.interval().unwrap().estimate - 400.0).abs() < 1e-9);
    assert!(doubts(found).contains(&TrialDoubt::Slices(SlicesDoubt::OtherArm(share))));
}

#[test]
fn a_load_that_ends_too_soon_has_no_result() {
    let script = Script {
        servers: 1,
        requests: 500,
        ..SCRIPT
    };
    let result = script.result();
    assert!(result.effects.is_empty());
    let none = Doubt::Trial(TrialDoubt::Slices(SlicesDoubt::NoRounds(result.slice_ns)));
    assert_eq!(none.severity(), Severity::NotUsable);
    assert!(
        doubts(result)
            .iter()
            .any(|doubt| Doubt::Trial(doubt.clone()) == none)
    );
}

#[test]
fn the_servers_clock_cuts_what_the_client_saw() {
    let script = Script {
        servers: 1,
        requests: 12_000,
        ..SCRIPT
    };
    let design = script.design();
    let mut requests = script.requests(&design, 0);
    let found = |requests: &[(Request, Option<Calls>)], ahead_ns| {
        let cut = Cut::new(&design, None, ahead_ns).unwrap();
        cut.result(&design, &cut.rounds(&design, 0, requests, None), None)
    };
    let by_one_clock = found(&requests, 0);
    let ahead_ns = 123_456_789;
    for (request, _) in &mut requests {
        request.planned_ns += ahead_ns;
        request.sent_ns += ahead_ns;
        request.done_ns += ahead_ns;
    }
    assert_ne!(found(&requests, 0), by_one_clock);
    assert_eq!(found(&requests, -ahead_ns.cast_signed()), by_one_clock);
}

#[test]
fn rounds_that_a_block_has_a_part_of_are_left_out() {
    let script = Script {
        servers: 1,
        requests: 12_000,
        ..SCRIPT
    };
    let design = script.design();
    let slices = design.slices.unwrap();
    let requests = script.requests(&design, 0);
    let cut = Cut::new(&design, None, 0).unwrap();
    let blocks = cut.rounds(&design, 0, &requests, None);
    let [first_ns, last_ns] =
        [&requests[0], &requests[requests.len() - 1]].map(|(of, _)| of.sent_ns);
    assert!(blocks.len() >= 2);
    for block in &blocks {
        let [begin_ns, end_ns] = slices.bounds_ns(block.round);
        assert!(begin_ns >= first_ns && end_ns <= last_ns);
        assert!(block.arms.iter().all(|arm| arm.pace.is_some()));
    }
    assert!(cut.rounds(&design, 0, &[], None).is_empty());
}
